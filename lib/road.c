// SPDX-License-Identifier: MIT
/*
 * See road.h. That an answer is due is kept in the socket, as its SO_RCVLOWAT: poll() then says
 * POLLIN when the whole answer is there, and the library keeps no state.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

#include <manyport/client.h>
#include <manyport/connection.h>

#include "road.h"

#define UNIX_PREFIX  "unix:"
#define VSOCK_PREFIX "vsock:"
#define SYSTEM_CREDENTIAL "/run/credentials/@system/manyport.port"
#define ARGUMENT "manyport.port="

/* --- Which road ------------------------------------------------------------- */

/* The first word of the file at @path, behind @key if that is not "". False: there is none. */
static bool read_word(const char *path, const char *key, char *buf, size_t size)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	char *word, *rest = text;

	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = '\0';
	while ((word = strsep(&rest, " \t\n"))) {
		if (!*word || strncmp(word, key, strlen(key)))
			continue;
		return snprintf(buf, size, "%s", word + strlen(key)) < (int)size && *buf;
	}
	return false;
}

const char *road_default(char *buf, unsigned long size)
{
	const char *port = getenv(MANYPORT_PORT_ENV), *folder = getenv("CREDENTIALS_DIRECTORY");
	char path[256];

	if (port && *port)
		return port;
	snprintf(path, sizeof(path), "%s/manyport.port", folder ? folder : "");
	if (folder && read_word(path, "", buf, size))
		return buf;
	if (read_word(SYSTEM_CREDENTIAL, "", buf, size) ||
	    read_word("/proc/cmdline", ARGUMENT, buf, size))
		return buf;
	return NULL;
}

bool road_is_socket_name(const char *port)
{
	return !strncmp(port, UNIX_PREFIX, strlen(UNIX_PREFIX)) ||
	       !strncmp(port, VSOCK_PREFIX, strlen(VSOCK_PREFIX));
}

/* --- Connecting ------------------------------------------------------------- */

static int connect_to(const void *address, socklen_t len)
{
	const struct sockaddr *to = address;
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	while (connect(fd, to, len)) {
		error = errno;
		if (error == EINTR)
			continue;
		if (error == EISCONN)
			break;		/* the first call went on behind the signal */
		close(fd);
		return -error;
	}
	return fd;
}

/* Returns the descriptor, -ENODEV: no listener is there, or -errno. */
static int connect_door(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = connect_to(&address, sizeof(address));
	return fd == -ENOENT || fd == -ECONNREFUSED || fd == -ENOTDIR ? -ENODEV : fd;
}

static int connect_vsock(unsigned int cid, unsigned int port)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port,
	};
	int fd = connect_to(&address, sizeof(address));

	/* No vsock here, no host behind it, or no one who listens: a reset, or silence. */
	return fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL || fd == -ECONNRESET ||
	       fd == -ETIMEDOUT || fd == -EHOSTUNREACH || fd == -ENETUNREACH ? -ENODEV : fd;
}

/* "PORT" or "CID:PORT" */
static int connect_numbers(const char *text)
{
	unsigned int cid = VMADDR_CID_HOST, port;
	int end = 0;

	if (sscanf(text, "%u:%u%n", &cid, &port, &end) == 2 && !text[end])
		return connect_vsock(cid, port);
	end = 0;
	if (sscanf(text, "%u%n", &port, &end) == 1 && !text[end])
		return connect_vsock(VMADDR_CID_HOST, port);
	return -EINVAL;
}

/* @road is one of those that road_is_socket_name() knows. */
static int connect_road(const char *road)
{
	if (!strncmp(road, UNIX_PREFIX, strlen(UNIX_PREFIX)))
		return connect_door(road + strlen(UNIX_PREFIX));
	return connect_numbers(road + strlen(VSOCK_PREFIX));
}

static const char *const roads[] = { "unix:" MANYPORT_DOOR, "vsock:" ROAD_VSOCK_PORT };

/* By @road, or the first that is there. *found is its name. */
static int connect_first(const char *road, const char **found)
{
	int fd = -ENODEV;

	*found = road;
	if (road)
		return connect_road(road);
	for (size_t i = 0; i < sizeof(roads) / sizeof(*roads) && fd == -ENODEV; i++) {
		*found = roads[i];
		fd = connect_road(roads[i]);
	}
	return fd;
}

int road_find(const char *road, char *text, unsigned long size)
{
	const char *found;
	int fd = connect_first(road, &found);

	if (fd < 0)
		return fd;
	close(fd);
	return snprintf(text, size, "%s", found) < (int)size ? 0 : -ENAMETOOLONG;
}

/* --- Naming ----------------------------------------------------------------- */

static void expect(int fd, int bytes)
{
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static int send_name(int fd, const char *service)
{
	struct {
		struct mp_naming header;
		char name[MP_NAME_MAX];
	} naming = {
		.header.magic = htole32(MP_CONNECTION_MAGIC),
		.header.version = htole16(MP_CONNECTION_VERSION),
	};
	size_t len = strlen(service);

	if (!len)
		return -EINVAL;
	if (len > MP_NAME_MAX)
		return -ENAMETOOLONG;
	naming.header.name_len = htole16(len);
	memcpy(naming.name, service, len);
	len += sizeof(naming.header);
	/* A connection that is new has room for all of it. */
	if (send(fd, &naming, len, MSG_NOSIGNAL) != (ssize_t)len)
		return -ECONNRESET;
	expect(fd, sizeof(struct mp_named));
	return 0;
}

int road_open(const char *road, const char *service, int flags)
{
	const char *found;
	int fd, ret;

	if (!service)
		return -EDESTADDRREQ;
	fd = connect_first(road, &found);
	if (fd < 0)
		return fd;
	ret = send_name(fd, service);
	if (!ret && (flags & O_NONBLOCK))
		ret = fcntl(fd, F_SETFL, O_NONBLOCK) ? -errno : 0;
	if (!ret && !(flags & O_CLOEXEC))
		ret = fcntl(fd, F_SETFD, 0) ? -errno : 0;
	if (!ret)
		ret = road_collect(fd);
	if (!ret || ret == -EINPROGRESS)
		return fd;
	close(fd);
	return ret;
}

bool road_is_socket(int fd)
{
	int type;
	socklen_t len = sizeof(type);

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
}

int road_reason_errno(unsigned int reason)
{
	static const int errors[] = {
		[MP_REASON_NONE] = 0, [MP_REASON_NO_SERVICE] = -ENOENT,
		[MP_REASON_DENIED] = -EACCES, [MP_REASON_BUSY] = -EBUSY,
		[MP_REASON_NOT_LISTENING] = -ECONNREFUSED, [MP_REASON_TIMED_OUT] = -ETIMEDOUT,
		[MP_REASON_NAME_TOO_LONG] = -ENAMETOOLONG, [MP_REASON_NAME_INVALID] = -EINVAL,
	};

	return reason < sizeof(errors) / sizeof(*errors) ? errors[reason] : -ECONNRESET;
}

int road_collect(int fd)
{
	struct pollfd answer = { .fd = fd, .events = POLLIN | POLLRDHUP };
	bool waits = !(fcntl(fd, F_GETFL) & O_NONBLOCK);
	struct mp_named named;
	int expected = 0;
	socklen_t len = sizeof(expected);
	ssize_t n;

	if (getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &expected, &len))
		return -errno;
	if (expected != sizeof(named))
		return -EISCONN;
	do {
		if (poll(&answer, 1, waits ? -1 : 0) < 0)
			return -errno;
		n = recv(fd, &named, sizeof(named), MSG_PEEK | MSG_DONTWAIT);
		if (n > 0 && n < (ssize_t)sizeof(named) && (answer.revents & (POLLRDHUP | POLLHUP)))
			return -ECONNRESET;	/* it ended inside of the answer */
	} while (waits && n > 0 && n < (ssize_t)sizeof(named));
	if (n < (ssize_t)sizeof(named))
		return n > 0 || (n < 0 && errno == EAGAIN) ? -EINPROGRESS : -ECONNRESET;
	recv(fd, &named, sizeof(named), 0);
	expect(fd, 1);
	if (le32toh(named.magic) != MP_CONNECTION_MAGIC)
		return -EPROTO;
	return road_reason_errno(le16toh(named.reason));
}
