/* SPDX-License-Identifier: MIT */
/*
 * The host's half of the guest tests: what its files share.
 *
 *	host_service.c	sockets, the loop, programs that an exec: service runs
 *	host_puppet.c	puppets: connections that do only what they are told
 *	host_control.c	the commands, one line each
 *	host_stress.c	the service of the stress program
 *	host_stutter.c	a daemon that is late
 *
 * A test in the guest opens a channel to the service "control" and tells the host's
 * side of its other channels what to do and what to report. Nothing here waits for time, but
 * the process that makes the daemon late.
 * Puppets are numbered from 0 in order of their connection since "begin".
 */
#ifndef HOST_PUPPET_H
#define HOST_PUPPET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct watch {
	int fd;
	void (*ready)(struct watch *watch, uint32_t events);
};

void watch_add(struct watch *watch, int fd, void (*ready)(struct watch *watch, uint32_t events));
void watch_set(struct watch *watch, uint32_t events);

#define MAX_PUPPETS 4096

struct puppet {
	struct watch watch;
	uint32_t wanted;		/* events now watched for */

	/* from the guest */
	bool reads_all;
	uint64_t budget;		/* bytes it may read yet */
	uint64_t received;
	bool is_checked;		/* compare with the pattern of @seed */
	uint64_t seed;
	bool is_bad;
	uint64_t bad_at;		/* offset of the first wrong byte */
	bool is_kept;			/* keep what comes for "reflect" */
	uint8_t *kept;
	size_t kept_len, kept_size;
	bool has_end, has_failed;	/* read() gave 0; gave an error */
	bool hung_up;			/* seen without reading */

	/* to the guest */
	uint64_t send_len, send_seed, send_offset;
	const uint8_t *send_data;	/* in place of the pattern */
	uint64_t sent;
	bool end_after, close_after, send_failed;
};

struct puppet *puppet_create(int fd);	/* NULL: too many; then @fd is closed */
struct puppet *puppet_get(long index);	/* NULL: no such */
unsigned int puppet_count(void);
void puppet_update(struct puppet *puppet);	/* after a change of what it is to do */
void puppet_close(struct puppet *puppet);
void puppet_abort(struct puppet *puppet);
bool puppet_is_sent(const struct puppet *puppet);
void puppet_forget_all(void);

struct listener {
	struct watch watch;
	const char *name;
	bool is_held;			/* accept nothing until "drain" */
	int fillers[64];		/* our own connections that fill the backlog */
	int filler_count;
};

struct listener *listener_get(const char *name);
bool listener_fill(struct listener *listener);
void listener_drain(struct listener *listener);
int dial(const char *name);		/* -1 with errno */
void forget_pending(void);		/* close what waits in backlogs */

void control_create(int fd);
void control_retry_all(void);		/* after each round of events */

/* The service "stress" (host_stress.c). */
void stressed_create(int fd);
bool stress_round(void);		/* true: a stress program waits for the next round */
void stress_go(void);
void stress_counts(unsigned int *active, unsigned int *finished, unsigned int *bad);
void stress_forget(void);		/* counts from 0 again */

/* The daemon is stopped again and again (host_stutter.c), from begin to end. */
bool stutter_begin(int fd);		/* @fd: a connection that it has made */
void stutter_end(void);

#endif
