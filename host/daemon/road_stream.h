/* SPDX-License-Identifier: MIT */
/* One byte stream that carries all channels: a VMM's serial port, or our own input and output. */
#ifndef HOST_DAEMON_ROAD_STREAM_H
#define HOST_DAEMON_ROAD_STREAM_H

#include "daemon/road_kind.h"

/* Connects, again and again, or listens. NULL with errno set. */
struct road *road_stream_open(const struct road_config *config, const struct road_env *env);

#endif
