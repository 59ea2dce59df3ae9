// SPDX-License-Identifier: MIT
/* The listening sockets of manyport serve. See server.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <manyport/client.h>

#include "base/log.h"
#include "base/unix_address.h"
#include "loop/acceptor.h"
#include "server.h"

struct serve_door {
	struct list link;		/* in serve->doors */
	struct serve *serve;
	struct acceptor acceptor;
	struct unix_listener listener;
	struct unix_access access;
	char *path;			/* the option's text, cut */
	const char *service;		/* NULL: clients name */
};

static void come_in(struct acceptor *acceptor, int fd)
{
	struct serve_door *door = container_of(acceptor, struct serve_door, acceptor);

	serve_client_begin(door->serve, fd, door->service);
}

static const char *add(struct serve *serve, const char *text, bool has_service)
{
	struct serve_door *door = calloc(1, sizeof(*door));
	struct sockaddr_un address;
	const char *bad;
	socklen_t len;
	char *colon;

	if (!door)
		return "out of memory";
	door->serve = serve;
	door->listener.fd = -1;
	door->access = (struct unix_access)UNIX_ACCESS(0600);
	list_add_tail(&serve->doors, &door->link);
	door->path = strdup(text);
	if (!door->path)
		return "out of memory";
	colon = has_service ? strchr(door->path, ':') : NULL;
	if (has_service && (!colon || !colon[1]))
		return "should be PATH:NAME, with the name of a service";
	if (colon) {
		*colon = '\0';
		door->service = colon + 1;
		if (strlen(door->service) > MP_NAME_MAX)
			return "the name of the service is too long";
	}
	if (unix_access_cut(&door->access, door->path, &bad))
		return "behind the path may stand mode=0660, owner=USER, group=GROUP";
	if (*door->path == '@')
		return "an abstract name has no permissions; give the path of a file";
	if (unix_address_set(&address, &len, door->path))
		return "not a path of at most 107 bytes";
	return NULL;
}

const char *serve_door_add(struct serve *serve, const char *text)
{
	return add(serve, text, false);
}

const char *serve_door_add_service(struct serve *serve, const char *text)
{
	return add(serve, text, true);
}

/*
 * A start of the system leaves nothing below /run. A user who may not make the folder hears from
 * the listener that there is none. The folder lets all pass: the door decides which client may
 * connect.
 */
static void make_folder_of(const char *path)
{
	char folder[] = MANYPORT_DOOR;

	*strrchr(folder, '/') = '\0';
	if (!strcmp(path, MANYPORT_DOOR) && !mkdir(folder, 0755))
		chmod(folder, 0755);	/* whatever the umask */
}

static int open_door(struct serve_door *door)
{
	int ret;

	make_folder_of(door->path);
	ret = unix_listener_open(&door->listener, door->path, &door->access);
	acceptor_init(&door->acceptor, door->serve->loop, door->path, come_in);
	if (ret >= 0)
		ret = acceptor_start(&door->acceptor, door->listener.fd);
	if (ret < 0)
		log_error("cannot listen on %s: %s", door->path, unix_address_explain(ret));
	else if (door->service)
		log_info("%s is the service '%s'", door->path, door->service);
	else
		log_info("clients name their service on %s", door->path);
	return ret;
}

int serve_door_open_all(struct serve *serve)
{
	struct list *link;
	int ret = 0;

	list_for_each(link, &serve->doors) {
		ret = open_door(list_entry(link, struct serve_door, link));
		if (ret < 0)
			return ret;
	}
	return 0;
}

void serve_door_close_all(struct serve *serve)
{
	struct list *link;

	while ((link = list_pop(&serve->doors))) {
		struct serve_door *door = list_entry(link, struct serve_door, link);

		if (door->listener.fd >= 0) {
			acceptor_stop(&door->acceptor);
			unix_listener_close(&door->listener);
		}
		free(door->path);
		free(door);
	}
}
