// SPDX-License-Identifier: MIT
/* The transports: all that differs between them is here. */
#include <arpa/inet.h>
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

static int try_target(const char *target)
{
	char text[256], *first, *second;

	snprintf(text, sizeof(text), "%s", target);
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
