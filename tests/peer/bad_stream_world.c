// SPDX-License-Identifier: MIT
/* See bad_stream.h. */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <manyport/connection.h>

#include "bad_stream.h"

const char *in_folder(const char *name)
{
	static char path[4][100];
	static unsigned int next;
	char *buf = path[next++ % 4];

	CHECK(snprintf(buf, sizeof(path[0]), "%s/%s", folder, name) < (int)sizeof(path[0]));
	return buf;
}

int listen_at(const char *name)
{
	const struct timeval limit = { .tv_sec = PEER_WAIT_MS / 1000 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, in_folder(name));
	unlink(address.sun_path);
	CHECK(!bind(fd, (struct sockaddr *)&address, sizeof(address)));
	CHECK(!listen(fd, 300));
	/* Connections have its limits. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

int accept_within(int listener, int ms)
{
	const struct timeval limit = { .tv_sec = PEER_WAIT_MS / 1000 };
	struct pollfd wait = { .fd = listener, .events = POLLIN };
	int fd;

	if (poll(&wait, 1, ms) <= 0)
		return -1;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

/* --- Bytes ---------------------------------------------------------------- */

void expect_bytes(int fd, const char *bytes)
{
	char buf[256];
	size_t len = strlen(bytes), at = 0;
	ssize_t n;

	while (at < len) {
		n = recv(fd, buf + at, len - at, 0);
		if (n <= 0)
			FAIL("%s behind %zu bytes of '%s'", n ? strerror(errno) : "an end", at,
			     bytes);
		at += n;
	}
	CHECK(!memcmp(buf, bytes, len));
}

uint64_t count_to_end(int fd)
{
	static char buf[1 << 16];
	uint64_t count = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		count += n;
	if (n && errno != ECONNRESET)
		FAIL("no end: %s", strerror(errno));
	return count;
}

void expect_end(int fd)
{
	CHECK(count_to_end(fd) == 0);
}

bool has_ended(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLRDHUP };

	return poll(&wait, 1, 0) > 0;
}

char byte_at(uint64_t offset)
{
	return offset * 7 + offset / 251;
}

/* --- Clients -------------------------------------------------------------- */

int name_at(const char *path, const char *name)
{
	const struct mp_naming naming = {
		.magic = htole32(MP_CONNECTION_MAGIC), .version = htole16(MP_CONNECTION_VERSION),
		.name_len = htole16(strlen(name)),
	};
	char buf[sizeof(naming) + MP_NAME_MAX];
	int fd = peer_connect(in_folder(path));

	memcpy(buf, &naming, sizeof(naming));
	memcpy(buf + sizeof(naming), name, strlen(name));
	CHECK(send(fd, buf, sizeof(naming) + strlen(name), MSG_NOSIGNAL) > 0);
	return fd;
}

void expect_named(int fd, uint16_t reason)
{
	struct mp_named named;
	ssize_t n = recv(fd, &named, sizeof(named), MSG_WAITALL);

	if (n != sizeof(named))
		FAIL("%s instead of reason %u", n < 0 ? strerror(errno) : "an end", reason);
	if (le16toh(named.reason) != reason)
		FAIL("reason %u instead of %u", le16toh(named.reason), reason);
}

/* --- What a process holds --------------------------------------------------- */

int count_fds(pid_t pid)
{
	char name[64];
	DIR *list;
	int n = -2;

	snprintf(name, sizeof(name), "/proc/%d/fd", pid);
	list = opendir(name);
	if (!list)
		FAIL("%s: %s", name, strerror(errno));
	while (readdir(list))
		n++;
	closedir(list);
	return n;
}

void expect_fds(pid_t pid, int count)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;

	while (count_fds(pid) > count) {
		if (peer_now_ms() >= limit)
			FAIL("%d descriptors are left of %d", count_fds(pid), count);
		poll(NULL, 0, 5);
	}
}

uint64_t resident_kb(pid_t pid)
{
	char name[64], line[256];
	unsigned long kb = 0;
	FILE *status;

	snprintf(name, sizeof(name), "/proc/%d/status", pid);
	status = fopen(name, "re");
	CHECK(status);
	while (fgets(line, sizeof(line), status))
		sscanf(line, "VmRSS: %lu", &kb);
	fclose(status);
	CHECK(kb);
	return kb;
}
