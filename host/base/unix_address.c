// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unix_address.h"

#define BACKLOG		1024
#define LOCK_TRIES	100
#define LOCK_PAUSE_MS	10

int unix_address_set(struct sockaddr_un *address, socklen_t *len, const char *path)
{
	size_t bytes = strlen(path);

	if (!bytes || bytes >= sizeof(address->sun_path) || !strcmp(path, "@"))
		return -EINVAL;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, bytes);
	*len = sizeof(*address);
	if (path[0] == '@') {
		/* In the abstract namespace every byte counts, a final NUL too. */
		address->sun_path[0] = 0;
		*len = offsetof(struct sockaddr_un, sun_path) + bytes;
	}
	return 0;
}

/* Does the socket file at @address have no listener any more? */
static bool is_stale(const struct sockaddr_un *address, socklen_t len)
{
	struct stat st;
	int fd, error;

	if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	error = connect(fd, (const struct sockaddr *)address, len) ? errno : 0;
	close(fd);
	return error == ECONNREFUSED;
}

/* bind() takes the permissions from the umask; this process has one thread. */
static int bind_with_mode(int fd, const struct sockaddr_un *address, socklen_t len, mode_t mode)
{
	mode_t saved = umask(0777 & ~mode);
	int ret = bind(fd, (const struct sockaddr *)address, len) ? -errno : 0;

	umask(saved);
	return ret;
}

/*
 * Between the look at a stale file and its removal another process may do the
 * same and bind, and between bind() and listen() our own file looks stale: the
 * directory's lock keeps two of us apart. Many of us may start at once in one
 * directory, and the lock may be held by a stranger, so it is waited for, but
 * not for ever; without it the same is done at that small risk. Nothing
 * is served yet, so waiting holds nobody up.
 */
static int lock_directory(const char *file)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	int lock;

	snprintf(path, sizeof(path), "%s", file);
	lock = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; lock >= 0 && i < LOCK_TRIES; i++) {
		if (!flock(lock, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
			break;
		poll(NULL, 0, LOCK_PAUSE_MS);
	}
	return lock;
}

static int bind_over_stale(int fd, const struct sockaddr_un *address, socklen_t len, mode_t mode)
{
	int lock = lock_directory(address->sun_path);
	int ret = bind_with_mode(fd, address, len, mode);

	if (ret == -EADDRINUSE && is_stale(address, len) && !unlink(address->sun_path))
		ret = bind_with_mode(fd, address, len, mode);
	if (!ret && listen(fd, BACKLOG))
		ret = -errno;
	if (lock >= 0)
		close(lock);
	return ret;
}

int unix_listener_open(struct unix_listener *listener, const char *path, mode_t mode)
{
	socklen_t len;
	struct stat st;
	int ret, fd;

	listener->fd = -1;
	ret = unix_address_set(&listener->address, &len, path);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (listener->address.sun_path[0])
		ret = bind_over_stale(fd, &listener->address, len, mode);
	else if (bind(fd, (struct sockaddr *)&listener->address, len) || listen(fd, BACKLOG))
		ret = -errno;
	if (ret) {
		close(fd);
		return ret;
	}
	listener->fd = fd;
	listener->ino = 0;
	if (listener->address.sun_path[0] && !lstat(listener->address.sun_path, &st)) {
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
	}
	return 0;
}

void unix_listener_close(struct unix_listener *listener)
{
	struct stat st;

	if (listener->fd < 0)
		return;
	if (listener->ino && !lstat(listener->address.sun_path, &st) &&
	    st.st_dev == listener->dev && st.st_ino == listener->ino)
		unlink(listener->address.sun_path);
	close(listener->fd);
	listener->fd = -1;
}
