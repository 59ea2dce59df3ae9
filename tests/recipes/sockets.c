// SPDX-License-Identifier: MIT
/*
 * usage: sockets CHECK ADDRESS    (unix:PATH or tcp:PORT of 127.0.0.1; what else there is: see
 * the checks)
 *
 * Socket calls of a program that knows nothing of channels, on one connection to a service. Run
 * over a real socket and over a channel each check must hold: status 0.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 60000

#define must(condition) \
	((condition) ? (void)0 : fail(__LINE__, #condition))

static const char *address_text;
static char *self;
static volatile sig_atomic_t pipe_signals;

static void fail(int line, const char *what)
{
	fprintf(stderr, "sockets.c:%d: %s (%s)\n", line, what, strerror(errno));
	exit(1);
}

static socklen_t address_of(const char *text, struct sockaddr_storage *storage)
{
	struct sockaddr_un *local = (struct sockaddr_un *)storage;
	struct sockaddr_in *four = (struct sockaddr_in *)storage;

	memset(storage, 0, sizeof(*storage));
	if (!strncmp(text, "unix:", 5)) {
		local->sun_family = AF_UNIX;
		strcpy(local->sun_path, text + 5);
		if (text[5] == '@')
			local->sun_path[0] = '\0';
		return offsetof(struct sockaddr_un, sun_path) + strlen(text + 5) +
		       (text[5] != '@');
	}
	four->sin_family = AF_INET;
	four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	four->sin_port = htons(atoi(text + 4));
	return sizeof(*four);
}

static int new_socket(int flags)
{
	int fd = socket(address_text[0] == 'u' ? AF_UNIX : AF_INET, SOCK_STREAM | flags, 0);

	must(fd >= 0);
	return fd;
}

static int connect_to(int fd, const char *text)
{
	struct sockaddr_storage address;
	socklen_t len = address_of(text, &address);

	return connect(fd, (struct sockaddr *)&address, len);
}

static int connected(void)
{
	int fd = new_socket(0);

	must(!connect_to(fd, address_text));
	return fd;
}

static void wait_for(int fd, short events)
{
	struct pollfd item = { .fd = fd, .events = events };

	must(poll(&item, 1, LIMIT_MS) == 1);
	must(item.revents & events);
}

static int option(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	must(!getsockopt(fd, level, name, &value, &len) && len == sizeof(int));
	return value;
}

/* ---- a service that echoes ---- */

static void check_names(void)
{
	struct sockaddr_storage address, peer = { 0 }, own = { 0 };
	bool is_unix = address_text[0] == 'u';
	int fd = connected(), one = 1;
	socklen_t len = address_of(address_text, &address), peer_len = sizeof(peer);
	socklen_t own_len = sizeof(own);
	struct ucred user;

	must(!getpeername(fd, (struct sockaddr *)&peer, &peer_len));
	must(peer_len == len && !memcmp(&peer, &address, len));
	must(!getsockname(fd, (struct sockaddr *)&own, &own_len));
	must(own.ss_family == address.ss_family);
	must(option(fd, SOL_SOCKET, SO_ERROR) == 0);
	must(option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
	must(option(fd, SOL_SOCKET, SO_DOMAIN) == address.ss_family);
	must(option(fd, SOL_SOCKET, SO_PROTOCOL) == (is_unix ? 0 : IPPROTO_TCP));
	must(option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 0);
	must(option(fd, SOL_SOCKET, SO_SNDBUF) > 0);
	must(!setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)));
	must(!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof(one)));
	must(!is_unix == !setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	if (!is_unix)
		must(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
	len = sizeof(user);
	must(!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &len) && len == sizeof(user));
	must(connect_to(fd, address_text) < 0 && errno == EISCONN);
}

static void must_get(int fd, const char *text)
{
	char buf[100];
	size_t done = 0;
	ssize_t ret;

	while (done < strlen(text)) {
		ret = recv(fd, buf + done, sizeof(buf) - done, 0);
		must(ret > 0);
		done += ret;
	}
	must(done == strlen(text) && !memcmp(buf, text, done));
}

static void check_calls(void)
{
	char first[4], second[100] = "";
	struct iovec out[2] = { { "ab", 2 }, { "cd", 2 } };
	struct iovec in[2] = { { first, 4 }, { second, sizeof(second) } };
	struct mmsghdr messages[2] = { { .msg_hdr = { .msg_iov = out, .msg_iovlen = 2 } },
				       { .msg_hdr = { .msg_iov = out, .msg_iovlen = 1 } } };
	struct msghdr message = { .msg_iov = in, .msg_iovlen = 2 };
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int fd = connected();

	must(send(fd, "send", 4, 0) == 4);
	must_get(fd, "send");
	must(sendto(fd, "sendto", 6, MSG_NOSIGNAL, NULL, 0) == 6);
	must(recvfrom(fd, second, 6, MSG_WAITALL, (struct sockaddr *)&address, &len) == 6);
	must(!memcmp(second, "sendto", 6));
	must(sendmsg(fd, &messages[0].msg_hdr, MSG_NOSIGNAL) == 4);
	must_get(fd, "abcd");
	must(sendmmsg(fd, messages, 2, 0) == 2 && messages[0].msg_len == 4 &&
	     messages[1].msg_len == 2);
	must_get(fd, "abcdab");
	must(send(fd, "123456789", 9, MSG_MORE) == 9);
	in[1].iov_len = 5;
	must(recvmsg(fd, &message, MSG_WAITALL) == 9 && !message.msg_flags);
	must(!memcmp(first, "1234", 4) && !memcmp(second, "56789", 5));
	must(write(fd, "write", 5) == 5);
	must(read(fd, second, 5) > 0);
}

static void check_dontwait(void)
{
	int fd = connected(), bytes = 0;
	char buf[10];

	must(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno == EAGAIN);
	must(recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN);
	must(send(fd, "x", 1, MSG_DONTWAIT) == 1);
	wait_for(fd, POLLIN);
	must(!ioctl(fd, FIONREAD, &bytes) && bytes == 1);
	must(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == 1);
	/* The descriptor itself still waits. */
	must(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
}

static void check_peek(void)
{
	struct msghdr message = { 0 };
	int fd = connected();
	char buf[200];
	struct iovec iov = { buf, 7 };

	must(send(fd, "whole", 5, 0) == 5);
	/* Waits for the first byte, and takes none. */
	must(recv(fd, buf, 1, MSG_PEEK) == 1 && buf[0] == 'w');
	while (recv(fd, buf, sizeof(buf), MSG_PEEK) < 5)
		continue;
	must(!memcmp(buf, "whole", 5));
	wait_for(fd, POLLIN);
	must(send(fd, " story", 6, 0) == 6);
	/* More comes behind what was peeked at, and nothing was read. */
	while (recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT) < 11)
		continue;
	must(!memcmp(buf, "whole story", 11));
	message.msg_iov = &iov;
	message.msg_iovlen = 1;
	must(recvmsg(fd, &message, MSG_PEEK) == 7 && !memcmp(buf, "whole s", 7));
	must(recv(fd, buf, 3, 0) == 3);
	must(recv(fd, buf, sizeof(buf), MSG_PEEK) == 8);
	must_get(fd, "le story");
	must(!shutdown(fd, SHUT_WR));
	must(recv(fd, buf, sizeof(buf), MSG_PEEK) == 0);
	must(recv(fd, buf, sizeof(buf), 0) == 0);
}

static void check_nonblock(void)
{
	int fd = new_socket(SOCK_NONBLOCK | SOCK_CLOEXEC), ret = connect_to(fd, address_text);
	char buf[10];

	must(!ret || errno == EINPROGRESS);
	wait_for(fd, POLLOUT);
	must(option(fd, SOL_SOCKET, SO_ERROR) == 0);
	must(fcntl(fd, F_GETFL) & O_NONBLOCK);
	must(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	must(recv(fd, buf, sizeof(buf), 0) < 0 && errno == EAGAIN);
	must(send(fd, "later", 5, 0) == 5);
	wait_for(fd, POLLIN);
	must(recv(fd, buf, sizeof(buf), MSG_WAITALL) > 0);
}

/* As nginx does: the socket is in the set before it is connected. */
static void check_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x1234567890 };
	int set = epoll_create1(EPOLL_CLOEXEC), fd = new_socket(SOCK_NONBLOCK), ret;

	must(set >= 0 && !epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	ret = connect_to(fd, address_text);
	must(!ret || errno == EINPROGRESS);
	wait_for(fd, POLLOUT);
	must(send(fd, "event", 5, 0) == 5);
	do {
		must(epoll_wait(set, &event, 1, LIMIT_MS) == 1);
		must(event.data.u64 == 0x1234567890);
	} while (!(event.events & EPOLLIN));
	must_get(fd, "event");
	must(!epoll_ctl(set, EPOLL_CTL_MOD, fd, &event));
	must(!epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL));
}

/* A child has the connection, and a program that the child starts. */
static void check_children(void)
{
	int fd = connected(), copy = dup(fd), status;
	char number[20];
	pid_t pid = fork();

	must(pid >= 0);
	if (!pid) {
		must(send(copy, "child", 5, MSG_NOSIGNAL) == 5);
		snprintf(number, sizeof(number), "%d", fd);
		execl(self, self, "inherited", number, NULL);
		_exit(9);
	}
	must(waitpid(pid, &status, 0) == pid && !status);
	must_get(fd, "more");
}

static void check_inherited(void)
{
	int fd = atoi(address_text);

	must(option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
	must_get(fd, "child");
	must(send(fd, "more", 4, MSG_NOSIGNAL) == 4);
}

#define BULK (4 << 20)

static unsigned char byte_at(size_t i)
{
	return i * 7 + i / 251;
}

static void *send_bulk(void *of)
{
	unsigned char buf[10000];
	size_t done = 0;

	while (done < BULK) {
		size_t len = BULK - done < sizeof(buf) ? BULK - done : sizeof(buf);

		for (size_t i = 0; i < len; i++)
			buf[i] = byte_at(done + i);
		must(send(*(int *)of, buf, len, MSG_NOSIGNAL) == (ssize_t)len);
		done += len;
	}
	must(!shutdown(*(int *)of, SHUT_WR));
	return NULL;
}

/* Both ways at once, a thread each, in pieces that no single read brings. */
static void check_threads(void)
{
	static unsigned char buf[BULK / 4];
	int fd = connected();
	pthread_t thread;
	size_t done = 0;
	ssize_t ret;

	must(!pthread_create(&thread, NULL, send_bulk, &fd));
	while ((ret = recv(fd, buf, sizeof(buf), MSG_WAITALL)) > 0) {
		must(ret == sizeof(buf));
		for (ssize_t i = 0; i < ret; i++)
			must(buf[i] == byte_at(done++));
	}
	must(!ret && done == BULK);
	must(!pthread_join(thread, NULL));
}

static volatile bool was_cleaned;

static void note_cleaning(void *unused)
{
	(void)unused;
	was_cleaned = true;
}

static void *recv_for_ever(void *of)
{
	char byte;

	pthread_cleanup_push(note_cleaning, NULL);
	recv(*(int *)of, &byte, 1, 0);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *send_for_ever(void *of)
{
	static char zeros[65536];

	while (send(*(int *)of, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0)
		continue;
	return NULL;
}

static void must_cancel(void *(*run)(void *), int *fd)
{
	pthread_t thread;
	void *value;

	must(!pthread_create(&thread, NULL, run, fd));
	must(!pthread_cancel(thread));
	must(!pthread_join(thread, &value) && value == PTHREAD_CANCELED);
}

/* Threads that wait for bytes and for room; whatever was sent is still on its way. */
static void check_cancel(void)
{
	int fd = connected();

	must_cancel(recv_for_ever, &fd);
	must(was_cleaned);
	must(send(fd, "still", 5, 0) == 5);
	must_get(fd, "still");
	must_cancel(send_for_ever, &fd);
}

static void check_descriptors(void)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd = connected();

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	must(sendmsg(fd, &message, 0) < 0 && errno == EBADMSG);
	must(send(fd, "whole", 5, 0) == 5);
	must_get(fd, "whole");
}

/* Calls with a limit of time, which is given before connect(), and again after it. */
static void check_limits(void)
{
	struct timeval limit = { .tv_usec = 100000 }, none = { 0 }, is = { 0 };
	struct iovec iov[2];
	socklen_t len = sizeof(is);
	int fd = new_socket(0);
	char buf[10];

	iov[0] = iov[1] = (struct iovec){ buf, 5 };
	must(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	must(!connect_to(fd, address_text));
	must(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	must(!getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &is, &len) && len == sizeof(is));
	must(!is.tv_sec && is.tv_usec >= 100000);
	must(recv(fd, buf, sizeof(buf), 0) < 0 && errno == EAGAIN);
	must(read(fd, buf, sizeof(buf)) < 0 && errno == EAGAIN);
	must(readv(fd, iov, 2) < 0 && errno == EAGAIN);
	must(recv(fd, buf, 1, MSG_PEEK) < 0 && errno == EAGAIN);
	must(write(fd, "abc", 3) == 3);
	must(recv(fd, buf, sizeof(buf), MSG_WAITALL) == 3 && !memcmp(buf, "abc", 3));
	must(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)));
	must(write(fd, "abc", 3) == 3 && read(fd, buf, 1) == 1);
	must(recv(fd, buf, 2, MSG_WAITALL) == 2);
	limit.tv_sec = 30;
	must(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	must(!setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	must(write(fd, "late", 4) == 4 && recv(fd, buf, 4, MSG_WAITALL) == 4);
}

/* A close that cuts cannot be had. */
static void check_linger(void)
{
	struct linger cut = { .l_onoff = 1 };
	int fd = connected();

	must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut)) < 0 && errno == EOPNOTSUPP);
}

/* ---- the number of a channel, used again ---- */

static void on_pipe(int number)
{
	(void)number;
	pipe_signals++;
}

static void check_reuse(void)
{
	int fd = connected(), pair[2], pipes[2];
	char byte;

	must(send(fd, "x", 1, 0) == 1 && recv(fd, &byte, 1, 0) == 1);
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && !pipe(pipes));
	signal(SIGPIPE, on_pipe);
	must(dup2(pair[0], fd) == fd && !close(pair[0]));
	must(send(fd, "y", 1, 0) == 1 && recv(pair[1], &byte, 1, 0) == 1 && byte == 'y');
	must(option(fd, SOL_SOCKET, SO_DOMAIN) == AF_UNIX);
	must(!close(pair[1]));
	must(send(fd, "y", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE && !pipe_signals);
	must(send(fd, "y", 1, 0) < 0 && errno == EPIPE && pipe_signals == 1);
	fd = connected();
	must(send(fd, "x", 1, 0) == 1 && recv(fd, &byte, 1, 0) == 1);
	must(!close(fd) && dup2(pipes[0], fd) == fd);
	must(recv(fd, &byte, 1, 0) < 0 && errno == ENOTSOCK);
	must(shutdown(fd, SHUT_RD) < 0 && errno == ENOTSOCK);
}

/* ---- other services ---- */

/* ADDRESS is sha256sum: it answers once it has the end. */
static void check_halves(void)
{
	static char zeros[1 << 20];
	int fd = connected();
	char line[200];
	size_t done = 0;
	ssize_t ret;

	signal(SIGPIPE, on_pipe);
	for (size_t sent = 0; sent < sizeof(zeros); sent += ret)
		must((ret = send(fd, zeros + sent, sizeof(zeros) - sent, 0)) > 0);
	must(!shutdown(fd, SHUT_WR));
	must(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE && !pipe_signals);
	must(send(fd, "x", 1, 0) < 0 && errno == EPIPE && pipe_signals == 1);
	must(write(fd, "x", 1) < 0 && errno == EPIPE && pipe_signals == 2);
	while ((ret = recv(fd, line + done, sizeof(line) - done, 0)) > 0)
		done += ret;
	must(!ret && done > 64);
	must(!memcmp(line, "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58", 64));
	must(!shutdown(fd, SHUT_RD));
}

/* ADDRESS takes nothing. */
static void check_full(void)
{
	static char zeros[65536];
	int fd = connected();
	ssize_t ret;

	while ((ret = send(fd, zeros, sizeof(zeros), MSG_DONTWAIT)) > 0)
		continue;
	must(ret < 0 && errno == EAGAIN);
	must(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
}

/* ADDRESS takes nothing: what there is room for is taken, then nothing within the limit. */
static void check_full_limits(void)
{
	struct timeval limit = { .tv_usec = 100000 };
	static char zeros[4 << 20];
	struct iovec iov[2] = { { zeros, 7 }, { zeros, sizeof(zeros) } };
	int fd = connected();
	ssize_t ret;

	must(!setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	ret = writev(fd, iov, 2);
	must(ret > 7 && ret < (ssize_t)sizeof(zeros));
	while ((ret = send(fd, zeros, sizeof(zeros), 0)) > 0)
		continue;
	must(ret < 0 && errno == EAGAIN);
	must(write(fd, zeros, sizeof(zeros)) < 0 && errno == EAGAIN);
}

/* ADDRESS has =ERRNO behind it: what connect() gives, each way. The socket can be used again. */
static void check_refused(void)
{
	char *equals = strrchr(address_text, '='), path[100];
	struct pollfd item = { .events = POLLOUT };
	int error = atoi(equals + 1), fd, ret;

	snprintf(path, sizeof(path), "%.*s", (int)(equals - address_text), address_text);
	fd = new_socket(0);
	must(connect_to(fd, path) < 0 && errno == error);
	must(!connect_to(fd, address_text[0] == 'u' ? "unix:/run/echo.sock" : "tcp:7000"));
	must(send(fd, "again", 5, 0) == 5);
	must_get(fd, "again");
	fd = new_socket(SOCK_NONBLOCK);
	ret = connect_to(fd, path);
	must(ret < 0 && (errno == error || errno == EINPROGRESS));
	if (errno == EINPROGRESS) {
		item.fd = fd;
		must(poll(&item, 1, LIMIT_MS) == 1);
		must(option(fd, SOL_SOCKET, SO_ERROR) == error);
	}
}

/* ADDRESS answers once the service "go" was asked: connect() must not wait for it. */
static void check_late(void)
{
	int fd = new_socket(SOCK_NONBLOCK), plain = new_socket(SOCK_NONBLOCK);
	char bytes[4];

	must(connect_to(fd, address_text) < 0 && errno == EINPROGRESS);
	must(connect_to(fd, address_text) < 0 && errno == EALREADY);
	must(connect_to(plain, address_text) < 0 && errno == EINPROGRESS);
	must(write(plain, "x", 1) < 0 && errno == EAGAIN);
	must(option(fd, SOL_SOCKET, SO_ERROR) == 0);
	must(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EAGAIN);
	must(!system("manyport connect -n go"));
	wait_for(fd, POLLOUT);
	/* Nothing has asked yet how it stands, and the bytes are those of the service's name. */
	must(send(fd, "late", 4, MSG_NOSIGNAL) == 4);
	wait_for(fd, POLLIN);
	must(recv(fd, bytes, 4, 0) == 4 && !memcmp(bytes, "late", 4));
	must(option(fd, SOL_SOCKET, SO_ERROR) == 0);
	/* The server has a client at a time. */
	wait_for(plain, POLLOUT);
	must(write(plain, "late", 4) == 4 && !close(fd));
	wait_for(plain, POLLIN);
	must(read(plain, bytes, 4) == 4 && !memcmp(bytes, "late", 4));
}

/* ADDRESS is like that, and refuses once the service "end" was asked. */
static void check_gone(void)
{
	int asks = new_socket(SOCK_NONBLOCK), connects = new_socket(SOCK_NONBLOCK);

	must(connect_to(asks, address_text) < 0 && errno == EINPROGRESS);
	must(connect_to(connects, address_text) < 0 && errno == EINPROGRESS);
	must(!system("manyport connect -n end"));
	wait_for(asks, POLLOUT);
	must(option(asks, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
	must(option(asks, SOL_SOCKET, SO_ERROR) == 0);
	wait_for(connects, POLLOUT);
	must(connect_to(connects, address_text) < 0 && errno == ECONNREFUSED);
	must(option(connects, SOL_SOCKET, SO_ERROR) == 0);
	must(!connect_to(asks, "tcp:7000") || errno == EINPROGRESS);
	must(!connect_to(connects, "tcp:7000") || errno == EINPROGRESS);
	wait_for(asks, POLLOUT);
	must(send(asks, "ask", 3, 0) == 3);
	wait_for(asks, POLLIN);
	must_get(asks, "ask");
	wait_for(connects, POLLOUT);
	must(send(connects, "connect", 7, 0) == 7);
	wait_for(connects, POLLIN);
	must_get(connects, "connect");
	must(option(asks, SOL_SOCKET, SO_ERROR) == 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} checks[] = {
	{ "names", check_names }, { "calls", check_calls }, { "dontwait", check_dontwait },
	{ "peek", check_peek }, { "nonblock", check_nonblock }, { "epoll", check_epoll },
	{ "children", check_children }, { "inherited", check_inherited },
	{ "threads", check_threads }, { "cancel", check_cancel },
	{ "descriptors", check_descriptors },
	{ "limits", check_limits }, { "linger", check_linger }, { "reuse", check_reuse },
	{ "halves", check_halves }, { "full", check_full }, { "full-limits", check_full_limits },
	{ "refused", check_refused }, { "late", check_late }, { "gone", check_gone },
};

int main(int argc, char **argv)
{
	self = argv[0];
	must(argc == 3);
	address_text = argv[2];
	alarm(LIMIT_MS / 1000);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (!strcmp(checks[i].name, argv[1])) {
			checks[i].run();
			return 0;
		}
	fprintf(stderr, "no check %s\n", argv[1]);
	return 2;
}
