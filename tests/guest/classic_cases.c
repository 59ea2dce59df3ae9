// SPDX-License-Identifier: MIT
/* What a port says to its calls, in each state of the host's side. See classic.c. */
#include "classic.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "classic_life.h"
#include "pattern.h"

#define SEED 7

static void open_twice(const char *key, int flags)
{
	int fd = open(port_path(), flags | O_CLOEXEC);

	say(key, "%s", fd < 0 ? result(fd) : "yes");
	if (fd >= 0)
		close(fd);
}

static void case_open(void)
{
	int fd = port_open(O_RDWR), copy;

	open_twice("a second open", O_RDWR);
	open_twice("a second open, only to read", O_RDONLY);
	copy = dup(fd);
	close(fd);
	open_twice("while a copy is open", O_RDWR);
	close(copy);
	open_twice("after the last close", O_RDWR);
	open_twice("without waiting", O_RDWR | O_NONBLOCK);
	open_twice("only to write", O_WRONLY);
}

static void case_calls(void)
{
	int fd = port_open(O_RDWR);
	struct termios modes;
	char byte = 0;

	say("lseek", "%s", result(lseek(fd, 0, SEEK_SET)));
	say("pread", "%s", result(pread(fd, &byte, 1, 0)));
	say("pwrite", "%s", result(pwrite(fd, &byte, 1, 0)));
	say("fsync", "%s", result(fsync(fd)));
	say("ftruncate", "%s", result(ftruncate(fd, 0)));
	say("ioctl TCGETS", "%s", result(ioctl(fd, TCGETS, &modes)));
	say("mmap", "%s", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ?
		result(-1) : "yes");
}

/* No client of the host has come since the open. */
static void case_nobody(void)
{
	int fd = port_open(O_RDWR);
	char byte = 'x';

	say("poll", "%s", mask_text(mask_now(fd)));
	set_nonblock(fd, true);
	say("read without waiting", "%s", result(read(fd, &byte, 1)));
	say("write without waiting", "%s", result(write(fd, &byte, 1)));
	say("write of nothing", "%s", result(write(fd, &byte, 0)));
	set_nonblock(fd, false);
	bounded(true);
	say("read", "%s", result(read(fd, &byte, 1)));
	bounded(false);
	bounded(true);
	say("write", "%s", result(write(fd, &byte, 1)));
	bounded(false);
}

static void case_connected(void)
{
	int fd = port_open(O_RDWR), client = host_dials();
	char text[64] = "some bytes", *volatile nowhere = (char *)8;
	struct iovec parts[2] = { { text, 4 }, { text + 4, 6 } };

	say("poll", "%s", mask_after(fd, POLLOUT, POLLHUP));
	set_nonblock(fd, true);
	say("read without waiting", "%s", result(read(fd, text, 1)));
	set_nonblock(fd, false);
	bounded(true);
	say("read", "%s", result(read(fd, text, 1)));
	bounded(false);
	say("write", "%s", result(write(fd, text, 10)));
	say("writev", "%s", result(writev(fd, parts, 2)));
	say("write of nothing", "%s", result(write(fd, text, 0)));
	host("read %d all", client);
	say("the host got", "%s", host("got %d 20", client));
	host("send %d 10 %d", client, SEED);
	say("poll with bytes", "%s", mask_after(fd, POLLIN, 0));
	say("read to no memory", "%s", result(read(fd, nowhere, 4)));
	say("read of a part", "%s", result(read(fd, text, 4)));
	say("read of the rest", "%s", result(read(fd, text + 4, 60)));
	say("the bytes are right", "%zu", pattern_check(text, 10, SEED, 0));
	say("poll without bytes", "%s", mask_after(fd, POLLOUT, POLLIN));
}

static void case_large(void)
{
	int fd = port_open(O_RDWR), client = host_dials();
	static char buf[200000];
	size_t done = 0;
	ssize_t ret;

	mask_after(fd, POLLOUT, POLLHUP);
	host("expect %d %d", client, SEED);
	host("read %d all", client);
	pattern_fill(buf, sizeof(buf), SEED, 0);
	say("a write of 200000", "%s", result(ret = write(fd, buf, sizeof(buf))));
	for (done = ret; done < sizeof(buf); done += ret) {
		ret = write(fd, buf + done, sizeof(buf) - done);
		if (ret <= 0)
			give_up("write");
	}
	say("the host got", "%s", host("got %d 200000", client));
	host("send %d 200000 %d", client, SEED + 1);
	memset(buf, 0, sizeof(buf));
	for (done = 0; done < sizeof(buf); done += ret) {
		ret = read(fd, buf + done, sizeof(buf) - done);
		if (ret <= 0)
			give_up("read");
	}
	say("right bytes of 200000", "%zu", pattern_check(buf, sizeof(buf), SEED + 1, 0));
}

/* Longer than a busy machine stops the daemon for, which has not taken all by then. */
#define FULL_MS 6000

/* The host's client does not read: until no buffer on the way takes more. */
static size_t fill(int fd)
{
	struct pollfd polled = { fd, POLLOUT, 0 };
	char buf[4096];
	size_t done = 0;
	ssize_t ret;

	set_nonblock(fd, true);
	for (;;) {
		pattern_fill(buf, sizeof(buf), SEED, done);
		ret = write(fd, buf, sizeof(buf));
		if (ret > 0)
			done += ret;
		else if (!poll(&polled, 1, FULL_MS))
			return done;
	}
}

static void case_full(void)
{
	int fd = port_open(O_RDWR), client = host_dials();
	char byte = pattern_byte(SEED, 0);
	char wanted[64];
	size_t done;

	mask_after(fd, POLLOUT, POLLHUP);
	done = fill(fd);
	say("poll", "%s", mask_text(mask_now(fd)));
	say("write without waiting", "%s", result(write(fd, &byte, 1)));
	set_nonblock(fd, false);
	bounded(true);
	say("write", "%s", result(write(fd, &byte, 1)));
	bounded(false);
	host("expect %d %d", client, SEED);
	host("read %d all", client);
	say("poll after the host has read", "%s", mask_after(fd, POLLOUT, 0));
	snprintf(wanted, sizeof(wanted), "%zu good", done);
	say("the host got all", "%s",
	    strcmp(host("got %d %zu", client, done), wanted) ? "no" : "yes");
}

static void case_end(void)
{
	int fd = port_open(O_RDWR), client = host_dials();
	char text[64] = "next";

	mask_after(fd, POLLOUT, POLLHUP);
	host("send %d 10 %d", client, SEED);
	mask_after(fd, POLLIN, 0);
	host("close %d", client);
	say("poll, bytes unread", "%s", mask_after(fd, POLLHUP | POLLRDHUP, 0));
	set_nonblock(fd, true);
	say("the bytes", "%s", result(read(fd, text, sizeof(text))));
	say("poll, all read", "%s", mask_after(fd, POLLHUP, POLLOUT));
	say("read", "%s", result(read(fd, text, sizeof(text))));
	say("read again", "%s", result(read(fd, text, sizeof(text))));
	say("write without waiting", "%s", result(write(fd, "x", 1)));
	say("poll again", "%s", mask_text(mask_now(fd)));
	set_nonblock(fd, false);
	bounded(true);
	say("write", "%s", result(write(fd, "x", 1)));
	bounded(false);
	client = host_dials();
	say("poll, the next client", "%s", mask_after(fd, POLLOUT, POLLHUP | POLLIN));
	say("write to it", "%s", result(write(fd, "next", 4)));
	host("read %d all", client);
	say("it got", "%s", host("got %d 4", client));
	host("send %d 10 %d", client, SEED);
	say("it sends", "%s", result(read(fd, text, sizeof(text))));
}

static void call_read(int fd)
{
	char byte;

	say("the reader", "%s", result(read(fd, &byte, 1)));
}

static void call_poll(int fd)
{
	struct pollfd polled = { fd, POLLIN, 0 };

	poll(&polled, 1, -1);
	say("the poller", "%s", mask_text(polled.revents));
}

static void call_write(int fd)
{
	say("the writer", "%s", result(write(fd, "later", 5)));
}

/* Calls that wait, and what ends them. */
static void case_wakes(void)
{
	int fd = port_open(O_RDWR), client = host_dials();
	pid_t pid;

	mask_after(fd, POLLOUT, POLLHUP);
	pid = starts(call_poll, fd);
	host("send %d 1 %d", client, SEED);
	ends("the poller", pid);
	call_read(fd);
	pid = starts(call_read, fd);
	host("send %d 1 %d", client, SEED);
	ends("the reader", pid);
	pid = starts(call_read, fd);
	host("close %d", client);
	ends("the reader", pid);
	pid = starts(call_write, fd);
	client = host_dials();
	ends("the writer", pid);
	host("read %d all", client);
	say("the next client got", "%s", host("got %d 5", client));
}

/* A signal within the limit; those that came before are taken away. */
static void await_signal(const char *key, bool is_before)
{
	const struct timespec limit = { .tv_sec = 60 }, settled = { .tv_nsec = 200000000 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	if (!is_before)
		say(key, "%s", sigtimedwait(&set, NULL, &limit) == SIGIO ? "SIGIO" : "nothing");
	while (sigtimedwait(&set, NULL, &settled) == SIGIO)
		;
}

static void case_sigio(void)
{
	int fd = port_open(O_RDWR), client;
	sigset_t set;
	char byte;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	say("F_SETOWN", "%s", result(fcntl(fd, F_SETOWN, getpid())));
	say("O_ASYNC", "%s", result(fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK)));
	await_signal("", true);
	client = host_dials();
	await_signal("a client comes", false);
	host("send %d 1 %d", client, SEED);
	await_signal("a byte comes", false);
	say("read", "%s", result(read(fd, &byte, 1)));
	await_signal("", true);
	host("close %d", client);
	await_signal("the client goes", false);
}

static void case_splice(void)
{
	int fd = port_open(O_RDWR), client = host_dials(), pipes[2], file;
	off_t offset = 0;
	char buf[6000];

	mask_after(fd, POLLOUT, POLLHUP);
	host("expect %d %d", client, SEED);
	host("read %d all", client);
	pattern_fill(buf, sizeof(buf), SEED, 0);
	if (pipe(pipes))
		give_up("pipe");
	if (write(pipes[1], buf, 1000) != 1000)
		give_up("write to a pipe");
	say("splice to the port", "%s", result(splice(pipes[0], NULL, fd, NULL, 1000, 0)));
	file = open("/tmp/classic", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (write(file, buf + 1000, 5000) != 5000)
		give_up("write to a file");
	say("sendfile to the port", "%s", result(sendfile(fd, file, &offset, 5000)));
	say("the host got", "%s", host("got %d 6000", client));
	host("send %d 100 %d", client, SEED);
	mask_after(fd, POLLIN, 0);
	say("splice from the port", "%s", result(splice(fd, NULL, pipes[1], NULL, 100, 0)));
}

struct pair {
	int fd, client;
};

static bool is_over(int client)
{
	return !strstr(host("state %d", client), "open");
}

/* Has the client met an end, or has the next open got the client? */
static bool is_decided(void *arg)
{
	struct pair *pair = arg;

	return is_over(pair->client) || mask_now(pair->fd) & POLLOUT;
}

static void case_close(void)
{
	int fd = port_open(O_RDWR), client = host_dials();
	char text[64];

	mask_after(fd, POLLOUT, POLLHUP);
	host("read %d all", client);
	host("send %d 10 %d", client, SEED);
	mask_after(fd, POLLIN, 0);
	say("write", "%s", result(write(fd, "the last", 8)));
	close(fd);
	say("the host got", "%s", host("got %d 8", client));
	fd = port_open(O_RDWR | O_NONBLOCK);
	within_limit(is_decided, &(struct pair){ fd, client });
	say("the host sees an end", "%s", is_over(client) ? "yes" : "no");
	say("the next open reads", "%s", result(read(fd, text, sizeof(text))));
}

/* A client that came, and spoke, before the port was opened. */
static void case_early(void)
{
	int client = host_dials(), fd;
	char text[64];

	host("send %d 10 %d", client, SEED);
	fd = port_open(O_RDWR);
	say("poll", "%s", mask_after(fd, POLLIN, POLLHUP));
	set_nonblock(fd, true);
	say("read", "%s", result(read(fd, text, sizeof(text))));
}

const struct classic_case classic_cases[] = {
	{ "names", case_names }, { "open", case_open }, { "calls", case_calls },
	{ "nobody", case_nobody }, { "connected", case_connected }, { "large", case_large },
	{ "full", case_full }, { "end", case_end }, { "wakes", case_wakes },
	{ "sigio", case_sigio }, { "splice", case_splice }, { "close", case_close },
	{ "early", case_early }, { "unplug", case_unplug }, { "suspend", case_suspend },
	{ NULL, NULL }
};
