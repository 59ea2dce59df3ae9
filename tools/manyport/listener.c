// SPDX-License-Identifier: MIT
/* The listening sockets of manyport forward. See forward.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "forward.h"
#include "tool.h"

static bool is_number(const char *text, size_t len)
{
	return len > 0 && strspn(text, "0123456789") >= len;
}

/*
 * How much of "SOCKET:NAME" is the socket. [ADDR]:PORT, ADDR:PORT and PORT are TCP; all
 * else up to the first colon is a path. Returns 0 when there is no colon.
 */
static size_t socket_length(const char *spec, bool *is_unix)
{
	const char *end = spec, *colon;

	*is_unix = false;
	if (*spec == '[') {
		end = strchr(spec, ']');
		if (!end || end[1] != ':')
			return 0;
		colon = strchr(end + 2, ':');
		return colon ? colon - spec : 0;
	}
	colon = strchr(spec, ':');
	if (!colon)
		return 0;
	if (is_number(spec, colon - spec))
		return colon - spec;
	end = strchr(colon + 1, ':');
	if (end && is_number(colon + 1, end - colon - 1) && !memchr(spec, '/', colon - spec))
		return end - spec;
	*is_unix = true;
	return colon - spec;
}

int listener_add(struct forward *forward, const char *spec, const char **why)
{
	struct listener *listener;
	bool is_unix;
	size_t len = socket_length(spec, &is_unix);

	*why = "expected SOCKET:NAME, where SOCKET is a path or [ADDR:]PORT";
	if (!len)
		return -EINVAL;
	*why = "the path is too long";
	if (is_unix && len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -EINVAL;
	*why = "out of memory";
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -EINVAL;
	listener->address = strndup(spec, len);
	listener->service = spec + len + 1;
	listener->is_unix = is_unix;
	listener->source.fd = -1;
	listener->forward = forward;
	listener->next = forward->listeners;
	forward->listeners = listener;
	return listener->address ? 0 : -EINVAL;
}

/* A socket file that nobody listens on any more may be replaced. */
static bool is_stale(const struct sockaddr_un *address, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)address, len) &&
		     errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return stale;
}

static int bind_unix(struct listener *listener)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + strlen(listener->address);
	struct stat status;
	int ret;

	memcpy(address.sun_path, listener->address, strlen(listener->address));
	if (address.sun_path[0] == '@')
		address.sun_path[0] = '\0';
	else
		len++;
	ret = bind(listener->source.fd, (struct sockaddr *)&address, len);
	if (ret && errno == EADDRINUSE && address.sun_path[0] && is_stale(&address, len)) {
		unlink(address.sun_path);
		ret = bind(listener->source.fd, (struct sockaddr *)&address, len);
	}
	if (!ret && address.sun_path[0] && !lstat(address.sun_path, &status)) {
		listener->dev = status.st_dev;
		listener->ino = status.st_ino;
	}
	return ret ? -errno : 0;
}

/* Fills *address from "PORT", "ADDR:PORT" or "[ADDR]:PORT". Returns its size or 0. */
static socklen_t parse_tcp(const char *text, struct sockaddr_storage *address)
{
	struct sockaddr_in *four = (struct sockaddr_in *)address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
	const char *colon = strrchr(text, ':');
	unsigned long number = strtoul(colon ? colon + 1 : text, NULL, 10);
	char host[INET6_ADDRSTRLEN] = "127.0.0.1";

	if (number > 65535)
		return 0;
	if (colon) {
		size_t skip = *text == '[', len = colon - text - 2 * skip;

		if (len >= sizeof(host))
			return 0;
		memcpy(host, text + skip, len);
		host[len] = '\0';
	}
	if (!strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	if (!strcmp(host, "*"))
		strcpy(host, "0.0.0.0");
	if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(number);
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1)
		return 0;
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(number);
	return sizeof(*six);
}

static int open_tcp(struct listener *listener)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = parse_tcp(listener->address, &address);
	int one = 1;

	if (!len)
		return -EINVAL;
	listener->source.fd = socket(address.ss_family,
				     SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->source.fd < 0)
		return -errno;
	setsockopt(listener->source.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(listener->source.fd, (struct sockaddr *)&address, len) ? -errno : 0;
}

static int open_unix(struct listener *listener)
{
	listener->source.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return listener->source.fd < 0 ? -errno : bind_unix(listener);
}

/* Which port the kernel chose for port 0. */
static unsigned int tcp_port(int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);

	getsockname(fd, (struct sockaddr *)&address, &len);
	return ntohs(address.ss_family == AF_INET6 ?
		     ((struct sockaddr_in6 *)&address)->sin6_port :
		     ((struct sockaddr_in *)&address)->sin_port);
}

static void accept_all(struct source *source, uint32_t events)
{
	struct listener *listener = (struct listener *)source;
	int fd, one = 1;

	(void)events;
	listener->is_starved = false;
	for (;;) {
		fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			break;
		if (!listener->is_unix)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		relay_create(listener->forward, listener, fd);
	}
	if (errno == EAGAIN)
		return;
	/* No edge will come for those who wait: try again when something was closed. */
	listener->is_starved = true;
	complain("%s: cannot accept now: %s", listener->address, strerror(errno));
}

int listener_start(struct listener *listener)
{
	int ret = listener->is_unix ? open_unix(listener) : open_tcp(listener);

	if (!ret && listen(listener->source.fd, SOMAXCONN))
		ret = -errno;
	listener->source.ready = accept_all;
	if (!ret)
		ret = forward_watch(listener->forward, &listener->source);
	if (ret) {
		complain("cannot listen on %s: %s", listener->address, strerror(-ret));
		return ret;
	}
	if (listener->is_unix)
		complain("forwarding %s to '%s'", listener->address, listener->service);
	else
		complain("forwarding %s (TCP port %u) to '%s'", listener->address,
			 tcp_port(listener->source.fd), listener->service);
	return 0;
}

void listener_accept_starved(struct forward *forward)
{
	for (struct listener *l = forward->listeners; l; l = l->next)
		if (l->is_starved)
			accept_all(&l->source, 0);
}

/* Only the file that we made: another process may have put its own there. */
static void remove_file(const struct listener *listener)
{
	struct stat status;

	if (listener->ino && !lstat(listener->address, &status) &&
	    status.st_dev == listener->dev && status.st_ino == listener->ino)
		unlink(listener->address);
}

void listener_free_all(struct forward *forward)
{
	struct listener *listener, *next;

	for (listener = forward->listeners; listener; listener = next) {
		next = listener->next;
		remove_file(listener);
		if (listener->source.fd >= 0)
			close(listener->source.fd);
		free(listener->address);
		free(listener);
	}
	forward->listeners = NULL;
}
