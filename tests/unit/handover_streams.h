/* SPDX-License-Identifier: MIT */
/*
 * Streams of a service that another program goes on with. The other program is this one, by
 * execve(): "before N MEMFD" makes and writes, "after N MEMFD" reads, and looks at the far end.
 */
#ifndef TESTS_UNIT_HANDOVER_STREAMS_H
#define TESTS_UNIT_HANDOVER_STREAMS_H

#include "programs_end.h"
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

static inline void place_left(const struct mp_place *place)
{
	(void)place;
	left_places--;
}

static inline const char *name_of(void *context, const struct mp_service *which)
{
	(void)context;
	assert_ptr_equal(which, service);
	return "test";
}

static inline struct mp_stream *restore_left(void *context, const char *name, const char *kind,
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

static inline void leave_peer(struct test_peer *peer, enum mp_end how)
{
	const struct mp_place place = { .leave = place_left, .service = service, .uid = 7 };

	left_places++;
	assert_true(peer->stream->ops->close(peer->stream, how, &place));
	peer->stream = NULL;
}

/* --- The two programs --------------------------------------------------------------- */

static inline void save_all(struct record *record)
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

static inline void restore_stream(struct record *record)
{
	uint64_t i = record_number(record, 0, PEERS - 1);

	peers[i].peer.ops = &test_peer_ops;
	results[i] = service->ops->restore(service, &peers[i].peer, record, &peers[i].stream);
	peers[i].connected = results[i] == 1;
}

static inline void restore_all(struct record *record)
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

static inline void begin(const char *uri)
{
	snprintf(far.uri, sizeof(far.uri), "%s", uri);
	service = rig_service(&rig, uri);
}

static inline void open_peer(int i, const char *out, int expected)
{
	assert_int_equal(peer_open(&peers[i], service, out, strlen(out)), expected);
}

static inline void write_more(int i, const char *out)
{
	peers[i].out = out;
	peers[i].out_len = strlen(out);
	peers[i].out_done = 0;
	peer_write(&peers[i]);
}

static inline void deaf(int i)
{
	peers[i].deaf = true;
}

static inline void close_peers(void)
{
	for (int i = 0; i < PEERS; i++)
		peer_close(&peers[i], MP_END_WHOLE);
}

/* The far end has these bytes, and then the end, or more later. */
static inline void expect_far(int fd, const char *bytes)
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

static inline void expect_far_end(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 0);
}

static size_t wanted;

static inline bool has_wanted(void *context)
{
	return ((struct test_peer *)context)->in_len >= wanted;
}

static inline void expect_in(int i, const char *bytes)
{
	wanted = strlen(bytes);
	rig_wait(&rig, has_wanted, &peers[i]);
	assert_int_equal(peers[i].in_len, wanted);
	assert_memory_equal(peers[i].in, bytes, wanted);
}

static inline void expect_end(int i)
{
	rig_wait(&rig, peer_has_ended, &peers[i]);
	assert_true(peers[i].in_end);
}

static inline bool nothing_is_left(void *context)
{
	(void)context;
	return !leave_count();
}

/* ------------------------------------------------------------------------------------- */

struct handover {
	const char *name;
	void (*before)(void);
	void (*after)(void);
};

static const struct handover *cases;	/* the test's */

/* Below 64. */
static inline uint64_t open_descriptors(void)
{
	uint64_t mask = 0;

	for (int fd = 0; fd < 64; fd++)
		mask |= (uint64_t)(fcntl(fd, F_GETFD) >= 0) << fd;
	return mask;
}

static inline int run_before(int index)
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

static inline int run_after(int index, int memfd)
{
	struct record *record;

	log_setup(LOG_LEVEL_ERROR);
	signal(SIGPIPE, SIG_IGN);
	memset(&rig, 0, sizeof(rig));
	rig.loop = loop_create();
	loop_timer_init(rig.loop, &rig.check, rig_check);
	record = record_open(memfd);
	assert_non_null(record);
	restore_all(record);
	record_close_rest(record);
	record_destroy(record);
	cases[index].after();
	close_peers();
	end_service();
	unix_listeners_forget();
	rig_fini(&rig);
	if (open_descriptors() != far.open)
		fail_msg("descriptors: 0x%lx, were 0x%lx", (long)open_descriptors(),
			 (long)far.open);
	return 0;
}

static inline void test_case(void **state)
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

/* What main() is for one of the two programs; @all are the test's. */
static inline int handover_play(int argc, char **argv, const struct handover *all)
{
	cases = all;
	return argc == 3 ? run_before(atoi(argv[2])) : run_after(atoi(argv[2]), atoi(argv[3]));
}

static inline void handover_make_tests(struct CMUnitTest *tests, const struct handover *all,
				       size_t count)
{
	cases = all;
	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i].name, .test_func = test_case,
			.initial_state = (void *)&cases[i],
		};
}

#endif
