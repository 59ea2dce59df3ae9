// SPDX-License-Identifier: MIT
/* What a daemon has left of its front end, as the next one finds it: whole, older, or spoiled. */
#include <sys/sendfile.h>
#include <sys/un.h>

#include "kept_rig.h"

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
	/* Whatever it names, its own is held. */
	assert_int_equal(keep.count, 1);
	assert_true(keep.held[0].is_state);
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

/* Where not even the copy of the state can be held, nothing is left for a later program. */
static void holds_nothing(void **state)
{
	uint32_t socket = 1;
	int file = -1;

	(void)state;
	close(begin_and_die(NULL));
	fake_keep_begin(&keep);
	for (unsigned int i = 0; i < keep.count; i++)
		if (keep.held[i].is_state)
			file = dup(keep.held[i].fd);
	keep.is_full = true;
	memset(&fe.device, 0, sizeof(fe.device));
	fe.kept = kept_create(&keep);
	assert_non_null(fe.kept);
	assert_false(kept_has_front_end(fe.kept));
	assert_int_equal(pread(file, &socket, sizeof(socket),
			       offsetof(struct kept_state, socket)), sizeof(socket));
	assert_int_equal(socket, 0);
	close(file);
	keep_drop_rest(&keep);
	assert_int_equal(keep.count, 0);
	assert_true(connection_has_ended());
	/* The next front end is served all the same. */
	close(fe.fd);
	fe_connect(&fe);
	fe_negotiate(&fe);
	assert_false(fe.ended);
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

/* Numbers that the next process has not given yet: the first is that of its own state. */
static void state_as_memory(struct kept_state *state)
{
	state->tables[state->which].regions[1].number = keep.next;
}

/* The socket where front ends come in. */
static void listener_as_socket(struct kept_state *state)
{
	const struct sockaddr_un any = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (bind(fd, (const void *)&any, sizeof(sa_family_t)) || listen(fd, 1))
		_exit(1);
	state->socket = keep_hold(&keep, fd);
}

static void state_as_kick(struct kept_state *state)
{
	state->socket = 0;
	state->rings[1].kick = keep.next;
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
	leave_one(state_as_memory);
	leave_one(state_as_kick);
	leave_one(listener_as_socket);
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
		cmocka_unit_test(cannot_be_taken_over),
		cmocka_unit_test(ordinary_file),
		cmocka_unit_test(works_on_a_copy),
		cmocka_unit_test(alone_leaves_no_state),
		cmocka_unit_test(holds_nothing),
		cmocka_unit_test(takes_over_an_older_version),
		cmocka_unit_test(calls_come_last),
		cmocka_unit_test(holder_has_no_room),
	};

	log_setup(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
