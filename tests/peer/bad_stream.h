/* SPDX-License-Identifier: MIT */
/*
 * Lies over a byte stream, each in a process of its own. What must follow is checked there: a lie
 * passes by returning.
 *
 *	bad_stream		the run: processes, TAP
 *	bad_stream_peer		one side of a stream
 *	bad_stream_world	what both kinds of lies ask of the side under test
 *	bad_stream_guest	the guest, which lies to a manyportd: sessions, and what must hold
 *	bad_stream_frames	one frame with one thing wrong
 *	bad_stream_channels	frames in a wrong order, names, grants, many channels
 *	bad_stream_bytes	torn frames, SYNCs, floods
 *	bad_stream_host		the host, which lies to a manyport serve: frames
 *	bad_stream_host_clients	the rest, and what becomes of clients
 *	bad_stream_random	either, at random
 */
#ifndef PEER_BAD_STREAM_H
#define PEER_BAD_STREAM_H

#include <sys/types.h>

#include "bad_stream_peer.h"

#define HELLO "hello"			/* what a channel has said before a lie */

struct lie {
	const char *name;
	void (*tell)(const void *context);
	const void *context;
};

/* What the session must become. */
enum outcome { GOES_ON, ENDS };

/* --- The run -------------------------------------------------------------- */

extern const char *folder;		/* for sockets */
extern const char *command;		/* manyport */
extern pid_t daemon_pid;
extern unsigned int random_seconds;
/* The first one; the one that a lie is at, which a failure names. */
extern uint64_t random_seed, current_seed;

void run(const struct lie *lie);

/* --- bad_stream_world.c --------------------------------------------------- */

const char *in_folder(const char *name);
int listen_at(const char *name);
/* -1: no connection within @ms. */
int accept_within(int listener, int ms);
/* Exactly these bytes come. */
void expect_bytes(int fd, const char *bytes);
/* Nothing more comes but the end, or a reset. */
void expect_end(int fd);
/* Has the other process closed it, or shut it down? */
bool has_ended(int fd);
/* All that comes until the end; how many. */
uint64_t count_to_end(int fd);
/* Byte at that place of what an honest side sends. */
char byte_at(uint64_t offset);
/* A client of @path says a name; expect_named: it is told that reason. */
int name_at(const char *path, const char *name);
void expect_named(int fd, uint16_t reason);

int count_fds(pid_t pid);
/* It has at most @count descriptors, soon. */
void expect_fds(pid_t pid, int count);
uint64_t resident_kb(pid_t pid);

/* --- Lies ----------------------------------------------------------------- */

void run_guest(void);
void run_host(void);
/* Some hundred frames and other bytes, from a side that has a session. */
void lie_randomly(struct stream *s, uint64_t seed);

#endif
