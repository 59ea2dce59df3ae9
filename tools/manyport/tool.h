/* SPDX-License-Identifier: MIT */
/*
 * manyport, the guest's command: what its files share.
 *
 * main.c reads the command line's first word and hands the rest to one of the
 * subcommands. Each has its own option table and returns the exit status.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The last two as qrexec has them; connect also ends with the status of the service's program. */
enum { EXIT_OK = 0, EXIT_IO = 1, EXIT_USAGE = 2, EXIT_UNREACHED = 125, EXIT_DENIED = 126 };

extern const char program_version_text[];

int run_connect(int argc, char **argv);
int run_forward(int argc, char **argv);
int run_list(int argc, char **argv);
int run_run(int argc, char **argv);
int run_serve(int argc, char **argv);

/* Prints "manyport: " and the message on standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "NAME (what it is)" is an error's name for people who search for it: "ENOENT". */
const char *error_name(int error);

#define EXPLAIN_SIZE 700

/*
 * Why the channel to @service (NULL or "": the port's own) on @port (NULL: not named) could not
 * be had. @error: what manyport_open() or manyport_connect() gave.
 */
void explain_refused(char text[EXPLAIN_SIZE], const char *port, const char *service, int error);

/*
 * May the same attempt do better later? True where the port is not there, or the service does not
 * listen yet; false where the host knows no such service, or does not allow it.
 */
bool refusal_may_pass(int error);
/* How long to wait before another attempt, in ms; @before: before the last one, 0 for the first. */
unsigned int next_try_ms(unsigned int before);

/* A time such as "30s", or NULL for one without end, in ms. Returns false when it is none. */
bool parse_time(const char *text, uint64_t *ms);

/*
 * Does virtio_console have the port that is meant (as in manyport_open(); NULL: any port)?
 * Then @node is the path of its node.
 */
bool find_stock_port(const char *port, char *node, size_t size);

/* One direction of manyport connect; zero-initialised but for the descriptors. */
struct copy {
	int from, to;
	char *buf;
	uint64_t bytes;			/* that @to has taken */
	atomic_bool holds_bytes;	/* of @from that @to has not taken */
	bool writing_failed;		/* else what copy_some() returned is @from's */
};

/* Returns 0 or -ENOMEM. */
int copy_begin(struct copy *copy);
/* Moves some bytes, waiting as needed. Returns how many, 0 at the end of @from, or -errno. */
ssize_t copy_some(struct copy *copy);
void copy_end(struct copy *copy);

#endif
