// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <poll.h>
#include <pwd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

	if (!bytes || !strcmp(path, "@"))
		return -EINVAL;
	if (bytes >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
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

/* --- Permissions ------------------------------------------------------------- */

/* A user's or group's number: @text itself, or what FIND finds for it. */
static int parse_id(const char *text, int (*find)(const char *name, id_t *id), id_t *id)
{
	char *end;
	unsigned long number;

	if (!*text)
		return -EINVAL;
	if (strspn(text, "0123456789") != strlen(text))
		return find(text, id);
	errno = 0;
	number = strtoul(text, &end, 10);
	/* The highest is no user, but "leave it" to chown(). */
	if (errno || number >= UINT32_MAX)
		return -EINVAL;
	*id = number;
	return 0;
}

/*
 * Reads /etc/passwd and /etc/group itself: the guest's command is linked statically, and there the
 * name service works only where the same C library is installed.
 */
static int find_user(const char *name, id_t *id)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry;
	int ret = -ENOENT;

	while (file && ret && (entry = fgetpwent(file))) {
		if (strcmp(entry->pw_name, name))
			continue;
		*id = entry->pw_uid;
		ret = 0;
	}
	if (file)
		fclose(file);
	return ret;
}

static int find_group(const char *name, id_t *id)
{
	FILE *file = fopen("/etc/group", "re");
	struct group *entry;
	int ret = -ENOENT;

	while (file && ret && (entry = fgetgrent(file))) {
		if (strcmp(entry->gr_name, name))
			continue;
		*id = entry->gr_gid;
		ret = 0;
	}
	if (file)
		fclose(file);
	return ret;
}

static int parse_mode(const char *text, mode_t *mode)
{
	size_t len = strlen(text);

	if (!len || len > 4 || strspn(text, "01234567") != len)
		return -EINVAL;
	*mode = strtoul(text, NULL, 8);
	return *mode > 0777 ? -EINVAL : 0;
}

int unix_access_set(struct unix_access *access, const char *setting)
{
	if (!strncmp(setting, "mode=", 5))
		return parse_mode(setting + 5, &access->mode);
	if (!strncmp(setting, "owner=", 6))
		return parse_id(setting + 6, find_user, &access->owner);
	if (!strncmp(setting, "group=", 6))
		return parse_id(setting + 6, find_group, &access->group);
	return -EINVAL;
}

/* A comma is part of the path unless a word and '=' follow: a wrong word is to be refused. */
static bool is_setting(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz");

	return len && text[len] == '=';
}

int unix_access_cut(struct unix_access *access, char *path, const char **bad)
{
	char *comma;
	int ret;

	while ((comma = strrchr(path, ',')) && is_setting(comma + 1)) {
		*comma = 0;
		*bad = comma + 1;
		ret = unix_access_set(access, comma + 1);
		if (ret)
			return ret;
	}
	return 0;
}

/* --- Listening ----------------------------------------------------------------- */

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

/*
 * bind() takes the permissions from the umask, which is the whole process's; no other thread makes
 * files. No client can connect before listen(), so lchown() comes in time.
 */
static int bind_with_access(int fd, const struct sockaddr_un *address, socklen_t len,
			    const struct unix_access *access)
{
	mode_t saved = umask(0777 & ~access->mode);
	int ret = bind(fd, (const struct sockaddr *)address, len) ? -errno : 0;

	umask(saved);
	if (ret || (access->owner == (uid_t)-1 && access->group == (gid_t)-1))
		return ret;
	if (!lchown(address->sun_path, access->owner, access->group))
		return 0;
	ret = -errno;
	unlink(address->sun_path);
	return ret;
}

/* What bind() calls in use may be a file that is no socket. */
static bool is_other_file(const struct sockaddr_un *address)
{
	struct stat st;

	return !lstat(address->sun_path, &st) && !S_ISSOCK(st.st_mode);
}

/*
 * Two processes must not replace the same stale file: between the test and the removal the other
 * may have bound its own, and between bind() and listen() a fresh file looks stale. The
 * directory's lock keeps them apart. Many may start at once in one directory, and a foreign
 * program may hold the lock, so this waits for the lock, but not for ever; without the lock the
 * caller continues, at that small risk. A process that already serves clients passes 1 for @tries:
 * waiting would hold its clients up.
 */
static int lock_directory(const char *file, int tries)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	int lock;

	snprintf(path, sizeof(path), "%s", file);
	lock = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK && --tries > 0)
		poll(NULL, 0, LOCK_PAUSE_MS);
	return lock;
}

static int bind_over_stale(int fd, const struct sockaddr_un *address, socklen_t len,
			   const struct unix_access *access, int lock_tries)
{
	int lock = lock_directory(address->sun_path, lock_tries);
	int ret = bind_with_access(fd, address, len, access);

	if (ret == -EADDRINUSE && is_stale(address, len) && !unlink(address->sun_path))
		ret = bind_with_access(fd, address, len, access);
	if (ret == -EADDRINUSE && is_other_file(address))
		ret = -EEXIST;
	if (!ret && listen(fd, BACKLOG))
		ret = -errno;
	if (lock >= 0)
		close(lock);
	return ret;
}

static int open_listener(struct unix_listener *listener, const char *path,
			 const struct unix_access *access, int lock_tries)
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
		ret = bind_over_stale(fd, &listener->address, len, access, lock_tries);
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

int unix_listener_open(struct unix_listener *listener, const char *path,
		       const struct unix_access *access)
{
	return open_listener(listener, path, access, LOCK_TRIES);
}

int unix_listener_open_now(struct unix_listener *listener, const char *path,
			   const struct unix_access *access)
{
	return open_listener(listener, path, access, 1);
}

const char *unix_address_explain(int error)
{
	static const struct {
		int error;
		const char *text;
	} texts[] = {
		{ EADDRINUSE, "somebody listens there already" },
		{ EEXIST, "something that is no socket is there: remove it, or choose "
			  "another path" },
		{ ENAMETOOLONG, "the path of a socket has at most 107 bytes" },
		{ ENOENT, "the directory does not exist" },
		{ EINVAL, "not the path of a unix socket, nor '@' and a name" },
	};

	error = abs(error);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].error == error)
			return texts[i].text;
	return strerror(error);
}

bool unix_listener_is_there(const struct unix_listener *listener)
{
	struct stat st;

	return !listener->ino || (!lstat(listener->address.sun_path, &st) &&
				  st.st_dev == listener->dev && st.st_ino == listener->ino);
}

void unix_listener_close(struct unix_listener *listener)
{
	if (listener->fd < 0)
		return;
	if (listener->ino && unix_listener_is_there(listener))
		unlink(listener->address.sun_path);
	close(listener->fd);
	listener->fd = -1;
}
