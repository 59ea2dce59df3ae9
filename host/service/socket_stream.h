/* SPDX-License-Identifier: MIT */
/*
 * The stream whose service is a stream socket: unix, tcp, unix-listen, exec.
 *
 * Data goes between the iovecs and the socket in one system call. The socket
 * is watched edge-triggered; a direction that returned -EAGAIN gets its call
 * at the next edge.
 */
#ifndef HOST_SERVICE_SOCKET_STREAM_H
#define HOST_SERVICE_SOCKET_STREAM_H

#include <stdbool.h>

#include <manyport/service.h>

#include "base/list.h"
#include "loop/loop.h"

struct socket_stream {
	struct mp_stream stream;	/* first: what the core holds */
	struct mp_peer *peer;
	const char *name;		/* of the service, for the log */
	struct loop_watch watch;	/* of the socket, once connected */
	int fd;				/* the socket, or -1 */
	int error;			/* a write met this failure: due after the data */
	bool owes_readable, owes_writable;	/* returned -EAGAIN since the last call */
	bool watches_room;		/* an event tells of it */
	bool is_dry;			/* nothing to read until the next event */
	bool may_be_dry;		/* a short count means that, see socket_stream.c */
	bool is_broken;			/* what comes in makes no sense any more */
	struct list wide;		/* linked: has one of the large send buffers */
	uint64_t wide_ms;		/* when it last wrote in bulk, and */
	int narrow_bytes;		/* how large its buffer was before */
	bool local;			/* an AF_UNIX socket */
	bool has_ended;			/* nothing more comes in */
};

/* A stream without a socket yet; its operations find nothing to do. */
void socket_stream_init(struct socket_stream *stream, const struct mp_stream_ops *ops,
			struct mp_peer *peer, const char *name);

/*
 * Gives the stream its connected, non-blocking socket, which it owns from a
 * return of 0 on. Returns 0 or -errno.
 */
int socket_stream_attach(struct socket_stream *stream, struct loop *loop, int fd);

/*
 * Takes the socket out of the stream, and says that it is not the stream's any more. Returns it,
 * or -1 when there is none.
 */
int socket_stream_take(struct socket_stream *stream);

/* Closes the socket, if there is one. The caller frees. */
void socket_stream_detach(struct socket_stream *stream, enum mp_end how);

/* The same for a socket that was taken: an end, or a reset where its family has one. */
void socket_stream_end(int fd, enum mp_end how, bool is_local);

/* The operations of mp_stream_ops; close() is the service's own. What is in the queue of a local
 * socket is with its other end, also after close(). */
ssize_t socket_stream_readv(struct mp_stream *stream, const struct iovec *iov, int count);
ssize_t socket_stream_writev(struct mp_stream *stream, const struct iovec *iov, int count);
void socket_stream_shutdown(struct mp_stream *stream, uint16_t how);
uint64_t socket_stream_backlog(struct mp_stream *stream, bool *is_kept);

/* The save() of a stream that is nothing but its socket, or has none yet. */
void socket_stream_save(struct mp_stream *stream, struct record *record);
/* The same for a socket that was taken. */
void socket_stream_save_taken(int fd, struct record *record);
/*
 * Reads that into a stream that socket_stream_init() has made. Returns 1: it has its socket, 0: it
 * had none yet, or -errno.
 */
int socket_stream_restore(struct socket_stream *stream, struct loop *loop, struct record *record);

/* Calls readable() if it is owed. The stream may be gone afterwards. */
void socket_stream_report_readable(struct socket_stream *stream);

/* Which reason a guest is told when connecting failed with @error (positive). */
enum mp_reason socket_reason(int error);

#endif
