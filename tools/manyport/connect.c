// SPDX-License-Identifier: MIT
/*
 * manyport connect: standard input and output to one channel.
 *
 * Two threads, one per direction, so that neither waits for the other. The
 * main thread reads; the other one writes and tells the end through an eventfd.
 * The process ends when the service has ended and either all of the input is sent or
 * nobody takes it any more; a read of a terminal that never ends is left behind.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/client.h>

#include "tool.h"

struct connect {
	const char *port, *service;	/* as given, NULL: not given */
	int fd;
	int sent;			/* eventfd: the writing thread is done */
	int status;			/* of the writing thread, valid once it is done */
};

static const char help_text[] =
	"Connects standard input and output to the service NAME (or NAME+ARGUMENT) of the host. "
	"NAME is left out on a port with a fixed service."
	"\v"
	"When the input ends, the service is told, and the command goes on until the service has "
	"ended. Exit status: 0, 1 after an error or a refusal, 2 for a wrong command line.";

static const struct argp_option options[] = {
	{ "port", 'p', "PORT", 0,
	  "name of the port, or path of its node (default: $" MANYPORT_PORT_ENV
	  ", else the first port with channels)", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static int parse_option(int key, char *arg, struct argp_state *state)
{
	struct connect *c = state->input;

	switch (key) {
	case 'p':
		c->port = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (c->service)
			argp_error(state, "one NAME only");
		c->service = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int complain_copy(const struct connect *c, bool port_failed, const char *doing, int error,
			 uint64_t bytes)
{
	const char *what = port_failed ? (c->service ? c->service : "the service") : doing;

	complain("%s: %s after %llu bytes (%s)", what,
		 port_failed ? manyport_explain(error) : strerror(-error),
		 (unsigned long long)bytes, error_name(error));
	return EXIT_IO;
}

static void *send_input(void *arg)
{
	struct connect *c = arg;
	uint64_t bytes = 0;
	bool writing = false;
	int ret = copy_until_end(STDIN_FILENO, c->fd, &bytes, &writing);

	if (ret)
		c->status = complain_copy(c, writing, "standard input", ret, bytes);
	/*
	 * Input that broke is not all of it: the service is not to take it for that. Else bytes
	 * still in the driver may fail later: the end must not come first.
	 */
	if (ret && !writing)
		manyport_abort(c->fd);
	else
		manyport_shutdown(c->fd, SHUT_WR);
	eventfd_write(c->sent, 1);
	return NULL;
}

static int receive_output(struct connect *c)
{
	uint64_t bytes = 0;
	bool writing = false;
	int ret = copy_until_end(c->fd, STDOUT_FILENO, &bytes, &writing);

	if (ret == -EPIPE && writing) {
		/* As any filter whose reader has gone. */
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	return ret ? complain_copy(c, !writing, "standard output", ret, bytes) : EXIT_OK;
}

/*
 * The service says no more. It may still listen: wait for the end of the input, or
 * for the port to say that both directions have ended.
 */
static int wait_for_input(struct connect *c)
{
	struct pollfd fds[2] = {
		{ .fd = c->sent, .events = POLLIN },
		{ .fd = c->fd, .events = 0 },
	};

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	if (!(fds[0].revents & POLLIN))
		return EXIT_OK;
	/* Small writes may be on their way still; the stock driver knows no fsync. */
	if (!c->status && fsync(c->fd) && errno != EINVAL)
		return complain_copy(c, true, NULL, -errno, 0);
	return c->status;
}

int run_connect(int argc, char **argv)
{
	static const struct argp parser = { options, parse_option, "[NAME]", help_text,
					    NULL, NULL, NULL };
	struct connect c = { .fd = -1 };
	pthread_t sender;
	int status;

	if (argp_parse(&parser, argc, argv, 0, NULL, &c))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	c.fd = manyport_open(c.port, c.service, O_CLOEXEC);
	if (c.fd < 0) {
		complain_refused(c.port, c.service, c.fd);
		return EXIT_IO;
	}
	c.sent = eventfd(0, EFD_CLOEXEC);
	if (c.sent < 0 || pthread_create(&sender, NULL, send_input, &c)) {
		complain("cannot start a thread: %s", strerror(errno));
		return EXIT_IO;
	}
	status = receive_output(&c);
	return status ? status : wait_for_input(&c);
}
