// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/record.h"
#include "base/log.h"
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

/* --- Listeners of this process ------------------------------------------------ */

/* Copies of them, by descriptor. Without memory for one it is not handed over, and no more. */
static struct known {
	struct unix_listener listener;
	bool is_free;			/* held, and not opened */
} *known;
static size_t known_count;
static bool are_held;

static void know(const struct unix_listener *listener, bool is_free)
{
	struct known *more = reallocarray(known, known_count + 1, sizeof(*known));

	if (!more)
		return;
	known = more;
	known[known_count++] = (struct known){ *listener, is_free };
}

static void forget(size_t index)
{
	known[index] = known[--known_count];
	if (known_count)
		return;
	free(known);
	known = NULL;
}

static struct known *find_known(int fd)
{
	for (size_t i = 0; i < known_count; i++)
		if (known[i].listener.fd == fd)
			return &known[i];
	return NULL;
}

/* One that is held, with the rights that it should have now. */
static bool take_held(struct unix_listener *listener, const struct unix_access *access)
{
	for (size_t i = 0; i < known_count; i++) {
		struct unix_listener *held = &known[i].listener;
		const char *path = held->address.sun_path;

		if (!known[i].is_free || !unix_listener_is_there(held) ||
		    memcmp(&held->address, &listener->address, sizeof(held->address)))
			continue;
		/* It may be another user's by now, who lets others in than we would. */
		if (*path && (chmod(path, access->mode) ||
			      lchown(path, access->owner, access->group)))
			log_warning("%s keeps its owner and mode: %s", path, strerror(errno));
		known[i].is_free = false;
		*listener = *held;
		return true;
	}
	return false;
}

static int open_listener(struct unix_listener *listener, const char *path,
			 const struct unix_access *access, int lock_tries)
{
	socklen_t len;
	struct stat st;
	int ret, fd;

	listener->fd = -1;
	ret = unix_address_set(&listener->address, &len, path);
	if (ret || take_held(listener, access))
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
	know(listener, false);
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
	struct known *one = listener->fd < 0 ? NULL : find_known(listener->fd);

	if (one && are_held) {
		one->is_free = true;
		listener->fd = -1;
	}
	if (listener->fd < 0)
		return;
	if (one)
		forget(one - known);
	if (listener->ino && unix_listener_is_there(listener))
		unlink(listener->address.sun_path);
	close(listener->fd);
	listener->fd = -1;
}

void unix_listeners_hold(void)
{
	are_held = true;
}

#define FRAME_LISTENER	0x4c49

static void hand_over(struct unix_listener *listener, struct record *record)
{
	size_t len = sizeof(listener->address.sun_path);
	void *path = record_bytes(record, listener->address.sun_path, &len);

	if (path && len == sizeof(listener->address.sun_path))
		memcpy(listener->address.sun_path, path, len);
	free(path);
	/* A path of a file ends. */
	if (listener->address.sun_path[0])
		listener->address.sun_path[len ? len - 1 : 0] = 0;
	listener->dev = record_number(record, listener->dev, UINT64_MAX);
	listener->ino = record_number(record, listener->ino, UINT64_MAX);
	listener->fd = record_fd(record, listener->fd);
}

void unix_listeners_hand_over(struct record *record)
{
	for (size_t i = 0; !record_is_reading(record) && i < known_count; i++) {
		record_begin(record, FRAME_LISTENER);
		hand_over(&known[i].listener, record);
		record_end(record);
	}
	while (record_is_reading(record) && record_begin(record, FRAME_LISTENER)) {
		struct unix_listener listener = { .fd = -1, .address.sun_family = AF_UNIX };

		hand_over(&listener, record);
		record_end(record);
		if (listener.fd >= 0)
			know(&listener, true);
	}
	are_held |= record_is_reading(record);
}

static bool is_known(const struct sockaddr_un *address)
{
	for (size_t i = 0; i < known_count; i++)
		if (!memcmp(&known[i].listener.address, address, sizeof(*address)))
			return true;
	return false;
}

bool unix_listeners_adopt(int fd)
{
	struct unix_listener listener = { .fd = fd };
	socklen_t len = sizeof(listener.address), size = sizeof(int);
	size_t count = known_count;
	int listens = 0;
	struct stat st;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens ||
	    getsockname(fd, (struct sockaddr *)&listener.address, &len) ||
	    listener.address.sun_family != AF_UNIX || is_known(&listener.address))
		return false;
	listener.address.sun_path[sizeof(listener.address.sun_path) - 1] = '\0';
	if (lstat(listener.address.sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	listener.dev = st.st_dev;
	listener.ino = st.st_ino;
	know(&listener, true);
	return known_count > count;
}

void unix_listeners_forget(void)
{
	size_t i = 0;

	are_held = false;
	while (i < known_count) {
		struct unix_listener listener = known[i].listener;

		if (known[i].is_free)
			unix_listener_close(&listener);
		else
			i++;
	}
}
