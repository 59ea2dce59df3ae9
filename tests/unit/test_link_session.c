// SPDX-License-Identifier: MIT
/* Sessions over a stream that cuts, tears, loses and lies [protocol.md 15.3, 15.7]. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "link_rig.h"

static void start_both(struct rig *rig)
{
	link_start(rig->driver.link, rig->now);
	link_start(rig->device.link, rig->now);
}

/* Does a channel work? Its bytes get through both ways, and it closes. */
static bool works(struct rig *rig)
{
	unsigned int closed = rig->driver.closed;

	rig_open(rig, 7);
	rig_run(rig);
	return rig->driver.closed == closed + 1;
}

static void assert_works(struct rig *rig)
{
	assert_true(works(rig));
}

static void starts_together(void **unused)
{
	struct rig *rig = rig_create();

	(void)unused;
	start_both(rig);
	rig_run(rig);
	assert_int_equal(rig->driver.sessions, 1);
	assert_int_equal(rig->device.sessions, 1);
	assert_int_equal(rig->driver.peer.version, 1);
	assert_int_equal(rig->device.peer.version, 1);
	assert_int_equal(rig->driver.peer.max_channels, RIG_SLOTS);
	assert_works(rig);
	assert_int_equal(rig->driver.ends + rig->device.ends, 0);
	rig_destroy(rig);
}

/* The first one starts while the other has no stream: it is heard when it sends again. */
static void starts_late(void **unused)
{
	(void)unused;
	for (int who = 0; who < 2; who++) {
		struct rig *rig = rig_create();
		struct rig_end *first = who ? &rig->driver : &rig->device;
		struct rig_end *second = who ? &rig->device : &rig->driver;
		uint64_t before = rig->now;

		link_start(first->link, rig->now);
		for (int i = 0; i < 5; i++) {
			while (rig_send(first))
				first->pipe.len = 0;
			rig->now = link_deadline(first->link);
			assert_true(rig->now - before >= 1000U << i);
			before = rig->now;
			link_tick(first->link, rig->now);
		}
		first->pipe.len = 0;
		link_start(second->link, rig->now);
		rig_come_up(rig);
		assert_int_equal(first->sessions, 1);
		assert_works(rig);
		rig_destroy(rig);
	}
}

/* Either side starts again after any number of bytes that the other has sent. */
static void starts_at_any_byte(void **unused)
{
	struct rig *rig = rig_create();

	(void)unused;
	start_both(rig);
	rig_run(rig);
	for (int i = 0; i < 400; i++) {
		struct rig_end *who = rig_random(rig, 2) ? &rig->driver : &rig->device;

		rig->small = 1 + rig_random(rig, 5000);
		if (rig_is_up(rig))
			rig_open(rig, 1);
		for (uint32_t n = rig_random(rig, 40); n; n--) {
			rig_step(&rig->driver, &rig->device);
			rig_step(&rig->device, &rig->driver);
		}
		link_start(who->link, rig->now);
		rig->small = 0;
		rig_come_up(rig);
	}
	assert_works(rig);
	rig_destroy(rig);
}

/* Each byte of the handshake and of what follows may be the first of a hole, of any length. */
static void loses_at_any_place(void **unused)
{
	struct rig *rig = rig_create();

	(void)unused;
	for (int i = 0; i < 300; i++) {
		rig->small = 1 + rig_random(rig, 20000);
		rig->loss = 1 + rig_random(rig, 3000);
		if (i % 3 == 0)
			start_both(rig);
		if (rig_is_up(rig) && !rig->driver.channels[1].is_used)
			rig_open(rig, 1);
		rig_run(rig);
		rig_wait(rig);
		rig->loss = 0;
		rig->small = 0;
		for (int n = 0; n < 100; n++) {
			if (rig_is_up(rig) && !rig->driver.channels[1].is_used)
				break;
			rig_wait(rig);
		}
		rig_come_up(rig);
		assert_false(rig->driver.channels[1].is_used);
		/* A loss at the end is found by what comes behind it. */
		if (works(rig))
			continue;
		rig_come_up(rig);
		assert_works(rig);
	}
	rig_destroy(rig);
}

/* The answer that opens one side is lost: it asks again, and the other answers in its session. */
static void answer_is_lost(void **unused)
{
	struct rig *rig = rig_create();

	(void)unused;
	start_both(rig);
	while (rig_step(&rig->device, &rig->driver))
		;
	while (!rig->device.sessions)
		assert_true(rig_step(&rig->driver, &rig->device));
	while (rig_send(&rig->device) > 0)
		rig->device.pipe.len = 0;
	rig_run(rig);
	assert_int_equal(rig->driver.sessions, 0);
	assert_true(rig_wait(rig));
	assert_int_equal(rig->driver.sessions, 1);
	assert_int_equal(rig->device.ends, 0);
	assert_works(rig);
	rig_destroy(rig);
}

/* A stream that gives back what is sent opens nothing. */
static void echo_is_no_peer(void **unused)
{
	struct rig *rig = rig_create();

	(void)unused;
	link_start(rig->driver.link, rig->now);
	for (int i = 0; i < 20; i++) {
		while (rig_step(&rig->driver, &rig->driver))
			;
		rig_wait(rig);
	}
	assert_int_equal(rig->driver.sessions, 0);
	rig_destroy(rig);
}

/* What a process says as data, old SYNCs and torn frames too, neither opens nor ends a session. */
static void lies_in_data(void **unused)
{
	struct rig *rig = rig_create();
	struct rig_end *end = &rig->device;
	char sync[64], junk[4096];
	void *buf;

	(void)unused;
	start_both(rig);
	rig_run(rig);
	memset(sync, 0, sizeof(sync));
	sync_put(sync, &(struct sync){ .version = 1, .window = 4096, .hunts = true,
				       .mine = "a process", .yours = "knows no nonce" });
	/* A hunter hears it among anything, and is answered by the true peer still. */
	link_start(end->link, rig->now);
	for (int i = 0; i < 200; i++) {
		for (size_t n = 0; n < sizeof(junk); n++)
			junk[n] = rig_random(rig, 3) ? (char)rig_random(rig, 256) : '\xff';
		memcpy(junk + rig_random(rig, sizeof(junk) - 64), sync, 64);
		assert_true(link_room(end->link, &buf) >= sizeof(junk));
		memcpy(buf, junk, sizeof(junk));
		link_came(end->link, sizeof(junk), rig->now);
	}
	assert_int_equal(end->sessions, end->ends);
	rig_come_up(rig);
	assert_works(rig);
	rig_destroy(rig);
}

/*
 * A session that ends soon: the next starts are further and further apart, also where the peer has
 * said something that is right before.
 */
static void starts_are_apart(void **unused)
{
	struct rig *rig = rig_create();
	uint64_t before, first = rig->now;
	void *buf;

	(void)unused;
	start_both(rig);
	rig_run(rig);
	for (int i = 0; i < 10; i++) {
		before = rig->now;
		assert_works(rig);
		link_room(rig->device.link, &buf);
		memset(buf, 'x', 64);
		link_came(rig->device.link, 64, rig->now);
		rig_run(rig);
		assert_int_equal(rig->device.ends, i + 1);
		rig_come_up(rig);
		assert_true(rig->now - before <= 2 * SESSION_GAP_MS);
	}
	assert_true(rig->now - first >= 9 * SESSION_GAP_MS);
	/* One that lasts makes the next start come at once. */
	rig->now += 2 * SESSION_GAP_MS;
	before = rig->now;
	link_room(rig->device.link, &buf);
	memset(buf, 'x', 64);
	link_came(rig->device.link, 64, rig->now);
	rig_run(rig);
	assert_true(rig_is_up(rig));
	assert_int_equal(rig->now, before);
	rig_destroy(rig);
}

/* A peer that is silent, with a channel: PING three times, then the end. One that answers lives. */
static void silence(void **unused)
{
	struct rig *rig = rig_create();
	struct rig_channel *c;
	unsigned int pings = 0;
	uint64_t before;

	(void)unused;
	start_both(rig);
	rig_run(rig);
	assert_int_equal(link_deadline(rig->driver.link), SESSION_NEVER);
	c = rig_open(rig, 3);
	c->is_deaf = true;
	rig_run(rig);
	for (int i = 0; i < 50; i++)
		rig_wait(rig);
	assert_int_equal(rig->driver.ends + rig->device.ends, 0);
	before = rig->now;
	while (!rig->driver.ends) {
		rig->now = link_deadline(rig->driver.link);
		link_tick(rig->driver.link, rig->now);
		pings += !rig->driver.ends && rig_send(&rig->driver);
		rig->driver.pipe.len = 0;
	}
	assert_int_equal(pings, 3);
	assert_int_equal(rig->driver.why, SESSION_SILENT);
	assert_int_equal(rig->now - before, 60000);
	rig_come_up(rig);
	assert_works(rig);
	rig_destroy(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_together),
		cmocka_unit_test(starts_late),
		cmocka_unit_test(starts_at_any_byte),
		cmocka_unit_test(loses_at_any_place),
		cmocka_unit_test(answer_is_lost),
		cmocka_unit_test(echo_is_no_peer),
		cmocka_unit_test(lies_in_data),
		cmocka_unit_test(starts_are_apart),
		cmocka_unit_test(silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
