// SPDX-License-Identifier: MIT
/* The daemon that had the channels is gone, and another one is there [protocol.md 3.7]. */

#include "fake_host.h"
#include "kernel.h"

static struct file *file;

static struct mp_link *link_of(void)
{
	return &host_channel(file)->link;
}

static int begin(void **state)
{
	host_begin(state);
	file = host_connect();
	return 0;
}

static int begin_fixed(void **state)
{
	host_begin_fixed(state);
	file = host_connect();
	return 0;
}

/* As the handler of BYE does it. */
static void bye(void)
{
	mp_channel_fail_all(&host.port, 0);
}

/* While a call sleeps. */
static bool bye_once(void)
{
	kernel_play(NULL);
	bye();
	return true;
}

/* What is out comes back, whatever it was: the channel is not at the device. */
static void give_back(u16 op)
{
	while (host_count(op))
		host_answer_at(op, 0, MP_STALE, 0, 0);
}

static void look(void)
{
	kernel_end_timers();
	mp_pair_look_later(&host.pair);
	while (kernel_run_work())
		;
}

static void close_lost(void)
{
	assert_int_equal(host_count(MP_OP_CLOSE), 1);
	assert_true(host_request(MP_OP_CLOSE, 0)->flags & cpu_to_le16(MP_CLOSE_ABORT));
	give_back(MP_OP_CLOSE);
	look();
	assert_int_equal(host.port.ledger.channels, 0);
}

static void a_reader_wakes(void **state)
{
	(void)state;
	kernel_play(bye_once);
	assert_int_equal(host_read(file, 0, 10, false), -ECONNRESET);
	kernel_play(NULL);
	assert_int_equal(host_poll(file, EPOLLIN) & (EPOLLIN | EPOLLHUP | EPOLLERR),
			 EPOLLIN | EPOLLHUP | EPOLLERR);
}

/* Requests come back with any status: no rule is broken. Then the slot is given back. */
static void what_was_out_comes_back(void **state)
{
	u8 byte;

	(void)state;
	assert_int_equal(host_write(file, 0, 10, false), 10);
	kernel_play(bye_once);
	assert_int_equal(host_call(file, true, &byte, 1, 1, false), -ECONNRESET);
	kernel_play(NULL);
	host_close(file);
	assert_int_equal(host_count(MP_OP_CLOSE), 0);	/* not before the WRITE is back */
	give_back(MP_OP_READ);
	give_back(MP_OP_WRITE);
	give_back(MP_OP_CANCEL);
	look();
	close_lost();
}

/* CLOSE was answered, and CLOSED would have come as an event. */
static void a_close_that_lingers(void **state)
{
	(void)state;
	host_close(file);
	host_answer_at(MP_OP_CLOSE, 0, MP_OK, 0, 0);
	look();
	assert_int_equal(host_count(MP_OP_CLOSE), 0);
	bye();
	look();
	close_lost();
}

/* CLOSE is out: the new daemon does not know the channel. */
static void a_close_that_is_out(void **state)
{
	(void)state;
	host_close(file);
	bye();
	assert_int_equal(host_count(MP_OP_CLOSE), 1);
	give_back(MP_OP_CLOSE);
	look();
	assert_int_equal(host.port.ledger.channels, 0);
}

/* BYE twice in a row: nothing new. */
static void twice(void **state)
{
	(void)state;
	bye();
	host_close(file);
	bye();
	bye();
	close_lost();
}

static void an_unnamed_open_is_none(void **state)
{
	(void)state;
	file = host_open();
	bye();
	kernel_play(host_step);
	assert_int_equal(host_call(file, false, (char *)"echo", 4, 4, false), 4);
	host_serve();
	kernel_play(NULL);
	assert_int_equal(host_write(file, 0, 10, false), 10);
	host_serve();
}

static void a_naming_call_ends(void **state)
{
	(void)state;
	file = host_open();
	kernel_play(bye_once);
	assert_int_equal(host_call(file, false, (char *)"echo", 4, 4, false), -ECONNRESET);
	kernel_play(NULL);
	give_back(MP_OP_CONNECT);
	look();
	host_expect_kicks();
	host_close(file);
}

/* --- A full ring: CONNECT waits in the driver ------------------------------- */

static unsigned int kept_back;	/* descriptors that are not free */

/* None is free but those for CANCEL and CLOSE; a WRITE of another channel is out. */
static void fill_ring(void)
{
	assert_int_equal(host_write(file, 0, 10, false), 10);
	kept_back = host.tx.vq.num_free - MP_RESERVED_DESCS;
	host.tx.vq.num_free = MP_RESERVED_DESCS;
}

/* What is out comes back, and what waits follows it. */
static void empty_ring(void)
{
	host.tx.vq.num_free += kept_back;
	give_back(MP_OP_WRITE);
	look();
}

static bool bye_at_a_full_ring(void)
{
	kernel_play(NULL);
	assert_int_equal(host_count(MP_OP_CONNECT), 0);
	bye();
	empty_ring();
	assert_int_equal(host_count(MP_OP_CONNECT), 1);
	kernel_play(host_step);
	return true;
}

/* The daemon that is no more has never heard of it: the call goes on with the next one. */
static void a_naming_call_behind_a_full_ring_goes_on(void **state)
{
	struct file *other;

	(void)state;
	fill_ring();
	other = host_open();
	kernel_play(bye_at_a_full_ring);
	assert_int_equal(host_call(other, false, (char *)"echo", 4, 4, false), 4);
	kernel_play(NULL);
	assert_int_equal(host_write(other, 0, 10, false), 10);
	host_serve();
	assert_int_equal(host.out_next, 10);
	assert_int_equal(host_read(file, 0, 10, false), -ECONNRESET);
	host_close(other);
	host_serve();
}

static bool refuse_once(void)
{
	kernel_play(NULL);
	host.slot = le32_to_cpu(host_request(MP_OP_CONNECT, 0)->channel);
	host.generation = le32_to_cpu(host_request(MP_OP_CONNECT, 0)->generation);
	host.seq = 7;
	host.bits = MP_ST_REFUSED;
	host.reason = MP_REASON_BUSY;
	host_answer_at(MP_OP_CONNECT, 0, MP_OK, 0, 0);
	return true;
}

/* Likewise a name that is tried again; what the last daemon said of the first try comes late. */
static bool bye_and_late_news(void)
{
	bye_at_a_full_ring();
	host.seq++;
	host_event(host.generation);
	host.reason = MP_REASON_NONE;
	return true;
}

static void a_name_that_is_tried_again_goes_on(void **state)
{
	struct mp_naming *naming;
	struct file *other;

	(void)state;
	other = host_open();
	naming = &host_channel(other)->naming;
	kernel_play(refuse_once);
	assert_int_equal(mp_naming_connect(naming, NULL, "echo", 4, false, true), -EBUSY);
	fill_ring();
	kernel_play(bye_and_late_news);
	assert_int_equal(mp_naming_connect(naming, NULL, "echo", 4, false, true), 0);
	kernel_play(NULL);
	assert_int_equal(host_write(other, 0, 10, false), 10);
	host_serve();
	assert_int_equal(host.out_next, 10);
}

static bool two_byes_at_a_full_ring(void)
{
	bye_at_a_full_ring();
	kernel_play(NULL);
	bye();
	give_back(MP_OP_CONNECT);
	return true;
}

/* When the next one ends, too, CONNECT is in the ring. */
static void a_naming_call_ends_at_the_second_bye(void **state)
{
	struct file *other;

	(void)state;
	fill_ring();
	other = host_open();
	kernel_play(two_byes_at_a_full_ring);
	assert_int_equal(host_call(other, false, (char *)"echo", 4, 4, false), -ECONNRESET);
	kernel_play(NULL);
	host_expect_kicks();
}

/* Its process ends: the device hears of the channel, and of its end. */
static void a_naming_call_that_is_closed(void **state)
{
	struct file *other;

	(void)state;
	fill_ring();
	other = host_open();
	assert_int_equal(host_call(other, false, (char *)"echo", 4, 4, true), -EAGAIN);
	bye();
	host_close(other);
	assert_int_equal(host_count(MP_OP_CLOSE), 0);
	empty_ring();
	assert_int_equal(host_count(MP_OP_CONNECT), 1);
	host_serve();
	look();
	assert_int_equal(host.port.ledger.channels, 1);
}

/* The device is reset [protocol.md 10.2] behind the end of all channels: this one began since. */
static bool die_once(void)
{
	kernel_play(NULL);
	mp_pair_kill(&host.pair);
	mp_pair_detach(&host.pair);
	mp_pair_flush(&host.pair);
	return true;
}

static void a_naming_call_in_a_reset_ends(void **state)
{
	(void)state;
	file = host_open();
	kernel_play(die_once);
	assert_int_equal(host_call(file, false, (char *)"echo", 4, 4, false), -ECONNRESET);
	host_close(file);
	file = host_open();
	assert_int_equal(host_call(file, false, (char *)"echo", 4, 4, false), -ECONNRESET);
	host_close(file);
	/* What holds no request is over: it does not wait for the next life. */
	kernel_run_work();
	assert_int_equal(host.port.ledger.channels, 0);
	mp_pair_attach(&host.pair, &host.rx.vq, &host.tx.vq);
}

/* --- A fixed port ---------------------------------------------------------- */

/* The process meets an end, goes on, and has the next generation. */
static void a_fixed_port_goes_on(void **state)
{
	u32 generation = link_of()->generation;

	(void)state;
	assert_int_equal(host_write(file, 0, 10, false), 10);
	assert_int_equal(host_read(file, 0, 10, true), -EAGAIN);
	bye();
	give_back(MP_OP_WRITE);
	give_back(MP_OP_READ);
	give_back(MP_OP_CANCEL);
	look();
	kernel_play(NULL);
	assert_int_equal(host_poll(file, EPOLLIN) & (EPOLLIN | EPOLLHUP | EPOLLERR),
			 EPOLLIN | EPOLLHUP);
	assert_int_equal(host_read(file, 0, 10, false), 0);
	assert_int_equal(host_read(file, 0, 10, false), 0);
	assert_int_not_equal(link_of()->generation, generation);
	assert_int_equal(host_count(MP_OP_CLOSE), 1);
	host_answer_at(MP_OP_CLOSE, 0, MP_STALE, 0, 0);
	host.bits = 0;
	host_serve();
	assert_int_equal(link_of()->phase, MP_PHASE_CONNECTED);
	assert_false(link_of()->is_closed);
	assert_int_equal(host_write(file, 0, 10, false), 10);
	host_serve();
	assert_int_equal(host.out_next, 10);
}

/* What the daemon said before it died is of no channel that is. */
static void late_news_of_a_lost_generation(void **state)
{
	(void)state;
	bye();
	host_change(0, MP_ST_FAILED | MP_ST_OUT_END);
	host_event(host.generation);
	host_change(MP_ST_CLOSED, 0);
	host_event(host.generation);
	assert_false(link_of()->is_closed);
	assert_int_equal(link_of()->error, 0);
}

/* It waits for its service, and is given the next one: no call tells an end. */
static void connecting(bool is_answered)
{
	u32 generation;

	file = host_open();
	generation = link_of()->generation;
	assert_int_equal(host_count(MP_OP_CONNECT), 1);
	host.slot = link_of()->slot;
	host.generation = generation;
	host.bits = 0;
	host.seq = 0;
	if (is_answered)
		host_answer_at(MP_OP_CONNECT, 0, MP_OK, 0, 0);
	bye();
	if (!is_answered) {
		assert_int_equal(link_of()->generation, generation);
		host_answer_at(MP_OP_CONNECT, 0, MP_STALE, 0, 0);
	}
	look();
	assert_int_not_equal(link_of()->generation, generation);
	assert_int_equal(host_count(MP_OP_CONNECT), 1);
	assert_int_equal(link_of()->phase, MP_PHASE_NAMING);
	assert_int_equal(host_read(file, 0, 10, true), -EAGAIN);
	assert_int_equal(host_poll(file, EPOLLIN), 0);
	host_answer_at(MP_OP_CLOSE, 0, MP_STALE, 0, 0);
	host.generation = link_of()->generation;
	host_serve();
	assert_int_equal(link_of()->phase, MP_PHASE_CONNECTED);
	assert_int_equal(host_write(file, 0, 10, false), 10);
}

static void a_fixed_port_that_connects(void **state)
{
	(void)state;
	connecting(true);
}

static void a_fixed_port_whose_connect_is_out(void **state)
{
	(void)state;
	connecting(false);
}

/* What has not been asked yet is asked once. */
static void a_fixed_port_whose_connect_waits(void **state)
{
	struct file *other;
	u32 asked;

	(void)state;
	fill_ring();
	other = host_open();
	assert_int_equal(host_count(MP_OP_CONNECT), 0);
	bye();
	empty_ring();
	assert_int_equal(host_count(MP_OP_CONNECT), 1);
	asked = le32_to_cpu(host_request(MP_OP_CONNECT, 0)->generation);
	host_serve();
	assert_int_equal(host_channel(other)->link.phase, MP_PHASE_CONNECTED);
	assert_int_equal(host_channel(other)->link.generation, asked);
	assert_int_equal(host_write(other, 0, 10, false), 10);
	host_serve();
	assert_int_equal(host.out_next, 10);
}

static void a_fixed_port_is_closed(void **state)
{
	(void)state;
	bye();
	host_close(file);
	close_lost();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name, begin) cmocka_unit_test_setup_teardown(name, begin, host_end)
		CASE(a_reader_wakes, begin),
		CASE(what_was_out_comes_back, begin),
		CASE(a_close_that_lingers, begin),
		CASE(a_close_that_is_out, begin),
		CASE(twice, begin),
		CASE(an_unnamed_open_is_none, begin),
		CASE(a_naming_call_ends, host_begin),
		CASE(a_naming_call_behind_a_full_ring_goes_on, begin),
		CASE(a_name_that_is_tried_again_goes_on, begin),
		CASE(a_naming_call_ends_at_the_second_bye, begin),
		CASE(a_naming_call_that_is_closed, begin),
		CASE(a_naming_call_in_a_reset_ends, host_begin),
		CASE(a_fixed_port_goes_on, begin_fixed),
		CASE(late_news_of_a_lost_generation, begin_fixed),
		CASE(a_fixed_port_that_connects, host_begin_fixed),
		CASE(a_fixed_port_whose_connect_is_out, host_begin_fixed),
		CASE(a_fixed_port_whose_connect_waits, begin_fixed),
		CASE(a_fixed_port_is_closed, begin_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
