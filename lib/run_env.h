/* SPDX-License-Identifier: MIT */
/* What manyport run tells its library: environment variables. */
#ifndef RUN_ENV_H
#define RUN_ENV_H

/* The path of the port's node. */
#define RUN_PORT_ENV	"MANYPORT_RUN_PORT"
/*
 * Two lines for each socket: its address, and the service. An address is "unix:PATH" (absolute),
 * "unix:@NAME", "tcp:ADDR:PORT" or "tcp:[ADDR]:PORT".
 */
#define RUN_SOCKETS_ENV	"MANYPORT_RUN_SOCKETS"
/* Set: tell on standard error why a channel was refused. */
#define RUN_VERBOSE_ENV	"MANYPORT_RUN_VERBOSE"

#define RUN_SOCKETS_MAX	64
#define RUN_LIBRARY	"manyport-run.so"

#endif
