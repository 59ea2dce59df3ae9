/* SPDX-License-Identifier: MIT */
/*
 * manyport forward: one thread, one epoll set, any number of connections.
 *
 *	listener   accepts; knows its service
 *	relay      one accepted connection and its channel
 *	drain      a client's socket behind that, until the client has all
 *
 * Everything in the epoll set is edge-triggered and added once, for all events. A
 * source remembers what it was told (readable, writable) until a call gives EAGAIN.
 */
#ifndef FORWARD_H
#define FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct source {
	int fd;
	void (*ready)(struct source *source, uint32_t events);
};

struct relay;
struct drain;

struct forward {
	int epoll;
	const char *port;		/* as the user said it, for messages */
	char path[256];			/* of the port's node */
	struct listener *listeners;
	struct relay *relays;		/* all, for the count */
	struct relay *busy;		/* they have more to move at once */
	struct relay *dead;		/* to be freed after this round of events */
	unsigned int relay_count;
	struct drain *drains;
	int drain_ms;			/* until they are looked at again */
	bool is_verbose;
	bool is_ending;
	char *buf;			/* shared: holds nothing between two calls */
};

#define FORWARD_BUF_SIZE (128 * 1024)

struct listener {
	struct source source;
	struct forward *forward;
	struct listener *next;
	const char *service;
	char *address;			/* of the socket, as the user said it */
	bool is_unix;
	bool is_starved;		/* descriptors ran out: accept again after a close */
	dev_t dev;			/* of the unix socket's file: ours to remove */
	ino_t ino;
};

int forward_watch(struct forward *forward, struct source *source);

/*
 * Adds a listener for "SOCKET:NAME" (not yet listening). Returns 0 or -EINVAL with a
 * reason in *why. listener_free_all() accepts half-made ones.
 */
int listener_add(struct forward *forward, const char *spec, const char **why);
int listener_start(struct listener *listener);	/* complains itself; 0 or -errno */
void listener_accept_starved(struct forward *forward);
void listener_free_all(struct forward *forward);

/* Takes over @client. Returns 0 or -errno (then @client is closed, and told). */
int relay_create(struct forward *forward, const struct listener *listener, int client);
void relay_run_busy(struct forward *forward);
void relay_free_dead(struct forward *forward);
/* Before the process ends: waits a moment for bytes that are on their way. */
void relay_end_all(struct forward *forward);

/*
 * Closes the client's TCP socket @fd, with a reset if @reset, once all that was sent to it
 * has been acknowledged. @has_ended: the client sends nothing more. drain_run() is called
 * after each round, which lasts no longer than drain_timeout() says (milliseconds, or -1).
 */
void drain_close(struct forward *forward, int fd, bool reset, bool has_ended);
void drain_run(struct forward *forward);
int drain_timeout(const struct forward *forward);
void drain_end_all(struct forward *forward, int limit_ms); /* then they are closed as they are */

#endif
