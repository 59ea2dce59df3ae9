// SPDX-License-Identifier: MIT
#include <string.h>
#include <linux/vm_sockets.h>

#include "base/text.h"
#include "daemon/road.h"
#include "daemon/road_sockets.h"
#include "daemon/road_stream.h"

/* --- Settings ----------------------------------------------------------------------- */

/* Cuts ",port=NAME" off @text. */
static void cut_gate(struct road_config *road, char *text)
{
	char *at = strstr(text, ",port=");

	if (!at)
		return;
	road->gate = at + strlen(",port=");
	*at = '\0';
}

const char *road_parse_vsock(struct road_config *road, char *text)
{
	uint64_t port, cid;
	char *at;

	cut_gate(road, text);
	at = strstr(text, ",cid=");
	if (!at)
		return "should be PORT,cid=N: the guest's context id, which alone may connect";
	*at = '\0';
	if (text_number(text, 0, UINT32_MAX - 1, &port))
		return "PORT is a number below 4294967295";
	if (text_number(at + strlen(",cid="), 1, UINT32_MAX - 1, &cid) || cid == VMADDR_CID_HOST)
		return "cid is a guest's number, 3 or more (1: this machine itself)";
	road->kind = ROAD_VSOCK;
	road->port = port;
	road->cid = cid;
	return NULL;
}

/* Cuts the permissions off @text, which is then a path where we may listen. */
static const char *parse_listener(struct road_config *road, char *text)
{
	const char *bad;
	struct sockaddr_un address;
	socklen_t len;

	road->access = (struct unix_access)UNIX_ACCESS(0600);
	if (unix_access_cut(&road->access, text, &bad))
		return "behind the path may stand mode=0660, owner=USER, group=GROUP, port=NAME";
	if (*text == '@')
		return "whoever sees an abstract name may connect, and so be the guest; give the "
		       "path of a file";
	if (unix_address_set(&address, &len, text))
		return "not a path of at most 107 bytes";
	road->path = text;
	return NULL;
}

const char *road_parse_unix(struct road_config *road, char *text)
{
	cut_gate(road, text);
	road->kind = ROAD_VSOCK_UNIX;
	return parse_listener(road, text);
}

/* Where another program listens: it says who may connect. */
static const char *parse_connect(struct road_config *road, const char *path)
{
	struct sockaddr_un address;
	socklen_t len;

	if (unix_address_set(&address, &len, path))
		return "not a path of at most 107 bytes";
	road->path = path;
	return NULL;
}

const char *road_parse_stream(struct road_config *road, char *text)
{
	static const char connects[] = "unix:", listens[] = "unix-listen:";

	cut_gate(road, text);
	road->kind = ROAD_STREAM_STDIO;
	if (!strcmp(text, "stdio"))
		return NULL;
	road->kind = ROAD_STREAM;
	if (!strncmp(text, connects, strlen(connects)))
		return parse_connect(road, text + strlen(connects));
	road->kind = ROAD_STREAM_LISTEN;
	if (!strncmp(text, listens, strlen(listens)))
		return parse_listener(road, text + strlen(listens));
	return "should be unix:PATH, unix-listen:PATH or stdio";
}

/* --- Kinds --------------------------------------------------------------------------- */

struct road *road_open(const struct road_config *config, const struct road_env *env)
{
	switch (config->kind) {
	case ROAD_VSOCK:
	case ROAD_VSOCK_UNIX:
		return road_sockets_open(config, env);
	default:
		return road_stream_open(config, env);
	}
}

void road_end(struct road *road)
{
	road->ops->end(road);
}

void road_destroy(struct road *road)
{
	road->ops->destroy(road);
}
