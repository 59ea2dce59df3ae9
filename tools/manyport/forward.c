// SPDX-License-Identifier: MIT
/* manyport forward: its options and its loop. See forward.h. */
#include "forward.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <manyport/client.h>

#include "tool.h"

#define EVENTS_PER_ROUND 64

struct ending {
	struct source source;		/* a signalfd */
	struct forward *forward;
};

static const char help_text[] =
	"Listens in the guest and connects each connection to a service of the host."
	"\v"
	"SOCKET is the path of a unix socket ('@NAME' is an abstract one), or [ADDR:]PORT of TCP: "
	"127.0.0.1 unless ADDR is given, a port that the kernel chooses when PORT is 0. "
	"A path with a colon cannot be said. NAME is empty on a port with a fixed service.\n\n"
	"A connection that the host refuses is reset, with a message here. SIGTERM and SIGINT "
	"end all connections and remove the unix sockets.\n\n"
	"Example: manyport forward -L /run/db.sock:db -L 6379:redis";

static const struct argp_option options[] = {
	{ "listen", 'L', "SOCKET:NAME", 0,
	  "forward what connects to SOCKET to the service NAME; may be repeated", 0 },
	{ "port", 'p', "PORT", 0,
	  "name of the port, or path of its node (default: $" MANYPORT_PORT_ENV
	  ", else the first port with channels)", 0 },
	{ "verbose", 'v', NULL, 0, "say how connections end", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static int parse_option(int key, char *arg, struct argp_state *state)
{
	struct forward *forward = state->input;
	const char *why;

	switch (key) {
	case 'L':
		if (listener_add(forward, arg, &why))
			argp_error(state, "'%s': %s", arg, why);
		return 0;
	case 'p':
		forward->port = arg;
		return 0;
	case 'v':
		forward->is_verbose = true;
		return 0;
	case ARGP_KEY_END:
		if (!forward->listeners)
			argp_error(state, "nothing to listen on: give -L SOCKET:NAME");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int forward_watch(struct forward *forward, struct source *source)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = source,
	};

	return epoll_ctl(forward->epoll, EPOLL_CTL_ADD, source->fd, &event) ? -errno : 0;
}

static void end_loop(struct source *source, uint32_t events)
{
	(void)events;
	((struct ending *)source)->forward->is_ending = true;
}

static int watch_signals(struct forward *forward, struct ending *ending)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ending->forward = forward;
	ending->source.ready = end_loop;
	ending->source.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return ending->source.fd < 0 ? -errno : forward_watch(forward, &ending->source);
}

static int run_loop(struct forward *forward)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	int count;

	while (!forward->is_ending) {
		count = epoll_wait(forward->epoll, events, EVENTS_PER_ROUND,
				   forward->busy ? 0 : drain_timeout(forward));
		if (count < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < count; i++) {
			struct source *source = events[i].data.ptr;

			source->ready(source, events[i].events);
		}
		relay_run_busy(forward);
		relay_free_dead(forward);
		drain_run(forward);
	}
	return 0;
}

/* Two descriptors per connection: the soft limit of 1024 is soon reached. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int start(struct forward *forward, struct ending *ending)
{
	int ret = manyport_find(forward->port, forward->path, sizeof(forward->path));

	if (ret) {
		complain_refused(forward->port, NULL, ret);
		return ret;
	}
	raise_file_limit();
	forward->buf = malloc(FORWARD_BUF_SIZE);
	forward->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!forward->buf || forward->epoll < 0)
		return -errno;
	ret = watch_signals(forward, ending);
	for (struct listener *l = forward->listeners; l && !ret; l = l->next)
		ret = listener_start(l);
	return ret;
}

int run_forward(int argc, char **argv)
{
	static const struct argp parser = { options, parse_option, "-L SOCKET:NAME...", help_text,
					    NULL, NULL, NULL };
	struct forward forward = { .epoll = -1 };
	struct ending ending = { 0 };
	int ret;

	if (argp_parse(&parser, argc, argv, 0, NULL, &forward))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	ret = start(&forward, &ending);
	if (!ret)
		ret = run_loop(&forward);
	listener_free_all(&forward);
	relay_end_all(&forward);
	return ret ? EXIT_IO : EXIT_OK;
}
