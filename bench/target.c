// SPDX-License-Identifier: MIT
/* The transports: all that differs between them is here. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include <manyport/connection.h>

#include "work.h"

static int close_failed(int fd)
{
	int error = errno;

	close(fd);
	errno = error;
	return -1;
}

static int open_node(const char *path, const char *service)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	size_t len = service ? strlen(service) + 1 : 0;

	if (fd < 0 || !service)
		return fd;
	return write(fd, service, len) == (ssize_t)len ? fd : close_failed(fd);
}

static int connect_to(const void *address, socklen_t len)
{
	const struct sockaddr *any = address;
	int fd = socket(any->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -1;
	if (any->sa_family == AF_INET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return connect(fd, any, len) ? close_failed(fd) : fd;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return connect_to(&address, sizeof(address));
}

static int connect_tcp(const char *host, const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	inet_pton(AF_INET, host, &address.sin_addr);
	return connect_to(&address, sizeof(address));
}

static int connect_vsock(const char *cid, const char *port)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_cid = atoi(cid), .svm_port = atoi(port),
	};

	return connect_to(&address, sizeof(address));
}

/* The naming exchange in front of a channel that is a connection [protocol.md 16.1]. */
static int say_name(int fd, const char *service)
{
	struct {
		struct mp_naming header;
		char name[MP_NAME_MAX];
	} naming = {
		.header = {
			.magic = htole32(MP_CONNECTION_MAGIC),
			.version = htole16(MP_CONNECTION_VERSION),
			.name_len = htole16(strlen(service)),
		},
	};
	size_t len = sizeof(naming.header) + strlen(service);
	struct mp_named named;

	if (fd < 0)
		return fd;
	memcpy(naming.name, service, strlen(service));
	errno = EPROTO;
	if (write(fd, &naming, len) != (ssize_t)len ||
	    recv(fd, &named, sizeof(named), MSG_WAITALL) != sizeof(named) || named.reason)
		return close_failed(fd);
	return fd;
}

/* "SERVICE@TARGET": a connection that names; see try_target(). */
static int try_target(const char *target)
{
	char text[256], *first, *second;

	snprintf(text, sizeof(text), "%s", target);
	first = strchr(text, '@');
	if (first) {
		*first++ = '\0';
		return say_name(try_target(first), text);
	}
	first = strchr(text, ':');
	if (!first) {
		errno = EINVAL;
		return -1;
	}
	*first++ = '\0';
	if (!strcmp(text, "unix"))
		return connect_unix(first);
	if (!strcmp(text, "vport"))
		return open_node(first, NULL);
	second = strrchr(first, ':');
	if (!second) {
		errno = EINVAL;
		return -1;
	}
	*second++ = '\0';
	if (!strcmp(text, "port"))
		return open_node(first, second);
	if (!strcmp(text, "tcp"))
		return connect_tcp(first, second);
	if (!strcmp(text, "vsock"))
		return connect_vsock(first, second);
	errno = EINVAL;
	return -1;
}

int target_open(const char *target)
{
	int fd;

	doing("opening");
	fd = try_target(target);
	if (fd < 0)
		fail(target);
	return fd;
}
