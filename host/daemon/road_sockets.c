// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "connection/connection.h"
#include "daemon/acceptor.h"
#include "daemon/owner.h"
#include "daemon/road.h"

#define BACKLOG 128

struct road {
	struct owner owner;
	struct connections connections;
	struct acceptor acceptor;
	struct unix_listener listener;	/* fd -1: vsock */
	int fd;				/* that listens; -1: none */
	unsigned int cid;
};

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
	road->port = port;
	road->cid = cid;
	return NULL;
}

const char *road_parse_unix(struct road_config *road, char *text)
{
	const char *bad;
	struct sockaddr_un address;
	socklen_t len;

	cut_gate(road, text);
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

/* --- Connections --------------------------------------------------------------------- */

static bool is_the_guest(const struct road *road, int fd)
{
	struct sockaddr_vm peer;
	socklen_t len = sizeof(peer);

	if (road->listener.fd >= 0)
		return true;		/* the permissions of the file have decided */
	if (getpeername(fd, (struct sockaddr *)&peer, &len) || peer.svm_family != AF_VSOCK)
		return false;
	if (peer.svm_cid == road->cid)
		return true;
	log_limited_here(LOG_LEVEL_WARNING, "%s: vsock: refused a connection of the guest with "
			 "cid %u: this road is for cid %u", road->owner.guest, peer.svm_cid,
			 road->cid);
	return false;
}

static void come_in(struct acceptor *acceptor, int fd)
{
	struct road *road = container_of(acceptor, struct road, acceptor);

	if (!is_the_guest(road, fd))
		close(fd);
	else if (!connection_begin(&road->connections, fd))
		log_limited_here(LOG_LEVEL_WARNING, "%s: refused a connection: too many have not "
				 "said a name yet", road->owner.guest);
}

static int listen_vsock(unsigned int port)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (const struct sockaddr *)&address, sizeof(address)) && !listen(fd, BACKLOG))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static int begin_to_listen(struct road *road, const struct road_config *config)
{
	int ret;

	if (config->path) {
		ret = unix_listener_open(&road->listener, config->path, &config->access);
		road->fd = road->listener.fd;
	} else {
		ret = road->fd = listen_vsock(config->port);
	}
	return ret < 0 ? ret : acceptor_start(&road->acceptor, road->fd);
}

/* --- Life ---------------------------------------------------------------------------- */

struct road *road_open(const struct road_config *config, struct loop *loop,
		       struct policy *policy, const struct gate *gate,
		       const struct core_config *core)
{
	struct road *road = calloc(1, sizeof(*road));
	struct core_env env;
	int ret;

	if (!road)
		return NULL;
	road->fd = road->listener.fd = -1;
	road->cid = config->cid;
	owner_init(&road->owner, loop, policy, core->guest);
	acceptor_init(&road->acceptor, loop, core->guest, come_in);
	env = owner_env(&road->owner);
	connections_init(&road->connections, loop, gate, core, &env);
	road->owner.core = &road->connections.core;
	ret = begin_to_listen(road, config);
	if (ret >= 0)
		return road;
	road_end(road);
	road_destroy(road);
	errno = -ret;
	return NULL;
}

void road_end(struct road *road)
{
	acceptor_stop(&road->acceptor);
	if (road->listener.fd >= 0)
		unix_listener_close(&road->listener);
	else if (road->fd >= 0)
		close(road->fd);
	road->fd = road->listener.fd = -1;
	connections_end(&road->connections);
}

void road_destroy(struct road *road)
{
	owner_stop(&road->owner);
	connections_exit(&road->connections);
	free(road);
}
