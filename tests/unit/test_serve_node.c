// SPDX-License-Identifier: MIT
/*
 * The node of manyport serve: calls that wait. The test plays the kernel's CUSE and the channel of
 * each
 * open, which moves as many bytes as it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "../../tools/manyport/serve_cuse.h"
#include "../../tools/manyport/serve_node.h"
#include "../../tools/manyport/serve_open.h"

#define MANY 2000

static struct {
	struct cuse *cuse;
	struct node *node;
	struct serve_open *channel;	/* of the newest open */
	uint64_t handle;		/* of the same */
	uint64_t unique;		/* of the newest request */
	unsigned int reads, writes;	/* tried */
	int room, bytes;		/* that the channel takes and gives */
	unsigned int answers, wakes;
	uint64_t answered[MANY];	/* the numbers of the first of them, and what each got */
	int error[MANY];
	uint32_t count[MANY];
} t;

/* --- The channel ---------------------------------------------------------------------- */

void serve_open_init(struct serve_open *o, struct serve *serve, const struct ucred *who,
		     void (*changed)(struct serve_open *open))
{
	(void)serve;
	(void)who;
	o->changed = changed;
	o->phase = OPEN_CONNECTED;
	o->is_collected = true;
	t.channel = o;
}

void serve_open_end(struct serve_open *o) { (void)o; }
void serve_open_take_answer(struct serve_open *o) { (void)o; }
void serve_open_abort(struct serve_open *o) { (void)o; }
int serve_open_shut(struct serve_open *o, uint64_t how) { (void)o; (void)how; return 0; }
int serve_open_outcome(struct serve_open *o, bool same) { (void)o; (void)same; return -EISCONN; }

void serve_open_fill_info(const struct serve_open *o, struct manyport_info *info)
{
	(void)o;
	(void)info;
}

int serve_open_name(struct serve_open *o, const char *name, size_t len, bool may_retry)
{
	(void)o;
	(void)name;
	(void)len;
	(void)may_retry;
	return -EISCONN;
}

int serve_open_find_name(const char *buf, size_t size, const char **name, size_t *len)
{
	*name = buf;
	*len = size;
	return size;
}

static int move(int *left, size_t len)
{
	int moved = (size_t)*left < len ? *left : (int)len;

	*left -= moved;
	return moved ? moved : -EAGAIN;
}

int serve_open_write(struct serve_open *o, const char *buf, size_t len)
{
	(void)o;
	(void)buf;
	t.writes++;
	return move(&t.room, len);
}

int serve_open_read(struct serve_open *o, char *buf, size_t size)
{
	(void)o;
	(void)buf;
	t.reads++;
	return move(&t.bytes, size);
}

uint32_t serve_open_poll(const struct serve_open *o)
{
	(void)o;
	return (t.bytes ? POLLIN : 0) | (t.room ? POLLOUT : 0);
}

/* --- The kernel ------------------------------------------------------------------------- */

int cuse_open(struct cuse *cuse, struct loop *loop, const char *name)
{
	(void)loop;
	(void)name;
	t.cuse = cuse;
	return 0;
}

void cuse_close(struct cuse *cuse) { (void)cuse; }

int cuse_answer(struct cuse *cuse, uint64_t unique, int error, const void *head, size_t head_len,
		const void *data, size_t len)
{
	(void)cuse;
	(void)data;
	if (head_len == sizeof(struct fuse_open_out) && !error)
		t.handle = ((const struct fuse_open_out *)head)->fh;
	assert_true(t.answers < MANY);
	t.answered[t.answers] = unique;
	t.error[t.answers] = error;
	t.count[t.answers] = head_len == sizeof(struct fuse_write_out) && !len ?
			     ((const struct fuse_write_out *)head)->size : len;
	t.answers++;
	return 0;
}

void cuse_wake_pollers(struct cuse *cuse, uint64_t kh)
{
	(void)cuse;
	(void)kh;
	t.wakes++;
}

/* As the kernel: numbers are even. */
static uint64_t ask(uint32_t opcode, const void *body, size_t len)
{
	const struct fuse_in_header header = {
		.len = sizeof(header) + len, .opcode = opcode, .unique = t.unique += 2,
	};

	t.cuse->request(t.cuse, &header, body);
	return header.unique;
}

static uint64_t ask_read(uint32_t size)
{
	const struct fuse_read_in in = { .fh = t.handle, .size = size };

	return ask(FUSE_READ, &in, sizeof(in));
}

static uint64_t ask_write(uint32_t size, uint32_t flags)
{
	static struct {
		struct fuse_write_in in;
		char data[CUSE_IO_MAX];
	} body;

	body.in = (struct fuse_write_in){ .fh = t.handle, .size = size, .flags = flags };
	return ask(FUSE_WRITE, &body, sizeof(body.in) + size);
}

static void interrupt(uint64_t unique)
{
	const struct fuse_interrupt_in in = { .unique = unique };

	ask(FUSE_INTERRUPT, &in, sizeof(in));
}

static void poll_for(uint32_t events)
{
	const struct fuse_poll_in in = {
		.fh = t.handle, .kh = 1, .flags = FUSE_POLL_SCHEDULE_NOTIFY, .events = events,
	};

	ask(FUSE_POLL, &in, sizeof(in));
}

static void forget_answers(void)
{
	t.answers = t.reads = t.writes = t.wakes = 0;
}

static void answered(unsigned int i, uint64_t unique, int error, uint32_t count)
{
	assert_true(i < t.answers);
	assert_int_equal(t.answered[i], unique);
	assert_int_equal(t.error[i], error);
	assert_int_equal(t.count[i], count);
}

static int set_up(void **state)
{
	static struct serve serve;
	const struct fuse_open_in in = { 0 };

	(void)state;
	memset(&t, 0, sizeof(t));
	assert_int_equal(serve_node_open(&serve, "manyport", &t.node), 0);
	ask(FUSE_OPEN, &in, sizeof(in));
	forget_answers();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	serve_node_close(t.node);
	return 0;
}

/* --- Tests ------------------------------------------------------------------------------ */

static void one_of_many_that_wait_is_tried(void **state)
{
	(void)state;
	for (int i = 0; i < MANY; i++) {
		ask_read(10);
		ask_write(10, 0);
	}
	assert_int_equal(t.answers, 0);
	forget_answers();
	t.channel->changed(t.channel);
	assert_int_equal(t.reads, 1);
	assert_int_equal(t.writes, 1);
}

static void they_go_on_in_order(void **state)
{
	uint64_t first = ask_write(10, 0), second = ask_write(10, 0), third = ask_write(10, 0);

	(void)state;
	t.room = 15;
	t.channel->changed(t.channel);
	assert_int_equal(t.answers, 1);
	answered(0, first, 0, 10);
	/* The second has written a part: a signal ends it with that, and the third is next. */
	interrupt(second);
	answered(1, second, 0, 5);
	t.room = 10;
	t.channel->changed(t.channel);
	answered(2, third, 0, 10);
	assert_int_equal(t.answers, 3);
}

static void what_does_not_wait_is_not_ahead_of_what_does(void **state)
{
	uint64_t first = ask_write(10, 0), second;

	(void)state;
	t.room = 10;
	second = ask_write(5, O_NONBLOCK);
	answered(0, second, -EAGAIN, 0);
	t.channel->changed(t.channel);
	answered(1, first, 0, 10);
}

static void a_signal_ends_its_own_call_only(void **state)
{
	uint64_t calls[MANY / 2];

	(void)state;
	for (int i = 0; i < MANY / 2; i++)
		calls[i] = ask_read(10);
	for (int i = MANY / 2; i-- > 1; )
		interrupt(calls[i]);
	assert_int_equal(t.answers, MANY / 2 - 1);
	for (int i = 0; i < MANY / 2 - 1; i++)
		answered(i, calls[MANY / 2 - 1 - i], -EINTR, 0);
	interrupt(calls[1]);	/* again: it is too late */
	assert_int_equal(t.answers, MANY / 2 - 1);
	t.bytes = 3;
	t.channel->changed(t.channel);
	answered(MANY / 2 - 1, calls[0], 0, 3);
}

static void bytes_of_all_that_wait_are_bounded(void **state)
{
	const unsigned int most = (16 << 20) / CUSE_IO_MAX;
	uint64_t first = 0, beyond;

	(void)state;
	for (unsigned int i = 0; i < most; i++) {
		uint64_t unique = ask_write(CUSE_IO_MAX, 0);

		first = first ? first : unique;
	}
	beyond = ask_write(CUSE_IO_MAX, 0);
	assert_int_equal(t.answers, 0);
	t.room = INT32_MAX;
	t.channel->changed(t.channel);
	assert_int_equal(t.answers, most + 1);
	answered(0, first, 0, CUSE_IO_MAX);
	answered(most, beyond, 0, 4096);
	/* There is room again. */
	t.room = 0;
	beyond = ask_write(CUSE_IO_MAX, 0);
	t.room = INT32_MAX;
	t.channel->changed(t.channel);
	answered(most + 1, beyond, 0, CUSE_IO_MAX);
}

static void pollers_are_woken_for_what_they_asked(void **state)
{
	(void)state;
	poll_for(POLLIN);
	t.room = 1;
	t.channel->changed(t.channel);
	assert_int_equal(t.wakes, 0);
	t.bytes = 1;
	t.channel->changed(t.channel);
	t.channel->changed(t.channel);
	assert_int_equal(t.wakes, 1);
	poll_for(POLLOUT);
	t.channel->changed(t.channel);
	assert_int_equal(t.wakes, 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_of_many_that_wait_is_tried, set_up, tear_down),
		cmocka_unit_test_setup_teardown(they_go_on_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_does_not_wait_is_not_ahead_of_what_does,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_signal_ends_its_own_call_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bytes_of_all_that_wait_are_bounded, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(pollers_are_woken_for_what_they_asked, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
