// SPDX-License-Identifier: MIT
/*
 * manyport connect: standard input and output to one channel.
 *
 * Two threads, one per direction, so that neither waits for the other. The
 * main thread receives; the other one, the sender, reads the input and writes it. It reads only
 * when there is something to read, so that it can be told that the service is over: an idle
 * terminal does not keep the process from ending.
 *
 * Input that the service did not take is an error, also when the service has ended well: input that
 * is there when the service is over is still read, and cannot be written.
 *
 * A service that is a program and fails gives us its status. Then we say nothing: by our silence a
 * script tells that status from one of our own.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <manyport/client.h>

#include "tool.h"

#define STUCK_MS 100		/* more than it takes from a read to the write */
#define LOOK_MS  100		/* between two looks at what no event tells */

struct connect {
	const char *port, *service;	/* as given, NULL: not given */
	bool no_input, no_shutdown, does_linger;
	uint64_t wait_ms, linger_ms;
	int fd;
	pthread_t sender;
	int sent;			/* eventfd: the sender is done */
	int over;			/* eventfd: the service is over */
	struct copy input;		/* the sender's */
	int error;			/* of the sender, valid once it is done */
	atomic_bool input_failed;	/* reading it did, which has been said */
};

static const char help_text[] =
	"Connects standard input and output to the service NAME (or NAME+ARGUMENT) of the host. "
	"NAME is left out on a port with a fixed service."
	"\v"
	"When the input ends, the service is told, and the command goes on until the service has "
	"ended. Input that the service does not take is an error. TIME is as 500ms or 30s.\n\n"
	"Exit status: that of the service's program, 128 + n after its signal n; 126 if the host "
	"does not allow it, 125 if the service cannot be reached, 1 after another error, 2 for a "
	"wrong command line, each with a message.";

enum { OPTION_LINGER = 256, OPTION_NO_SHUTDOWN, OPTION_WAIT };

static const struct argp_option options[] = {
	{ "port", 'p', "PORT", 0,
	  "name of the port, or path of its node (default: $" MANYPORT_PORT_ENV
	  ", else the first port with channels)", 0 },
	{ "no-input", 'n', NULL, 0, "do not read standard input: it is empty", 0 },
	{ "linger", OPTION_LINGER, "TIME", 0,
	  "when the input has ended, end too once the service has said nothing for TIME", 0 },
	{ "no-shutdown", OPTION_NO_SHUTDOWN, NULL, 0,
	  "do not tell the service when the input ends", 0 },
	{ "wait", OPTION_WAIT, "TIME", OPTION_ARG_OPTIONAL,
	  "try again, for TIME if it is given, while there is no port or nobody listens at the "
	  "service", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static int parse_option(int key, char *arg, struct argp_state *state)
{
	struct connect *c = state->input;

	switch (key) {
	case 'p':
		c->port = arg;
		return 0;
	case 'n':
		c->no_input = true;
		return 0;
	case OPTION_NO_SHUTDOWN:
		c->no_shutdown = true;
		return 0;
	case OPTION_LINGER:
		c->does_linger = true;
		if (!parse_time(arg, &c->linger_ms))
			argp_error(state, "--linger=%s: not a time such as 2s", arg);
		return 0;
	case OPTION_WAIT:
		if (!parse_time(arg, &c->wait_ms))
			argp_error(state, "--wait=%s: not a time such as 30s", arg);
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

/* ---- the channel ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

static void complain_refused(const struct connect *c, const char *prefix)
{
	char why[EXPLAIN_SIZE];

	explain_refused(why, c->port, c->service, c->fd);
	complain("%s%s", prefix, why);
}

/* Returns true with a channel in c->fd; else it has said why there is none. */
static bool open_channel(struct connect *c)
{
	uint64_t begin = now_ms(), waited = 0;
	unsigned int pause = 0;

	for (;;) {
		c->fd = manyport_open(c->port, c->service, O_CLOEXEC);
		waited = now_ms() - begin;
		if (c->fd >= 0)
			return true;
		if (!refusal_may_pass(c->fd) || waited >= c->wait_ms)
			break;
		if (!pause)
			complain_refused(c, "waiting: ");
		pause = next_try_ms(pause);
		if (pause > c->wait_ms - waited)
			pause = c->wait_ms - waited;
		poll(NULL, 0, pause);
	}
	complain_refused(c, "");
	return false;
}

/* A road without a node. */
static bool is_socket(const struct connect *c)
{
	struct stat st;

	return !fstat(c->fd, &st) && S_ISSOCK(st.st_mode);
}

/* A vsock whose other end has closed says so to a call, and by no event. */
static bool takes_more(const struct connect *c)
{
	return send(c->fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
}

/*
 * Does a write wait for the next client once the service is over, rather than fail? So it is on a
 * port with a fixed service, and under the stock driver, which cannot be asked.
 */
static bool writes_wait(const struct connect *c)
{
	struct manyport_info info;

	if (is_socket(c))
		return false;
	return manyport_info(c->fd, &info) || (info.flags & MANYPORT_INFO_FIXED);
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

/* ---- the sender ---- */

/* Waits for input. False: the service is over, and nothing is there to be sent to it. */
static bool await_input(const struct connect *c)
{
	struct pollfd fds[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = c->over, .events = POLLIN },
	};

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	return fds[0].revents || !fds[1].revents;
}

static int complain_input(const struct connect *c)
{
	return complain_copy(c, c->input.writing_failed, "standard input", c->error,
			     c->input.bytes);
}

static void finish_input(struct connect *c, ssize_t ret)
{
	const struct copy *input = &c->input;

	c->error = ret;
	/* What the service does not take may be its program's end: that is not ours to say. */
	if (ret < 0 && !input->writing_failed) {
		c->input_failed = true;
		complain_input(c);
	}
	/*
	 * If reading failed, the service must not take the part that it got for all of the input.
	 * If not, no abort: the driver may still hold bytes, and the end goes after these.
	 */
	if (ret < 0 && !input->writing_failed)
		manyport_abort(c->fd);
	else if (!c->no_shutdown || ret < 0)
		manyport_shutdown(c->fd, SHUT_WR);
}

static void *send_input(void *arg)
{
	struct connect *c = arg;
	ssize_t ret;

	c->input.from = STDIN_FILENO;
	c->input.to = c->fd;
	ret = copy_begin(&c->input);
	if (!ret)
		ret = 1;
	while (ret > 0 && await_input(c))
		ret = copy_some(&c->input);
	if (ret <= 0)
		finish_input(c, ret);
	copy_end(&c->input);
	eventfd_write(c->sent, 1);
	return NULL;
}

static int begin_input(struct connect *c)
{
	c->sent = eventfd(0, EFD_CLOEXEC);
	c->over = eventfd(0, EFD_CLOEXEC);
	if (c->sent < 0 || c->over < 0)
		return -errno;
	if (!c->no_input)
		return -pthread_create(&c->sender, NULL, send_input, c);
	if (!c->no_shutdown)
		manyport_shutdown(c->fd, SHUT_WR);
	return eventfd_write(c->sent, 1) ? -errno : 0;
}

/* ---- the receiver ---- */

/* Waits for bytes of the service. False: the input has ended, and none came for long enough. */
static bool await_output(const struct connect *c)
{
	struct pollfd fds[2] = {
		{ .fd = c->fd, .events = POLLIN },
		{ .fd = c->sent, .events = POLLIN },
	};
	int ret;

	do {
		ret = poll(fds, 2, -1);
	} while (ret < 0 && errno == EINTR);
	if (fds[0].revents)
		return true;
	do {
		ret = poll(fds, 1, c->linger_ms < INT32_MAX ? (int)c->linger_ms : -1);
	} while (ret < 0 && errno == EINTR);
	return ret;
}

/* If the input has not ended, the service must not take what it got for all of it. */
static void cut_input(const struct connect *c)
{
	struct pollfd sent = { .fd = c->sent, .events = POLLIN };

	if (poll(&sent, 1, 0) <= 0)
		manyport_abort(c->fd);
}

/*
 * The status of the service's program, if that is known and not 0. On a port with a fixed service
 * its end reads as any other, and the next read or write would ask for the next program.
 */
static int program_status(const struct connect *c)
{
	int status = manyport_exit_status(c->fd);

	return status > 0 && !c->input_failed ? status : EXIT_OK;
}

/* Returns the exit status. *has_ended: the service ended, rather than --linger's time. */
static int receive_output(struct connect *c, bool *has_ended)
{
	struct copy output = { .from = c->fd, .to = STDOUT_FILENO };
	ssize_t ret = copy_begin(&output);
	int status;

	if (!ret)
		ret = 1;
	*has_ended = true;
	while (ret > 0) {
		if (c->does_linger && !await_output(c)) {
			*has_ended = false;
			break;
		}
		ret = copy_some(&output);
	}
	copy_end(&output);
	if (ret < 0 && output.writing_failed)
		cut_input(c);
	if (ret == -EPIPE && output.writing_failed) {
		/* Ends by SIGPIPE, as any filter does whose reader has gone. */
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	status = *has_ended && !output.writing_failed ? program_status(c) : EXIT_OK;
	if (status || ret >= 0)
		return status;
	return complain_copy(c, !output.writing_failed, "standard output", ret, output.bytes);
}

/* ---- the end ---- */

/*
 * The service says no more. It may still listen: wait for the end of the input, or for the
 * service to be over. On a port with a fixed service a call on the channel would ask for the
 * next client, and a process that is about to end must not keep that client.
 */
static void await_end(const struct connect *c)
{
	const unsigned int both = MANYPORT_INFO_IN_ENDED | MANYPORT_INFO_OUT_ENDED;
	struct pollfd fds[2] = {
		{ .fd = c->sent, .events = POLLIN },
		{ .fd = c->fd, .events = 0 },
	};
	struct manyport_info info;

	if (!manyport_info(c->fd, &info) && (info.flags & both) == both)
		return;
	if (is_socket(c)) {
		while (takes_more(c) && poll(fds, 2, LOOK_MS) <= 0)
			;
		return;
	}
	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
}

/*
 * Is the sender in a read that waits? It reads what is there, but another process that reads the
 * same input may have been faster. A moment (@sent has been waited for) lets it come back from a
 * read that does not wait.
 */
static bool is_stuck(struct connect *c)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	return !c->input.holds_bytes && !poll(&input, 1, 0);
}

/*
 * The sender's status. What waits to be sent to a service that is over fails at once, so it is
 * waited for, unless it would wait for the next client.
 */
static int end_input(struct connect *c)
{
	struct pollfd sent = { .fd = c->sent, .events = POLLIN };

	if (c->no_input)
		return EXIT_OK;
	if (writes_wait(c) && poll(&sent, 1, 0) <= 0) {
		if (!c->input.holds_bytes)
			return EXIT_OK;
		complain("the service ended before it had taken all of the input");
		return EXIT_IO;
	}
	eventfd_write(c->over, 1);
	while (poll(&sent, 1, STUCK_MS) <= 0)
		if (is_stuck(c))
			return EXIT_OK;
	pthread_join(c->sender, NULL);
	if (!c->error)
		return EXIT_OK;
	return c->input_failed ? EXIT_IO : complain_input(c);
}

/* Small writes may be on their way still; the stock driver knows no fsync. */
static int await_taken(const struct connect *c)
{
	if (!fsync(c->fd) || errno == EINVAL)
		return EXIT_OK;
	return complain_copy(c, true, NULL, -errno, 0);
}

/* This process ends before the service does: says how many bytes were not taken by now. */
static int end_lingering(const struct connect *c)
{
	int bytes;

	if (ioctl(c->fd, TIOCOUTQ, &bytes) || !bytes)
		return EXIT_OK;
	complain("%s: %d bytes of the input were not taken in time",
		 c->service ? c->service : "the service", bytes);
	return EXIT_IO;
}

static int run(struct connect *c)
{
	bool has_ended;
	int status = receive_output(c, &has_ended);

	if (status)
		return status;
	if (has_ended)
		await_end(c);
	status = end_input(c);
	if (status)
		return status;
	return has_ended ? await_taken(c) : end_lingering(c);
}

int run_connect(int argc, char **argv)
{
	static const struct argp parser = { options, parse_option, "[NAME]", help_text,
					    NULL, NULL, NULL };
	struct connect c = { .fd = -1 };
	int ret;

	if (argp_parse(&parser, argc, argv, 0, NULL, &c))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	if (!open_channel(&c))
		return c.fd == -EACCES ? EXIT_DENIED : EXIT_UNREACHED;
	ret = begin_input(&c);
	if (ret) {
		complain("cannot start: %s", strerror(-ret));
		return EXIT_IO;
	}
	return run(&c);
}
