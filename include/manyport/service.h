/* SPDX-License-Identifier: MIT */
/*
 * Where services meet the device core: an operation table each way.
 *
 * A service is something configured by name ("unix:/run/db.sock"). Each
 * channel that is connected to it is one stream of that service. The core
 * holds the peer end of the stream.
 *
 *	core -> stream		readv, writev, shutdown, close
 *	stream -> core		connected, refused, readable, writable, hung_up
 *
 * Rules, which keep the core free of locks and of waiting:
 * - One thread, the loop's, calls everything. No call blocks, ever.
 * - An iovec points straight into guest memory. It has been checked, and is
 *   valid until the call returns, no longer. The guest may change the bytes
 *   at any moment: a service that acts on them copies them first.
 * - Readiness is an edge: after -EAGAIN the stream owes one call of
 *   readable() or writable() when that direction can move again, has ended
 *   or failed. Spurious calls are allowed. Until then the core does not ask.
 *   A short count is not "empty": the core asks again until -EAGAIN.
 * - A stream never calls its peer from inside open(), readv(), writev() or
 *   shutdown(), and never after close().
 */
#ifndef MANYPORT_SERVICE_H
#define MANYPORT_SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <manyport/wire.h>

#define MP_SERVICE_ABI 4

#define MP_KIND_SIZE 16

struct mp_peer;
struct mp_stream;
struct mp_service;
struct record;		/* host/base/record.h */

/* The channel's opener, as the guest's kernel claims it, and where the channel came from. */
struct mp_opener {
	uint32_t uid, gid, pid;		/* initial namespace of the guest */
	char comm[MP_COMM_LEN + 1];	/* escaped printable text */
	const char *guest;		/* configured name of the guest */
	const char *port;		/* name of the port */
	const char *service;		/* configured name of the service */
	const char *argument;		/* what follows '+' in the name, or "": may be UTF-8 */
	uint32_t channel, generation;
};

/* How a stream ends [protocol.md 8.3, 10.8]. */
enum mp_end {
	/* The bytes that were taken, then an end: the guest closed, or the service ended. */
	MP_END_WHOLE,
	/* The bytes that were taken, then what tells that more was to come, if it can. */
	MP_END_CUT,
	/* At once, as above; what has not arrived is dropped. */
	MP_END_ABORT,
};

/*
 * A channel's place in the limits. A stream that outlives its channel keeps a copy of the place, so
 * that a guest cannot pile such streams up, and gives the place back by one call of leave().
 */
struct mp_place {
	void (*leave)(const struct mp_place *place);
	void *context;			/* of leave() */
	struct mp_service *service;
	uint32_t uid;
	uint32_t channel, generation;	/* for the log */
};

/* What a stream tells the core. */
struct mp_peer_ops {
	void (*connected)(struct mp_peer *peer);
	void (*refused)(struct mp_peer *peer, enum mp_reason reason);
	void (*readable)(struct mp_peer *peer);
	void (*writable)(struct mp_peer *peer);
	/*
	 * What an event showed before any readv() or writev() did: MP_SHUT_READ: no more bytes
	 * will come (some may still wait to be read);
	 * MP_SHUT_WRITE: the service takes no more, writev() would give -EPIPE.
	 */
	void (*hung_up)(struct mp_peer *peer, uint16_t how);
};

struct mp_peer {
	const struct mp_peer_ops *ops;
};

/* What the core asks of a stream; each returns 0 or more, or -errno. */
struct mp_stream_ops {
	/*
	 * Both: -EFAULT: the kernel cannot reach that guest memory; nothing was moved, and the
	 * stream goes on.
	 * Bytes put into @iov (1 or more), 0: the end, -EAGAIN, other: failed.
	 */
	ssize_t (*readv)(struct mp_stream *stream, const struct iovec *iov, int count);
	/* Bytes taken (1 or more), -EAGAIN, -EPIPE: takes no more, other: failed. */
	ssize_t (*writev)(struct mp_stream *stream, const struct iovec *iov, int count);
	/* @how: MP_SHUT_READ, MP_SHUT_WRITE. After SHUT_WRITE the service sees the end. */
	void (*shutdown)(struct mp_stream *stream, uint16_t how);
	/*
	 * Optional, right before close(): no byte was read from the stream or written to it,
	 * so its other end may be given to another stream.
	 */
	void (*unused)(struct mp_stream *stream);
	/*
	 * Ends the stream: nothing is called any more, in either direction. @place is NULL or
	 * valid until close() returns. Returns true when bytes that were taken are still on their
	 * way, which is only allowed with a @place: it is then given back when they have
	 * arrived, or have made no progress for the service's linger_ms. Else the stream is gone.
	 */
	bool (*close)(struct mp_stream *stream, enum mp_end how, const struct mp_place *place);
	/*
	 * How many bytes of those that were taken the service does not have yet, about.
	 * Says in *is_kept if it gets them also after close(MP_END_WHOLE) without a place.
	 * NULL: none, ever.
	 */
	uint64_t (*backlog)(struct mp_stream *stream, bool *is_kept);
	/*
	 * Why readv() or writev() has failed: how the stream's program ended, if that is why [4.8],
	 * else MP_REASON_RESET. NULL: always that.
	 */
	enum mp_reason (*reason)(struct mp_stream *stream);
	/*
	 * A planned restart: writes what the next program needs to go on with the stream, which
	 * stays as it is. Whoever reads it is mp_service_ops.restore() of a service of this @kind,
	 * the scheme of its URI. NULL: the stream cannot go on, and its channel fails.
	 */
	const char *kind;		/* shorter than MP_KIND_SIZE */
	void (*save)(struct mp_stream *stream, struct record *record);
};

struct mp_stream {
	const struct mp_stream_ops *ops;
};

struct mp_service_ops {
	/*
	 * Begins a stream for @peer. @opener is valid until open() returns.
	 * Returns 1: connected; 0: under way, connected() or refused() will tell
	 * the outcome (after refused() the core calls close()); -reason
	 * (enum mp_reason): refused, and *stream is not set.
	 */
	int (*open)(struct mp_service *service, struct mp_peer *peer,
		    const struct mp_opener *opener, struct mp_stream **stream);
	/*
	 * Goes on with a stream that save() has written. Returns as open(), without a call of
	 * @peer. A stream that was still under way begins again.
	 */
	int (*restore)(struct mp_service *service, struct mp_peer *peer, struct record *record,
		       struct mp_stream **stream);
	/* Optional: writes, or reads, what the service has beside its streams. */
	void (*hand_over)(struct mp_service *service, struct record *record);
	/* Frees the service. No stream of it is open. */
	void (*destroy)(struct mp_service *service);
};

struct mp_service {
	const struct mp_service_ops *ops;
	const char *kind;		/* the scheme of its URI; set by the code that configures */
	/*
	 * linger_ms: how long bytes for the service may make no progress after the end of a
	 * channel. end_ms: how long a program may take to end when it has got all of them. Both
	 * are set by the code that configures the service.
	 */
	uint32_t linger_ms, end_ms;
};

/*
 * A service may take no input before its output is read. So after the end of a channel output that
 * is read and thrown away counts as progress too, but only for so many times linger_ms since the
 * service took the last byte.
 */
#define MP_HEARD_LIMITS 10

#endif
