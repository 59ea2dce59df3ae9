// SPDX-License-Identifier: MIT
/*
 * The library of manyport run, in this very program: which connect() becomes a channel, and what
 * becomes of the socket. The port is /dev/zero, whose ioctls the test answers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <manyport/client.h>

#include "run_env.h"

#define SOCKETS "unix:/run/a.sock\nalpha\n" "unix:@abstract\nbeta\n" "tcp:127.0.0.1:7000\ngamma\n" \
	"tcp:0.0.0.0:7001\ndelta\n" "tcp:[::1]:7002\nepsilon\n"

/* Of each naming call: the errno, or 0; the last one stays. */
static const int *script;
static char named[MANYPORT_NAME_SIZE];
static unsigned int state;
static int namings;
static void (*while_naming)(void);	/* what another thread does before the answer */

/* The driver has no bytes, and no room: every call that waits would do so for ever. */
static bool is_stuck;
static int transfers;
static bool wants_collected;		/* SEND before the name is collected may lose the bytes */

static bool others_lack_ioctl;
static unsigned int takes;		/* not 0: so many bytes of each send */

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __real_ioctl(int fd, unsigned long request, void *arg);

static int answer_name(const struct manyport_connect *connect)
{
	int error = *script;

	namings++;
	if (while_naming)
		while_naming();
	if (script[1] >= 0)
		script++;
	strcpy(named, connect->name);
	state = !error ? MANYPORT_CONNECTED :
		error == EINPROGRESS ? MANYPORT_CONNECTING : MANYPORT_REFUSED;
	errno = error;
	return error ? -1 : 0;
}

static int answer_transfer(const struct manyport_transfer *transfer)
{
	transfers++;
	if (!(transfer->flags & MANYPORT_TRANSFER_NOWAIT))
		fail_msg("a call with a limit waits in the driver");
	errno = EAGAIN;
	return -1;
}

static bool is_port(int fd)
{
	char path[40], target[40] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 && !strcmp(target, "/dev/zero");
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	struct manyport_info *info = arg;

	if (!is_port(fd)) {
		/* As a socket of AF_VSOCK, and of some others. */
		errno = EOPNOTSUPP;
		return others_lack_ioctl ? -1 : __real_ioctl(fd, request, arg);
	}
	if (request == MANYPORT_IOC_CONNECT)
		return answer_name(arg);
	if (request == MANYPORT_IOC_INFO) {
		*info = (struct manyport_info){ .state = state, .error = ECONNREFUSED };
		strcpy(info->service, named);
		return 0;
	}
	if (wants_collected && request == MANYPORT_IOC_SEND)
		assert_int_equal(state, MANYPORT_CONNECTED);
	if (takes && request == MANYPORT_IOC_SEND)
		return takes;
	if (is_stuck && (request == MANYPORT_IOC_SEND || request == MANYPORT_IOC_RECV))
		return answer_transfer(arg);
	errno = ENOTTY;
	return -1;
}

static void answer(const int *errors)
{
	script = errors;
	named[0] = '\0';
	state = MANYPORT_UNNAMED;
	namings = 0;
}

static const int good[] = { 0, -1 };

static int connect_unix(int fd, const char *path, size_t len)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, path, len);
	return connect(fd, (struct sockaddr *)&address,
		       offsetof(struct sockaddr_un, sun_path) + len);
}

static int connect_tcp(int fd, const char *host, int port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, host, &four.sin_addr) == 1)
		return connect(fd, (struct sockaddr *)&four, sizeof(four));
	assert_int_equal(inet_pton(AF_INET6, host, &six.sin6_addr), 1);
	return connect(fd, (struct sockaddr *)&six, sizeof(six));
}

/* Is @path the service's? Else the kernel answers. */
static const char *service_of_path(const char *path, size_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), ret;

	answer(good);
	ret = connect_unix(fd, path, len);
	assert_int_equal(!ret, is_port(fd));
	close(fd);
	return named;
}

static void paths(void **unused)
{
	(void)unused;
	assert_string_equal(service_of_path("/run/a.sock", 12), "alpha");
	assert_string_equal(service_of_path("/run/a.sock", 11), "alpha");	/* no NUL */
	assert_string_equal(service_of_path("/run//./a.sock", 15), "alpha");
	assert_int_equal(chdir("/run"), 0);
	assert_string_equal(service_of_path("a.sock", 7), "alpha");
	assert_string_equal(service_of_path("./a.sock", 9), "alpha");
	assert_int_equal(chdir("/"), 0);
	assert_string_equal(service_of_path("a.sock", 7), "");
	assert_string_equal(service_of_path("/run/a.sock2", 13), "");
	/* Links are followed, where the folder is there. */
	assert_string_equal(service_of_path("/proc/self/root/run/a.sock", 27), "alpha");
	assert_string_equal(service_of_path("/run/../run/a.sock", 19), "alpha");
	assert_string_equal(service_of_path("/proc/a.sock", 13), "");
	assert_string_equal(service_of_path("/nowhere/a.sock", 16), "");
	assert_string_equal(service_of_path("\0abstract", 9), "beta");
	assert_string_equal(service_of_path("\0abstract\0", 10), "");
	assert_string_equal(service_of_path("abstract", 9), "");
}

static const char *service_of_tcp(int family, const char *host, int port)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0), ret;

	answer(good);
	ret = connect_tcp(fd, host, port);
	assert_int_equal(!ret, is_port(fd));
	close(fd);
	return named;
}

static void addresses(void **unused)
{
	(void)unused;
	assert_string_equal(service_of_tcp(AF_INET, "127.0.0.1", 7000), "gamma");
	assert_string_equal(service_of_tcp(AF_INET, "127.0.0.2", 7000), "");
	assert_string_equal(service_of_tcp(AF_INET, "127.0.0.2", 7001), "delta");
	assert_string_equal(service_of_tcp(AF_INET6, "::ffff:127.0.0.1", 7000), "gamma");
	assert_string_equal(service_of_tcp(AF_INET6, "::1", 7000), "");
	assert_string_equal(service_of_tcp(AF_INET6, "::1", 7002), "epsilon");
	assert_string_equal(service_of_tcp(AF_INET, "127.0.0.1", 7002), "");
}

static void other_sockets(void **unused)
{
	int datagram = socket(AF_UNIX, SOCK_DGRAM, 0), pair[2];

	(void)unused;
	answer(good);
	assert_int_equal(connect_unix(datagram, "/run/a.sock", 12), -1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(connect_unix(pair[0], "/run/a.sock", 12), -1);
	assert_int_equal(connect_unix(-1, "/run/a.sock", 12), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(namings, 0);
	close(datagram);
	close(pair[0]);
	close(pair[1]);
}

static void refusals(void **unused)
{
	static const struct { int error, is; } table[] = {
		{ ENOENT, ECONNREFUSED }, { EBUSY, ECONNREFUSED }, { ECONNREFUSED, ECONNREFUSED },
		{ ENODEV, ECONNREFUSED }, { EACCES, EACCES }, { ETIMEDOUT, ETIMEDOUT },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0), errors[] = { table[i].error, -1 };

		answer(errors);
		assert_int_equal(connect_unix(fd, "/run/a.sock", 12), -1);
		assert_int_equal(errno, table[i].is);
		/* The socket is what it was. */
		assert_false(is_port(fd));
		answer(good);
		assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
		close(fd);
	}
}

static int pending(int fd)
{
	socklen_t len = sizeof(int);
	int error = -1;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	return error;
}

/* The answer comes after connect() has returned: to SO_ERROR, or to another connect(). */
static void late_answers(void **unused)
{
	static const int accepted[] = { EINPROGRESS, EINPROGRESS, EINPROGRESS, 0, EISCONN, -1 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)unused;
	answer(accepted);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), -1);
	assert_int_equal(errno, EINPROGRESS);
	assert_true(is_port(fd));
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), -1);
	assert_int_equal(errno, EALREADY);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), -1);
	assert_int_equal(errno, EISCONN);
	close(fd);
}

static const int begun[] = { EINPROGRESS, EINPROGRESS, -1 };

/* Begins to connect; the service refuses once connect() has returned. */
static int refused_late(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	answer(begun);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), -1);
	assert_int_equal(errno, EINPROGRESS);
	assert_int_equal(pending(fd), 0);
	state = MANYPORT_REFUSED;
	return fd;
}

/* The error is given once, by SO_ERROR or by connect(), and the next connect() is a new one. */
static void late_refusals(void **unused)
{
	int fd = refused_late();

	(void)unused;
	assert_int_equal(pending(fd), ECONNREFUSED);
	assert_int_equal(pending(fd), 0);
	script = good;
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	assert_int_equal(namings, 3);
	assert_int_equal(pending(fd), 0);
	close(fd);
	fd = refused_late();
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(pending(fd), 0);
	script = good;
	assert_int_equal(connect_unix(fd, "\0abstract", 9), 0);
	assert_string_equal(named, "beta");
	close(fd);
}

/* Whatever is sent, the answer to the name is collected before: the bytes may be the name. */
static void bytes_like_the_name(void **unused)
{
	static const int answered[] = { EINPROGRESS, EINPROGRESS, EINPROGRESS, 0, -1 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)unused;
	answer(answered);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), -1);
	wants_collected = true;
	takes = 5;
	assert_int_equal(send(fd, "alpha", 5, 0), -1);
	assert_int_equal(errno, EAGAIN);
	state = MANYPORT_CONNECTED;
	assert_int_equal(send(fd, "alpha", 5, 0), 5);
	assert_int_equal(namings, 4);
	assert_int_equal(send(fd, "alpha", 5, 0), 5);
	assert_int_equal(namings, 4);
	wants_collected = false;
	takes = 0;
	close(fd);
}

/* As a socket's, a connect() that a signal has ended goes on, and must not be begun again. */
static void signals(void **unused)
{
	static const int interrupted[] = { EINTR, 0, -1 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)unused;
	answer(interrupted);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), -1);
	assert_int_equal(errno, EINTR);
	assert_true(is_port(fd));
	close(fd);
}

static void flags_stay(void **unused)
{
	int plain = socket(AF_INET, SOCK_STREAM, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)unused;
	answer(good);
	assert_int_equal(connect_tcp(fd, "127.0.0.1", 7000), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(connect_tcp(plain, "127.0.0.1", 7000), 0);
	assert_int_equal(fcntl(plain, F_GETFD), 0);
	assert_false(fcntl(plain, F_GETFL) & O_NONBLOCK);
	close(fd);
	close(plain);
}

/* Programs by the thousand: no descriptor is left. */
static void nothing_leaks(void **unused)
{
	static const int errors[] = { ECONNREFUSED, -1 };
	int before = dup(0), after;

	(void)unused;
	close(before);
	for (int i = 0; i < 20; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		answer(i % 2 ? good : errors);
		connect_unix(fd, "/run/a.sock", 12);
		close(fd);
	}
	after = dup(0);
	assert_int_equal(after, before);
	close(after);
}

static int number;

static void close_number(void)
{
	close(number);
}

static void use_number_again(void)
{
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(dup2(pipes[0], number), number);
	close(pipes[0]);
	close(pipes[1]);
}

/* Another thread closes the socket while the service is asked: the number is not ours any more. */
static void closed_meanwhile(void **unused)
{
	struct stat status;

	(void)unused;
	answer(good);
	number = socket(AF_UNIX, SOCK_STREAM, 0);
	while_naming = close_number;
	assert_int_equal(connect_unix(number, "/run/a.sock", 12), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(fcntl(number, F_GETFD), -1);
	assert_int_equal(socket(AF_UNIX, SOCK_STREAM, 0), number);
	while_naming = use_number_again;
	assert_int_equal(connect_unix(number, "/run/a.sock", 12), -1);
	while_naming = NULL;
	assert_int_equal(fstat(number, &status), 0);
	assert_true(S_ISFIFO(status.st_mode));
	close(number);
}

/* A set that has the socket gets what takes its place; one that had the number before does not. */
static void epoll_sets(void **unused)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 7 };
	int set = epoll_create1(0), fd = socket(AF_UNIX, SOCK_STREAM, 0), pair[2];

	(void)unused;
	answer(good);
	assert_int_equal(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
	/* /dev/zero cannot be in a set: that it was tried is seen by the socket's going. */
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	assert_int_equal(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL), -1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event), 0);
	close(pair[0]);
	assert_int_equal(socket(AF_UNIX, SOCK_STREAM, 0), pair[0]);
	assert_int_equal(connect_unix(pair[0], "/run/a.sock", 12), 0);
	assert_int_equal(epoll_wait(set, &event, 1, 0), 0);
	close(fd);
	close(pair[0]);
	close(pair[1]);
	close(set);
}

/* The number of a channel is used again behind the library's back. */
static void numbers_come_again(void **unused)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), pipes[2];
	char bytes[4] = "xyz";

	(void)unused;
	answer(good);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	assert_int_equal(recv(fd, bytes, 4, 0), 4);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(dup2(pipes[0], fd), fd);
	assert_int_equal(write(pipes[1], "p", 1), 1);
	assert_int_equal(recv(fd, bytes, 4, 0), -1);
	assert_int_equal(errno, ENOTSOCK);
	assert_int_equal(send(fd, bytes, 4, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, ENOTSOCK);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

/* A real socket has the number of a channel: descriptors pass, and no error of ours is seen. */
static void real_sockets_come_again(void **unused)
{
	char control[CMSG_SPACE(sizeof(int))] = "", bytes[2] = "xy";
	struct iovec iov[2] = { { bytes, 1 }, { bytes + 1, 1 } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), pair[2];

	(void)unused;
	answer(good);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(dup2(pair[0], fd), fd);
	*rights = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
				    .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(rights), &pair[1], sizeof(int));
	assert_int_equal(sendmsg(fd, &message, 0), 1);
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	assert_int_equal(dup2(pair[1], fd), fd);
	message = (struct msghdr){ .msg_iov = iov, .msg_iovlen = 2 };
	assert_int_equal(recvmsg(fd, &message, MSG_PEEK), 1);
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	assert_int_equal(dup2(pair[1], fd), fd);
	others_lack_ioctl = true;
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(recv(fd, bytes, 1, 0), 1);
	others_lack_ioctl = false;
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

/* Of a message in several a part goes: those behind it do not. */
static void short_messages(void **unused)
{
	struct iovec iov = { (char[4]){ "abc" }, 4 };
	struct mmsghdr messages[2] = { { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } },
				       { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } } };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)unused;
	answer(good);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	takes = 4;
	assert_int_equal(sendmmsg(fd, messages, 2, 0), 2);
	takes = 3;
	assert_int_equal(sendmmsg(fd, messages, 2, 0), 1);
	assert_int_equal(messages[0].msg_len, 3);
	takes = 0;
	close(fd);
}

/* A socket of IPv6 with an address of IPv4 (Java's), and what must not be taken for done. */
static void options(void **unused)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	(void)unused;
	answer(good);
	assert_int_equal(connect_tcp(fd, "::ffff:127.0.0.1", 7000), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TOS, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4), -1);
	assert_int_equal(errno, ENOPROTOOPT);
	close(fd);
}

/* All that is said of that socket is of IPv6. */
static void mapped_names(void **unused)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0), domain = 0;
	struct sockaddr_in6 name = { 0 }, mapped = { .sin6_family = AF_INET6,
						     .sin6_port = htons(7000) };
	socklen_t len = sizeof(domain), size = sizeof(name);

	(void)unused;
	answer(good);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr), 1);
	assert_int_equal(connect_tcp(fd, "::ffff:127.0.0.1", 7000), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len), 0);
	assert_int_equal(domain, AF_INET6);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&name, &size), 0);
	assert_int_equal(size, sizeof(name));
	assert_memory_equal(&name, &mapped, sizeof(name));
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &size), 0);
	assert_int_equal(size, sizeof(name));
	mapped.sin6_port = 0;
	assert_memory_equal(&name, &mapped, sizeof(name));
	close(fd);
	/* The number's next channel is one of a socket of IPv4. */
	assert_int_equal(socket(AF_INET, SOCK_STREAM, 0), fd);
	assert_int_equal(connect_tcp(fd, "127.0.0.1", 7000), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len), 0);
	assert_int_equal(domain, AF_INET);
	close(fd);
}

static void must_give_up(ssize_t ret)
{
	assert_int_equal(ret, -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(transfers > 0);
	transfers = 0;
}

static void all_give_up(int fd)
{
	char bytes[4] = "";
	struct iovec iov = { bytes, 4 };

	is_stuck = true;
	must_give_up(recv(fd, bytes, 4, 0));
	must_give_up(recv(fd, bytes, 4, MSG_WAITALL));
	must_give_up(read(fd, bytes, 4));
	must_give_up(readv(fd, &iov, 1));
	must_give_up(send(fd, bytes, 4, 0));
	must_give_up(write(fd, bytes, 4));
	must_give_up(writev(fd, &iov, 1));
	is_stuck = false;
}

/* SO_RCVTIMEO and SO_SNDTIMEO, given before connect() and after, and to the number's next file. */
static void limits(void **unused)
{
	struct timeval limit = { .tv_usec = 20000 }, none = { 0 }, is = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), pipes[2];
	socklen_t len = sizeof(is);
	char bytes[4];

	(void)unused;
	answer(good);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	all_give_up(fd);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)), 0);
	assert_int_equal(read(fd, bytes, 4), 4);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &is, &len), 0);
	assert_memory_equal(&is, &limit, sizeof(is));
	all_give_up(fd);
	limit.tv_usec = 1000000;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), -1);
	assert_int_equal(errno, EDOM);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(dup2(pipes[0], fd), fd);
	assert_int_equal(write(pipes[1], "p", 1), 1);
	assert_int_equal(read(fd, bytes, 4), 1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(socket(AF_UNIX, SOCK_STREAM, 0), fd);
	assert_int_equal(connect_unix(fd, "/run/a.sock", 12), 0);
	assert_int_equal(read(fd, bytes, 4), 4);
	assert_int_equal(transfers, 0);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(addresses),
		cmocka_unit_test(other_sockets),
		cmocka_unit_test(refusals),
		cmocka_unit_test(late_answers),
		cmocka_unit_test(late_refusals),
		cmocka_unit_test(bytes_like_the_name),
		cmocka_unit_test(signals),
		cmocka_unit_test(flags_stay),
		cmocka_unit_test(nothing_leaks),
		cmocka_unit_test(closed_meanwhile),
		cmocka_unit_test(epoll_sets),
		cmocka_unit_test(numbers_come_again),
		cmocka_unit_test(real_sockets_come_again),
		cmocka_unit_test(short_messages),
		cmocka_unit_test(options),
		cmocka_unit_test(mapped_names),
		cmocka_unit_test(limits),
	};

	/* The library reads its environment before main(). */
	(void)argc;
	if (!getenv(RUN_SOCKETS_ENV)) {
		setenv(RUN_SOCKETS_ENV, SOCKETS, 1);
		setenv(RUN_PORT_ENV, "/dev/zero", 1);
		execv("/proc/self/exe", argv);
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
