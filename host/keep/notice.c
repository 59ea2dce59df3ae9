// SPDX-License-Identifier: MIT
#include "keep/notice.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_SIZE	4096
#define MAX_FDS		253		/* SCM_MAX_FD of the kernel */

int notice_socket(char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1, error;

	if (fd < 0)
		return -errno;
	/* Without a name the kernel makes one, in the abstract namespace. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) ||
	    getsockname(fd, (struct sockaddr *)&address, &len) ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes))) {
		error = errno;
		close(fd);
		return -error;
	}
	snprintf(name, NOTICE_ADDRESS_SIZE, "@%.*s",
		 (int)(len - offsetof(struct sockaddr_un, sun_path)) - 1, address.sun_path + 1);
	return fd;
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
	pid_t sender;			/* 0: it is not said */
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
			message->sender = sender.pid;
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
	if (message.sender != sender)
		ret = -EPERM;
	else if (message.cut_text)
		ret = -EMSGSIZE;
	else
		ret = act(&message, notice, store);
	while (message.fd_count)
		close(message.fds[--message.fd_count]);
	return ret ? ret : 1;
}
