/* SPDX-License-Identifier: MIT */
/*
 * Roads to the host that are sockets, where the module's node is not there: the door of
 * manyport serve, and vsock. Each connection is a channel, and names it first [protocol.md 16].
 */
#ifndef LIB_ROAD_H
#define LIB_ROAD_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <manyport/client.h>

#define ROAD_VSOCK_PORT	"28016"			/* the number that "mp" is */

#ifdef MANYPORT_NODE_ONLY
/*
 * For the library of manyport run, which itself stands in front of the socket's calls: it knows
 * the module's node alone.
 */
static inline const char *road_default(char *buf, unsigned long size)
{
	const char *port = getenv(MANYPORT_PORT_ENV);

	(void)buf, (void)size;
	return port && *port ? port : NULL;
}
static inline bool road_is_socket_name(const char *port) { (void)port; return false; }
static inline bool road_is_socket(int fd) { (void)fd; return false; }
static inline int road_collect(int fd) { (void)fd; return -EISCONN; }
static inline int road_open(const char *road, const char *service, int flags)
{
	(void)road, (void)service, (void)flags;
	return -ENODEV;
}
static inline int road_find(const char *road, char *text, unsigned long size)
{
	(void)road, (void)text, (void)size;
	return -ENODEV;
}
#else

/*
 * The road that is meant where the caller names none: $MANYPORT_PORT, else what the system was
 * told: the credential manyport.port, or manyport.port= on the kernel's command line. NULL: none.
 * The text may lie in @buf of @size bytes.
 */
const char *road_default(char *buf, unsigned long size);

/* Is @port "unix:PATH", "vsock:PORT" or "vsock:CID:PORT", rather than a port of the kernel's? */
bool road_is_socket_name(const char *port);

/*
 * A connection by @road, or by the first that is there if it is NULL, that names @service. Returns
 * the descriptor; -ENODEV: no such road is there; else what the host said, or -errno. With
 * O_NONBLOCK in @flags the answer is not waited for: road_collect().
 */
int road_open(const char *road, const char *service, int flags);

/*
 * Writes @road, or the first that is there if it is NULL, into @text of @size bytes, as
 * road_open() takes it. Returns 0, -ENODEV: it is not there, or -errno.
 */
int road_find(const char *road, char *text, unsigned long size);

/* Is @fd a socket, so that it came from road_open()? */
bool road_is_socket(int fd);

/* The answer to the name: 0, the refusal, -EINPROGRESS, -EISCONN when it was collected, -EINTR. */
int road_collect(int fd);

/* 0 or -errno, for an enum mp_reason. */
int road_reason_errno(unsigned int reason);

#endif

#endif
