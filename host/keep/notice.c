// SPDX-License-Identifier: MIT
#include "keep/notice.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "keep/closer.h"

#define MESSAGE_SIZE	4096
#define MAX_FDS		NOTICE_MAX_FDS
#define FOLDER		"/manyportd-keep.XXXXXX"
#define SOCKET		"/notify"

/* --- The socket ------------------------------------------------------------------- */

/* A folder that other users do not come into, below @where. Returns 0 or -errno. */
static int make_folder(char *path, size_t size, const char *where)
{
	/* Of several the first. */
	int len = where ? strcspn(where, ":") : 0;
	struct stat st;

	if (!len)
		return -ENOENT;
	snprintf(path, size, "%.*s", len, where);
	/* What lies in another user's folder can be put aside by that user: as by su, which keeps
	 * XDG_RUNTIME_DIR. */
	if (stat(path, &st) || (st.st_uid && st.st_uid != geteuid()))
		return -EACCES;
	if (snprintf(path, size, "%.*s" FOLDER SOCKET, len, where) >= (int)size)
		return -ENAMETOOLONG;
	path[strlen(path) - strlen(SOCKET)] = '\0';
	return mkdtemp(path) ? 0 : -errno;
}

static int make_any_folder(char *path, size_t size)
{
	if (!make_folder(path, size, getenv("RUNTIME_DIRECTORY")) ||
	    !make_folder(path, size, getenv("XDG_RUNTIME_DIR")))
		return 0;
	return make_folder(path, size, "/tmp");
}

void notice_remove(char *address)
{
	unlink(address);
	address[strlen(address) - strlen(SOCKET)] = '\0';
	rmdir(address);
}

int notice_socket(char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int yes = 1, fd, ret = make_any_folder(path, sizeof(address.sun_path));

	if (ret)
		return ret;
	strcat(path, SOCKET);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)) &&
	    !setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)))
		return fd;
	ret = -errno;
	if (fd >= 0)
		close(fd);
	notice_remove(path);
	return ret;
}

/* --- Words ------------------------------------------------------------------------ */

/* Returns what follows @key in @line, or NULL. */
static const char *value_of(const char *line, const char *key)
{
	size_t len = strlen(key);

	return strncmp(line, key, len) ? NULL : line + len;
}

static void parse_line(struct notice *notice, const char *line)
{
	const char *value;

	notice->store |= !strcmp(line, "FDSTORE=1");
	notice->remove |= !strcmp(line, "FDSTOREREMOVE=1");
	notice->ready |= !strcmp(line, "READY=1");
	notice->stopping |= !strcmp(line, "STOPPING=1");
	notice->reloading |= !strcmp(line, "RELOADING=1");
	value = value_of(line, "FDNAME=");
	if (value)
		snprintf(notice->name, sizeof(notice->name), "%s",
			 strlen(value) < sizeof(notice->name) ? value : "");
	value = value_of(line, "STATUS=");
	if (value)
		snprintf(notice->status, sizeof(notice->status), "%s", value);
	value = value_of(line, "MONOTONIC_USEC=");
	if (value && value[strspn(value, "0123456789")] == '\0')
		snprintf(notice->monotonic, sizeof(notice->monotonic), "%s", value);
}

static void parse(struct notice *notice, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n")))
		parse_line(notice, line);
}

/* --- Messages --------------------------------------------------------------------- */

struct message {
	char text[MESSAGE_SIZE + 1];
	int fds[MAX_FDS], fd_count;
	pid_t sender;			/* 0: it is not said, or another user's */
	bool cut_text, cut_fds;
};

static void take_control(struct message *message, struct msghdr *header)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
		struct ucred sender;

		if (part->cmsg_level != SOL_SOCKET)
			continue;
		if (part->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&sender, CMSG_DATA(part), sizeof(sender));
			message->sender = sender.uid == geteuid() ? sender.pid : 0;
		} else if (part->cmsg_type == SCM_RIGHTS) {
			message->fd_count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(message->fds, CMSG_DATA(part), message->fd_count * sizeof(int));
		}
	}
}

/* Returns 0 or -errno. */
static int receive(int fd, struct message *message)
{
	union {
		char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { message->text, MESSAGE_SIZE };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	ssize_t len;

	do {
		len = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	message->text[len] = '\0';
	message->fd_count = 0;
	message->sender = 0;
	message->cut_text = header.msg_flags & MSG_TRUNC;
	message->cut_fds = header.msg_flags & MSG_CTRUNC;
	take_control(message, &header);
	return 0;
}

static int hold(struct message *message, const struct notice *notice, struct store *store)
{
	int ret = 0;

	while (message->fd_count && !ret)
		ret = store_add(store, notice->name, message->fds[--message->fd_count]);
	return ret;
}

/* Returns 0 or -errno. */
static int act(struct message *message, struct notice *notice, struct store *store)
{
	int ret = 0;

	parse(notice, message->text);
	if (notice->remove)
		store_remove(store, notice->name);
	else if (notice->store)
		ret = hold(message, notice, store);
	return message->cut_fds ? -ENOBUFS : ret;
}

int notice_receive(int fd, pid_t sender, struct notice *notice, struct store *store)
{
	struct message message;
	int ret;

	*notice = (struct notice){ .name = "stored" };
	ret = receive(fd, &message);

	if (ret)
		return 0;	/* without memory, it is there the next time */
	if (!message.sender || message.sender != sender)
		ret = -EPERM;
	else if (message.cut_text)
		ret = -EMSGSIZE;
	else
		ret = act(&message, notice, store);
	while (message.fd_count)
		closer_close(message.fds[--message.fd_count]);
	return ret ? ret : 1;
}
