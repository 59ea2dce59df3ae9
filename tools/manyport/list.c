// SPDX-License-Identifier: MIT
/* manyport list: the ports of this guest. */
#include <argp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <manyport/client.h>

#include "tool.h"

static const char help_text[] =
	"Lists the ports of this guest: node, kind and name."
	"\v"
	"Kinds: 'multi' (every open is a channel, the first write names the service), 'fixed' "
	"(every open is a channel to one service), 'classic' (the stock driver's, one open at a "
	"time), 'unknown' (another), 'socket' (a road without a node: each connection is a "
	"channel). Which services there are, only the host knows.";

static const char *const kinds[] = {
	[MANYPORT_PORT_CLASSIC] = "classic",
	[MANYPORT_PORT_MULTI] = "multi",
	[MANYPORT_PORT_FIXED] = "fixed",
	[MANYPORT_PORT_UNKNOWN] = "unknown",
};

/* The road that is taken where the module's node is not there, or that the environment names. */
static bool print_road(void)
{
	char road[PATH_MAX];
	bool is_node;

	if (manyport_find_road(NULL, road, sizeof(road)))
		return false;
	is_node = !strncmp(road, "/dev/", 5);
	/* That of manyport serve is no port of the kernel's lists. */
	if (is_node && strcmp(road, "/dev/manyport"))
		return false;
	printf("%-16s %-8s%s\n", road, is_node ? "multi" : "socket", is_node ? " manyport" : "");
	return true;
}

static int print_ports(void)
{
	struct manyport_port *ports;
	int count = manyport_list(NULL, 0), max;

	max = count > 0 ? count : 0;
	ports = calloc(max + 1, sizeof(*ports));
	if (count >= 0)
		count = ports ? manyport_list(ports, max) : -1;
	if (count < 0) {
		complain("cannot list ports: %s", manyport_explain(count));
		free(ports);
		return EXIT_IO;
	}
	for (int i = 0; i < count && i < max; i++)
		printf("%-16s %-8s %s\n", ports[i].node, kinds[ports[i].kind], ports[i].name);
	free(ports);
	if (print_road() || count)
		return EXIT_OK;
	complain("no ports: is the manyport module loaded, and the device there? There is no other "
		 "road either: no vsock to a manyportd, no " MANYPORT_DOOR);
	return EXIT_IO;
}

int run_list(int argc, char **argv)
{
	static const struct argp parser = { NULL, NULL, "", help_text, NULL, NULL, NULL };

	if (argp_parse(&parser, argc, argv, 0, NULL, NULL))
		return EXIT_USAGE;
	return print_ports();
}
