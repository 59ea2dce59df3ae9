// SPDX-License-Identifier: MIT
/* Which connect() of a program becomes a channel, and what becomes of the socket. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload_rig.h"

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
	};

	(void)argc;
	if (!preload_begin(argv))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
