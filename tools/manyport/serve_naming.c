// SPDX-License-Identifier: MIT
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/connection.h>

#include "serve_naming.h"

/* --- The process ------------------------------------------------------------------------ */

/* Returns how many bytes of /proc/@pid/@file are in @buf, 0 where they cannot be read. */
static size_t read_proc(pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, buf, size);
	close(fd);
	return len < 0 ? 0 : len;
}

static pid_t process_of(pid_t thread)
{
	char status[512];
	size_t len = read_proc(thread, "status", status, sizeof(status) - 1);
	const char *line;
	int pid;

	status[len] = '\0';
	line = strstr(status, "\nTgid:");
	return line && sscanf(line, "\nTgid: %d", &pid) == 1 ? pid : thread;
}

void naming_find_opener(struct frame_connect *opener, const struct ucred *who)
{
	size_t len;

	opener->uid = who->uid;
	opener->gid = who->gid;
	opener->pid = process_of(who->pid);
	len = read_proc(who->pid, "comm", opener->comm, MP_COMM_LEN);
	if (len && opener->comm[len - 1] == '\n')
		opener->comm[len - 1] = '\0';
}

void naming_who_connected(struct naming *naming, int fd)
{
	struct ucred who = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof(who);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	naming_find_opener(&naming->opener, &who);
}

void naming_set(struct naming *naming, const char *service)
{
	naming->opener.name_len = strlen(service);
	naming->opener.name = memcpy(naming->text, service, naming->opener.name_len);
}

/* --- What it says --------------------------------------------------------------- */

/* Reads until text has @len bytes. Returns 1 when it has, 0 or -errno. */
static int read_up_to(struct naming *naming, struct socket_stream *near, size_t len)
{
	while (naming->got < len) {
		struct iovec iov = { naming->text + naming->got, len - naming->got };
		ssize_t n = socket_stream_readv(&near->stream, &iov, 1);

		if (n <= 0)
			return n == -EAGAIN ? 0 : n ? n : -ECONNRESET;
		naming->got += n;
	}
	return 1;
}

static int read_request(struct naming *naming, struct socket_stream *near)
{
	struct mp_naming header;
	size_t name_len;
	int ret = read_up_to(naming, near, sizeof(header));

	if (ret <= 0)
		return ret;
	memcpy(&header, naming->text, sizeof(header));
	name_len = le16toh(header.name_len);
	if (le32toh(header.magic) != MP_CONNECTION_MAGIC || !header.version || !name_len ||
	    name_len > MP_NAME_MAX)
		return -EPROTO;
	ret = read_up_to(naming, near, sizeof(header) + name_len);
	naming->opener.name = naming->text + sizeof(header);
	naming->opener.name_len = name_len;
	naming->wants_answer = true;
	return ret;
}

/* How many bytes wait that belong to the line; 1 where none is known to. Or -errno. */
static ssize_t line_part(const struct naming *naming, int fd)
{
	char peeked[sizeof(naming->text)], *newline;
	ssize_t n = recv(fd, peeked, sizeof(peeked) - naming->got, MSG_PEEK | MSG_DONTWAIT);

	if (n <= 0)
		return n && errno != EAGAIN ? -errno : n ? 1 : -ECONNRESET;
	newline = memchr(peeked, '\n', n);
	return newline ? newline + 1 - peeked : n;
}

/* Its first byte was read, and is none of a line's end. */
static int read_line(struct naming *naming, struct socket_stream *near)
{
	while (naming->text[naming->got - 1] != '\n') {
		ssize_t part = line_part(naming, near->fd);
		int ret = part < 0 ? part : read_up_to(naming, near, naming->got + part);

		if (ret <= 0)
			return ret;
		if (naming->got > MP_NAME_MAX + 2)
			return -ENAMETOOLONG;
	}
	naming->opener.name = naming->text;
	naming->opener.name_len = naming->got - 1;
	/* As from a terminal or a Windows script. */
	if (naming->opener.name_len && naming->text[naming->opener.name_len - 1] == '\r')
		naming->opener.name_len--;
	return !naming->opener.name_len ? -EINVAL :
	       naming->opener.name_len > MP_NAME_MAX ? -ENAMETOOLONG : 1;
}

int naming_read(struct naming *naming, struct socket_stream *near)
{
	int ret = read_up_to(naming, near, 1);

	if (ret <= 0)
		return ret;
	/* No name begins with that byte. */
	if (naming->text[0] == (char)MP_CONNECTION_MAGIC)
		return read_request(naming, near);
	return naming->text[0] == '\n' ? -EINVAL : read_line(naming, near);
}

bool naming_answer(const struct naming *naming, struct socket_stream *near, uint16_t reason)
{
	const struct mp_named named = {
		.magic = htole32(MP_CONNECTION_MAGIC),
		.version = htole16(MP_CONNECTION_VERSION),
		.reason = htole16(reason),
	};
	const struct iovec iov = { .iov_base = (void *)&named, .iov_len = sizeof(named) };

	if (!naming->wants_answer)
		return true;
	/* A socket that is new has room for it. */
	return socket_stream_writev(&near->stream, &iov, 1) == sizeof(named);
}
