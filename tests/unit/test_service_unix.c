// SPDX-License-Identifier: MIT
/* unix: against real sockets. */
#include "socket_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Another run of this test may be at work. */
static const char *abstract_name(void)
{
	static char name[40];

	snprintf(name, sizeof(name), "@manyport-test.%d", getpid());
	return name;
}

static struct mp_service *unix_service(const char *path)
{
	char uri[160];

	snprintf(uri, sizeof(uri), "unix:%s", path);
	return rig_service(&rig, uri);
}

static void unix_both_ways(void **state)
{
	const char *paths[] = { rig_path(&rig, "s"), abstract_name() };

	(void)state;
	for (int i = 0; i < 2; i++) {
		int listener = listen_at(paths[i], 5);
		struct mp_service *service = unix_service(paths[i]);
		struct test_peer peer;

		assert_int_equal(peer_open(&peer, service, "hello", 5), 1);
		check_both_ways(&peer, accept(listener, NULL, NULL));
		peer_close(&peer, MP_END_WHOLE);
		service_destroy(service);
		close(listener);
	}
	unlink(paths[0]);
}

static void unix_refusals(void **state)
{
	char path[128];
	struct mp_service *service;
	struct test_peer peer;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	service = unix_service(path);
	assert_int_equal(peer_open(&peer, service, NULL, 0), -MP_REASON_NOT_LISTENING);
	close(listen_at(path, 5));
	assert_int_equal(peer_open(&peer, service, NULL, 0), -MP_REASON_NOT_LISTENING);
	unlink(path);
	if (geteuid()) {
		int listener = listen_at(path, 5);

		chmod(path, 0);
		assert_int_equal(peer_open(&peer, service, NULL, 0), -MP_REASON_DENIED);
		close(listener);
		unlink(path);
	}
	service_destroy(service);
}

struct peers {
	struct test_peer *peers;
	int count, wanted;
};

static bool enough_connected(void *context)
{
	struct peers *some = context;
	int connected = 0;

	for (int i = 0; i < some->count; i++)
		connected += some->peers[i].connected;
	return connected >= some->wanted;
}

/* A full backlog: connect() says EAGAIN, and goes through once there is room. */
static void unix_full_backlog(void **state)
{
	char path[128];
	struct mp_service *service;
	struct test_peer peers[4];
	struct peers some = { peers, 4, 0 };
	int listener, waiting = 0, accepted;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 0);
	service = unix_service(path);
	for (int i = 0; i < 4; i++)
		waiting += !peer_open(&peers[i], service, "hello", 5);
	assert_true(waiting >= 2);
	rig_rounds(&rig, 20);
	assert_false(peers[3].connected);
	assert_false(peers[3].refused);
	/* One is closed while it waits: nothing more is heard of it. */
	peer_close(&peers[2], MP_END_ABORT);
	for (some.wanted = 1; some.wanted <= 3; some.wanted++) {
		rig_wait(&rig, enough_connected, &some);
		accepted = accept(listener, NULL, NULL);
		assert_true(accepted >= 0);
		close(accepted);
	}
	for (int i = 0; i < 4; i++)
		peer_close(&peers[i], MP_END_ABORT);
	service_destroy(service);
	close(listener);
	unlink(path);
}

/* The listener goes away while a connect waits. */
static void unix_backlog_then_refused(void **state)
{
	char path[128];
	struct mp_service *service;
	struct test_peer peers[3];
	int listener;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 0);
	service = unix_service(path);
	for (int i = 0; i < 3; i++)
		peer_open(&peers[i], service, NULL, 0);
	assert_false(peers[2].connected);
	close(listener);
	rig_wait(&rig, peer_is_settled, &peers[2]);
	assert_int_equal(peers[2].refused, MP_REASON_NOT_LISTENING);
	for (int i = 0; i < 3; i++)
		peer_close(&peers[i], MP_END_ABORT);
	service_destroy(service);
	unlink(path);
}

struct slow_reader {
	struct test_peer *peer;
	int fd;
	size_t len;
	const char *expect;
};

static bool reads_some(void *context)
{
	struct slow_reader *reader = context;
	char bytes[50000];
	ssize_t len = recv(reader->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (len > 0) {
		assert_memory_equal(bytes, reader->expect + reader->len, len);
		reader->len += len;
	}
	return !len;
}

/* A service that reads nothing stops the writer, without an error; then it reads. */
static void unix_bulk_and_stall(void **state)
{
	const size_t len = 40 << 20;
	char path[128], *bytes = rig_pattern(len);
	struct mp_service *service;
	struct test_peer peer;
	struct slow_reader reader = { .peer = &peer, .expect = bytes };
	size_t stalled;
	int listener;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 5);
	service = unix_service(path);
	assert_int_equal(peer_open(&peer, service, bytes, len), 1);
	reader.fd = accept(listener, NULL, NULL);
	rig_rounds(&rig, 20);
	stalled = peer.out_done;
	assert_true(stalled < 20 << 20);
	rig_rounds(&rig, 20);
	assert_int_equal(peer.out_done, stalled);
	peer.shut_after = true;
	rig_wait(&rig, reads_some, &reader);
	assert_int_equal(reader.len, len);
	close(reader.fd);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
	close(listener);
	unlink(path);
	free(bytes);
}

static bool has_read_all(void *context)
{
	struct slow_reader *reader = context;

	reads_some(context);
	return reader->len == reader->peer->out_len;
}

/* Room is not waited for between the waves, so it is not told then; in each it is. */
static void unix_stalls_again(void **state)
{
	const size_t wave = 10 << 20;
	char path[128], *bytes = rig_pattern(4 * wave);
	struct mp_service *service;
	struct test_peer peer;
	struct slow_reader reader = { .peer = &peer, .expect = bytes };
	int listener;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 5);
	service = unix_service(path);
	assert_int_equal(peer_open(&peer, service, bytes, wave), 1);
	reader.fd = accept(listener, NULL, NULL);
	for (int i = 1; i <= 4; i++) {
		assert_true(peer.out_done < peer.out_len);
		rig_wait(&rig, has_read_all, &reader);
		assert_int_equal(peer.out_done, i * wave);
		rig_rounds(&rig, 3);
		peer.out_len += i < 4 ? wave : 0;
		peer_write(&peer);
	}
	close(reader.fd);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
	close(listener);
	unlink(path);
	free(bytes);
}

/*
 * A server that answers and closes without having read everything: the answer
 * arrives, writing ends, and after the answer comes a failure, not an end.
 */
static void unix_reset_keeps_the_answer(void **state)
{
	char path[128];
	struct mp_service *service;
	struct test_peer peer;
	int listener, server;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 5);
	service = unix_service(path);
	assert_int_equal(peer_open(&peer, service, "hello", 5), 1);
	server = accept(listener, NULL, NULL);
	assert_int_equal(write(server, "go away", 7), 7);
	close(server);
	/* This write meets the failure first. */
	peer.out_len = 10;
	peer.out = "hellohello";
	peer_write(&peer);
	assert_int_equal(peer.out_error, EPIPE);
	rig_wait(&rig, peer_has_ended, &peer);
	assert_int_equal(peer.in_len, 7);
	assert_memory_equal(peer.in, "go away", 7);
	assert_int_equal(peer.in_error, ECONNRESET);
	peer_close(&peer, MP_END_WHOLE);
	service_destroy(service);
	close(listener);
	unlink(path);
}

static void unix_wrong_forms(void **state)
{
	static const char *const wrong[] = {
		"unix:", "unix:@",
		"unix:/123456789012345678901234567890123456789012345678901234567890"
		"123456789012345678901234567890123456789012345678",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct service_setup make = { .loop = rig.loop, .name = "test" };

		assert_null(service_create(&make, wrong[i]));
		assert_true(make.error[0]);
	}
}

static bool has_eight(void *context)
{
	return ((struct test_peer *)context)->in_len >= 8;
}

/* Sends "ab" with a descriptor of ours. */
static void send_with_descriptor(int fd)
{
	struct iovec iov = { "ab", 2 };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
				  .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	*header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
				    .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	assert_int_equal(sendmsg(fd, &message, 0), 2);
}

/*
 * A short count is taken for "empty" only where it is: not where bytes out of band or an end
 * came along. All bytes are there before the loop looks.
 */
static void unix_marks_hide_nothing(void **state)
{
	(void)state;
	for (int kind = 1; kind < 3; kind++) {
		int listener = listen_at(abstract_name(), 5), server;
		struct mp_service *service = unix_service(abstract_name());
		struct test_peer peer;

		assert_int_equal(peer_open(&peer, service, NULL, 0), 1);
		server = accept(listener, NULL, NULL);
		rig_rounds(&rig, 2);
		assert_int_equal(write(server, "1234", 4), 4);
		if (kind == 1)
			assert_int_equal(send(server, "ab", 2, MSG_OOB), 2);
		else
			assert_int_equal(write(server, "ab", 2), 2);
		assert_int_equal(write(server, "cdef", 4), 4);
		if (kind == 2)
			shutdown(server, SHUT_WR);
		rig_wait(&rig, has_eight, &peer);
		if (kind == 2)
			rig_wait(&rig, peer_has_ended, &peer);
		assert_memory_equal(peer.in + peer.in_len - 4, "cdef", 4);
		peer_close(&peer, MP_END_WHOLE);
		close(server);
		service_destroy(service);
		close(listener);
	}
}

static bool has_failed_writing(void *context)
{
	struct test_peer *peer = context;

	peer_write(peer);
	return peer->out_error;
}

/* A descriptor cannot travel: the channel fails after what came with it, and the log says why. */
static void unix_descriptor_is_refused(void **state)
{
	int listener = listen_at(abstract_name(), 5), server, file, saved = dup(STDERR_FILENO);
	struct mp_service *service = unix_service(abstract_name());
	char path[128], text[512], byte;
	struct test_peer peer;
	ssize_t len;

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "log"));
	file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	dup2(file, STDERR_FILENO);
	log_setup(LOG_LEVEL_INFO);
	assert_int_equal(peer_open(&peer, service, NULL, 0), 1);
	server = accept(listener, NULL, NULL);
	assert_int_equal(write(server, "1234", 4), 4);
	send_with_descriptor(server);
	assert_int_equal(write(server, "cdef", 4), 4);
	rig_wait(&rig, peer_has_ended, &peer);
	dup2(saved, STDERR_FILENO);
	log_setup(LOG_LEVEL_ERROR);
	assert_int_equal(peer.in_error, ECONNRESET);
	assert_int_equal(peer.in_len, 6);
	assert_memory_equal(peer.in, "1234ab", 6);
	peer.out = "x";
	peer.out_len = 1;
	rig_wait(&rig, has_failed_writing, &peer);
	assert_int_equal(recv(server, &byte, 1, 0), 0);
	len = pread(file, text, sizeof(text) - 1, 0);
	assert_true(len > 0);
	text[len] = 0;
	assert_non_null(strstr(text, "service test passed a descriptor, which cannot travel"));
	peer_close(&peer, MP_END_WHOLE);
	close(server);
	service_destroy(service);
	close(listener);
	close(file);
	close(saved);
	unlink(path);
}

/* With a full backlog, the channel that waits longest is the next. */
static void unix_backlog_keeps_the_order(void **state)
{
	struct test_peer peers[6];
	struct peers some = { peers, 6, 0 };
	struct mp_service *service;
	int listener, connected = 0;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 0);
	service = unix_service(path);
	for (int i = 0; i < 6; i++) {
		connected += peer_open(&peers[i], service, NULL, 0);
		/* Those that wait look less often after a while. */
		if (i > 2)
			rig_rounds(&rig, 60);
	}
	assert_true(connected < 3);
	while (connected < 6) {
		int server = accept(listener, NULL, NULL);

		assert_true(server >= 0);
		close(server);
		some.wanted = connected + 1;
		rig_wait(&rig, enough_connected, &some);
		assert_true(peers[connected].connected);
		connected++;
	}
	for (int i = 0; i < 6; i++)
		peer_close(&peers[i], MP_END_ABORT);
	service_destroy(service);
	close(listener);
	unlink(path);
}

#define SEATS 64	/* of socket_stream.c */

struct bulk_writer {
	struct test_peer *peer;
	int server;
};

/* Reads all that came, and writes again: does much more go in one call than an ordinary buffer? */
static bool writes_wide(void *context)
{
	struct bulk_writer *writer = context;
	char bytes[65536];

	while (recv(writer->server, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	writer->peer->out_done = 0;
	peer_write(writer->peer);
	return writer->peer->out_done > 2 << 20;
}

/* Large buffers go to streams that move bulk now, not to those that once did. */
static void unix_idle_streams_give_way(void **state)
{
	static struct test_peer peers[SEATS + 1];
	int listener, servers[SEATS + 1];
	char path[128], *bytes = rig_pattern(4 << 20);
	struct bulk_writer last;
	struct mp_service *service;

	(void)state;
	if (geteuid()) {
		free(bytes);
		skip();		/* such buffers need privilege */
	}
	snprintf(path, sizeof(path), "%s", rig_path(&rig, "s"));
	listener = listen_at(path, 5);
	service = unix_service(path);
	for (int i = 0; i <= SEATS; i++) {
		assert_int_equal(peer_open(&peers[i], service, bytes, 100000), 1);
		servers[i] = accept(listener, NULL, NULL);
		assert_int_equal(peers[i].out_done, 100000);
	}
	peers[SEATS].out_len = 4 << 20;
	last = (struct bulk_writer){ &peers[SEATS], servers[SEATS] };
	assert_false(writes_wide(&last));
	rig_wait(&rig, writes_wide, &last);
	for (int i = 0; i <= SEATS; i++) {
		peer_close(&peers[i], MP_END_ABORT);
		close(servers[i]);
	}
	service_destroy(service);
	close(listener);
	unlink(path);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		socket_test(unix_both_ways),
		socket_test(unix_refusals),
		socket_test(unix_full_backlog),
		socket_test(unix_backlog_then_refused),
		socket_test(unix_bulk_and_stall),
		socket_test(unix_stalls_again),
		socket_test(unix_reset_keeps_the_answer),
		socket_test(unix_wrong_forms),
		socket_test(unix_marks_hide_nothing),
		socket_test(unix_descriptor_is_refused),
		socket_test(unix_backlog_keeps_the_order),
		socket_test(unix_idle_streams_give_way),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
