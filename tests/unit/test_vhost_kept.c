// SPDX-License-Identifier: MIT
/*
 * A daemon ends at any point of any message of its front end, and another one goes on: the front
 * end sees each answer exactly once, rings go on, and nothing stays held.
 */
#include "kept_rig.h"
#include "vhost/request.h"

#define EITHER 2		/* an answer that a repeat may change */

/* --- Ends ------------------------------------------------------------------------ */

/* In memory of both: the process ended where nothing tells whether the answer was sent. */
static bool *is_in_window;

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

int __real_message_send(int sock, const struct vhost_user_header *header, const void *bytes);
int __wrap_message_send(int sock, const struct vhost_user_header *header, const void *bytes);
int __wrap_message_send(int sock, const struct vhost_user_header *header, const void *bytes)
{
	int ret;

	if (end_at)
		*is_in_window = true;
	fake_point();
	ret = __real_message_send(sock, header, bytes);
	fake_point();
	if (end_at)
		*is_in_window = false;
	return ret;
}

/* --- Messages -------------------------------------------------------------------- */

static int no_eventfd;

static void fill_index(void) { payload.u64 = 0; }
static void fill_features(void) { payload.u64 = FAKE_FEATURES | 1 << 30; }
static void fill_protocol(void) { payload.u64 = session_protocol_features(&fe.device); }
static void fill_table(void) { payload.table = fe_table(); }
static void fill_num(void) { payload.state.num = FE_RING_SIZE; }
static void fill_base(void) { payload.state.num = 1; }
static void fill_addr(void) { payload.addr = fe_addr(0); }
static void fill_status(void) { payload.u64 = 0; }
static void fill_config(void) { payload.config.size = 12; }

static void fill_next_slot(void) { fill_slot(1 << 24); }
static void fill_no_slot(void) { fill_slot(1 << 26); }

#define STATE sizeof(struct vhost_user_vring_state)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_at_any_point),
		cmocka_unit_test(restart_ends_at_any_point),
	};

	log_setup(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
