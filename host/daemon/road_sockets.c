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
#include "connection/connection.h"
#include "loop/acceptor.h"
#include "daemon/owner.h"
#include "daemon/road_sockets.h"

#define BACKLOG 128

struct sockets_road {
	struct road road;		/* first */
	struct owner owner;
	struct connections connections;
	struct acceptor acceptor;
	struct unix_listener listener;	/* fd -1: vsock, whose socket ends with us */
	int fd;				/* that listens; -1: none */
	unsigned int cid;
};

/* --- Connections --------------------------------------------------------------------- */

static bool is_the_guest(const struct sockets_road *road, int fd)
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
	struct sockets_road *road = container_of(acceptor, struct sockets_road, acceptor);

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

static int begin_to_listen(struct sockets_road *road, const struct road_config *config)
{
	int ret;

	if (config->kind == ROAD_VSOCK_UNIX) {
		ret = unix_listener_open(&road->listener, config->path, &config->access);
		road->road.listener = road->fd = road->listener.fd;
	} else {
		ret = road->fd = listen_vsock(config->port);
	}
	return ret < 0 ? ret : acceptor_start(&road->acceptor, road->fd);
}

/* --- Life ---------------------------------------------------------------------------- */

static void end(struct road *base)
{
	struct sockets_road *road = (struct sockets_road *)base;

	acceptor_stop(&road->acceptor);
	if (road->listener.fd >= 0)
		unix_listener_close(&road->listener);
	else if (road->fd >= 0)
		close(road->fd);
	road->road.listener = road->fd = road->listener.fd = -1;
	connections_end(&road->connections);
}

static void destroy(struct road *base)
{
	struct sockets_road *road = (struct sockets_road *)base;

	owner_stop(&road->owner);
	connections_exit(&road->connections);
	free(road);
}

static const struct road_ops road_ops = { .end = end, .destroy = destroy };

struct road *road_sockets_open(const struct road_config *config, const struct road_env *env)
{
	struct sockets_road *road = calloc(1, sizeof(*road));
	struct core_env core_env;
	int ret;

	if (!road)
		return NULL;
	road->road.ops = &road_ops;
	road->road.listener = road->fd = road->listener.fd = -1;
	road->cid = config->cid;
	owner_init(&road->owner, env->loop, env->policy, env->core->guest);
	acceptor_init(&road->acceptor, env->loop, env->core->guest, come_in);
	core_env = owner_env(&road->owner);
	connections_init(&road->connections, env->loop, env->gate, env->core, &core_env);
	road->owner.core = &road->connections.core;
	ret = begin_to_listen(road, config);
	if (ret >= 0)
		return &road->road;
	end(&road->road);
	destroy(&road->road);
	errno = -ret;
	return NULL;
}
