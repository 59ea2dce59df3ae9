// SPDX-License-Identifier: MIT
/*
 * Bytes that a stream has taken arrive, and the far end sees how the stream ended: counted and
 * looked at there, with real sockets and programs, slow readers, and services that talk.
 */
#include "socket_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include "service/leave.h"

static struct mp_service *service;
static unsigned int places_back;

static int setup_ends(void **state)
{
	places_back = 0;
	return setup(state);
}

static int teardown_ends(void **state)
{
	service_destroy(service);
	service = NULL;
	assert_int_equal(leave_count(), 0);
	return teardown(state);
}

/* --- A place -------------------------------------------------------------------- */

static void give_place_back(const struct mp_place *place)
{
	assert_ptr_equal(place->context, &places_back);
	assert_ptr_equal(place->service, service);
	assert_int_equal(place->uid, 7);
	places_back++;
}

/* Ends the stream as the core does when a guest goes. Was it kept? */
static bool leave(struct test_peer *peer, enum mp_end how)
{
	const struct mp_place place = {
		.leave = give_place_back, .context = &places_back, .service = service, .uid = 7,
		.channel = 3, .generation = 9,
	};
	bool is_kept = peer->stream->ops->close(peer->stream, how, &place);

	peer->stream = NULL;
	peer_close(peer, MP_END_ABORT);
	assert_int_equal(places_back, 0);
	return is_kept;
}

static bool place_is_back(void *context)
{
	(void)context;
	return places_back;
}

/* --- The far end ------------------------------------------------------------------- */

#define FAR_BITES 16

struct far_end {
	int fd;
	size_t bite;			/* bytes read at once, FAR_BITES times every 2 ms */
	size_t to_say;			/* bytes that it says before it reads */
	size_t got;
	bool has_ended;			/* read() gave 0 */
	int read_error, write_error;
	const char *expected;		/* what the bytes should be */
};

/* Says and reads a little. Returns true when nothing more comes. */
static bool far_step(void *context)
{
	static char bytes[1 << 16];
	struct far_end *far = context;
	ssize_t n;

	while (far->to_say && !far->write_error) {
		n = send(far->fd, bytes, far->to_say < sizeof(bytes) ? far->to_say : sizeof(bytes),
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			far->write_error = errno;
		else if (far->to_say != SIZE_MAX)
			far->to_say -= n;
	}
	/* One that has so much to say that it never ends reads all the same. */
	if (far->to_say && far->to_say != SIZE_MAX && !far->write_error)
		return false;
	for (int i = 0; i < FAR_BITES; i++) {
		n = recv(far->fd, bytes, far->bite, MSG_DONTWAIT);
		if (n <= 0)
			break;
		assert_memory_equal(bytes, far->expected + far->got, n);
		far->got += n;
	}
	if (n == 0)
		far->has_ended = true;
	else if (n < 0 && errno != EAGAIN)
		far->read_error = errno;
	return far->has_ended || far->read_error;
}

/* It was a reset, whichever call met it; whoever talks meets it in either. */
static bool far_was_reset(const struct far_end *far)
{
	return far->read_error == ECONNRESET || far->write_error == ECONNRESET;
}

/* --- Kinds --------------------------------------------------------------------------- */

#define MUCH (16U << 20)

static char *pattern;

/* A TCP server whose window is small, so that what it has not read lies with us. */
static int tcp_server(char *uri, size_t size)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int bytes = 4096;
	socklen_t len = sizeof(name);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	snprintf(uri, size, "tcp:127.0.0.1:%u", ntohs(name.sin_port));
	return fd;
}

static bool is_full(void *context)
{
	static size_t before;
	struct test_peer *peer = context;
	bool is_same = before == peer->out_done;

	before = peer->out_done;
	return peer->connected && peer->out_done && is_same;
}

/* Opens a stream to a server of @kind and writes until no more is taken. */
static void fill_stream(const char *kind, struct test_peer *peer, struct far_end *far)
{
	char uri[160];
	int listener = -1;

	memset(far, 0, sizeof(*far));
	far->bite = 4096;
	far->expected = pattern;
	if (!strcmp(kind, "tcp")) {
		listener = tcp_server(uri, sizeof(uri));
	} else if (!strcmp(kind, "unix")) {
		listener = listen_at(rig_path(&rig, "s"), 5);
		snprintf(uri, sizeof(uri), "unix:%s", rig_path(&rig, "s"));
	} else {
		snprintf(uri, sizeof(uri), "unix-listen:%s", rig_path(&rig, "s"));
	}
	service = rig_service(&rig, uri);
	assert_true(peer_open(peer, service, pattern, MUCH) >= 0);
	peer->deaf = true;
	if (listener < 0)
		far->fd = connect_to(rig_path(&rig, "s"));
	rig_wait(&rig, peer_is_settled, peer);
	assert_true(peer->connected);
	if (listener >= 0)
		far->fd = accept(listener, NULL, NULL);
	assert_true(far->fd >= 0);
	close(listener);
	if (!strcmp(kind, "unix"))
		unlink(rig_path(&rig, "s"));
	rig_wait(&rig, is_full, peer);
	assert_in_range(peer->out_done, 8192, MUCH - 1);
}

/* --- How each ends ---------------------------------------------------------------------- */

/* Nothing, a lot before it reads, for ever. */
static const size_t talks[] = { 0, 3000000, SIZE_MAX };

static void end_one(const char *kind, enum mp_end how, size_t to_say)
{
	bool is_tcp = !strcmp(kind, "tcp"), is_kept;
	struct test_peer peer;
	struct far_end far;
	size_t taken;

	fill_stream(kind, &peer, &far);
	taken = peer.out_done;
	far.to_say = to_say;
	if (how == MP_END_WHOLE)
		peer_shut(&peer, MP_SHUT_WRITE);	/* as the core does at the final offset */
	if (to_say)
		far_step(&far);		/* so something lies unread at our end */
	is_kept = leave(&peer, how);
	assert_int_equal(is_kept, is_tcp && how != MP_END_ABORT);
	rig_wait(&rig, far_step, &far);
	if (how == MP_END_ABORT && is_tcp)
		assert_in_range(far.got, 0, taken - 1);
	else if (far.got != taken)
		fail_msg("%s, end %d, says %zu: %zu of %zu bytes", kind, how, to_say, far.got,
			 taken);
	if (is_tcp && far_was_reset(&far) != (how != MP_END_WHOLE))
		fail_msg("tcp, end %d, says %zu: errors %d, %d", how, to_say, far.read_error,
			 far.write_error);
	/* A local socket has an end only; but nothing that was unread makes that an error. */
	if (how == MP_END_WHOLE && far.read_error)
		fail_msg("%s, says %zu: %s", kind, to_say, strerror(far.read_error));
	close(far.fd);
	if (is_kept)
		rig_wait(&rig, place_is_back, NULL);
	assert_int_equal(places_back, is_kept);
	places_back = 0;
	service_destroy(service);
	service = NULL;
}

static void end_kind(const char *kind)
{
	pattern = rig_pattern(MUCH);
	for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
		end_one(kind, MP_END_WHOLE, talks[i]);
		end_one(kind, MP_END_CUT, talks[i]);
		end_one(kind, MP_END_ABORT, talks[i]);
	}
	free(pattern);
}

static void ends_of_tcp(void **state)
{
	(void)state;
	end_kind("tcp");
}

static void ends_of_unix(void **state)
{
	(void)state;
	end_kind("unix");
}

static void ends_of_unix_listen(void **state)
{
	(void)state;
	end_kind("unix-listen");
}

/* --- Limits --------------------------------------------------------------------------------- */

#define LIMIT_MS 600

/* A server that takes a part of it, then nothing for half of the limit, and so on. */
struct bursts {
	struct far_end far;
	size_t part, goal;
	uint64_t next_ms;
};

static bool far_bursts(void *context)
{
	struct bursts *bursts = context;
	struct far_end *far = &bursts->far;

	if (loop_now(rig.loop) < bursts->next_ms)
		return false;
	for (int i = 0; i < 64 && far->got < bursts->goal; i++)
		if (far_step(far))
			return true;
	if (far->got < bursts->goal)
		return false;
	bursts->goal += bursts->part;
	bursts->next_ms = loop_now(rig.loop) + LIMIT_MS / 2;
	return false;
}

/* It is waited for, much longer than the limit. */
static void slow_progress_is_progress(void **state)
{
	struct bursts bursts = { .next_ms = 0 };
	struct test_peer peer;
	uint64_t begin;
	size_t taken;

	(void)state;
	pattern = rig_pattern(MUCH);
	fill_stream("tcp", &peer, &bursts.far);
	taken = peer.out_done;
	bursts.part = bursts.goal = taken / 6;
	service->linger_ms = LIMIT_MS;
	begin = loop_now(rig.loop);
	assert_true(leave(&peer, MP_END_CUT));
	rig_wait(&rig, far_bursts, &bursts);
	assert_true(loop_now(rig.loop) - begin > 2 * LIMIT_MS);
	assert_int_equal(bursts.far.got, taken);
	assert_true(far_was_reset(&bursts.far));
	close(bursts.far.fd);
	rig_wait(&rig, place_is_back, NULL);
	free(pattern);
}

/* One that takes nothing is given up, and the log says what is lost. */
static void without_progress_it_is_given_up(void **state)
{
	int saved = dup(STDERR_FILENO), log = memfd_create("log", MFD_CLOEXEC);
	static const char expected[] = "service test: channel 3.9: up to %llu bytes were not taken";
	unsigned long long queued, lost = 0;
	char text[1024] = "", *line;
	struct test_peer peer;
	struct far_end far;
	uint64_t begin;
	bool is_kept;
	size_t taken;

	(void)state;
	pattern = rig_pattern(MUCH);
	fill_stream("tcp", &peer, &far);
	taken = peer.out_done;
	queued = peer.stream->ops->backlog(peer.stream, &is_kept);
	assert_false(is_kept);
	service->linger_ms = LIMIT_MS;
	dup2(log, STDERR_FILENO);
	log_setup(LOG_LEVEL_WARNING);
	begin = loop_now(rig.loop);
	assert_true(leave(&peer, MP_END_CUT));
	rig_wait(&rig, place_is_back, NULL);
	dup2(saved, STDERR_FILENO);
	close(saved);
	log_setup(LOG_LEVEL_ERROR);
	assert_true(loop_now(rig.loop) - begin >= LIMIT_MS);
	assert_true(pread(log, text, sizeof(text) - 1, 0) > 0);
	close(log);
	line = strstr(text, "service test");
	if (!line || sscanf(line, expected, &lost) != 1)
		fail_msg("the log says: %s", text);
	assert_in_range(lost, 1, queued);
	rig_wait(&rig, far_step, &far);
	assert_true(far_was_reset(&far));
	assert_true(far.got < taken);
	close(far.fd);
	free(pattern);
}

static void nothing_is_left(void *context)
{
	*(bool *)context = true;
}

static bool is_set(void *context)
{
	return *(bool *)context;
}

/* At its end the daemon waits until no stream is kept, or ends those that are. */
static void the_end_of_all(void **state)
{
	struct test_peer peer;
	struct far_end far;
	bool is_gone = false;
	size_t taken;

	(void)state;
	pattern = rig_pattern(MUCH);
	leave_hurry(nothing_is_left, &is_gone);
	assert_true(is_gone);
	is_gone = false;
	leave_end(NULL);
	fill_stream("tcp", &peer, &far);
	taken = peer.out_done;
	assert_true(leave(&peer, MP_END_CUT));
	assert_int_equal(leave_count(), 1);
	leave_hurry(nothing_is_left, &is_gone);
	assert_false(is_gone);
	far.bite = 1 << 16;
	rig_wait(&rig, far_step, &far);
	rig_wait(&rig, is_set, &is_gone);
	assert_int_equal(far.got, taken);
	assert_int_equal(places_back, 1);
	close(far.fd);
	leave_end(NULL);
	service_destroy(service);
	/* The service goes first: so does what is kept of it. */
	places_back = 0;
	fill_stream("tcp", &peer, &far);
	assert_true(leave(&peer, MP_END_CUT));
	leave_end(service);
	assert_int_equal(places_back, 1);
	close(far.fd);
	free(pattern);
}

/* --- Programs --------------------------------------------------------------------------------- */

/*
 * Says @1 bytes, reads all it gets, says so by the file @3.read, waits for @2 seconds, and writes
 * into @3 how much and how.
 */
#define PROGRAM \
	"perl -e '$SIG{TERM}=sub{$t=1}; ($say,$wait,$file)=@ARGV; " \
	"while($say>0){$n=syswrite(STDOUT,\"x\"x65536); last if !$n; $say-=$n} " \
	"while(!$t){$n=sysread(STDIN,$b,8192); next if !defined $n; last if !$n; $c+=$n; " \
	"select(undef,undef,undef,0.0005)} " \
	"open(F,\">\",\"$file.read\"); close F; " \
	"select(undef,undef,undef,$wait) if !$t; " \
	"open(F,\">\",\"$file.tmp\"); print F $c+0,$t?\" term\":\" eof\"; close F; " \
	"rename \"$file.tmp\",$file' "

static size_t start_program(struct test_peer *peer, const char *arguments)
{
	char uri[1024];

	snprintf(uri, sizeof(uri), "exec:" PROGRAM "%s %s", arguments, rig_path(&rig, "result"));
	service = rig_service(&rig, uri);
	assert_int_equal(peer_open(peer, service, pattern, 2000000), 0);
	peer->deaf = true;
	rig_wait(&rig, is_full, peer);
	return peer->out_done;
}

static bool has_read_all(void *context)
{
	(void)context;
	return !access(rig_path(&rig, "result.read"), F_OK);
}

static bool has_result(void *context)
{
	(void)context;
	return !access(rig_path(&rig, "result"), F_OK);
}

static void expect_program(size_t got, const char *how)
{
	char text[64] = "", expected[64];
	FILE *file;

	rig_wait(&rig, has_result, NULL);
	file = fopen(rig_path(&rig, "result"), "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	unlink(rig_path(&rig, "result"));
	unlink(rig_path(&rig, "result.read"));
	snprintf(expected, sizeof(expected), "%zu %s", got, how);
	assert_string_equal(text, expected);
}

static void finish_program(void)
{
	rig_wait(&rig, place_is_back, NULL);
	assert_int_equal(places_back, 1);
	places_back = 0;
	service_destroy(service);
	service = NULL;
}

/* It is told to end when it has read its input, and before that ends. */
static void a_program_is_told_after_its_input(void **state)
{
	struct test_peer peer;
	size_t taken;

	(void)state;
	pattern = rig_pattern(MUCH);
	taken = start_program(&peer, "0 0");
	assert_true(leave(&peer, MP_END_CUT));
	expect_program(taken, "term");
	finish_program();
	/* One that talks first as well. */
	taken = start_program(&peer, "3000000 0");
	assert_true(leave(&peer, MP_END_CUT));
	expect_program(taken, "term");
	finish_program();
	free(pattern);
}

/* A program works on when its input has ended, though its output is thrown away. */
static void a_program_works_on(void **state)
{
	struct test_peer peer;
	size_t taken;

	(void)state;
	pattern = rig_pattern(MUCH);
	taken = start_program(&peer, "3000000 0.4");
	peer_shut(&peer, MP_SHUT_WRITE);
	assert_true(leave(&peer, MP_END_WHOLE));
	/* For longer than the limit for what it has not read. */
	rig_wait(&rig, has_read_all, NULL);
	service->linger_ms = 1;
	expect_program(taken, "eof");
	finish_program();
	/* But not for ever. */
	taken = start_program(&peer, "0 1000");
	service->end_ms = LIMIT_MS;
	peer_shut(&peer, MP_SHUT_WRITE);
	assert_true(leave(&peer, MP_END_WHOLE));
	expect_program(taken, "term");
	finish_program();
	/* And not when the daemon ends. */
	service = NULL;
	taken = start_program(&peer, "0 1000");
	peer_shut(&peer, MP_SHUT_WRITE);
	assert_true(leave(&peer, MP_END_WHOLE));
	leave_hurry(nothing_is_left, &(bool){ false });
	expect_program(taken, "term");
	leave_end(NULL);
	finish_program();
	free(pattern);
}

#define ends_test(name) cmocka_unit_test_setup_teardown(name, setup_ends, teardown_ends)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ends_test(ends_of_tcp),
		ends_test(ends_of_unix),
		ends_test(ends_of_unix_listen),
		ends_test(slow_progress_is_progress),
		ends_test(without_progress_it_is_given_up),
		ends_test(the_end_of_all),
		ends_test(a_program_is_told_after_its_input),
		ends_test(a_program_works_on),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
