// SPDX-License-Identifier: MIT
/*
 * Streams of each kind of service, in each phase, that another program goes on with. The other
 * program is this one, by execve(): "before N MEMFD" makes and writes, "after N MEMFD" reads, and
 * looks at the far end.
 */
#include "socket_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/fd_limit.h"
#include "base/record.h"
#include "base/unix_address.h"
#include "service/leave.h"
#include "service/spawner.h"

#define FRAME_FAR	1
#define FRAME_LISTENERS 2
#define FRAME_SERVICE	3
#define FRAME_STREAM	4
#define FRAME_LEFT	5

#define PEERS 4

/* What the test knows of the far end; it goes along. */
static struct {
	int fds[PEERS];
	uint64_t numbers[4];
	uint64_t open;			/* descriptors that were there at the start */
	char uri[256], path[128];
} far;

static struct mp_service *service;
static struct test_peer peers[PEERS];
static int results[PEERS];		/* of restore() */

static void hand_over_far(struct record *record)
{
	record_begin(record, FRAME_FAR);
	for (int i = 0; i < PEERS; i++)
		far.fds[i] = record_fd(record, far.fds[i]);
	for (int i = 0; i < 4; i++)
		record_u64(record, &far.numbers[i]);
	record_u64(record, &far.open);
	record_text(record, far.uri, sizeof(far.uri));
	record_text(record, far.path, sizeof(far.path));
	record_text(record, rig.dir, sizeof(rig.dir));
	record_end(record);
}

/* --- Streams that are left ------------------------------------------------------ */

static int left_places;

static void place_left(const struct mp_place *place)
{
	(void)place;
	left_places--;
}

static const char *name_of(void *context, const struct mp_service *which)
{
	(void)context;
	assert_ptr_equal(which, service);
	return "test";
}

static struct mp_stream *restore_left(void *context, const char *name, const char *kind,
				      struct mp_place *place, struct record *record)
{
	static struct mp_peer nobody;
	struct mp_stream *stream = NULL;

	(void)context;
	assert_string_equal(name, "test");
	assert_string_equal(kind, service->kind);
	assert_int_equal(place->uid, 7);
	place->leave = place_left;
	place->service = service;
	if (service->ops->restore(service, &nobody, record, &stream) < 0)
		return NULL;
	left_places++;
	return stream;
}

static const struct leave_handover left_handover = {
	.name = name_of, .restore = restore_left,
};

static void leave_peer(struct test_peer *peer, enum mp_end how)
{
	const struct mp_place place = { .leave = place_left, .service = service, .uid = 7 };

	left_places++;
	assert_true(peer->stream->ops->close(peer->stream, how, &place));
	peer->stream = NULL;
}

/* --- The two programs --------------------------------------------------------------- */

static void save_all(struct record *record)
{
	hand_over_far(record);
	record_begin(record, FRAME_LISTENERS);
	fd_limit_hand_over(record);
	unix_listeners_hand_over(record);
	record_end(record);
	record_begin(record, FRAME_SERVICE);
	if (service->ops->hand_over)
		service->ops->hand_over(service, record);
	record_end(record);
	for (int i = 0; i < PEERS; i++) {
		if (!peers[i].stream)
			continue;
		record_begin(record, FRAME_STREAM);
		record_number(record, i, PEERS);
		assert_string_equal(peers[i].stream->ops->kind, service->kind);
		peers[i].stream->ops->save(peers[i].stream, record);
		record_end(record);
	}
	record_begin(record, FRAME_LEFT);
	leave_hand_over(&left_handover, record);
	record_end(record);
}

static void restore_stream(struct record *record)
{
	uint64_t i = record_number(record, 0, PEERS - 1);

	peers[i].peer.ops = &test_peer_ops;
	results[i] = service->ops->restore(service, &peers[i].peer, record, &peers[i].stream);
	peers[i].connected = results[i] == 1;
}

static void restore_all(struct record *record)
{
	hand_over_far(record);
	assert_true(record_begin(record, FRAME_LISTENERS));
	fd_limit_hand_over(record);
	unix_listeners_hand_over(record);
	record_end(record);
	service = rig_service(&rig, far.uri);
	assert_true(record_begin(record, FRAME_SERVICE));
	if (service->ops->hand_over)
		service->ops->hand_over(service, record);
	record_end(record);
	while (record_begin(record, FRAME_STREAM)) {
		restore_stream(record);
		record_end(record);
	}
	assert_true(record_begin(record, FRAME_LEFT));
	leave_hand_over(&left_handover, record);
	record_end(record);
	assert_true(record_is_good(record));
}

static void begin(const char *uri)
{
	snprintf(far.uri, sizeof(far.uri), "%s", uri);
	service = rig_service(&rig, uri);
}

static void open_peer(int i, const char *out, int expected)
{
	assert_int_equal(peer_open(&peers[i], service, out, strlen(out)), expected);
}

static void write_more(int i, const char *out)
{
	peers[i].out = out;
	peers[i].out_len = strlen(out);
	peers[i].out_done = 0;
	peer_write(&peers[i]);
}

static void deaf(int i)
{
	peers[i].deaf = true;
}

static void close_peers(void)
{
	for (int i = 0; i < PEERS; i++)
		peer_close(&peers[i], MP_END_WHOLE);
}

/* The far end has these bytes, and then the end, or more later. */
static void expect_far(int fd, const char *bytes)
{
	char got[256];
	size_t done = 0;

	while (done < strlen(bytes)) {
		ssize_t len = read(fd, got + done, strlen(bytes) - done);

		assert_true(len > 0);
		done += len;
	}
	assert_memory_equal(got, bytes, done);
}

static void expect_far_end(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 0);
}

static size_t wanted;

static bool has_wanted(void *context)
{
	return ((struct test_peer *)context)->in_len >= wanted;
}

static void expect_in(int i, const char *bytes)
{
	wanted = strlen(bytes);
	rig_wait(&rig, has_wanted, &peers[i]);
	assert_int_equal(peers[i].in_len, wanted);
	assert_memory_equal(peers[i].in, bytes, wanted);
}

static void expect_end(int i)
{
	rig_wait(&rig, peer_has_ended, &peers[i]);
	assert_true(peers[i].in_end);
}

/* --- unix ------------------------------------------------------------------------- */

static void unix_before(void)
{
	char uri[256];
	int listener;

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	listener = listen_at(far.path, 8);
	snprintf(uri, sizeof(uri), "unix:%s", far.path);
	begin(uri);
	open_peer(0, "hello", 1);
	open_peer(1, "other", 1);
	far.fds[0] = accept(listener, NULL, NULL);
	far.fds[1] = accept(listener, NULL, NULL);
	far.fds[2] = listener;
	/* Bytes that were not read yet, in both directions; and an end of one. */
	assert_int_equal(write(far.fds[0], "unread", 6), 6);
	peer_shut(&peers[1], MP_SHUT_WRITE);
}

static void unix_after(void)
{
	write_more(0, " world");
	expect_far(far.fds[0], "hello world");
	expect_in(0, "unread");
	expect_far(far.fds[1], "other");
	expect_far_end(far.fds[1]);
	assert_int_equal(write(far.fds[1], "answer", 6), 6);
	close(far.fds[1]);
	expect_in(1, "answer");
	expect_end(1);
	peer_shut(&peers[0], MP_SHUT_WRITE);
	expect_far_end(far.fds[0]);
	close(far.fds[0]);
	expect_end(0);
	close(far.fds[2]);
	unlink(far.path);
}

/* A backlog that is full: who waited connects when there is room. */
static void unix_waits_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	far.fds[0] = listen_at(far.path, 0);
	snprintf(uri, sizeof(uri), "unix:%s", far.path);
	begin(uri);
	open_peer(0, "first", 1);
	open_peer(1, "second", 0);
}

static void unix_waits_after(void)
{
	int fds[2];

	assert_int_equal(results[0], 1);
	assert_int_equal(results[1], 0);
	peers[1].out = "second";
	peers[1].out_len = 6;
	fds[0] = accept(far.fds[0], NULL, NULL);
	rig_wait(&rig, peer_is_settled, &peers[1]);
	assert_true(peers[1].connected);
	fds[1] = accept(far.fds[0], NULL, NULL);
	expect_far(fds[0], "first");
	expect_far(fds[1], "second");
	close(fds[0]);
	close(fds[1]);
	close(far.fds[0]);
	unlink(far.path);
}

/* A service that took what it could: room that comes later is told of. */
static char *flood(void)
{
	static char bytes[8 << 20];

	memset(bytes, 'x', sizeof(bytes) - 1);
	return bytes;
}

static void unix_full_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	far.fds[1] = listen_at(far.path, 8);
	snprintf(uri, sizeof(uri), "unix:%s", far.path);
	begin(uri);
	open_peer(0, flood(), 1);
	assert_true(peers[0].out_done < peers[0].out_len);
	far.fds[0] = accept(far.fds[1], NULL, NULL);
	far.numbers[0] = peers[0].out_done;
}

static void unix_full_after(void)
{
	static char sink[1 << 20];
	size_t total = 0;

	peers[0].out = flood();
	peers[0].out_len = strlen(peers[0].out);
	peers[0].out_done = far.numbers[0];
	fcntl(far.fds[0], F_SETFL, O_NONBLOCK);
	while (total < peers[0].out_len) {
		ssize_t len = read(far.fds[0], sink, sizeof(sink));

		if (len > 0)
			total += len;
		else
			rig_rounds(&rig, 1);
	}
	assert_int_equal(peers[0].out_done, peers[0].out_len);
	close(far.fds[0]);
	close(far.fds[1]);
	unlink(far.path);
}

/* --- tcp -------------------------------------------------------------------------- */

static int tcp_listener(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char uri[64];

	assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&name, &len);
	snprintf(uri, sizeof(uri), "tcp:127.0.0.1:%d", ntohs(name.sin_port));
	begin(uri);
	return fd;
}

static void tcp_before(void)
{
	far.fds[1] = tcp_listener();
	open_peer(0, "hello", 0);
	rig_wait(&rig, peer_is_settled, &peers[0]);
	far.fds[0] = accept(far.fds[1], NULL, NULL);
	assert_int_equal(write(far.fds[0], "unread", 6), 6);
	/* And one that is under way. */
	open_peer(1, "", 0);
}

static void tcp_after(void)
{
	int fd;

	assert_int_equal(results[0], 1);
	peers[1].out = "late";
	peers[1].out_len = 4;
	write_more(0, " world");
	expect_far(far.fds[0], "hello world");
	expect_in(0, "unread");
	close(far.fds[0]);
	expect_end(0);
	rig_wait(&rig, peer_is_settled, &peers[1]);
	assert_true(peers[1].connected);
	/* The first try ended with the program before; the second has the bytes. */
	fd = accept(far.fds[1], NULL, NULL);
	if (fd >= 0 && recv(fd, (char[1]){ 0 }, 1, MSG_PEEK) <= 0) {
		close(fd);
		fd = accept(far.fds[1], NULL, NULL);
	}
	expect_far(fd, "late");
	close(fd);
	close(far.fds[1]);
}

/* What is left of a channel still arrives, and then its reset. */
static void tcp_left_before(void)
{
	far.fds[1] = tcp_listener();
	open_peer(0, flood(), 0);
	rig_wait(&rig, peer_is_settled, &peers[0]);
	far.fds[0] = accept(far.fds[1], NULL, NULL);
	rig_rounds(&rig, 5);
	far.numbers[0] = peers[0].out_done;
	assert_true(leave_queued(((int *)&far.fds[0])[0]) == 0);
	leave_peer(&peers[0], MP_END_CUT);
	assert_int_equal(leave_count(), 1);
}

static bool nothing_is_left(void *context)
{
	(void)context;
	return !leave_count();
}

static void tcp_left_after(void)
{
	static char sink[1 << 16];
	size_t total = 0;
	ssize_t len = 1;

	assert_int_equal(leave_count(), 1);
	while (total < far.numbers[0] && len > 0) {
		len = read(far.fds[0], sink, sizeof(sink));
		total += len > 0 ? len : 0;
	}
	assert_int_equal(total, far.numbers[0]);
	rig_wait(&rig, nothing_is_left, NULL);
	assert_int_equal(left_places, 0);
	assert_int_equal(read(far.fds[0], sink, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(far.fds[0]);
	close(far.fds[1]);
}

/* --- unix-listen ------------------------------------------------------------------- */

static void listen_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	snprintf(uri, sizeof(uri), "unix-listen:%s", far.path);
	begin(uri);
	far.fds[0] = connect_to(far.path);
	open_peer(0, "hello", 1);
	/* Both wait, and the second for longer. */
	open_peer(2, "", 0);
	open_peer(1, "", 0);
}

static void listen_after(void)
{
	int clients[2];

	assert_int_equal(results[0], 1);
	assert_int_equal(results[1], 0);
	assert_int_equal(results[2], 0);
	unix_listeners_forget();
	expect_far(far.fds[0], "hello");
	peers[1].out = "one";
	peers[1].out_len = 3;
	peers[2].out = "two";
	peers[2].out_len = 3;
	clients[0] = connect_to(far.path);
	clients[1] = connect_to(far.path);
	rig_wait(&rig, peer_is_settled, &peers[1]);
	expect_far(clients[0], "two");
	expect_far(clients[1], "one");
	close(clients[0]);
	close(clients[1]);
	close(far.fds[0]);
}

/* A client that was given back, and two that were not accepted: in order. */
static void clients_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "s"));
	snprintf(uri, sizeof(uri), "unix-listen:%s", far.path);
	begin(uri);
	for (int i = 0; i < 3; i++)
		far.fds[i] = connect_to(far.path);
	open_peer(0, "", 1);
	peers[0].stream->ops->unused(peers[0].stream);
	peer_close(&peers[0], MP_END_ABORT);
}

static void clients_after(void)
{
	static const char *const out[] = { "one", "two", "three" };

	unix_listeners_forget();
	for (int i = 0; i < 3; i++) {
		open_peer(i, out[i], 1);
		expect_far(far.fds[i], out[i]);
		close(far.fds[i]);
	}
}

/* --- exec ------------------------------------------------------------------------- */

static bool has_pid(void *context)
{
	struct test_peer *peer = context;

	return peer->in_len && peer->in[peer->in_len - 1] == '\n';
}

#define SAY_PID "exec:sh -c 'echo $$; read line; echo \"$line\" >&2; cat; exit 3'"

static void exec_before(void)
{
	begin(SAY_PID);
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	deaf(0);
	write_more(0, "a line\nhello");
	/* A half of a line on standard error stays with the reader of it. */
	open_peer(1, "", 0);
	rig_wait(&rig, has_pid, &peers[1]);
	far.numbers[1] = atoi(peers[1].in);
}

static void exec_after(void)
{
	assert_int_equal(kill(far.numbers[0], 0), 0);
	write_more(0, " world");
	peer_read(&peers[0]);
	expect_in(0, "hello world");
	peer_shut(&peers[0], MP_SHUT_WRITE);
	rig_wait(&rig, peer_has_ended, &peers[0]);
	assert_int_equal(peers[0].in_error, ECONNRESET);
	assert_int_equal(peers[0].stream->ops->reason(peers[0].stream), MP_REASON_EXITED | 3);
	/* The other one is ended as any. */
	peer_close(&peers[0], MP_END_WHOLE);
	peer_close(&peers[1], MP_END_WHOLE);
	service_destroy(service);
	service = NULL;
	assert_int_equal(kill(far.numbers[1], 0), -1);
}

/* A program that has exited, whose last bytes and status were not read. */
static bool is_zombie(void *context)
{
	char path[64], text[512] = "";
	int fd;

	(void)context;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)far.numbers[0]);
	fd = open(path, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strstr(text, ") Z ");
}

static void exited_before(void)
{
	begin("exec:sh -c 'echo $$; sleep 0.2; echo last; exit 4'");
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	deaf(0);
	rig_wait(&rig, is_zombie, NULL);
}

static void exited_after(void)
{
	peer_read(&peers[0]);
	rig_wait(&rig, peer_has_ended, &peers[0]);
	assert_int_equal(peers[0].in_error, ECONNRESET);
	assert_int_equal(peers[0].stream->ops->reason(peers[0].stream), MP_REASON_EXITED | 4);
}

/* Starts that are under way, more than are handed to the spawner at once. */
static void starts_before(void)
{
	begin("exec:cat");
	for (int i = 0; i < PEERS; i++)
		open_peer(i, "", 0);
	/* One round hands them to the spawner. */
	if (far.numbers[3])
		rig_rounds(&rig, 1);
	spawner_finish();
}

static void asked_before(void)
{
	far.numbers[3] = 1;
	starts_before();
}

static void starts_after(void)
{
	for (int i = 0; i < PEERS; i++) {
		peers[i].out = "hello";
		peers[i].out_len = 5;
		if (peers[i].connected)
			peer_write(&peers[i]);
		rig_wait(&rig, peer_is_settled, &peers[i]);
		assert_true(peers[i].connected);
		expect_in(i, "hello");
		peer_shut(&peers[i], MP_SHUT_WRITE);
		expect_end(i);
	}
}

/* A program that the next one has no descriptor for is ended, and waited for. */
static bool has_no_pidfd;

int __real_pidfd_open(pid_t pid, unsigned int flags);
int __wrap_pidfd_open(pid_t pid, unsigned int flags);
int __wrap_pidfd_open(pid_t pid, unsigned int flags)
{
	if (!has_no_pidfd)
		return __real_pidfd_open(pid, flags);
	errno = EMFILE;
	return -1;
}

static void unwatched_before(void)
{
	begin("exec:sh -c 'echo $$; exec sleep 1000'");
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	setenv("HAS_NO_PIDFD", "", 1);
}

static void unwatched_after(void)
{
	assert_true(results[0] < 0);
	assert_null(peers[0].stream);
	assert_int_equal(kill(far.numbers[0], 0), -1);
}

/* A program that was told to end and does not, and one that a leaving channel waits for. */
static void released_before(void)
{
	begin("exec:sh -c 'trap \"\" TERM; echo $$; exec sleep 1000'");
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	peer_close(&peers[0], MP_END_WHOLE);
}

static void released_after(void)
{
	assert_int_equal(kill(far.numbers[0], 0), 0);
	service_destroy(service);
	service = NULL;
	assert_int_equal(kill(far.numbers[0], 0), -1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void left_program_before(void)
{
	char uri[256];

	snprintf(far.path, sizeof(far.path), "%s", rig_path(&rig, "out"));
	snprintf(uri, sizeof(uri), "exec:sh -c 'echo $$; sleep 0.1; cat > %s'", far.path);
	begin(uri);
	open_peer(0, "", 0);
	rig_wait(&rig, has_pid, &peers[0]);
	far.numbers[0] = atoi(peers[0].in);
	write_more(0, "all of it");
	peer_shut(&peers[0], MP_SHUT_WRITE);
	leave_peer(&peers[0], MP_END_WHOLE);
}

static void left_program_after(void)
{
	char got[32] = "";
	int fd;

	assert_int_equal(leave_count(), 1);
	rig_wait(&rig, nothing_is_left, NULL);
	assert_int_equal(left_places, 0);
	fd = open(far.path, O_RDONLY);
	assert_int_equal(read(fd, got, sizeof(got)), 9);
	assert_string_equal(got, "all of it");
	close(fd);
	unlink(far.path);
}

/* --- Services of our own ------------------------------------------------------------ */

static void echo_before(void)
{
	begin("echo");
	open_peer(0, "hello", 1);
	deaf(0);
	open_peer(1, "", 1);
}

static void echo_after(void)
{
	expect_in(0, "hello");
	write_more(1, "again");
	expect_in(1, "again");
	peer_shut(&peers[0], MP_SHUT_WRITE);
	expect_end(0);
}

static void pingpong_before(void)
{
	begin("pingpong:4");
	open_peer(0, "abcdef", 1);
	deaf(0);
}

static void pingpong_after(void)
{
	write_more(0, "gh");
	wanted = 8;
	rig_wait(&rig, has_wanted, &peers[0]);
	assert_memory_equal(peers[0].in, "\0\1\2\3\0\1\2\3", 8);
}

static void zero_before(void)
{
	struct iovec iov = { (char[300]){ 0 }, 300 };

	begin("zero:1000");
	open_peer(0, "", 1);
	deaf(0);
	assert_int_equal(peers[0].stream->ops->readv(peers[0].stream, &iov, 1), 300);
}

static void zero_after(void)
{
	expect_end(0);
	assert_int_equal(peers[0].in_len, 700);
}

static void null_before(void)
{
	begin("null");
	open_peer(0, "anything", 1);
	open_peer(1, "", 1);
	rig_rounds(&rig, 2);
	peer_shut(&peers[1], MP_SHUT_WRITE);
}

static void null_after(void)
{
	expect_end(1);
	assert_false(peers[0].in_end);
	write_more(0, "more");
	assert_int_equal(peers[0].out_done, 4);
	peer_shut(&peers[0], MP_SHUT_WRITE);
	expect_end(0);
}

static void throttle_before(void)
{
	begin("throttle:10K");
	open_peer(0, flood(), 1);
	rig_rounds(&rig, 5);
	far.numbers[0] = peers[0].out_done;
	far.numbers[1] = peers[0].in_len;
	assert_true(far.numbers[0] < 4096);
}

static void throttle_after(void)
{
	peers[0].out = flood();
	peers[0].out_len = 4096;
	peers[0].out_done = far.numbers[0];
	peers[0].shut_after = true;
	expect_end(0);
	assert_int_equal(peers[0].in_len + far.numbers[1], 4096);
}

/* ------------------------------------------------------------------------------------- */

static const struct handover {
	const char *name;
	void (*before)(void);
	void (*after)(void);
} cases[] = {
	{ "unix", unix_before, unix_after },
	{ "unix_waits", unix_waits_before, unix_waits_after },
	{ "unix_full", unix_full_before, unix_full_after },
	{ "tcp", tcp_before, tcp_after },
	{ "tcp_left", tcp_left_before, tcp_left_after },
	{ "listen", listen_before, listen_after },
	{ "clients", clients_before, clients_after },
	{ "exec", exec_before, exec_after },
	{ "exited", exited_before, exited_after },
	{ "queued_starts", starts_before, starts_after },
	{ "asked_starts", asked_before, starts_after },
	{ "unwatched", unwatched_before, unwatched_after },
	{ "released", released_before, released_after },
	{ "left_program", left_program_before, left_program_after },
	{ "echo", echo_before, echo_after },
	{ "pingpong", pingpong_before, pingpong_after },
	{ "zero", zero_before, zero_after },
	{ "null", null_before, null_after },
	{ "throttle", throttle_before, throttle_after },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* Below 64. */
static uint64_t open_descriptors(void)
{
	uint64_t mask = 0;

	for (int fd = 0; fd < 64; fd++)
		mask |= (uint64_t)(fcntl(fd, F_GETFD) >= 0) << fd;
	return mask;
}

static int run_before(int index)
{
	struct record *record;
	char number[16], memfd[16];

	log_setup(LOG_LEVEL_ERROR);
	far.open = open_descriptors();
	record = record_create();
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < PEERS; i++)
		far.fds[i] = -1;
	rig_init(&rig);
	cases[index].before();
	spawner_finish();
	save_all(record);
	assert_true(record_finish(record) >= 0);
	record_pass_fds(record, true);
	snprintf(number, sizeof(number), "%d", index);
	snprintf(memfd, sizeof(memfd), "%d", record_finish(record));
	execl("/proc/self/exe", "test", "after", number, memfd, NULL);
	return 1;
}

static int run_after(int index, int memfd)
{
	struct record *record;

	log_setup(LOG_LEVEL_ERROR);
	signal(SIGPIPE, SIG_IGN);
	memset(&rig, 0, sizeof(rig));
	rig.loop = loop_create();
	loop_timer_init(rig.loop, &rig.check, rig_check);
	has_no_pidfd = getenv("HAS_NO_PIDFD");
	record = record_open(memfd);
	assert_non_null(record);
	restore_all(record);
	record_close_rest(record);
	record_destroy(record);
	cases[index].after();
	close_peers();
	service_destroy(service);
	unix_listeners_forget();
	rig_fini(&rig);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	if (open_descriptors() != far.open)
		fail_msg("descriptors: 0x%lx, were 0x%lx", (long)open_descriptors(),
			 (long)far.open);
	return 0;
}

static void test_case(void **state)
{
	const struct handover *one = *state;
	char number[16];
	char *argv[] = { (char *)"test", (char *)"before", number, NULL };
	int status;
	pid_t pid;

	snprintf(number, sizeof(number), "%d", (int)(one - cases));
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[CASES];

	if (argc == 3 && !strcmp(argv[1], "before"))
		return run_before(atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "after"))
		return run_after(atoi(argv[2]), atoi(argv[3]));
	for (size_t i = 0; i < CASES; i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i].name, .test_func = test_case,
			.initial_state = (void *)&cases[i],
		};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
