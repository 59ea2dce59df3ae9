// SPDX-License-Identifier: MIT
/*
 * A daemon ends at any point of any message of its front end, and another one goes on: the front
 * end sees each answer exactly once, rings go on, and nothing stays held.
 */

#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

#include "fake_keep.h"
#include "front_end.h"
#include "vhost/message.h"
#include "vhost/request.h"

#define DIED 42
#define EITHER 2		/* an answer that a repeat may change */

static struct front_end fe;
static struct keep keep;
static int theirs;		/* the daemon's end of the connection */

/* --- Ends ------------------------------------------------------------------------ */

/* The process that is to end: at which point, and the points so far. 0: it does not. */
static unsigned int end_at, points;
/* In memory of both: the process ended where nothing tells whether the answer was sent. */
static bool *is_in_window;

static void fake_point(void)
{
	if (end_at && ++points == end_at)
		_exit(DIED);
}

#define WRAP(type, name, parameters, arguments)			\
	type __real_##name parameters;				\
	type __wrap_##name parameters;				\
	type __wrap_##name parameters				\
	{							\
		type ret;					\
								\
		fake_point();					\
		ret = __real_##name arguments;			\
		fake_point();					\
		return ret;					\
	}

WRAP(int, message_take, (struct message *m, int sock), (m, sock))
WRAP(int, request_act, (struct session *s, struct message *m, struct kept_reply *reply),
     (s, m, reply))
WRAP(int, mem_add, (struct mem *mem, uint64_t guest, uint64_t user, uint64_t size, uint64_t offset,
		    int fd), (mem, guest, user, size, offset, fd))
WRAP(int, mem_remove, (struct mem *mem, uint64_t guest, uint64_t user, uint64_t size),
     (mem, guest, user, size))
WRAP(int, ring_start, (struct ring *ring, const struct mem *mem, uint16_t base), (ring, mem, base))
WRAP(uint16_t, ring_stop, (struct ring *ring), (ring))

int __real_message_send(int sock, const struct vhost_user_header *header, const void *payload);
int __wrap_message_send(int sock, const struct vhost_user_header *header, const void *payload);
int __wrap_message_send(int sock, const struct vhost_user_header *header, const void *payload)
{
	int ret;

	if (end_at)
		*is_in_window = true;
	fake_point();
	ret = __real_message_send(sock, header, payload);
	fake_point();
	if (end_at)
		*is_in_window = false;
	return ret;
}

/* --- Messages -------------------------------------------------------------------- */

static union {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_mem_table table;
	struct vhost_user_mem_slot slot;
	struct vhost_user_config config;
} payload;

struct kind {
	const char *name;
	uint32_t request, size;
	void (*fill)(void);		/* the payload */
	int *fd;			/* that goes along, or NULL */
	int answer;			/* to NEED_REPLY; -1: it has one of its own */
	bool ends_rings;		/* those that it does not name, too */
};

static int backend, no_eventfd;

static void fill_index(void) { payload.u64 = 0; }
static void fill_features(void) { payload.u64 = FAKE_FEATURES | 1 << 30; }
static void fill_protocol(void) { payload.u64 = session_protocol_features(&fe.device); }
static void fill_table(void) { payload.table = fe_table(); }
static void fill_num(void) { payload.state.num = FE_RING_SIZE; }
static void fill_base(void) { payload.state.num = 1; }
static void fill_addr(void) { payload.addr = fe_addr(0); }
static void fill_status(void) { payload.u64 = 0; }
static void fill_config(void) { payload.config.size = 12; }

static void fill_slot(uint64_t at)
{
	payload.slot.region = (struct vhost_user_region){ FE_GUEST + at, 4096, FE_USER + at, 4096 };
}

static void fill_next_slot(void) { fill_slot(1 << 24); }
static void fill_old_slot(void) { fill_slot(1 << 25); }
static void fill_no_slot(void) { fill_slot(1 << 26); }

#define STATE sizeof(struct vhost_user_vring_state)
#define SLOT sizeof(struct vhost_user_mem_slot)
#define CONFIG (VHOST_USER_CONFIG_HEADER + 12)
#define KIND(request) #request, VHOST_USER_##request

static const struct kind kinds[] = {
	{ KIND(GET_FEATURES), 0, NULL, NULL, -1, false },
	{ KIND(SET_FEATURES), 8, fill_features, NULL, 0, false },
	{ KIND(SET_OWNER), 0, NULL, NULL, 0, true },
	{ KIND(RESET_OWNER), 0, NULL, NULL, 0, true },
	{ KIND(SET_MEM_TABLE), 40, fill_table, &fe.memfd, 0, false },
	{ KIND(SET_VRING_NUM), STATE, fill_num, NULL, 0, false },
	{ KIND(SET_VRING_ADDR), sizeof(struct vhost_user_vring_addr), fill_addr, NULL, 0, false },
	{ KIND(SET_VRING_BASE), STATE, fill_base, NULL, 0, false },
	{ KIND(GET_VRING_BASE), STATE, fill_index, NULL, -1, false },
	{ KIND(SET_VRING_KICK), 8, fill_index, &fe.kicks[4], 0, false },
	{ KIND(SET_VRING_KICK), 8, fill_index, &fe.kicks[0], 0, false },
	{ KIND(SET_VRING_KICK), 8, fill_index, &no_eventfd, 1, false },
	{ KIND(SET_VRING_CALL), 8, fill_index, &fe.calls[4], 0, false },
	{ KIND(SET_VRING_CALL), 8, fill_index, &no_eventfd, 1, false },
	{ KIND(SET_VRING_ERR), 8, fill_index, &fe.errors[4], 0, false },
	{ KIND(GET_PROTOCOL_FEATURES), 0, NULL, NULL, -1, false },
	{ KIND(SET_PROTOCOL_FEATURES), 8, fill_protocol, NULL, 0, false },
	{ KIND(GET_QUEUE_NUM), 0, NULL, NULL, -1, false },
	{ KIND(SET_VRING_ENABLE), STATE, fill_index, NULL, 0, false },
	{ KIND(SET_BACKEND_REQ_FD), 0, NULL, &backend, 0, false },
	{ KIND(GET_CONFIG), CONFIG, fill_config, NULL, -1, false },
	{ KIND(SET_CONFIG), CONFIG, fill_config, NULL, 0, false },
	{ KIND(GET_MAX_MEM_SLOTS), 0, NULL, NULL, -1, false },
	{ KIND(ADD_MEM_REG), SLOT, fill_next_slot, &fe.memfd, 0, false },
	{ KIND(ADD_MEM_REG), SLOT, fill_old_slot, &no_eventfd, 1, false },
	{ KIND(REM_MEM_REG), SLOT, fill_old_slot, NULL, 0, false },
	{ KIND(REM_MEM_REG), SLOT, fill_no_slot, NULL, EITHER, false },
	{ KIND(SET_STATUS), 8, fill_status, NULL, 0, true },
	{ KIND(GET_STATUS), 0, NULL, NULL, -1, false },
	{ "unknown", 77, 8, fill_index, NULL, 1, false },
};

/* --- The first process ----------------------------------------------------------- */

static void new_loop(void)
{
	fe.loop = loop_create();
	assert_non_null(fe.loop);
	loop_task_init(fe.loop, &fe.quit, fe_quit);
}

/* Rings that run, one of which has a chain out; memory in two regions; a back-end channel. */
static void begin(void)
{
	uint64_t index = 0;

	fe_negotiate(&fe);
	fe_set_table(&fe);
	memset(&payload, 0, sizeof(payload));
	fill_old_slot();
	fe_send_flags(&fe, VHOST_USER_ADD_MEM_REG, 0, &payload, SLOT, &fe.memfd, 1);
	fe_send_flags(&fe, VHOST_USER_SET_BACKEND_REQ_FD, 0, &index, 0, &backend, 1);
	fe.device.queues[2].hold = true;
	for (int i = 0; i < FAKE_QUEUES - 1; i++)
		fe_start_ring(&fe, i);
	fe_put(&fe, 2);
	fe_kick(&fe, 2);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
}

static void send_kind(const struct kind *kind)
{
	memset(&payload, 0, sizeof(payload));
	if (kind->fill)
		kind->fill();
	fe_send_flags(&fe, kind->request, kind->answer < 0 ? 0 : VHOST_USER_NEED_REPLY, &payload,
		      kind->size, kind->fd, !!kind->fd);
}

/* Ends at point @at of the message, or behind it; @at 0: leaves all to the next one then. */
static void run_first(const struct kind *kind, unsigned int at)
{
	new_loop();
	fe.kept = kept_create(&keep);
	fe.session = session_create(fe.loop, &fe.device, fe.kept, theirs, fe_on_end, &fe);
	begin();
	end_at = at;
	send_kind(kind);
	if (!at) {
		session_leave(fe.session);
		session_destroy(fe.session);
		kept_destroy(fe.kept);
	}
	_exit(0);
}

/* --- The second ------------------------------------------------------------------ */

static void take_over(void)
{
	fake_keep_begin(&keep);
	memset(&fe.device, 0, sizeof(fe.device));
	fe.kept = kept_create(&keep);
	assert_non_null(fe.kept);
	assert_true(kept_has_front_end(fe.kept));
	fe.session = session_adopt(fe.loop, &fe.device, fe.kept, fe_on_end, &fe);
	keep_drop_rest(&keep);
}

static bool connection_has_ended(void)
{
	uint8_t bytes[512];
	ssize_t n;

	while ((n = recv(fe.fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

static void check_answer(const struct kind *kind)
{
	struct fe_reply reply;

	assert_true(fe_receive(&fe, &reply));
	assert_int_equal(reply.header.request, kind->request);
	if (kind->answer == EITHER)
		assert_in_range(reply.payload.u64, 0, 1);
	else if (kind->answer >= 0)
		assert_int_equal(reply.payload.u64, kind->answer);
	if (kind->request == VHOST_USER_GET_VRING_BASE)
		assert_int_equal(reply.payload.state.num, 1);
	assert_false(fe_receive(&fe, &reply));
	assert_false(connection_has_ended());
}

/* Rings go on, what was out came back, and the front end can begin again. */
static void check_rings(const struct kind *kind)
{
	if (!kind->ends_rings) {
		assert_int_equal(fe_used(&fe, 2)->idx, 1);
		fe_put(&fe, 1);
		fe_kick(&fe, 1);
		assert_int_equal(fe_used(&fe, 1)->idx, 1);
		/* Rings that were paused had their calls. */
		if (kind->request != VHOST_USER_SET_MEM_TABLE &&
		    kind->request != VHOST_USER_REM_MEM_REG)
			assert_true(fe_was_signalled(fe.calls[1]));
		fe_put(&fe, 2);
		fe_kick(&fe, 2);
		assert_int_equal(fe_used(&fe, 2)->idx, 2);
	}
	memset(fe.mem, 0, FE_RING_STRIDE);
	fe_set_table(&fe);
	fe_start_ring(&fe, 0);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
	assert_int_equal(fe_used(&fe, 0)->ring[0].id, 0);
	assert_false(fe.ended);
	fe_get_u64(&fe, VHOST_USER_GET_STATUS);
}

/* Returns whether the first process came to that point. */
static bool play(const struct kind *kind, unsigned int at)
{
	int pair[2], status;
	pid_t pid;

	fe_prepare(&fe);
	fake_keep_init(&keep);
	*is_in_window = false;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fe.fd = pair[0];
	theirs = pair[1];
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		run_first(kind, at);
	close(theirs);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == DIED);
	take_over();
	if (*is_in_window) {
		assert_null(fe.session);
		assert_true(connection_has_ended());
	} else {
		assert_non_null(fe.session);
		fe_run(&fe);
		assert_int_equal(fe.device.adopted, 1);
		check_answer(kind);
		check_rings(kind);
	}
	session_destroy(fe.session);
	fe.session = NULL;
	kept_destroy(fe.kept);
	fe.kept = NULL;
	assert_int_equal(keep.count, 0);
	fe_stop(&fe);
	fake_keep_fini(&keep);
	return WEXITSTATUS(status) == DIED;
}

static void ends_at_any_point(void **state)
{
	int fds, pair[2];

	(void)state;
	is_in_window = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	backend = pair[0];
	no_eventfd = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds = fe_count_fds();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		unsigned int at = 1;

		while (play(&kinds[i], at))
			at++;
		print_message("%s: ended at %u points\n", kinds[i].name, at - 1);
		assert_true(at > 4);
		play(&kinds[i], 0);
	}
	assert_int_equal(fe_count_fds(), fds);
	assert_int_equal(fe_count_mappings(), 0);
	close(backend);
	close(pair[1]);
	close(no_eventfd);
}

/* --- What cannot be taken over --------------------------------------------------- */

static void no_kick(struct kept_state *state) { state->rings[1].kick = 0; }

/*
 * A front end at work, whose daemon spoils what it keeps, unless @spoil is NULL, and dies. Returns
 * a copy of the daemon's end of the connection, as a holder may have one.
 */
static int begin_and_die(void (*spoil)(struct kept_state *state))
{
	int pair[2], channel[2], status;
	pid_t pid;

	fe_prepare(&fe);
	fake_keep_init(&keep);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
	fe.fd = pair[0];
	theirs = pair[1];
	backend = channel[0];
	pid = fork();
	if (!pid) {
		new_loop();
		fe.kept = kept_create(&keep);
		fe.session = session_create(fe.loop, &fe.device, fe.kept, dup(theirs), fe_on_end,
					    &fe);
		begin();
		if (fe.ended)
			_exit(1);
		if (spoil)
			spoil(fe.kept->state);
		_exit(0);
	}
	close(channel[0]);
	close(channel[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return theirs;
}

static void leave_one(void (*spoil)(struct kept_state *state))
{
	int fds = fe_count_fds(), second = begin_and_die(spoil);
	struct kept_state copy;

	/* Where the session is begun it shuts the connection, whoever else has it. */
	if (spoil != no_kick)
		close(second);
	fake_keep_begin(&keep);
	memset(&fe.device, 0, sizeof(fe.device));
	fe.kept = kept_create(&keep);
	assert_non_null(fe.kept);
	copy = *fe.kept->state;
	if (kept_has_front_end(fe.kept))
		assert_null(session_adopt(fe.loop, &fe.device, fe.kept, fe_on_end, &fe));
	assert_false(kept_has_front_end(fe.kept));
	keep_drop_rest(&keep);
	assert_int_equal(copy.version, KEPT_VERSION);
	assert_true(connection_has_ended());
	if (spoil == no_kick)
		close(second);
	/* The next one finds a daemon as new. */
	close(fe.fd);
	fe_connect(&fe);
	fe_negotiate(&fe);
	assert_false(fe.ended);
	session_destroy(fe.session);
	fe.session = NULL;
	kept_destroy(fe.kept);
	fe.kept = NULL;
	assert_int_equal(keep.count, 0);
	fe_stop(&fe);
	fake_keep_fini(&keep);
	assert_int_equal(fe_count_fds(), fds);
}

/* A file that can have no seals can become shorter under us. */
static void ordinary_file(void **state)
{
	struct stat st;
	FILE *file;
	int ret;

	(void)state;
	close(begin_and_die(NULL));
	fake_keep_begin(&keep);
	file = tmpfile();
	assert_non_null(file);
	for (unsigned int i = 0; i < keep.count; i++) {
		if (!keep.held[i].is_state)
			continue;
		assert_int_equal(fstat(keep.held[i].fd, &st), 0);
		ret = sendfile(fileno(file), keep.held[i].fd, &(off_t){ 0 }, st.st_size);
		assert_int_equal(ret, st.st_size);
		assert_true(dup2(fileno(file), keep.held[i].fd) >= 0);
	}
	fclose(file);
	memset(&fe.device, 0, sizeof(fe.device));
	fe.kept = kept_create(&keep);
	assert_non_null(fe.kept);
	assert_false(kept_has_front_end(fe.kept));
	keep_drop_rest(&keep);
	kept_destroy(fe.kept);
	fe.kept = NULL;
	fe_stop(&fe);
	fake_keep_fini(&keep);
}

/* Takes over what a process has left; returns the file of the state that it left. */
static int adopt_what_is_left(void)
{
	int file = -1;

	for (unsigned int i = 0; i < keep.count; i++)
		if (keep.held[i].is_state)
			file = dup(keep.held[i].fd);
	assert_true(file >= 0);
	memset(&fe.device, 0, sizeof(fe.device));
	fe.kept = kept_create(&keep);
	assert_non_null(fe.kept);
	fe.session = session_adopt(fe.loop, &fe.device, fe.kept, fe_on_end, &fe);
	assert_non_null(fe.session);
	keep_drop_rest(&keep);
	return file;
}

/* A few pages for each ring, although there is room for the largest. */
static void is_sparse(int file)
{
	struct stat st;

	assert_int_equal(fstat(file, &st), 0);
	assert_in_range(st.st_blocks, 1, (1 << 20) / 512);
}

/* A process that has the older file changes nothing any more. */
static void works_on_a_copy(void **state)
{
	int file;

	(void)state;
	close(begin_and_die(NULL));
	fake_keep_begin(&keep);
	file = adopt_what_is_left();
	is_sparse(file);
	assert_int_equal(pwrite(file, "\xff\xff", 2, offsetof(struct kept_state, which)), 2);
	assert_in_range(fe.kept->state->which, 0, 1);
	close(file);
	for (unsigned int i = 0, states = 0; i < keep.count; i++) {
		assert_true((states += keep.held[i].is_state) <= 1);
		if (keep.held[i].is_state)
			is_sparse(keep.held[i].fd);
	}
	fe_stop(&fe);
	fake_keep_fini(&keep);
}

/* A holder that could not be told to drop the older state has it still, and shows nothing by it. */
static void alone_leaves_no_state(void **state)
{
	uint32_t socket = 1;
	int file;

	(void)state;
	close(begin_and_die(NULL));
	fake_keep_begin(&keep);
	keep.is_alone = true;
	file = adopt_what_is_left();
	assert_int_equal(pread(file, &socket, sizeof(socket),
			       offsetof(struct kept_state, socket)), sizeof(socket));
	assert_int_equal(socket, 0);
	close(file);
	fe_stop(&fe);
	fake_keep_fini(&keep);
}

/* What a program of version 1 leaves: tables with room for 32 regions, and all else the same. */
static int of_version_1(int file)
{
	const size_t tables = offsetof(struct kept_state, tables), table = 8 + 32 * 40;
	const size_t rest = offsetof(struct kept_state, message), page = 4096;
	const size_t rings = (sizeof(struct kept_state) + page - 1) / page * page;
	int old = memfd_create("old", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t from[] = { 0, tables, tables + sizeof(struct kept_regions), rest, rings };
	size_t sizes[] = { tables, table, table, sizeof(struct kept_state) - rest, 0 };
	uint32_t version = 1;
	off_t to = 0;
	struct stat st;

	assert_int_equal(fstat(file, &st), 0);
	sizes[4] = st.st_size - rings;
	for (int i = 0; i < 5; i++) {
		to = i < 4 ? to : (off_t)((to + page - 1) / page * page);
		assert_int_equal(lseek(old, to, SEEK_SET), to);
		assert_int_equal(sendfile(old, file, &from[i], sizes[i]), sizes[i]);
		to += sizes[i];
	}
	assert_int_equal(pwrite(old, &version, sizeof(version),
				offsetof(struct kept_state, version)), sizeof(version));
	assert_int_equal(fcntl(old, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	return old;
}

static void takes_over_an_older_version(void **state)
{
	const struct kind nothing = { .name = "none" };
	uint32_t version;

	(void)state;
	close(begin_and_die(NULL));
	fake_keep_begin(&keep);
	for (unsigned int i = 0; i < keep.count; i++) {
		int old = keep.held[i].is_state ? of_version_1(keep.held[i].fd) : -1;

		if (old >= 0)
			assert_true(dup2(old, keep.held[i].fd) >= 0);
		close(old);
	}
	close(adopt_what_is_left());
	assert_int_equal(fe.kept->state->version, KEPT_VERSION);
	assert_int_equal(kept_regions(fe.kept->state)->count, 2);
	fe_run(&fe);
	check_rings(&nothing);
	/* It is written in today's version: another one finds it. */
	for (unsigned int i = 0; i < keep.count; i++)
		if (keep.held[i].is_state)
			assert_int_equal(pread(keep.held[i].fd, &version, sizeof(version),
					       offsetof(struct kept_state, version)),
					 sizeof(version));
	assert_int_equal(version, KEPT_VERSION);
	fe_stop(&fe);
	fake_keep_fini(&keep);
}

static void none_is_called(void)
{
	for (int i = 0; i < FAKE_QUEUES - 1; i++)
		assert_false(fe_was_signalled(fe.calls[i]));
}

/* What the device gives back as it takes over is told of, behind that. */
static void calls_come_last(void **state)
{
	(void)state;
	close(begin_and_die(NULL));
	for (int i = 0; i < FAKE_QUEUES - 1; i++)
		fe_was_signalled(fe.calls[i]);
	fake_on_adopt = none_is_called;
	take_over();
	fake_on_adopt = NULL;
	assert_non_null(fe.session);
	for (int i = 0; i < FAKE_QUEUES - 1; i++)
		assert_true(fe_was_signalled(fe.calls[i]));
	fe_stop(&fe);
	fake_keep_fini(&keep);
}

static void other_version(struct kept_state *state) { state->version++; }
static void other_queues(struct kept_state *state) { state->queue_count--; }
static void no_table(struct kept_state *state) { state->which = 2; }
static void large_table(struct kept_state *state)
{
	state->tables[state->which].count = MEM_MAX_REGIONS + 1;
}

static void no_step(struct kept_state *state) { state->step = KEPT_SENDING + 1; }
static void odd_size(struct kept_state *state) { state->rings[1].size = 3; }
static void not_held(struct kept_state *state) { state->rings[1].kick = 1000; }
static void no_socket(struct kept_state *state) { state->socket = state->rings[1].kick; }
static void no_memory(struct kept_state *state) { state->tables[state->which].count = 0; }
static void many_fds(struct kept_state *state)
{
	state->step = KEPT_RECORDED;
	state->message.header = (struct vhost_user_header){ VHOST_USER_SET_OWNER, 1, 0 };
	state->message.received = sizeof(struct vhost_user_header);
	state->message.fd_count = MESSAGE_MAX_FDS + 1;
}

static void wild_fds(struct kept_state *state)
{
	state->step = KEPT_IDLE;
	state->message.fd_count = UINT32_MAX;
}

/* Descriptors of the process that died, by its numbers, and no socket: none of ours is closed. */
static void old_fds(struct kept_state *state)
{
	state->message.fd_count = MESSAGE_MAX_FDS;
	for (int i = 0; i < MESSAGE_MAX_FDS; i++)
		state->message.fds[i] = i;
	state->socket = 1000;
}

static void cannot_be_taken_over(void **state)
{
	(void)state;
	leave_one(other_version);
	leave_one(other_queues);
	leave_one(no_table);
	leave_one(large_table);
	leave_one(no_step);
	leave_one(odd_size);
	leave_one(not_held);
	leave_one(no_socket);
	leave_one(no_kick);
	leave_one(no_memory);
	leave_one(many_fds);
	leave_one(wild_fds);
	leave_one(old_fds);
}

/* --- A planned restart ------------------------------------------------------------ */

/*
 * A program leaves its front end to the next one in the process, which ends at point @at. That one
 * has been told @fails times that it cannot begin.
 */
static void restart_and_die(unsigned int at, int fails)
{
	new_loop();
	fe.kept = kept_create(&keep);
	fe.session = session_create(fe.loop, &fe.device, fe.kept, theirs, fe_on_end, &fe);
	begin();
	while (fails--) {
		if (!session_pause(fe.session))
			_exit(1);
		session_resume(fe.session);
		fe_run(&fe);
	}
	end_at = at;
	if (!session_pause(fe.session))
		_exit(1);
	/* execve(): what is held is held, and nothing else goes on. */
	for (unsigned int i = 0; i < keep.count; i++)
		keep.held[i].users = 0;
	new_loop();
	memset(&fe.device, 0, sizeof(fe.device));
	fe.kept = kept_create(&keep);
	fe.session = session_adopt(fe.loop, &fe.device, fe.kept, fe_on_end, &fe);
	keep_drop_rest(&keep);
	if (!fe.session || fe.device.adopted != 1)
		_exit(1);
	fe_run(&fe);
	_exit(0);
}

/* Returns whether it came to that point. */
static bool play_restart(unsigned int at, int fails)
{
	static const struct kind nothing = { .name = "none" };
	int pair[2], status;
	pid_t pid;

	fe_prepare(&fe);
	fake_keep_init(&keep);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fe.fd = pair[0];
	theirs = pair[1];
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		restart_and_die(at, fails);
	close(theirs);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(status == 0 || WEXITSTATUS(status) == DIED);
	take_over();
	assert_non_null(fe.session);
	fe_run(&fe);
	assert_false(connection_has_ended());
	check_rings(&nothing);
	fe_stop(&fe);
	assert_int_equal(keep.count, 0);
	fake_keep_fini(&keep);
	return WEXITSTATUS(status) == DIED;
}

static void restart_ends_at_any_point(void **state)
{
	int pair[2], fds;
	unsigned int at = 1;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	backend = pair[0];
	fds = fe_count_fds();
	while (play_restart(at, 0))
		at++;
	print_message("ended at %u points\n", at - 1);
	assert_true(at > 4);
	play_restart(0, 0);
	play_restart(0, 3);
	assert_int_equal(fe_count_fds(), fds);
	close(pair[0]);
	close(pair[1]);
}

/* A holder without room: the front end is served all the same, and nothing stays there. */
static void holder_has_no_room(void **state)
{
	int pair[2], fds = fe_count_fds();

	(void)state;
	for (unsigned int room = 1; room < 12; room++) {
		fe_prepare(&fe);
		fake_keep_init(&keep);
		keep.room = room;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		backend = pair[0];
		fe.kept = kept_create(&keep);
		assert_non_null(fe.kept);
		fe_connect(&fe);
		begin();
		assert_true(keep.is_alone);
		assert_int_equal(keep.told, 0);
		assert_int_equal(fe_used(&fe, 0)->idx, 1);
		/* A planned restart needs no holder, an end is an end. */
		assert_true(session_pause(fe.session));
		session_resume(fe.session);
		fe_run(&fe);
		session_leave(fe.session);
		session_destroy(fe.session);
		fe.session = NULL;
		assert_true(connection_has_ended());
		fe_stop(&fe);
		assert_int_equal(keep.count, 0);
		fake_keep_fini(&keep);
		close(pair[0]);
		close(pair[1]);
	}
	assert_int_equal(fe_count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_at_any_point),
		cmocka_unit_test(cannot_be_taken_over),
		cmocka_unit_test(restart_ends_at_any_point),
		cmocka_unit_test(ordinary_file),
		cmocka_unit_test(works_on_a_copy),
		cmocka_unit_test(alone_leaves_no_state),
		cmocka_unit_test(takes_over_an_older_version),
		cmocka_unit_test(calls_come_last),
		cmocka_unit_test(holder_has_no_room),
	};

	log_setup(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
