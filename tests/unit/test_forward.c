// SPDX-License-Identifier: MIT
/*
 * manyport forward, without a guest: its channels are TCP or unix connections to a service
 * that a test plays itself, and an abort of such a channel is a reset. What is looked at is
 * the far end of each connection: how many bytes came, and whether an end or a reset.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/sockios.h>
#include <manyport/client.h>

#include "../../tools/manyport/tool.h"

/* ---- in place of the library and of main.c: in the process that forwards ---- */

static int service_family, service_listener, message_pipe[2];
static char unix_path[2][64];		/* of the service, of the forwarder */

static int dial(int family, const void *address, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, address, len))
		return -1;
	return fd;
}

static int dial_tcp(unsigned int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return dial(AF_INET, &address, sizeof(address));
}

static int dial_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, path);
	return dial(AF_UNIX, &address, sizeof(address));
}

static unsigned int port_of(int fd)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	return getsockname(fd, (struct sockaddr *)&address, &len) ? 0 : ntohs(address.sin_port);
}

int manyport_find(const char *port, char *path, unsigned long size)
{
	(void)port;
	snprintf(path, size, "stub");
	return 0;
}

int manyport_open(const char *port, const char *service, int flags)
{
	int fd = service_family == AF_INET ? dial_tcp(port_of(service_listener)) :
					     dial_unix(unix_path[0]);
	const int little = 32768;

	(void)port;
	(void)service;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
	return fd < 0 || fcntl(fd, F_SETFL, flags & O_NONBLOCK) ? -errno : fd;
}

int manyport_connect(int fd, const char *service)
{
	(void)fd;
	(void)service;
	return 0;
}

int manyport_shutdown(int fd, int how)
{
	return shutdown(fd, how) ? -errno : 0;
}

int manyport_abort(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	/* TCP sends a reset. */
	return connect(fd, &nobody, sizeof(nobody)) ? -errno : 0;
}

/* ---- the tests' side ---- */

struct relayed {
	pid_t forwarder;
	int client, service;
};

static pid_t start_forwarder(bool tcp)
{
	char listen[100];
	char *words[] = { "forward", "-L", listen, NULL };
	pid_t pid;

	if (tcp)
		strcpy(listen, "0:name");
	else
		snprintf(listen, sizeof(listen), "%s:name", unix_path[1]);
	assert_int_equal(pipe2(message_pipe, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);	/* it does not outlive a test that fails */
		dup2(message_pipe[1], STDERR_FILENO);
		_exit(run_forward(3, words));
	}
	return pid;
}

/* The TCP port in the line that says that a listener is there. */
static unsigned int await_listener(void)
{
	char line[200], *port;
	size_t len = 0;

	do {
		assert_int_equal(read(message_pipe[0], line + len, 1), 1);
	} while (line[len++] != '\n' && len < sizeof(line) - 1);
	line[len] = '\0';
	port = strstr(line, "TCP port ");
	return port ? atoi(port + 9) : 0;
}

static int listen_for(int family)
{
	struct sockaddr_in inet = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int little = 32768;

	strcpy(local.sun_path, unix_path[0]);
	assert_true(fd >= 0);
	/* Connections have it from here. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
	assert_int_equal(family == AF_INET ?
			 bind(fd, (struct sockaddr *)&inet, sizeof(inet)) :
			 bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
	assert_int_equal(listen(fd, 10), 0);
	return fd;
}

/* A connection of a client of family @client to a service of family @service. */
static struct relayed relay(int client, int service)
{
	struct relayed r;
	unsigned int port;

	for (int i = 0; i < 2; i++) {
		snprintf(unix_path[i], sizeof(unix_path[i]), "/tmp/test-forward.%d.%d", getpid(),
			 i);
		unlink(unix_path[i]);
	}
	service_family = service;
	service_listener = listen_for(service);
	r.forwarder = start_forwarder(client == AF_INET);
	port = await_listener();
	r.client = client == AF_INET ? dial_tcp(port) : dial_unix(unix_path[1]);
	assert_true(r.client >= 0);
	r.service = accept(service_listener, NULL, NULL);
	assert_true(r.service >= 0);
	return r;
}

static void end_forwarder(struct relayed *r)
{
	int status;

	assert_int_equal(kill(r->forwarder, SIGTERM), 0);
	assert_int_equal(waitpid(r->forwarder, &status, 0), r->forwarder);
	assert_int_equal(status, 0);
	r->forwarder = 0;
}

static void over(struct relayed *r)
{
	if (r->forwarder)
		end_forwarder(r);
	close(r->client);
	close(r->service);
	close(service_listener);
	close(message_pipe[0]);
	close(message_pipe[1]);
	unlink(unix_path[0]);
}

static void send_all(int fd, size_t len)
{
	static char buf[65536];
	ssize_t ret;

	for (; len; len -= ret) {
		ret = send(fd, buf, len < sizeof(buf) ? len : sizeof(buf), MSG_NOSIGNAL);
		assert_true(ret > 0);
	}
}

static void receive_all(int fd, size_t len)
{
	static char buf[65536];
	ssize_t ret;

	for (; len; len -= ret) {
		ret = recv(fd, buf, len < sizeof(buf) ? len : sizeof(buf), 0);
		assert_true(ret > 0);
	}
}

/* Reads until it is over. Returns 0 for an end, or errno; *bytes: how many came. */
static int read_over(int fd, size_t *bytes)
{
	static char buf[4096];
	ssize_t ret;

	*bytes = 0;
	while ((ret = recv(fd, buf, sizeof(buf), 0)) > 0)
		*bytes += ret;
	return ret < 0 ? errno : 0;
}

static void reset(int fd)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(fd);
}

/* Until nothing more goes in: the service does not read. Returns how much went. */
static size_t fill(int fd)
{
	static char buf[65536];
	struct timeval limit = { .tv_usec = 300 * 1000 };
	size_t len = 0;
	ssize_t ret;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	while ((ret = send(fd, buf, sizeof(buf), MSG_NOSIGNAL)) > 0)
		len += ret;
	assert_int_equal(errno, EAGAIN);
	return len;
}

/* All that was sent, the end of the stream too, is with the other side's kernel. */
static void await_acknowledged(int fd)
{
	int bytes = 1;

	while (bytes)
		assert_int_equal(ioctl(fd, SIOCOUTQ, &bytes), 0);
}

/* ---- a client that is reset ---- */

static void a_reset_is_passed_on(void **state)
{
	struct relayed r = relay(AF_INET, AF_INET);
	size_t bytes;

	(void)state;
	send_all(r.client, 50000);
	receive_all(r.service, 50000);
	reset(r.client);
	assert_int_equal(read_over(r.service, &bytes), ECONNRESET);
	assert_int_equal(bytes, 0);
	r.client = -1;
	over(&r);
}

static void a_reset_behind_a_stall(void **state)
{
	struct relayed r = relay(AF_INET, AF_INET);
	size_t len = fill(r.client), bytes;

	(void)state;
	reset(r.client);
	assert_int_equal(read_over(r.service, &bytes), ECONNRESET);
	assert_true(bytes <= len);
	r.client = -1;
	over(&r);
}

/* ---- a client that does not listen ---- */

#define UPLOAD 1500000
#define SOCKET_ROOM 150000	/* about; more than what lies between forwarder and service */

/*
 * Takes the upload, and says so for each piece, whether or not anybody listens. Not for the
 * last pieces: sockets in place of channels know no close that throws away what still comes,
 * so the forwarder must not be able to close before the last word.
 */
static size_t take_and_talk(int fd, int *error)
{
	static char buf[4096];
	size_t bytes = 0;
	ssize_t ret;

	while ((ret = recv(fd, buf, sizeof(buf), 0)) > 0) {
		bytes += ret;
		if (bytes < UPLOAD - 2 * SOCKET_ROOM &&
		    send(fd, "progress\n", 9, MSG_NOSIGNAL) != 9)
			break;
	}
	*error = ret ? errno : 0;
	return bytes;
}

static void upload_unheard(int client, int service)
{
	struct relayed r = relay(client, service);
	size_t bytes;
	pid_t pid = fork();
	int error;

	assert_true(pid >= 0);
	if (!pid) {
		/* Says its end, sees to it that it was heard, and leaves answers unread. */
		send_all(r.client, UPLOAD);
		shutdown(r.client, SHUT_WR);
		if (client == AF_INET)
			await_acknowledged(r.client);
		receive_all(r.client, 9);
		_exit(0);
	}
	close(r.client);
	bytes = take_and_talk(r.service, &error);
	assert_int_equal(error, 0);
	assert_int_equal(bytes, UPLOAD);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	r.client = -1;
	over(&r);
}

static void an_upload_unheard_arrives(void **state)
{
	(void)state;
	upload_unheard(AF_UNIX, AF_INET);
	upload_unheard(AF_UNIX, AF_UNIX);
	upload_unheard(AF_INET, AF_INET);
	upload_unheard(AF_INET, AF_UNIX);
}

/* As a client that was killed: nothing but a close, with answers unread. */
static void a_unix_client_that_goes_has_ended(void **state)
{
	struct relayed r = relay(AF_UNIX, AF_INET);
	size_t bytes;

	(void)state;
	send_all(r.service, 1000);
	receive_all(r.client, 1);
	send_all(r.client, 100000);
	close(r.client);
	assert_int_equal(read_over(r.service, &bytes), 0);
	assert_int_equal(bytes, 100000);
	r.client = -1;
	over(&r);
}

/* It goes on to speak when it listens no more: both goes its way. */
static void a_unix_client_that_stops_listening(void **state)
{
	struct relayed r = relay(AF_UNIX, AF_UNIX);
	size_t bytes;

	(void)state;
	assert_int_equal(shutdown(r.client, SHUT_RD), 0);
	send_all(r.service, 1000000);
	/* Read by the forwarder: a socket closed with unread bytes is reset, a channel is not. */
	await_acknowledged(r.service);
	send_all(r.client, 100000);
	shutdown(r.client, SHUT_WR);
	assert_int_equal(read_over(r.service, &bytes), 0);
	assert_int_equal(bytes, 100000);
	over(&r);
}

/* ---- what was sent to the client reaches it ---- */

#define ANSWER 100000

/* A client that has room for little, so that most of an answer is on its way. */
static struct relayed relay_slow(int service)
{
	struct relayed r = relay(AF_INET, service);
	const int little = 4096;

	assert_int_equal(setsockopt(r.client, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
	return r;
}

static void an_answer_before_a_failure_arrives(void **state)
{
	struct relayed r = relay_slow(AF_UNIX);
	size_t bytes;

	(void)state;
	send_all(r.client, 1);
	/* It closes with a byte unread: a reset, behind its answer. */
	while (recv(r.service, &(char){ 0 }, 1, MSG_PEEK) != 1)
		;
	send_all(r.service, ANSWER);
	close(r.service);
	assert_int_equal(read_over(r.client, &bytes), ECONNRESET);
	assert_int_equal(bytes, ANSWER);
	r.service = -1;
	over(&r);
}

static void an_answer_beside_an_upload_arrives(void **state)
{
	struct relayed r = relay_slow(AF_UNIX);
	size_t bytes;

	(void)state;
	fill(r.client);
	/* Says what is wrong, and ends; the rest of the upload is not read by anybody. */
	send_all(r.service, ANSWER);
	close(r.service);
	read_over(r.client, &bytes);
	assert_int_equal(bytes, ANSWER);
	r.service = -1;
	over(&r);
}

/* ---- the end of the process ---- */

static void sigterm_cuts_what_has_not_ended(void **state)
{
	struct relayed r = relay(AF_INET, AF_INET);
	size_t bytes;

	(void)state;
	send_all(r.client, 1000);
	receive_all(r.service, 1000);
	send_all(r.service, 1000);
	receive_all(r.client, 1000);
	end_forwarder(&r);
	assert_int_equal(read_over(r.service, &bytes), ECONNRESET);
	assert_int_equal(read_over(r.client, &bytes), ECONNRESET);
	over(&r);
}

static void sigterm_cuts_nothing_that_has_ended(void **state)
{
	struct relayed r = relay(AF_INET, AF_INET);
	size_t bytes;

	(void)state;
	send_all(r.client, 1000);
	shutdown(r.client, SHUT_WR);
	assert_int_equal(read_over(r.service, &bytes), 0);
	assert_int_equal(bytes, 1000);
	end_forwarder(&r);
	/* Its answer had not ended. */
	assert_int_equal(read_over(r.client, &bytes), ECONNRESET);
	assert_int_equal(read_over(r.service, &bytes), 0);
	over(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reset_is_passed_on),
		cmocka_unit_test(a_reset_behind_a_stall),
		cmocka_unit_test(an_upload_unheard_arrives),
		cmocka_unit_test(a_unix_client_that_goes_has_ended),
		cmocka_unit_test(a_unix_client_that_stops_listening),
		cmocka_unit_test(an_answer_before_a_failure_arrives),
		cmocka_unit_test(an_answer_beside_an_upload_arrives),
		cmocka_unit_test(sigterm_cuts_what_has_not_ended),
		cmocka_unit_test(sigterm_cuts_nothing_that_has_ended),
	};

	/* What hangs ends here, and says so by its status. */
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
