// SPDX-License-Identifier: MIT
/* manyport forward: its options, its start and its end. See forward.h. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <manyport/client.h>

#include "loop/log_timer.h"
#include "flow.h"
#include "forwarder.h"
#include "tool.h"

static const char help_text[] =
	"Listens in the guest and connects each connection to a service of the host."
	"\v"
	"SOCKET is the path of a unix socket ('@NAME' is an abstract one), or [ADDR:]PORT of TCP: "
	"127.0.0.1 unless ADDR is given, a port that the kernel chooses when PORT is 0. "
	"'unix:' or 'tcp:' in front says which; a path behind 'unix:' may have colons. "
	"Behind a path, ',mode=0660', ',owner=USER' and ',group=GROUP' say who may connect: by "
	"default only the user who runs this. NAME is empty on a port with a fixed service.\n\n"
	"A connection that the host refuses is reset, with a message here. SIGTERM and SIGINT "
	"end all connections and remove the unix sockets.\n\n"
	"Example: manyport forward -L /run/db.sock,mode=0660,group=db:db -L 6379:redis";

enum { OPTION_WAIT = 256, OPTION_AS_CLIENT };

static const struct argp_option options[] = {
	{ "listen", 'L', "SOCKET:NAME", 0,
	  "forward what connects to SOCKET to the service NAME; may be repeated", 0 },
	{ "port", 'p', "PORT", 0,
	  "name of the port, or path of its node (default: $" MANYPORT_PORT_ENV
	  ", else the first port with channels)", 0 },
	{ "verbose", 'v', NULL, 0, "say how each connection ends, also when it ends well", 0 },
	{ "as-client", OPTION_AS_CLIENT, NULL, 0,
	  "each channel is that of the user who connected, for the host's policy and log; unix "
	  "sockets only, and it takes CAP_SETUID and CAP_SETGID", 0 },
	{ "wait", OPTION_WAIT, "TIME", OPTION_ARG_OPTIONAL,
	  "try again for a connection, for TIME if it is given, while there is no port or nobody "
	  "listens at the service", 0 },
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
	case OPTION_AS_CLIENT:
		forward->as_client = true;
		return 0;
	case OPTION_WAIT:
		if (!parse_time(arg, &forward->wait_ms))
			argp_error(state, "--wait=%s: not a time such as 30s", arg);
		return 0;
	case ARGP_KEY_END:
		if (list_is_empty(&forward->listeners))
			argp_error(state, "nothing to listen on: give -L SOCKET:NAME");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void end_loop(struct loop_watch *watch, uint32_t events)
{
	struct forward *forward = container_of(watch, struct forward, signals);

	(void)events;
	loop_quit(forward->loop);
}

/* A signal that is ignored from the start (nohup) stays so: if blocked, signalfd would get it. */
static void add_unless_ignored(sigset_t *set, int number)
{
	struct sigaction action;

	if (!sigaction(number, NULL, &action) && action.sa_handler != SIG_IGN)
		sigaddset(set, number);
}

static int watch_signals(struct forward *forward)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	add_unless_ignored(&set, SIGINT);
	add_unless_ignored(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : loop_watch_add(forward->loop, &forward->signals, fd, EPOLLIN,
						end_loop);
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

/* Finds the port. With --wait there may be none yet. */
static int find_port(struct forward *forward)
{
	int ret = manyport_find(forward->port, forward->path, sizeof(forward->path));
	char why[EXPLAIN_SIZE], road[PATH_MAX];

	if (!ret)
		return 0;
	forward->path[0] = '\0';
	if (ret == -ENODEV)
		ret = manyport_find_road(forward->port, road, sizeof(road));
	if (!ret)
		return 0;	/* without a node */
	explain_refused(why, forward->port, NULL, ret);
	if (forward->wait_ms && refusal_may_pass(ret)) {
		log_warning("for now: %s", why);
		return 0;
	}
	log_error("%s", why);
	return ret;
}

static int start(struct forward *forward)
{
	int ret = find_port(forward);

	if (ret)
		return ret;
	raise_file_limit();
	forward->buf = malloc(FLOW_BUF_SIZE);
	forward->loop = loop_create();
	if (!forward->buf || !forward->loop)
		ret = -ENOMEM;
	if (!ret)
		ret = watch_signals(forward);
	if (ret) {
		log_error("cannot start: %s", strerror(-ret));
		return ret;
	}
	log_timer_begin(forward->loop);
	drain_init(forward);
	return listener_start_all(forward);
}

static void end(struct forward *forward)
{
	listener_free_all(forward);
	relay_end_all(forward);
	log_timer_end();
	log_tell_left_out(true);
	if (forward->signals.loop) {
		int fd = forward->signals.fd;

		loop_watch_remove(&forward->signals);
		close(fd);
	}
	loop_destroy(forward->loop);
	free(forward->buf);
}

int run_forward(int argc, char **argv)
{
	static const struct argp parser = { options, parse_option, "-L SOCKET:NAME...", help_text,
					    NULL, NULL, NULL };
	struct forward forward = { 0 };
	int ret;

	list_init(&forward.listeners);
	list_init(&forward.relays);
	list_init(&forward.drains);
	if (argp_parse(&parser, argc, argv, 0, NULL, &forward))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_LEVEL_INFO);
	ret = start(&forward);
	if (!ret)
		ret = loop_run(forward.loop);
	end(&forward);
	return ret ? EXIT_IO : EXIT_OK;
}
