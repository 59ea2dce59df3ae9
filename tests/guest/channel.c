// SPDX-License-Identifier: MIT
/* What the guest tests do with channels. See channel.h. */
#include "channel.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define CHUNK (256 * 1024)

const char *port_path(const char *name)
{
	static char path[256];

	if (manyport_find(name, path, sizeof(path)))
		test_skip("no port '%s'", name);
	return path;
}

int port_open(const char *name, int flags)
{
	return CHECK_OK(open(port_path(name), O_RDWR | O_CLOEXEC | flags));
}

void set_nonblock(int fd, bool on)
{
	int flags = CHECK_OK(fcntl(fd, F_GETFL));

	CHECK_OK(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

void channel_name(int fd, const char *service)
{
	CHECK_EQ(write(fd, service, strlen(service) + 1), strlen(service) + 1);
}

int channel_open(const char *service, int flags)
{
	int fd = port_open(PORT_MULTI, 0);

	channel_name(fd, service);
	if (flags & O_NONBLOCK)
		set_nonblock(fd, true);
	return fd;
}

/* ---- data ---- */

void write_all(int fd, const void *buf, size_t len)
{
	size_t done = 0;
	ssize_t ret;

	while (done < len) {
		ret = write(fd, (const char *)buf + done, len - done);
		if (ret < 0 && errno == EAGAIN)
			wait_poll(fd, POLLOUT);
		else if (ret < 0 && errno != EINTR)
			FAIL("write after %zu of %zu: %s", done, len, strerror(errno));
		else if (!ret)
			FAIL("write of %zu gave 0", len - done);
		done += ret > 0 ? ret : 0;
	}
}

void read_all(int fd, void *buf, size_t len)
{
	size_t done = 0;
	ssize_t ret;

	while (done < len) {
		ret = read(fd, (char *)buf + done, len - done);
		if (ret < 0 && errno == EAGAIN)
			wait_poll(fd, POLLIN);
		else if (ret < 0 && errno != EINTR)
			FAIL("read after %zu of %zu: %s", done, len, strerror(errno));
		else if (!ret)
			FAIL("end after %zu of %zu bytes", done, len);
		done += ret > 0 ? ret : 0;
	}
}

void write_pattern(int fd, uint64_t len, uint64_t seed, uint64_t offset)
{
	char *buf = malloc(CHUNK);
	size_t part;

	for (; len; len -= part, offset += part) {
		part = len < CHUNK ? len : CHUNK;
		pattern_fill(buf, part, seed, offset);
		write_all(fd, buf, part);
	}
	free(buf);
}

void read_pattern(int fd, uint64_t len, uint64_t seed, uint64_t offset)
{
	char *buf = malloc(CHUNK);
	size_t part, good;

	for (; len; len -= part, offset += part) {
		part = len < CHUNK ? len : CHUNK;
		read_all(fd, buf, part);
		good = pattern_check(buf, part, seed, offset);
		if (good < part)
			FAIL("wrong byte at %llu", (unsigned long long)(offset + good));
	}
	free(buf);
}

void expect_end(int fd)
{
	char byte;

	for (int i = 0; i < 3; i++)
		CHECK_EQ(read(fd, &byte, 1), 0);
}

void echo_once(int fd, const char *text)
{
	char back[256];

	write_all(fd, text, strlen(text));
	read_all(fd, back, strlen(text));
	CHECK(!memcmp(back, text, strlen(text)));
}

/* Writes until EAGAIN. Returns how much went in. */
static uint64_t fill_once(int fd, char *buf, uint64_t seed, uint64_t offset)
{
	uint64_t done = 0;
	ssize_t ret;

	for (;;) {
		pattern_fill(buf, CHUNK, seed, offset + done);
		ret = write(fd, buf, CHUNK);
		if (ret < 0 && errno == EAGAIN)
			return done;
		CHECK_GT(ret, 0);
		done += ret;
	}
}

uint64_t fill(int fd, uint64_t seed, uint64_t offset)
{
	uint64_t done = 0, more;
	char *buf = malloc(CHUNK);
	int quiet = 0;

	set_nonblock(fd, true);
	/*
	 * The driver still hands over what it took. Whatever the driver sent before a
	 * question is with the service before the answer, so when answers bring no
	 * more room, nothing moves any more.
	 */
	while (quiet < 4) {
		more = fill_once(fd, buf, seed, offset + done);
		quiet = more ? 0 : quiet + 1;
		done += more;
		barrier();
	}
	free(buf);
	return done;
}

uint64_t fill_until_it_waits(int fd, uint32_t *unsent)
{
	uint64_t len = 0;

	do {
		len += fill(fd, 1, len);
		*unsent = channel_info(fd).unsent;
	} while (!*unsent);
	return len;
}

/* ---- poll ---- */

const char *poll_text(short events)
{
	static char text[4][64];
	static int next;
	char *to = text[next++ % 4];

	snprintf(to, 64, "{%s%s%s%s%s }", events & POLLIN ? " IN" : "",
		 events & POLLOUT ? " OUT" : "", events & POLLRDHUP ? " RDHUP" : "",
		 events & POLLHUP ? " HUP" : "", events & POLLERR ? " ERR" : "");
	return to;
}

short poll_now(int fd)
{
	struct pollfd entry = { .fd = fd, .events = POLL_ALL };

	CHECK_OK(poll(&entry, 1, 0));
	return entry.revents;
}

static short epoll_now(int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP };
	int epoll = CHECK_OK(epoll_create1(EPOLL_CLOEXEC));
	int count;

	CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	count = CHECK_OK(epoll_wait(epoll, &event, 1, 0));
	close(epoll);
	return count ? event.events : 0;
}

void wait_poll(int fd, short events)
{
	struct pollfd entry = { .fd = fd, .events = events };

	while (poll(&entry, 1, -1) < 0)
		if (errno != EINTR)
			FAIL("poll: %s", strerror(errno));
}

void check_poll_at(const char *file, int line, int fd, short mask)
{
	short seen = poll_now(fd);

	if (seen == mask)
		seen = epoll_now(fd);
	if (seen != mask)
		test_fail(file, line, "poll says %s, expected %s", poll_text(seen),
			  poll_text(mask));
}

void await_poll_at(const char *file, int line, int fd, short mask)
{
	short seen;

	while ((seen = poll_now(fd)) != mask) {
		if (seen & ~mask)
			break;
		wait_poll(fd, mask & ~seen);
	}
	check_poll_at(file, line, fd, mask);
}

struct manyport_info channel_info(int fd)
{
	struct manyport_info info;
	int ret = manyport_info(fd, &info);

	if (ret)
		FAIL("MANYPORT_IOC_INFO: %s", strerror(-ret));
	return info;
}

void await_state(int fd, uint32_t state)
{
	while (channel_info(fd).state != state)
		sched_yield();
}

long port_attribute(const char *name, const char *attribute)
{
	static const char *const classes[] = { "manyport", "virtio-ports" };
	char node[PATH_MAX], path[PATH_MAX + 64], text[32] = "";
	ssize_t len;
	int fd = -1;

	CHECK(realpath(port_path(name), node));
	for (int i = 0; i < 2 && fd < 0; i++) {
		snprintf(path, sizeof(path), "/sys/class/%s/%s/%s", classes[i],
			 strrchr(node, '/') + 1, attribute);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		FAIL("no attribute '%s' of %s", attribute, node);
	len = CHECK_OK(read(fd, text, sizeof(text) - 1));
	text[len] = '\0';
	close(fd);
	return atol(text);
}

int port_channels(const char *name)
{
	return port_attribute(name, "channels");
}

void await_port(const char *name, int channels)
{
	while (port_channels(name) > channels)
		sched_yield();
}

static int debug_open(const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/manyport/parameters/%s", name);
	return open(path, flags | O_CLOEXEC);
}

bool debug_set(const char *name, uint64_t value)
{
	int fd = debug_open(name, O_WRONLY);
	char text[32];

	if (fd < 0)
		return false;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	write_all(fd, text, strlen(text));
	close(fd);
	return true;
}

uint64_t debug_get(const char *name)
{
	int fd = debug_open(name, O_RDONLY);
	char text[32] = "";

	if (fd < 0)
		return 0;
	CHECK_OK(read(fd, text, sizeof(text) - 1));
	close(fd);
	return strtoull(text, NULL, 10);
}

void *shared_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

char *edge_alloc(size_t size)
{
	size_t page = sysconf(_SC_PAGESIZE), whole = (size + page - 1) / page * page;
	char *memory = mmap(NULL, whole + page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	CHECK_OK(mprotect(memory + whole, page, PROT_NONE));
	return memory + whole - size;
}

void *no_memory(void)
{
	return edge_alloc(0);
}

static void do_nothing(int sig)
{
	(void)sig;
}

void catch_usr1(bool restart)
{
	struct sigaction action = { .sa_handler = do_nothing,
				    .sa_flags = restart ? SA_RESTART : 0 };

	CHECK_OK(sigaction(SIGUSR1, &action, NULL));
}

void nag(pid_t pid, volatile int *flag)
{
	while (!*flag) {
		CHECK_OK(kill(pid, SIGUSR1));
		sched_yield();
	}
}
