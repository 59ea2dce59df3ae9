/* SPDX-License-Identifier: MIT */
/* A socket where each connection is a channel: vsock, or the unix socket of a VMM's vsock. */
#ifndef HOST_DAEMON_ROAD_SOCKETS_H
#define HOST_DAEMON_ROAD_SOCKETS_H

#include "daemon/road_kind.h"

/* Listens. NULL with errno set. */
struct road *road_sockets_open(const struct road_config *config, const struct road_env *env);

#endif
