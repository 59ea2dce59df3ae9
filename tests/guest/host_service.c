// SPDX-License-Identifier: MIT
/*
 * The services that the guest tests talk to, on the host. See host_puppet.h.
 *
 *	host-service DIR		listens in DIR on
 *	    puppet.sock, backlog.sock	connections become puppets; the second has the
 *					smallest backlog, and can be filled
 *	    tcp.port			a file with the TCP port of another puppet listener
 *	    control.sock		takes commands (host_control.c)
 *	    stress.sock			the service of the stress program (host_stress.c)
 *	    refused.sock		a socket without a listener
 *	  and prints "ready" when all are there. Ends at SIGTERM.
 *	host-service --fail BYTES [STATUS]  prints the pattern of seed 1 and exits with STATUS (3)
 *	host-service --report		prints its environment and ends
 *	host-service --ponder		gives the first byte back at once, others after a moment
 *	host-service --pause FILE	stops the daemon for so many seconds as the first byte says,
 *					or at "-" until the guest says "# go on", into FILE
 *	host-service --witness PORT	becomes a TCP puppet: passes its input on, and its end;
 *					a reset when it gets SIGTERM before that
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "host_puppet.h"
#include "pattern.h"

static int epoll = -1;
static const char *dir;

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "host-service: %s: %s\n", what, strerror(errno));
	exit(1);
}

void watch_add(struct watch *watch, int fd, void (*ready)(struct watch *watch, uint32_t events))
{
	struct epoll_event event = { .events = 0, .data.ptr = watch };

	watch->fd = fd;
	watch->ready = ready;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl");
}

void watch_set(struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (epoll_ctl(epoll, EPOLL_CTL_MOD, watch->fd, &event))
		fail("epoll_ctl");
}

static socklen_t unix_address(struct sockaddr_un *address, const char *name)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s.sock", dir, name);
	return sizeof(*address);
}

int dial(const char *name)
{
	struct sockaddr_un address;
	socklen_t len = unix_address(&address, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Did this very process make the connection? Then it only fills a backlog. */
static bool is_own(int fd)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && peer.pid == getpid();
}

static void accept_all(struct listener *listener, bool keep)
{
	int fd;

	while ((fd = accept4(listener->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (!keep || is_own(fd))
			close(fd);
		else
			puppet_create(fd);
	}
}

static void puppet_waits(struct watch *watch, uint32_t events)
{
	(void)events;
	accept_all((struct listener *)watch, true);
}

static void control_waits(struct watch *watch, uint32_t events)
{
	int fd;

	(void)events;
	while ((fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		control_create(fd);
}

static void stress_waits(struct watch *watch, uint32_t events)
{
	int fd;

	(void)events;
	while ((fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		stressed_create(fd);
}

static struct listener listeners[] = {
	{ .name = "puppet" },
	{ .name = "backlog" },
	{ .name = "tcp" },
};
#define LISTENERS (sizeof(listeners) / sizeof(listeners[0]))

struct listener *listener_get(const char *name)
{
	for (size_t i = 0; i < LISTENERS; i++)
		if (!strcmp(listeners[i].name, name))
			return &listeners[i];
	return NULL;
}

/* Accepts nothing from now on, and connects itself until there is no more room. */
bool listener_fill(struct listener *listener)
{
	int fd;

	listener->is_held = true;
	watch_set(&listener->watch, 0);
	while (listener->filler_count < 64) {
		fd = dial(listener->name);
		if (fd < 0)
			return errno == EAGAIN;
		listener->fillers[listener->filler_count++] = fd;
	}
	return false;
}

void listener_drain(struct listener *listener)
{
	accept_all(listener, true);
	while (listener->filler_count)
		close(listener->fillers[--listener->filler_count]);
	listener->is_held = false;
	watch_set(&listener->watch, EPOLLIN);
}

void forget_pending(void)
{
	for (size_t i = 0; i < LISTENERS; i++) {
		accept_all(&listeners[i], false);
		listener_drain(&listeners[i]);
	}
}

static int listen_unix(const char *name, int backlog)
{
	struct sockaddr_un address;
	socklen_t len = unix_address(&address, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	unlink(address.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) ||
	    (backlog >= 0 && listen(fd, backlog)))
		fail(address.sun_path);
	return fd;
}

static int listen_tcp(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char path[256];
	FILE *file;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&address, &len))
		fail("TCP socket");
	snprintf(path, sizeof(path), "%s/tcp.port", dir);
	file = fopen(path, "w");
	if (!file || fprintf(file, "%d\n", ntohs(address.sin_port)) < 0 || fclose(file))
		fail(path);
	return fd;
}

static void watch_listener(struct watch *watch, int fd,
			   void (*ready)(struct watch *watch, uint32_t events))
{
	watch_add(watch, fd, ready);
	watch_set(watch, EPOLLIN);
}

static void listen_all(void)
{
	static struct watch control, stress;

	watch_listener(&listeners[0].watch, listen_unix("puppet", 4096), puppet_waits);
	watch_listener(&listeners[1].watch, listen_unix("backlog", 0), puppet_waits);
	watch_listener(&listeners[2].watch, listen_tcp(), puppet_waits);
	watch_listener(&control, listen_unix("control", 128), control_waits);
	watch_listener(&stress, listen_unix("stress", 4096), stress_waits);
	listen_unix("refused", -1);
}

static void __attribute__((noreturn)) serve(void)
{
	struct epoll_event events[64];
	bool is_waiting = false;
	int count;

	for (;;) {
		/* A stream that skips some rounds must not sleep for ever. */
		count = epoll_wait(epoll, events, 64, is_waiting ? 1 : -1);
		if (count < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < count; i++) {
			struct watch *watch = events[i].data.ptr;

			watch->ready(watch, events[i].events);
		}
		is_waiting = stress_round();
		control_retry_all();
	}
}

static int print_and_fail(uint64_t bytes, int status)
{
	char buf[4096];
	uint64_t done = 0;

	while (done < bytes) {
		size_t len = bytes - done < sizeof(buf) ? bytes - done : sizeof(buf);

		pattern_fill(buf, len, 1, done);
		if (write(STDOUT_FILENO, buf, len) != (ssize_t)len)
			return 1;
		done += len;
	}
	return status;
}

static int print_environment(void)
{
	for (char **word = environ; *word; word++)
		puts(*word);
	return fflush(stdout) ? 1 : 0;
}

/* So long that whoever waits for the answer sleeps. */
static int ponder(void)
{
	const struct timespec moment = { .tv_nsec = 100 * 1000 * 1000 };
	bool is_first = true;
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1) {
		if (!is_first)
			nanosleep(&moment, NULL);
		is_first = false;
		if (write(STDOUT_FILENO, &c, 1) != 1)
			return 1;
	}
	return 0;
}

/* The parent of @pid, when that is a manyportd; else 0. */
static pid_t parent_of_daemon(pid_t pid)
{
	char path[64], name[16] = "";
	int parent = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%*d (%15[^)]) %*c %d", name, &parent) != 2 || strcmp(name, "manyportd"))
		parent = 0;
	fclose(file);
	return parent;
}

/* How often the guest has said "# go on". */
static unsigned int count_words(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned int count = 0;
	char line[1000];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		count += !strncmp(line, "# go on", 7);
	fclose(file);
	return count;
}

/* The daemon is the eldest of its name: what starts programs is a child of its own. */
static int pause_daemon(const char *path)
{
	static const struct timespec moment = { 0, 10000000 };
	pid_t daemon = 0, pid = getppid(), parent;
	unsigned int said = count_words(path), moments = 100 * 60;
	char how;

	while ((parent = parent_of_daemon(pid))) {
		daemon = pid;
		pid = parent;
	}
	if (!daemon || read(STDIN_FILENO, &how, 1) != 1 || kill(daemon, SIGSTOP))
		return 1;
	if (how != '-')
		moments = 100 * (how - '0');
	for (; moments && (how != '-' || count_words(path) == said); moments--)
		nanosleep(&moment, NULL);
	return kill(daemon, SIGCONT) ? 1 : 0;
}

static volatile sig_atomic_t witness_is_cut;

/*
 * The far end reads when it likes, but the daemon kills the program five seconds after SIGTERM. So
 * a process of another group goes on, from where the signal came.
 */
static void witness_signal(int sig)
{
	pid_t pid = fork();

	(void)sig;
	if (pid) {
		setpgid(pid, pid);
		_exit(1);
	}
	setpgid(0, 0);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	witness_is_cut = 1;
}

/* A reset that overtakes no byte: after those that the other end's kernel has. */
static void reset_behind(int fd)
{
	static const struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	int queued = 1;

	while (!ioctl(fd, SIOCOUTQ, &queued) && queued)
		usleep(1000);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/*
 * What a program saw of its channel, for a test, which cannot look into it. A cut is told by
 * SIGTERM before the input ends.
 */
static int witness(unsigned int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static char buf[65536];
	ssize_t len, done, ret;
	int fd;

	/* Before the test can see us: it may abort the channel as soon as we are connected. */
	signal(SIGTERM, witness_signal);	/* with SA_RESTART */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("connect");
	while ((len = read(STDIN_FILENO, buf, sizeof(buf))) > 0) {
		for (done = 0; done < len; done += ret) {
			ret = write(fd, buf + done, len - done);
			if (ret < 0)
				return 1;
		}
	}
	if (witness_is_cut) {
		reset_behind(fd);
		return 1;
	}
	close(fd);
	return len ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct rlimit files;

	if (argc >= 3 && !strcmp(argv[1], "--fail"))
		return print_and_fail(strtoull(argv[2], NULL, 10), argc > 3 ? atoi(argv[3]) : 3);
	if (argc == 2 && !strcmp(argv[1], "--report"))
		return print_environment();
	if (argc == 2 && !strcmp(argv[1], "--ponder"))
		return ponder();
	if (argc == 3 && !strcmp(argv[1], "--pause"))
		return pause_daemon(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "--witness"))
		return witness(atoi(argv[2]));
	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: host-service DIR\n");
		return 2;
	}
	dir = argv[1];
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		fail("epoll_create1");
	listen_all();
	puts("ready");
	fflush(stdout);
	serve();
}
