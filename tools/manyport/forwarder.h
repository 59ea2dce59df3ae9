/* SPDX-License-Identifier: MIT */
/*
 * manyport forward: one thread, one loop, any number of connections.
 *
 *	spec       "SOCKET:NAME" of the command line
 *	listener   accepts; knows its service
 *	relay      one accepted connection and its channel: two flows (flow.h)
 *	drain      a client's socket after that, until the client has all bytes
 */
#ifndef FORWARDER_H
#define FORWARDER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/log.h"
#include "base/unix_address.h"
#include "loop/loop.h"

struct forward {
	struct loop *loop;
	const char *port;		/* as the user said it, for messages */
	char path[256];			/* of the port's node; "" until it is found */
	struct loop_watch signals;
	struct list listeners, relays, drains;
	unsigned int relay_count;
	bool is_batch;			/* this process does not preempt others now (relay.c) */
	struct loop_timer look;		/* are the sockets' files still there? */
	struct loop_task accept_again;	/* queued when a descriptor was closed (listener.c) */
	struct loop_timer starved;	/* the same, though nothing of ours was closed */
	struct loop_timer drain_look;
	unsigned int drain_ms;		/* the interval of drain_look */
	uint64_t wait_ms;		/* how long a connection is tried again; 0: not */
	bool is_verbose;
	bool as_client;			/* channels are those of the clients' users */
	struct log_limit refused, descriptors;	/* of lines that clients cause */
	char *buf;			/* of flow_move() */
};

struct spec {
	char *address;			/* the socket, as the user said it; the caller's to free */
	const char *service;		/* points into the text */
	bool is_unix;
	struct unix_access access;
	struct sockaddr_storage tcp;
	socklen_t tcp_len;
};

/* Returns 0 or -errno with a reason in *why, which the next call overwrites. */
int spec_parse(struct spec *spec, const char *text, const char **why);

/* Adds a listener (not yet listening). Returns 0 or -errno with a reason in *why. */
int listener_add(struct forward *forward, const char *text, const char **why);
int listener_start_all(struct forward *forward);	/* complains itself; 0 or -errno */
/* Accepts half-made ones. */
void listener_free_all(struct forward *forward);

/* Takes over @client. Logs why where it cannot; then @client is closed, and told. */
void relay_create(struct forward *forward, const struct spec *spec, int client);
/* Before the process ends: waits a moment for bytes that are on their way. */
void relay_end_all(struct forward *forward);

/*
 * Closes the client's TCP socket @fd, with a reset if @reset, once all that was sent to it
 * has been acknowledged. @has_ended: the client sends nothing more.
 */
void drain_close(struct forward *forward, int fd, bool reset, bool has_ended);
void drain_init(struct forward *forward);
void drain_end_all(struct forward *forward, int limit_ms); /* then they are closed as they are */

#endif
