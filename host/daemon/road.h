/* SPDX-License-Identifier: MIT */
/*
 * A road to the guest beside its device: a socket where each connection is a channel, or one stream
 * that carries all channels. A guest may have several; policy and limits are the guest's, on all of
 * them.
 */
#ifndef HOST_DAEMON_ROAD_H
#define HOST_DAEMON_ROAD_H

#include "daemon/road_kind.h"

/*
 * Read what stands behind --vsock=, --vsock-unix= and --stream=, which is cut into parts. Return
 * NULL, or what is wrong with it, in words.
 */
const char *road_parse_vsock(struct road_config *road, char *text);
const char *road_parse_unix(struct road_config *road, char *text);
const char *road_parse_stream(struct road_config *road, char *text);

/* NULL with errno set. */
struct road *road_open(const struct road_config *config, const struct road_env *env);
/* See struct road_ops. */
void road_end(struct road *road);
void road_destroy(struct road *road);

#endif
