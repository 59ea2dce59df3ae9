// SPDX-License-Identifier: MIT
/* Cutting the stream into messages, and what message_check() lets through. */

#include <sys/resource.h>
#include <sys/wait.h>

#include "base/fd_limit.h"
#include "front_end.h"
#include "vhost/message.h"

#define ALL_FEATURES UINT64_MAX
#define QUEUES 6

struct pipe {
	int ours, theirs;
	int file;			/* what is sent along */
	struct message message;
	int fds;			/* open before anything was received */
};

static int setup(void **state)
{
	struct pipe *p = calloc(1, sizeof(*p));
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p->ours = pair[0];
	p->theirs = pair[1];
	p->file = eventfd(0, EFD_CLOEXEC);
	message_init(&p->message);
	assert_int_equal(message_begin(p->ours), 0);
	p->fds = fe_count_fds();
	*state = p;
	return 0;
}

/* Whatever happened, no descriptor stays. */
static int teardown(void **state)
{
	struct pipe *p = *state;

	message_reset(&p->message);
	assert_int_equal(fe_count_fds(), p->fds - (p->theirs < 0));
	close(p->file);
	close(p->ours);
	if (p->theirs >= 0)
		close(p->theirs);
	free(p);
	return 0;
}

static void put(struct pipe *p, const void *buf, size_t len, int count)
{
	struct front_end fe = { .fd = p->theirs };
	int fds[64];

	for (int i = 0; i < count; i++)
		fds[i] = p->file;
	fe_send_raw(&fe, buf, len, fds, count);
}

/* The message was dealt with. */
static void next(struct pipe *p)
{
	assert_int_equal(message_take(&p->message, p->ours), 0);
	message_reset(&p->message);
}

struct small {
	struct vhost_user_header h;
	uint32_t v[2];
};

static const struct vhost_user_header num_header = { VHOST_USER_SET_VRING_NUM, 1, 8 };
static const struct small kick = { { VHOST_USER_SET_VRING_KICK, 1, 8 }, { 3, 0 } };

static void test_whole(void **state)
{
	struct pipe *p = *state;
	struct small raw = { num_header, { 3, 256 } };

	assert_int_equal(message_receive(&p->message, p->ours), 0);
	put(p, &raw, 20, 0);
	put(p, &kick, 20, 1);
	assert_int_equal(message_receive(&p->message, p->ours), 1);
	assert_int_equal(p->message.payload.state.num, 256);
	assert_int_equal(p->message.fd_count, 0);
	assert_true(message_is_whole(&p->message));
	next(p);
	/* The second one's descriptor came with the second one. */
	assert_int_equal(message_receive(&p->message, p->ours), 1);
	assert_int_equal(p->message.fd_count, 1);
	assert_int_equal(fcntl(p->message.fds[0], F_GETFD), FD_CLOEXEC);
	next(p);
	assert_int_equal(message_receive(&p->message, p->ours), 0);
}

static void test_byte_by_byte(void **state)
{
	struct pipe *p = *state;

	for (int i = 0; i < 20; i++) {
		put(p, (char *)&kick + i, 1, i == 15);
		assert_int_equal(message_receive(&p->message, p->ours), i == 19);
	}
	assert_int_equal(p->message.payload.state.index, 3);
	assert_int_equal(p->message.fd_count, 1);
}

/* Another process goes on: with the message until it is taken, and never with a part. */
static void test_taken_once(void **state)
{
	struct pipe *p = *state;
	struct small raw = { num_header, { 3, 512 } };
	char byte;

	put(p, &kick, 15, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(message_receive(&p->message, p->ours), 0);
		message_reset(&p->message);
		assert_int_equal(message_begin(p->ours), 0);
	}
	put(p, (char *)&kick + 15, 5, 0);
	put(p, &raw, 20, 0);
	put(p, &kick, 20, 1);
	assert_int_equal(message_receive(&p->message, p->ours), 1);
	assert_int_equal(p->message.fd_count, 1);
	/* It ends between two parts: the rest is still told from the next one. */
	assert_int_equal(recv(p->ours, &byte, 1, 0), 1);
	next(p);
	assert_int_equal(message_take(&p->message, p->ours), 0);
	assert_int_equal(message_receive(&p->message, p->ours), 1);
	assert_int_equal(p->message.payload.state.num, 512);
	assert_int_equal(p->message.fd_count, 0);
}

/* Descriptors that belong to no message that may have some cost the one that has them. */
static void test_wrong_fds(void **state)
{
	struct pipe *p = *state;
	struct small raw = { num_header, { 3, 256 } };

	put(p, &raw, 20, 1);
	put(p, &kick, 20, 0);
	put(p, &kick, 20, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(message_receive(&p->message, p->ours), 1);
		assert_int_equal(message_take(&p->message, p->ours), 0);
		assert_int_equal(message_check(&p->message, QUEUES, ALL_FEATURES),
				 i < 2 ? -EINVAL : 0);
		message_reset(&p->message);
	}
}

static void test_ends(void **state)
{
	struct pipe *p = *state;

	put(p, &num_header, 5, 1);
	assert_int_equal(message_receive(&p->message, p->ours), 0);
	close(p->theirs);
	p->theirs = -1;
	assert_int_equal(message_receive(&p->message, p->ours), -EPIPE);
	message_reset(&p->message);
	assert_int_equal(message_receive(&p->message, p->ours), -ENOTCONN);
}

static void test_ends_with_reply_unread(void **state)
{
	struct pipe *p = *state;

	assert_int_equal(message_send(p->ours, &(struct vhost_user_header){ 1, 5, 0 }, NULL), 0);
	close(p->theirs);
	p->theirs = -1;
	assert_int_equal(message_receive(&p->message, p->ours), -ENOTCONN);
}

static void test_bad_headers(void **state)
{
	static const struct vhost_user_header bad[] = {
		{ 1, 0, 0 }, { 1, 2, 0 }, { 1, 5, 0 }, { 1, 0xffffffff, 0 },
		{ 1, 1, MESSAGE_MAX_PAYLOAD + 1 }, { 1, 1, 0xffffffff },
	};
	struct pipe *p = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(p, &bad[i], sizeof(bad[i]), 1);
		assert_int_equal(message_receive(&p->message, p->ours), -EPROTO);
		message_reset(&p->message);
	}
}

static void test_largest(void **state)
{
	struct pipe *p = *state;
	struct vhost_user_header header = { 77, 1, MESSAGE_MAX_PAYLOAD };
	static char payload[MESSAGE_MAX_PAYLOAD];

	put(p, &header, sizeof(header), 0);
	put(p, payload, sizeof(payload), 0);
	assert_int_equal(message_receive(&p->message, p->ours), 1);
}

/* No more descriptors may be open: that is not the front end's mistake. */
static void test_no_fd_left(void **state)
{
	struct pipe *p = *state;
	struct rlimit limit, none;

	put(p, &kick, sizeof(kick), 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(message_receive(&p->message, p->ours), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* In a process of its own, which cannot raise the limit again. Returns the line that is wrong. */
static int use_reserve(struct pipe *p)
{
	const struct rlimit few = { 64, 64 };

	if (setrlimit(RLIMIT_NOFILE, &few) || fd_limit_init(4) != 60)
		return __LINE__;
	while (dup(p->file) >= 0)
		;
	if (errno != EMFILE)
		return __LINE__;
	fd_limit_open_reserve();
	if (message_receive(&p->message, p->ours) != 1 || p->message.fd_count != 4)
		return __LINE__;
	fd_limit_close_reserve();
	return dup(p->file) < 0 ? 0 : __LINE__;
}

/* A message's descriptors arrive when all others meet the limit. */
static void test_reserve(void **state)
{
	struct pipe *p = *state;
	int status;
	pid_t child;

	put(p, &kick, sizeof(kick), 4);
	child = fork();
	if (!child)
		_exit(use_reserve(p));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_many_fds(void **state)
{
	struct pipe *p = *state;

	put(p, &kick, sizeof(kick), MESSAGE_MAX_FDS);
	assert_int_equal(message_receive(&p->message, p->ours), 1);
	assert_int_equal(p->message.fd_count, MESSAGE_MAX_FDS);
	next(p);
	/* More than the buffer takes at once. */
	put(p, &kick, sizeof(kick), 60);
	assert_int_equal(message_receive(&p->message, p->ours), -EPROTO);
}

static void test_take(void **state)
{
	struct pipe *p = *state;
	int fd;

	put(p, &kick, sizeof(kick), 1);
	message_receive(&p->message, p->ours);
	fd = message_take_fd(&p->message, 0);
	assert_true(fd >= 0);
	assert_int_equal(message_take_fd(&p->message, 0), -1);
	assert_int_equal(message_take_fd(&p->message, 1), -1);
	message_reset(&p->message);
	assert_int_equal(close(fd), 0);
}

static void test_send_full(void **state)
{
	struct pipe *p = *state;
	struct vhost_user_header header = { 1, 5, 8 };
	uint64_t value = 1;
	int ret;

	do {
		ret = message_send(p->ours, &header, &value);
	} while (ret == 0);
	assert_int_equal(ret, -EAGAIN);
}

/* --- message_check() ---------------------------------------------------- */

struct sample {
	uint32_t request, size;
	unsigned int fds;
	uint32_t words[10];
	int ret;
};

#define NO_FD VHOST_USER_VRING_NO_FD
#define OK 0

static const struct sample samples[] = {
	{ VHOST_USER_GET_FEATURES, 0, 0, { 0 }, OK },
	{ VHOST_USER_GET_FEATURES, 8, 0, { 0 }, -EINVAL },
	{ VHOST_USER_GET_FEATURES, 0, 1, { 0 }, -EINVAL },
	{ VHOST_USER_SET_FEATURES, 8, 0, { 0 }, OK },
	{ VHOST_USER_SET_FEATURES, 4, 0, { 0 }, -EINVAL },
	{ VHOST_USER_SET_FEATURES, 12, 0, { 0 }, -EINVAL },
	{ VHOST_USER_SET_OWNER, 0, 0, { 0 }, OK },
	{ VHOST_USER_SET_OWNER, 1, 0, { 0 }, -EINVAL },
	{ VHOST_USER_RESET_OWNER, 0, 0, { 0 }, OK },
	{ VHOST_USER_RESET_OWNER, 0, 2, { 0 }, -EINVAL },
	{ VHOST_USER_SET_MEM_TABLE, 40, 1, { 1 }, OK },
	{ VHOST_USER_SET_MEM_TABLE, 72, 1, { 1 }, OK },
	{ VHOST_USER_SET_MEM_TABLE, 72, 2, { 2 }, OK },
	{ VHOST_USER_SET_MEM_TABLE, 264, 8, { 8 }, OK },
	{ VHOST_USER_SET_MEM_TABLE, 8, 0, { 0 }, -EINVAL },
	{ VHOST_USER_SET_MEM_TABLE, 0, 0, { 0 }, -EINVAL },
	{ VHOST_USER_SET_MEM_TABLE, 4, 1, { 1 }, -EINVAL },
	{ VHOST_USER_SET_MEM_TABLE, 40, 0, { 1 }, -EINVAL },
	{ VHOST_USER_SET_MEM_TABLE, 40, 2, { 1 }, -EINVAL },
	{ VHOST_USER_SET_MEM_TABLE, 40, 2, { 2 }, -EINVAL },
	{ VHOST_USER_SET_MEM_TABLE, 41, 1, { 1 }, -EINVAL },
	{ VHOST_USER_SET_MEM_TABLE, 296, 9, { 9 }, -EINVAL },
	{ VHOST_USER_SET_MEM_TABLE, 264, 8, { 0xffffffff }, -EINVAL },
	{ VHOST_USER_SET_VRING_NUM, 8, 0, { 5, 256 }, OK },
	{ VHOST_USER_SET_VRING_NUM, 8, 0, { 5, 1 }, OK },
	{ VHOST_USER_SET_VRING_NUM, 8, 0, { 5, 32768 }, OK },
	{ VHOST_USER_SET_VRING_NUM, 8, 0, { 6, 256 }, -EINVAL },
	{ VHOST_USER_SET_VRING_NUM, 8, 0, { 0xffffffff, 256 }, -EINVAL },
	{ VHOST_USER_SET_VRING_NUM, 8, 0, { 0, 0 }, -EINVAL },
	{ VHOST_USER_SET_VRING_NUM, 8, 0, { 0, 100 }, -EINVAL },
	{ VHOST_USER_SET_VRING_NUM, 8, 0, { 0, 65536 }, -EINVAL },
	{ VHOST_USER_SET_VRING_NUM, 4, 0, { 0, 256 }, -EINVAL },
	{ VHOST_USER_SET_VRING_ADDR, 40, 0, { 5, 0, 16, 0, 4, 0, 2, 0, ~0U, ~0U }, OK },
	{ VHOST_USER_SET_VRING_ADDR, 40, 0, { 6, 0, 16, 0, 4, 0, 2 }, -EINVAL },
	{ VHOST_USER_SET_VRING_ADDR, 40, 0, { 0, 1, 16, 0, 4, 0, 2 }, -EINVAL },
	{ VHOST_USER_SET_VRING_ADDR, 40, 0, { 0, 0, 8, 0, 4, 0, 2 }, -EINVAL },
	{ VHOST_USER_SET_VRING_ADDR, 40, 0, { 0, 0, 16, 0, 2, 0, 2 }, -EINVAL },
	{ VHOST_USER_SET_VRING_ADDR, 40, 0, { 0, 0, 16, 0, 4, 0, 1 }, -EINVAL },
	{ VHOST_USER_SET_VRING_ADDR, 32, 0, { 0, 0, 16, 0, 4, 0, 2 }, -EINVAL },
	{ VHOST_USER_SET_VRING_BASE, 8, 0, { 5, 65535 }, OK },
	{ VHOST_USER_SET_VRING_BASE, 8, 0, { 5, 65536 }, -EINVAL },
	{ VHOST_USER_SET_VRING_BASE, 8, 0, { 6, 0 }, -EINVAL },
	{ VHOST_USER_GET_VRING_BASE, 8, 0, { 5, 77 }, OK },
	{ VHOST_USER_GET_VRING_BASE, 8, 0, { 6, 0 }, -EINVAL },
	{ VHOST_USER_GET_VRING_BASE, 0, 0, { 0 }, -EINVAL },
	{ VHOST_USER_SET_VRING_KICK, 8, 1, { 5 }, OK },
	{ VHOST_USER_SET_VRING_KICK, 8, 0, { 5 | NO_FD }, OK },
	{ VHOST_USER_SET_VRING_KICK, 8, 0, { 5 }, -EINVAL },
	{ VHOST_USER_SET_VRING_KICK, 8, 1, { 5 | NO_FD }, -EINVAL },
	{ VHOST_USER_SET_VRING_KICK, 8, 1, { 6 }, -EINVAL },
	{ VHOST_USER_SET_VRING_KICK, 8, 1, { 5 | 0x200 }, -EINVAL },
	{ VHOST_USER_SET_VRING_KICK, 8, 1, { 5, 1 }, -EINVAL },
	{ VHOST_USER_SET_VRING_KICK, 8, 2, { 5 }, -EINVAL },
	{ VHOST_USER_SET_VRING_CALL, 8, 1, { 0 }, OK },
	{ VHOST_USER_SET_VRING_CALL, 8, 0, { NO_FD }, OK },
	{ VHOST_USER_SET_VRING_CALL, 8, 1, { 255 }, -EINVAL },
	{ VHOST_USER_SET_VRING_ERR, 8, 1, { 0 }, OK },
	{ VHOST_USER_SET_VRING_ERR, 4, 1, { 0 }, -EINVAL },
	{ VHOST_USER_GET_PROTOCOL_FEATURES, 0, 0, { 0 }, OK },
	{ VHOST_USER_SET_PROTOCOL_FEATURES, 8, 0, { 0 }, OK },
	{ VHOST_USER_GET_QUEUE_NUM, 0, 0, { 0 }, OK },
	{ VHOST_USER_SET_VRING_ENABLE, 8, 0, { 5, 1 }, OK },
	{ VHOST_USER_SET_VRING_ENABLE, 8, 0, { 5, 0 }, OK },
	{ VHOST_USER_SET_VRING_ENABLE, 8, 0, { 5, 2 }, -EINVAL },
	{ VHOST_USER_SET_VRING_ENABLE, 8, 0, { 6, 1 }, -EINVAL },
	{ VHOST_USER_SET_BACKEND_REQ_FD, 0, 1, { 0 }, OK },
	{ VHOST_USER_SET_BACKEND_REQ_FD, 0, 0, { 0 }, -EINVAL },
	{ VHOST_USER_SET_BACKEND_REQ_FD, 0, 2, { 0 }, -EINVAL },
	{ VHOST_USER_GET_CONFIG, 24, 0, { 0, 12, 0 }, OK },
	{ VHOST_USER_GET_CONFIG, 268, 0, { 0, 256, 0 }, OK },
	{ VHOST_USER_GET_CONFIG, 12, 0, { 0, 0, 0 }, -EINVAL },
	{ VHOST_USER_GET_CONFIG, 12, 0, { 0, 12, 0 }, -EINVAL },
	{ VHOST_USER_GET_CONFIG, 24, 0, { 250, 12, 0 }, -EINVAL },
	{ VHOST_USER_GET_CONFIG, 24, 0, { 0xffffffff, 12, 0 }, -EINVAL },
	{ VHOST_USER_GET_CONFIG, 24, 0, { 0, 0xffffffff, 0 }, -EINVAL },
	{ VHOST_USER_GET_CONFIG, 269, 0, { 0, 257, 0 }, -EINVAL },
	{ VHOST_USER_SET_CONFIG, 24, 0, { 0, 12, 1 }, OK },
	{ VHOST_USER_SET_CONFIG, 24, 0, { 0, 12, 2 }, -EINVAL },
	{ VHOST_USER_GET_MAX_MEM_SLOTS, 0, 0, { 0 }, OK },
	{ VHOST_USER_ADD_MEM_REG, 40, 1, { 0 }, OK },
	{ VHOST_USER_ADD_MEM_REG, 40, 0, { 0 }, -EINVAL },
	{ VHOST_USER_ADD_MEM_REG, 32, 1, { 0 }, -EINVAL },
	{ VHOST_USER_REM_MEM_REG, 40, 0, { 0 }, OK },
	{ VHOST_USER_REM_MEM_REG, 40, 1, { 0 }, OK },
	{ VHOST_USER_REM_MEM_REG, 40, 2, { 0 }, -EINVAL },
	{ VHOST_USER_SET_STATUS, 8, 0, { 255 }, OK },
	{ VHOST_USER_SET_STATUS, 8, 0, { 256 }, -EINVAL },
	{ VHOST_USER_GET_STATUS, 0, 0, { 0 }, OK },
	/* Not offered: dirty log, in-flight tracking, in-band notifications, resets. */
	{ 0, 0, 0, { 0 }, -EOPNOTSUPP },
	{ 6, 16, 1, { 0 }, -EOPNOTSUPP },
	{ 7, 0, 1, { 0 }, -EOPNOTSUPP },
	{ 31, 0, 0, { 0 }, -EOPNOTSUPP },
	{ 34, 0, 0, { 0 }, -EOPNOTSUPP },
	{ 35, 8, 0, { 0 }, -EOPNOTSUPP },
	{ 41, 0, 0, { 0 }, -EOPNOTSUPP },
	{ 0xffffffff, 0, 0, { 0 }, -EOPNOTSUPP },
};

static int check(const struct sample *sample, uint64_t features)
{
	static struct message m;

	memset(&m, 0, sizeof(m));
	m.header.request = sample->request;
	m.header.size = sample->size;
	m.fd_count = sample->fds;
	memcpy(m.payload.bytes, sample->words, sizeof(sample->words));
	return message_check(&m, QUEUES, features);
}

static void test_check(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		int ret = check(&samples[i], ALL_FEATURES);

		if (ret != samples[i].ret)
			fail_msg("sample %zu (request %u): %d, not %d", i, samples[i].request, ret,
				 samples[i].ret);
	}
}

/* A message of a feature that was not acknowledged is as good as unknown. */
static void test_check_features(void **state)
{
	static const struct { uint32_t request; int bit; } needs[] = {
		{ VHOST_USER_GET_QUEUE_NUM, 0 }, { VHOST_USER_SET_BACKEND_REQ_FD, 5 },
		{ VHOST_USER_GET_CONFIG, 9 }, { VHOST_USER_SET_CONFIG, 9 },
		{ VHOST_USER_GET_MAX_MEM_SLOTS, 15 }, { VHOST_USER_ADD_MEM_REG, 15 },
		{ VHOST_USER_REM_MEM_REG, 15 }, { VHOST_USER_SET_STATUS, 16 },
		{ VHOST_USER_GET_STATUS, 16 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		if (samples[i].ret)
			continue;
		for (size_t k = 0; k < sizeof(needs) / sizeof(needs[0]); k++) {
			if (needs[k].request != samples[i].request)
				continue;
			assert_int_equal(check(&samples[i], ~(UINT64_C(1) << needs[k].bit)),
					 -EOPNOTSUPP);
			assert_int_equal(check(&samples[i], UINT64_C(1) << needs[k].bit), 0);
		}
	}
}

#define WITH_PIPE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PIPE(test_whole),
		WITH_PIPE(test_byte_by_byte),
		WITH_PIPE(test_taken_once),
		WITH_PIPE(test_wrong_fds),
		WITH_PIPE(test_ends),
		WITH_PIPE(test_ends_with_reply_unread),
		WITH_PIPE(test_bad_headers),
		WITH_PIPE(test_largest),
		WITH_PIPE(test_many_fds),
		WITH_PIPE(test_no_fd_left),
		WITH_PIPE(test_reserve),
		WITH_PIPE(test_take),
		WITH_PIPE(test_send_full),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
