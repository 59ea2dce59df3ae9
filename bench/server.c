// SPDX-License-Identifier: MIT
/*
 * The host's end of every measurement.
 *
 *	bench-server [--watch FILE] each|many ADDRESS...
 *
 * ADDRESS: unix:PATH, or tcp:PORT on 127.0.0.1. "each" gives a connection a process
 * of its own, for what measures one connection; "many" serves all in one loop. It
 * says "ready" when it listens. SIGHUP ends the connections of "each", not the server.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve.h"

static char take_buf[BENCH_MAX_SIZE], give_buf[BENCH_MAX_SIZE];
static volatile sig_atomic_t must_hang_up;

static int echo(int fd, const struct bench_request *request)
{
	for (uint64_t done = 0; !request->total || done < request->total;
	     done += request->size) {
		if (read_all(fd, take_buf, request->size) ||
		    write_all(fd, take_buf, request->size))
			return -1;
	}
	return 0;
}

static int sink(int fd, const struct bench_request *request)
{
	return take_bytes(fd, take_buf, sizeof(take_buf), request->total, request->verify, NULL);
}

static int answer(int fd, int result)
{
	char byte = result ? BENCH_BAD : BENCH_GOOD;

	return result < 0 ? -1 : write_all(fd, &byte, 1);
}

struct giver {
	int fd;
	const struct bench_request *request;
};

static void *give(void *arg)
{
	const struct giver *giver = arg;

	if (give_bytes(giver->fd, give_buf, sizeof(give_buf), giver->request->total,
		       giver->request->verify))
		shutdown(giver->fd, SHUT_RDWR);
	return NULL;
}

static int both(int fd, const struct bench_request *request)
{
	struct giver giver = { fd, request };
	pthread_t thread;
	int ret;

	if (pthread_create(&thread, NULL, give, &giver))
		return -1;
	ret = sink(fd, request);
	pthread_join(thread, NULL);
	return answer(fd, ret);
}

static int mark(int fd)
{
	char text[BENCH_MARK_SIZE];

	watch_text(text);
	return write_all(fd, text, sizeof(text));
}

static int act(int fd, const struct bench_request *request)
{
	switch (request->op) {
	case BENCH_ECHO:
		return echo(fd, request);
	case BENCH_SINK:
		return answer(fd, sink(fd, request));
	case BENCH_SOURCE:
		return give_bytes(fd, give_buf, sizeof(give_buf), request->total, request->verify);
	case BENCH_BOTH:
		return both(fd, request);
	case BENCH_MARK:
		return mark(fd);
	}
	return -1;
}

static void __attribute__((noreturn)) serve(int fd)
{
	struct bench_request request;
	int one = 1;

	signal(SIGHUP, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	while (!read_all(fd, &request, sizeof(request))) {
		if (!request_is_valid(&request) || act(fd, &request))
			break;
	}
	_exit(0);
}

static void accept_one(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return;
	if (!fork())
		serve(fd);
	close(fd);
}

/* The connections are the other processes of our group. */
static void hang_up(void)
{
	must_hang_up = 0;
	signal(SIGHUP, SIG_IGN);
	kill(0, SIGHUP);
}

static void note_hang_up(int unused)
{
	(void)unused;
	must_hang_up = 1;
}

void serve_each(const int *listeners, int count)
{
	struct sigaction action = { .sa_handler = note_hang_up };
	struct pollfd polls[MAX_LISTENERS];

	setpgid(0, 0);
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < count; i++)
		polls[i] = (struct pollfd){ .fd = listeners[i], .events = POLLIN };
	for (;;) {
		sigaction(SIGHUP, &action, NULL);
		if (must_hang_up)
			hang_up();
		else if (poll(polls, count, -1) > 0)
			for (int i = 0; i < count; i++)
				if (polls[i].revents)
					accept_one(listeners[i]);
	}
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_at(const char *address)
{
	struct sockaddr_in internet = { .sin_family = AF_INET };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	bool is_tcp = !strncmp(address, "tcp:", 4);
	int fd = socket(is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, ret;

	if (is_tcp) {
		internet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		internet.sin_port = htons(atoi(address + 4));
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		ret = bind(fd, (void *)&internet, sizeof(internet));
	} else {
		snprintf(local.sun_path, sizeof(local.sun_path), "%s", address + 5);
		unlink(local.sun_path);
		ret = bind(fd, (void *)&local, sizeof(local));
	}
	if (fd < 0 || ret || listen(fd, 4096))
		fail(address);
	return fd;
}

int main(int argc, char **argv)
{
	int listeners[MAX_LISTENERS], count = 0;
	bool is_many;

	if (argc > 2 && !strcmp(argv[1], "--watch")) {
		watch_file(argv[2]);
		argc -= 2;
		argv += 2;
	}
	if (argc < 3 || argc - 2 > MAX_LISTENERS) {
		fprintf(stderr, "usage: bench-server [--watch FILE] each|many ADDRESS...\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	is_many = !strcmp(argv[1], "many");
	for (int i = 2; i < argc; i++)
		listeners[count++] = listen_at(argv[i]);
	puts("ready");
	fflush(stdout);
	if (is_many)
		serve_many(listeners, count);
	else
		serve_each(listeners, count);
}
