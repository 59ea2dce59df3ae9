// SPDX-License-Identifier: MIT
/* Lanes: grants, windows, turns, memory [protocol.md 15.4 to 15.6]. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "link_rig.h"

static struct rig *rig_up(void)
{
	struct rig *rig = rig_create();

	link_start(rig->driver.link, rig->now);
	link_start(rig->device.link, rig->now);
	rig_come_up(rig);
	return rig;
}

/* Every byte of each arrives, whatever the cuts. */
static void thousand_lanes(void **unused)
{
	struct rig *rig = rig_up();

	(void)unused;
	rig->to_send = 9000;
	rig->to_get = 17000;
	rig->small = 30000;
	for (uint32_t slot = 0; slot < RIG_SLOTS; slot++)
		rig_open(rig, slot);
	rig_run(rig);
	assert_int_equal(rig->driver.closed, RIG_SLOTS);
	assert_int_equal(rig->device.closed, RIG_SLOTS);
	rig_destroy(rig);
}

/* Consumers that take nothing: what is held is bounded by the sum, and other lanes go on. */
static void deaf_consumers(void **unused)
{
	struct rig *rig = rig_up();
	uint64_t held = 0;

	(void)unused;
	rig->to_send = 1 << 20;
	rig->to_get = 0;
	for (uint32_t slot = 0; slot < 100; slot++)
		rig_open(rig, slot);
	for (int i = 0; i < 100; i++) {
		rig_step(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
	}
	for (uint32_t slot = 0; slot < 100; slot++)
		rig->device.channels[slot].is_deaf = true;
	rig_run(rig);
	for (uint32_t slot = 0; slot < 100; slot++)
		held += rig->device.channels[slot].lane.held_len;
	assert_true(link_granted(rig->device.link) <= 1 << 20);
	assert_true(held > 100 * 1024);
	assert_true(held <= (1 << 20) + 100 * 4096);
	rig_open(rig, 500);
	rig_run(rig);
	assert_int_equal(rig->driver.closed, 1);
	for (uint32_t slot = 0; slot < 100; slot++)
		rig->device.channels[slot].is_deaf = false;
	rig_run(rig);
	assert_int_equal(rig->driver.closed, 101);
	rig_destroy(rig);
}

/* A bulk lane has one frame for each of a small one's. */
static void takes_turns(void **unused)
{
	struct rig *rig = rig_up();
	uint32_t before;

	(void)unused;
	rig->to_send = 64 << 20;
	rig->to_get = 0;
	rig_open(rig, 0);
	for (int i = 0; i < 200; i++) {
		rig_step(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
	}
	rig->to_send = 1;
	rig_open(rig, 1);
	before = rig->driver.data_frames;
	for (int i = 0; i < 1000 && rig->device.channels[1].got != 1; i++) {
		rig_step(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
	}
	assert_int_equal(rig->device.channels[1].got, 1);
	assert_true(rig->driver.data_frames - before < 16);
	rig_destroy(rig);
}

/* An open channel: its device has nothing to say, its driver sends @to_send bytes. */
static struct rig_channel *open_one(struct rig *rig, uint64_t to_send, uint64_t to_get)
{
	struct rig_channel *c;

	rig->to_send = to_send;
	rig->to_get = to_get;
	c = rig_open(rig, 0);
	while (!c->is_open) {
		rig_step(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
	}
	return c;
}

/* The lane of the device's consumer, which has stopped: all that was granted is held. */
static struct lane *hold_all(struct rig *rig)
{
	struct lane *lane = &rig->device.channels[0].lane;

	open_one(rig, 16 << 20, 0);
	for (int i = 0; i < 50; i++) {
		rig_step(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
	}
	rig->device.channels[0].is_deaf = true;
	rig_run(rig);
	assert_true(lane->held_size >= LANE_WINDOW_MAX);
	rig->device.channels[0].is_deaf = false;
	return lane;
}

/* What is held counts as granted, so its memory goes with it, byte by byte. */
static void held_memory_follows(void **unused)
{
	struct rig *rig = rig_up();
	struct lane *lane = hold_all(rig);

	(void)unused;
	rig->takes_less = true;
	while (lane->held_len) {
		link_taken(rig->device.link, lane);
		assert_true(lane->held_size <= 4 * lane->held_len || lane->held_size <= 1024);
	}
	rig->takes_less = false;
	rig_run(rig);
	assert_int_equal(rig->driver.closed, 1);
	rig_destroy(rig);
}

/* So it does where nearly all is taken at once. */
static void held_memory_falls(void **unused)
{
	struct rig *rig = rig_up();
	struct lane *lane = hold_all(rig);

	(void)unused;
	rig->leaves_one = true;
	link_taken(rig->device.link, lane);
	assert_int_equal(lane->held_len, 1);
	assert_true(lane->held_size <= 1024);
	rig->leaves_one = false;
	rig_run(rig);
	assert_int_equal(rig->driver.closed, 1);
	rig_destroy(rig);
}

/* The driver reads no more: the service is granted all the same, so it comes to its end. */
static void what_is_dropped_is_granted(void **unused)
{
	struct rig *rig = rig_up();
	struct rig_channel *c = open_one(rig, 0, 1 << 20);

	(void)unused;
	link_set_takes(rig->driver.link, &c->lane, LANE_DROPS);
	rig_run(rig);
	assert_int_equal(rig->device.channels[0].lane.out.offset, 1 << 20);
	rig_destroy(rig);
}

/*
 * Ends are owed while there are bytes, which have no grant. CLOSE goes behind them, or they go not:
 * then a SHUTDOWN does not go either, for which the device of this rig would end the session.
 */
static void an_end_is_behind_the_bytes(void **unused)
{
	for (int is_abort = 0; is_abort < 2; is_abort++) {
		struct rig *rig = rig_up();
		struct rig_channel *c = open_one(rig, 1 << 20, 0);

		(void)unused;
		rig->device.channels[0].is_deaf = true;
		rig_run(rig);
		assert_true(c->lane.out.offset < 1 << 20);
		c->is_closing = true;
		link_owe(rig->driver.link, &c->lane,
			 is_abort ? LANE_SHUTDOWN | LANE_CLOSE : LANE_CLOSE);
		rig_run(rig);
		assert_false(rig->device.channels[0].is_closing);
		if (is_abort)
			link_end_data(rig->driver.link, &c->lane);
		else
			rig->device.channels[0].is_deaf = false;
		rig_run(rig);
		if (is_abort)
			assert_true(rig->device.channels[0].is_closing);
		else
			assert_int_equal(rig->driver.closed, 1);
		assert_int_equal(rig->device.ends, 0);
		rig_destroy(rig);
	}
}

/* A stream that takes some bytes at a time: what is owed again and again leaves room for DATA. */
static void a_turn_goes_on_where_it_was(void **unused)
{
	struct rig *rig = rig_up();
	struct rig_channel *c = open_one(rig, 1 << 20, 0);
	uint32_t before = 0;

	(void)unused;
	rig_run(rig);
	c = open_one(rig, 64 << 20, 0);
	rig->small = 40;
	for (int i = 0; i < 200; i++)
		rig_step(&rig->device, &rig->driver);
	for (int i = 0; i < 60000; i++) {
		if (i == 10000)
			before = rig->driver.data_frames;	/* the first are gone */
		link_owe(rig->driver.link, &c->lane, LANE_GRANT);
		rig_send(&rig->driver);
		rig_deliver(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
		if (rig->device.channels[0].lane.held_len)
			link_taken(rig->device.link, &rig->device.channels[0].lane);
	}
	assert_true(rig->driver.data_frames - before > 10);
	rig_destroy(rig);
}

/* A sender of small frames that keeps up gets the largest window, too. */
static void windows_grow(void **unused)
{
	struct rig *rig = rig_up();
	struct lane *lane = &rig->device.channels[0].lane;

	(void)unused;
	open_one(rig, 16 << 20, 0);
	rig->small = 1024;
	for (int i = 0; i < 20000 && rig->device.channels[0].is_used &&
	     lane->window < LANE_WINDOW_MAX; i++) {
		rig_step(&rig->driver, &rig->device);
		rig_step(&rig->device, &rig->driver);
		rig_feed(&rig->device);
	}
	assert_int_equal(lane->window, LANE_WINDOW_MAX);
	rig_destroy(rig);
}

/* --- A peer that breaks rules ----------------------------------------------- */

/* What is wrong with one frame of DATA, 100 bytes at offset 0, of the driver. */
struct lie {
	const char *name;
	void (*tell)(struct mp_frame *frame);
	enum link_session_why why;	/* SESSION_STOPPED: it is ignored */
};

static void no_type(struct mp_frame *frame) { frame->type = htole16(99); }
static void other_role(struct mp_frame *frame) { frame->type = htole16(MP_FRAME_STATE); }
static void some_flags(struct mp_frame *frame) { frame->flags = htole16(1); }
static void later_offset(struct mp_frame *frame) { frame->offset = htole64(1); }
static void last_offset(struct mp_frame *frame) { frame->offset = htole64(UINT64_MAX); }
static void no_length(struct mp_frame *frame) { frame->length = 0; }
static void long_length(struct mp_frame *frame) { frame->length = htole32(MP_FRAME_BODY + 1); }
static void longest_length(struct mp_frame *frame) { frame->length = htole32(UINT32_MAX); }
static void connect_again(struct mp_frame *frame) { frame->type = htole16(MP_FRAME_CONNECT); }
static void other_slot(struct mp_frame *frame) { frame->channel = htole32(RIG_SLOTS - 1); }
static void no_slot(struct mp_frame *frame) { frame->channel = htole32(UINT32_MAX); }
static void other_use(struct mp_frame *frame) { frame->generation = htole32(77); }

/* Head and end fit each other. */
static void fit_end(struct mp_frame *frame)
{
	struct mp_frame_end *end = (void *)((char *)(frame + 1) + 100);

	end->session = ~frame->session;
	end->seq = ~frame->seq;
}

static void other_session(struct mp_frame *frame)
{
	frame->session ^= htole32(2);
	fit_end(frame);
}

static void other_seq(struct mp_frame *frame)
{
	frame->seq ^= htole32(1U << 31);
	fit_end(frame);
}

static void no_end(struct mp_frame *frame) { ((char *)(frame + 1))[100] ^= 1; }

static const struct lie lies[] = {
	{ "no type", no_type, SESSION_BROKEN },
	{ "STATE to the device", other_role, SESSION_BROKEN },
	{ "flags", some_flags, SESSION_BROKEN },
	{ "a later offset", later_offset, SESSION_BROKEN },
	{ "the last offset", last_offset, SESSION_BROKEN },
	{ "no length", no_length, SESSION_BROKEN },
	{ "a length above the bound", long_length, SESSION_BROKEN },
	{ "the longest length", longest_length, SESSION_BROKEN },
	{ "CONNECT of a slot in use", connect_again, SESSION_BROKEN },
	{ "another slot", other_slot, SESSION_STOPPED },
	{ "no slot", no_slot, SESSION_STOPPED },
	{ "another use of the slot", other_use, SESSION_STOPPED },
	{ "another session", other_session, SESSION_LOST },
	{ "another sequence number", other_seq, SESSION_LOST },
	{ "an end that does not fit", no_end, SESSION_LOST },
};

/* Each costs the session, or nothing; the next one works. */
static void lies_cost_a_session(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct rig *rig = rig_up();
		struct rig_channel *c = open_one(rig, 100, 0);

		c->is_closing = true;		/* it sends no CLOSE behind it */
		rig_send(&rig->driver);
		assert_int_equal(c->lane.out.offset, 100);
		lies[i].tell((struct mp_frame *)rig->driver.pipe.bytes);
		rig_deliver(&rig->driver, &rig->device);
		print_message("%s\n", lies[i].name);
		assert_int_equal(rig->device.channels[0].got, 0);
		assert_int_equal(rig->device.ends, lies[i].why != SESSION_STOPPED);
		if (rig->device.ends)
			assert_int_equal(rig->device.why, lies[i].why);
		rig_destroy(rig);
	}
}

/* Bytes beyond the grant; and a grant of everything, which only the sender believes. */
static void grants_are_the_receivers(void **unused)
{
	for (int is_huge = 0; is_huge < 2; is_huge++) {
		struct rig *rig = rig_up();
		struct rig_channel *c = open_one(rig, 1 << 20, 0);

		(void)unused;
		rig->device.channels[0].is_deaf = true;
		rig_run(rig);
		assert_int_equal(rig->device.ends, 0);
		c->lane.out.granted = is_huge ? UINT64_MAX : c->lane.out.granted + 1;
		link_owe(rig->driver.link, &c->lane, LANE_DATA);
		rig_send(&rig->driver);
		rig_deliver(&rig->driver, &rig->device);
		assert_int_equal(rig->device.ends, 1);
		assert_int_equal(rig->device.why, SESSION_BROKEN);
		assert_int_equal(link_granted(rig->device.link), 0);
		rig_destroy(rig);
	}
}

/* What an idle channel costs here. */
static void is_small(void **unused)
{
	(void)unused;
	assert_true(sizeof(struct lane) <= 112);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousand_lanes),
		cmocka_unit_test(deaf_consumers),
		cmocka_unit_test(takes_turns),
		cmocka_unit_test(held_memory_follows),
		cmocka_unit_test(held_memory_falls),
		cmocka_unit_test(what_is_dropped_is_granted),
		cmocka_unit_test(an_end_is_behind_the_bytes),
		cmocka_unit_test(a_turn_goes_on_where_it_was),
		cmocka_unit_test(windows_grow),
		cmocka_unit_test(lies_cost_a_session),
		cmocka_unit_test(grants_are_the_receivers),
		cmocka_unit_test(is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
