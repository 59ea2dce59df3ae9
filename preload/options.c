// SPDX-License-Identifier: MIT
/* What a socket says of itself and may be told, of a channel in its place. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>

#include "preload.h"

#define BUFFER_SIZE (256 * 1024)	/* what the driver holds for each direction, unless told */

static int fail(int error)
{
	errno = error;
	return -1;
}

static sa_family_t family_of(int fd)
{
	const struct target *target = known_target(fd);

	if (known_has(fd, KNOWN_SIX))
		return AF_INET6;
	return target ? target->address.ss_family : AF_UNIX;
}

static int give(void *value, socklen_t *len, const void *from, size_t size)
{
	if (*len > size)
		*len = size;
	memcpy(value, from, *len);
	return 0;
}

static int give_number(void *value, socklen_t *len, int number)
{
	return give(value, len, &number, sizeof(number));
}

static int give_limit(void *value, socklen_t *len, int ms)
{
	const struct timeval limit = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	return give(value, len, &limit, sizeof(limit));
}

/* The error that a socket would have kept for this question, which asks for it once. */
static int pending_error(int fd)
{
	int ret = naming_collect(fd, false);

	if (!ret || ret == -EINPROGRESS || known_has(fd, KNOWN_TOLD))
		return 0;
	known_mark(fd, KNOWN_TOLD);
	return naming_errno(-ret);
}

static int get_socket(int fd, int name, void *value, socklen_t *len)
{
	/* Of a peer that is not known the kernel says the same; a number here would be a lie. */
	static const struct ucred unknown = { .pid = 0, .uid = -1, .gid = -1 };
	static const struct linger no_linger;

	switch (name) {
	case SO_ERROR:
		return give_number(value, len, pending_error(fd));
	case SO_TYPE:
		return give_number(value, len, SOCK_STREAM);
	case SO_DOMAIN:
		return give_number(value, len, family_of(fd));
	case SO_PROTOCOL:
		return give_number(value, len, family_of(fd) == AF_UNIX ? 0 : IPPROTO_TCP);
	case SO_SNDBUF:
	case SO_RCVBUF:
		return give_number(value, len, BUFFER_SIZE);
	case SO_RCVLOWAT:
	case SO_SNDLOWAT:
		return give_number(value, len, 1);
	case SO_ACCEPTCONN:
	case SO_KEEPALIVE:
	case SO_REUSEADDR:
	case SO_REUSEPORT:
	case SO_OOBINLINE:
	case SO_BROADCAST:
	case SO_DONTROUTE:
	case SO_PRIORITY:
	case SO_MARK:
	case SO_PASSCRED:
	case SO_TIMESTAMP:
	case SO_DEBUG:
		return give_number(value, len, 0);
	case SO_RCVTIMEO:
		return give_limit(value, len, limit_get(fd, LIMIT_IN));
	case SO_SNDTIMEO:
		return give_limit(value, len, limit_get(fd, LIMIT_OUT));
	case SO_LINGER:
		return give(value, len, &no_linger, sizeof(no_linger));
	case SO_PEERCRED:
		return give(value, len, &unknown, sizeof(unknown));
	default:
		return fail(ENOPROTOOPT);
	}
}

int option_get(int fd, int level, int name, void *value, socklen_t *len)
{
	if (level == SOL_SOCKET)
		return get_socket(fd, name, value, len);
	if (level == IPPROTO_TCP && name == TCP_NODELAY && family_of(fd) != AF_UNIX)
		return give_number(value, len, 1);
	return fail(family_of(fd) == AF_UNIX ? EOPNOTSUPP : ENOPROTOOPT);
}

/* A limit that the library cannot remember is refused: read() would not keep it. */
static int set_limit(int fd, enum limit_way way, const void *value, socklen_t len)
{
	struct timeval limit;

	if (len < sizeof(limit))
		return fail(EINVAL);
	memcpy(&limit, value, sizeof(limit));
	if (limit.tv_usec < 0 || limit.tv_usec >= 1000000)
		return fail(EDOM);
	if ((limit.tv_sec || limit.tv_usec) && !limit_fits(fd))
		return fail(EOPNOTSUPP);
	limit_set(fd, way, limit_of_time(&limit));
	return 0;
}

/* A close that cuts what was written is not to be had: close() is the kernel's own. */
static int set_linger(const void *value, socklen_t len)
{
	struct linger linger;

	if (len < sizeof(linger))
		return fail(EINVAL);
	memcpy(&linger, value, sizeof(linger));
	return linger.l_onoff && !linger.l_linger ? fail(EOPNOTSUPP) : 0;
}

static int set_socket(int fd, int name, const void *value, socklen_t len)
{
	switch (name) {
	case SO_RCVTIMEO:
		return set_limit(fd, LIMIT_IN, value, len);
	case SO_SNDTIMEO:
		return set_limit(fd, LIMIT_OUT, value, len);
	case SO_LINGER:
		return set_linger(value, len);
	/* Of no meaning for a channel, and harmless. */
	case SO_KEEPALIVE:
	case SO_REUSEADDR:
	case SO_REUSEPORT:
	case SO_OOBINLINE:
	case SO_BROADCAST:
	case SO_DONTROUTE:
	case SO_PRIORITY:
	case SO_SNDBUF:
	case SO_RCVBUF:
	case SO_RCVLOWAT:
	case SO_PASSCRED:
	case SO_BUSY_POLL:
	case SO_DEBUG:
		return len < sizeof(int) ? fail(EINVAL) : 0;
	default:
		return fail(ENOPROTOOPT);
	}
}

int option_set(int fd, int level, int name, const void *value, socklen_t len)
{
	if (level == SOL_SOCKET)
		return set_socket(fd, name, value, len);
	if (family_of(fd) == AF_UNIX)
		return fail(EOPNOTSUPP);
	/* Encryption by the kernel (TLS), which would change the bytes. */
	if (level == IPPROTO_TCP && (name == TCP_ULP || name == TCP_MD5SIG))
		return fail(ENOPROTOOPT);
	/*
	 * Delays, probes and classes of packets: a channel has no packets. A socket of IPv6
	 * that was connected to an address of IPv4 takes both levels.
	 */
	if (level == IPPROTO_TCP || level == IPPROTO_IP || level == IPPROTO_IPV6)
		return 0;
	return fail(ENOPROTOOPT);
}

static int give_address(const void *address, socklen_t size, struct sockaddr *to, socklen_t *len)
{
	memcpy(to, address, *len < size ? *len : size);
	*len = size;
	return 0;
}

/* A name for all addresses stands for the nearest. */
static struct sockaddr_storage near_address(const struct target *target)
{
	struct sockaddr_storage address = target->address;
	struct sockaddr_in *four = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;

	if (address.ss_family == AF_INET && four->sin_addr.s_addr == INADDR_ANY)
		four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (address.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
		six->sin6_addr = in6addr_loopback;
	return address;
}

/* As a socket of IPv6 has an address of IPv4. */
static int give_mapped(const struct sockaddr_in *four, struct sockaddr *to, socklen_t *len)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = four->sin_port };

	six.sin6_addr.s6_addr16[5] = 0xffff;
	six.sin6_addr.s6_addr32[3] = four->sin_addr.s_addr;
	return give_address(&six, sizeof(six), to, len);
}

static int give_unnamed(struct sockaddr *to, socklen_t *len)
{
	static const sa_family_t family = AF_UNIX;

	return give_address(&family, sizeof(family), to, len);
}

int option_peer(int fd, struct sockaddr *address, socklen_t *len)
{
	const struct target *target = known_target(fd);
	struct sockaddr_storage peer;
	int ret = naming_collect(fd, false);

	/* Programs that ask for the peer to learn how a connect() went. */
	if (ret && ret != -ECONNRESET)
		return fail(ENOTCONN);
	if (!target)
		return give_unnamed(address, len);
	peer = near_address(target);
	if (known_has(fd, KNOWN_SIX))
		return give_mapped((struct sockaddr_in *)&peer, address, len);
	return give_address(&peer, target->len, address, len);
}

int option_self(int fd, struct sockaddr *address, socklen_t *len)
{
	const struct target *target = known_target(fd);
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };

	four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!target || target->address.ss_family == AF_UNIX)
		return give_unnamed(address, len);
	if (known_has(fd, KNOWN_SIX))
		return give_mapped(&four, address, len);
	return target->address.ss_family == AF_INET ?
		give_address(&four, sizeof(four), address, len) :
		give_address(&six, sizeof(six), address, len);
}
