// SPDX-License-Identifier: MIT
/* The calls of a socket on what has its number: a channel, and what comes behind it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "preload_rig.h"

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
		cmocka_unit_test(numbers_come_again),
		cmocka_unit_test(real_sockets_come_again),
		cmocka_unit_test(short_messages),
		cmocka_unit_test(options),
		cmocka_unit_test(mapped_names),
		cmocka_unit_test(limits),
	};

	(void)argc;
	if (!preload_begin(argv))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
