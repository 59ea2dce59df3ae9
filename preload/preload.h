/* SPDX-License-Identifier: MIT */
/*
 * The library that manyport run loads into a program: connect() to a configured socket is answered
 * with a channel in place of the socket, and the socket calls of that descriptor with what the
 * channel has for them.
 *
 *	targets    the sockets that are configured, and the services behind them
 *	known      which descriptors are channels
 *	next       the C library's own calls
 *	limits     SO_RCVTIMEO and SO_SNDTIMEO
 *	watches    epoll sets that had the socket before it became a channel
 *	transfer   send and recv of a channel
 *	naming     from an open port to a connected channel, and its errors as a socket has them
 *	options    getsockopt, setsockopt and the two names of a channel
 *	connect    connect()
 *	calls      what the program calls instead of the C library's
 *
 * Descriptors are closed, duplicated and used again by calls that this library does not see. So
 * what it remembers of a descriptor is a hint, which says whether the socket's call is tried
 * first or the channel's. The kernel has the last word: a socket's call fails with ENOTSOCK on a
 * channel, and the driver's fails on everything else, mostly with ENOTTY.
 *
 * No call but a refused connect() allocates memory, and none takes a lock, so all may be made from
 * signal handlers and any thread, as those of the C library.
 */
#ifndef PRELOAD_H
#define PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <manyport/client.h>

/* ---- targets ---- */

struct target {
	struct sockaddr_storage address;
	socklen_t len;
	char *service;			/* "": the port's own */
};

extern char *target_port;		/* the node; NULL: this library does nothing */
extern bool target_verbose;

/* The configured socket that a connect() to @address means, or NULL. */
const struct target *target_find(const struct sockaddr *address, socklen_t len);
const struct target *target_of_service(const char *service);
int target_number(const struct target *target);		/* 0 and up */
const struct target *target_at(int number);		/* NULL: there is none */

/* ---- limits: of a channel's calls, in milliseconds; 0: none ---- */

enum limit_way { LIMIT_IN, LIMIT_OUT };

int limit_get(int fd, enum limit_way way);
/* Can a limit of this descriptor be remembered? */
bool limit_fits(int fd);
void limit_set(int fd, enum limit_way way, int ms);
int limit_of_time(const struct timeval *time);
/*
 * Waits until @fd may be tried again. @until is 0 before a call's first wait. False and errno:
 * EAGAIN (the time is over, or the file never waits), EINTR.
 */
bool limit_wait(int fd, enum limit_way way, int64_t *until);

/* ---- known ---- */

enum known_mark {
	KNOWN_PENDING	= 1,	/* the answer to its name may still be to collect */
	KNOWN_TOLD	= 2,	/* the program has been given the channel's error */
	KNOWN_SIX	= 4,	/* the socket was one of IPv6, the target is an address of IPv4 */
};

void known_set(int fd, const struct target *target, unsigned int marks);
void known_clear(int fd);
/* False for a descriptor whose number is too high to be remembered. */
bool known_has(int fd, enum known_mark mark);
void known_mark(int fd, enum known_mark mark);
void known_unmark(int fd, enum known_mark mark);
/* A hint: @fd was a channel. */
bool known_maybe(int fd);
/* The target that @fd was connected to, or NULL; only of a channel. */
const struct target *known_target(int fd);
/* The proof. Keeps errno. */
bool known_is_channel(int fd);

/* ---- next: the C library's, each with the type of its declaration ---- */

#define NEXT_CALLS(do) \
	do(connect) do(send) do(sendto) do(sendmsg) do(sendmmsg) do(recv) do(recvfrom) \
	do(recvmsg) do(recvmmsg) do(getsockopt) do(setsockopt) do(shutdown) do(getpeername) \
	do(getsockname) do(epoll_ctl) do(read) do(readv) do(write) do(writev)

#define NEXT_DECLARE(name) extern __typeof__(name) *next_##name;
/* Each is its call from the first on: the constructor may not have run before the first call. */
#define NEXT(name) (next_##name ? next_##name : (next_find(), next_##name))
NEXT_CALLS(NEXT_DECLARE)
void next_find(void);

/* ---- watches ---- */

void watch_note(int set, int fd, const struct epoll_event *event);

struct watch {
	int set;			/* -1: none */
	struct epoll_event event;
};

/* Takes @fd out of the epoll set that has it, and puts it back in, whatever file it now is. */
struct watch watch_take(int fd);
void watch_put(const struct watch *watch, int fd);

/* ---- transfer: as send() and recv() of a stream socket, or ENOTTY if @fd is no channel ---- */

ssize_t transfer_send(int fd, const struct iovec *iov, size_t count, int flags);
ssize_t transfer_recv(int fd, const struct iovec *iov, size_t count, int flags);
ssize_t transfer_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t transfer_recvmsg(int fd, struct msghdr *message, int flags);
/* A channel that has no name yet takes what is written for one: is that why @error came? */
bool transfer_is_unnamed(int error);
/* The error for flags that a channel does not know, or 0. */
int transfer_lacks(int flags, bool is_send);

/* ---- naming ---- */

/*
 * Begins to name, and waits as the file does and for @wait_ms besides. Returns 0, -EINPROGRESS or
 * -errno.
 */
int naming_begin(int fd, const char *service, int wait_ms);
/*
 * How a naming that was begun stands, by the name that the kernel has. Returns 0 when this call
 * found it connected, -EISCONN when one before did, -EINPROGRESS, or the refusal, or why it
 * failed since. With @may_wait a descriptor that waits does so for the answer.
 */
int naming_ask(int fd, bool may_wait);
/* The same, with 0 whenever it is connected. */
int naming_collect(int fd, bool may_wait);
/* Was the service refused, and the program told so? */
bool naming_is_over(int fd);
/* What connect() of a socket gives where a channel gives @error. */
int naming_errno(int error);

/* ---- options: as the calls of their names; -1 and errno ---- */

int option_get(int fd, int level, int name, void *value, socklen_t *len);
int option_set(int fd, int level, int name, const void *value, socklen_t len);
int option_peer(int fd, struct sockaddr *address, socklen_t *len);
int option_self(int fd, struct sockaddr *address, socklen_t *len);

/* ---- connect ---- */

/* connect() of a channel: how it stands. */
int connect_channel(int fd);
/*
 * Puts a channel of @target in the place of the socket @fd. Returns as connect(), or 1: the
 * kernel has the right answer.
 */
int connect_replace(int fd, const struct target *target);

#endif
