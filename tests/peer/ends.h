/* SPDX-License-Identifier: MIT */
/* The daemon and the far end of ends.c. */
#ifndef PEER_ENDS_H
#define PEER_ENDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LIMIT_MS      60000
#define PORT	      1
#define PROGRAM_TELLS 100000	/* bytes of its input */

/* --- The daemon --- */

extern const char *daemon_path, *folder;
extern const char *linger;
extern pid_t daemon_pid;

const char *in_folder(const char *name);
void write_config(uint16_t tcp_port, const char *program);
void start_daemon(void);
void expect_log(const char *text);
void expect_daemon_ends(void);

/* --- The far end --- */

struct far_end {
	int listener, fd;
	uint16_t port;
	bool is_talking;		/* says zeros whenever it can */
	uint64_t got;
	bool has_ended, was_reset;
};

uint8_t byte_at(uint64_t offset);
void prepare(struct far_end *far, const char *kind);
void meet(struct far_end *far, const char *kind);
void say(struct far_end *far);
void hear(struct far_end *far);
void hear_all(struct far_end *far);
void expect_program_begins(void);
void expect_program_tells(void);
void expect_program(uint64_t got, const char *how);
void write_program(void);

#endif
