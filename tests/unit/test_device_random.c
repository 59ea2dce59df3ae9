// SPDX-License-Identifier: MIT
/*
 * Many channels at random against a model.
 *
 * A driver that keeps the rules, with several requests in flight on each
 * channel, late kicks and queues that are polled in any order; services that block
 * at random in either direction. Every byte has one right value, given by channel,
 * generation and offset. The driver waits only on clear bits in the newest
 * state (7.6), so a lost wake-up ends the test: nothing moves any more.
 */
#include <stdio.h>

#include "device_world.h"

#define CHANNELS  24
#define FLIGHT	  6	/* requests of one channel at the device */
#define LIVES	  1500
#define PATIENCE  20000	/* steps without any progress */

enum life { FREE, NAMING, OPEN, CLOSING };

struct chan {
	uint32_t slot, generation;
	enum life life;
	struct fake_stream *stream;	/* NULL: none */
	uint32_t seq;
	uint16_t bits;
	uint64_t out_total, out_done, out_sent;
	uint64_t in_total, in_said, in_done, in_asked;
	bool in_end, shut_sent, abort, cancel_sent;
	struct fake_request *flight[FLIGHT];
};

static struct chan chans[CHANNELS];
static uint64_t random_state;
static unsigned int lives, progress;

static uint32_t rnd(uint32_t below)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (random_state >> 33) % below;
}

static uint8_t right_byte(uint32_t slot, uint32_t generation, bool in, uint64_t offset)
{
	uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15ULL + slot * 131 + generation * 7 + in;

	return (x ^ x >> 29) >> 11;
}

static void fill(uint8_t *buf, const struct chan *c, bool in, uint64_t offset, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		buf[i] = right_byte(c->slot, c->generation, in, offset + i);
}

static void check(const uint8_t *buf, const struct chan *c, bool in, uint64_t offset, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(buf[i], right_byte(c->slot, c->generation, in, offset + i));
}

/* --- The service ------------------------------------------------------------------ */

static void stream_opened(struct fake_stream *s)
{
	struct chan *c = &chans[s->opener.channel];

	assert_null(c->stream);
	assert_int_equal(s->opener.generation, c->generation);
	c->stream = s;
	s->out_room = rnd(4000);
	s->bite = rnd(4) ? 0 : 1 + rnd(500);
}

static void stream_closed(struct fake_stream *s, enum mp_end how)
{
	struct chan *c = &chans[s->opener.channel];

	assert_ptr_equal(c->stream, s);
	check(s->out, c, false, 0, s->out_len);
	assert_int_equal(how != MP_END_WHOLE, c->abort);
	/* A close without abort lost nothing. */
	if (how == MP_END_WHOLE) {
		assert_int_equal(s->out_len, c->out_total);
		assert_true(s->shut_write);
	}
	c->stream = NULL;
}

static void service_moves(struct chan *c)
{
	struct fake_stream *s = c->stream;
	uint8_t buf[5000];
	uint32_t len;

	if (!s)
		return;
	service->last = s;
	if (rnd(2)) {
		fake_take(s, rnd(5000));
		return;
	}
	len = rnd(sizeof(buf));
	if (len > c->in_total - c->in_said)
		len = c->in_total - c->in_said;
	fill(buf, c, true, c->in_said, len);
	c->in_said += len;
	s->in_end = c->in_said == c->in_total;
	fake_say(s, buf, len);
}

/* --- The driver -------------------------------------------------------------------- */

static struct fake_request **free_place(struct chan *c)
{
	for (int i = 0; i < FLIGHT; i++)
		if (!c->flight[i])
			return &c->flight[i];
	return NULL;
}

static unsigned int in_flight(const struct chan *c, uint16_t op, bool on_rx)
{
	unsigned int count = 0;

	for (int i = 0; i < FLIGHT; i++)
		count += c->flight[i] && (!op || c->flight[i]->op == op) &&
			 (!on_rx || c->flight[i]->queue == RX);
	return count;
}

static void submit(struct chan *c, unsigned int queue, uint16_t op, uint64_t offset,
		   uint16_t flags, const void *payload, uint32_t len)
{
	struct fake_request **place = free_place(c);

	/* Two descriptors each, and some for what must always get through [protocol.md 8.4]. */
	if (!place || driver->queues[queue].free_count < 3 + (op < MP_OP_CANCEL ? 4 : 0))
		return;
	*place = fake_make(driver, queue, op, c->slot, c->generation, offset, payload, len);
	fake_header(driver, *place)->flags = htole16(flags);
	fake_offer(driver, *place);
	if (op == MP_OP_WRITE)
		c->out_sent += len;
	if (op == MP_OP_READ && queue == TX)
		c->in_asked += len;
	if (op == MP_OP_SHUTDOWN)
		c->shut_sent = true;
	if (op == MP_OP_CONNECT)
		c->life = NAMING;
	if (op == MP_OP_CLOSE)
		c->life = CLOSING;
	progress++;
}

static void begin(struct chan *c)
{
	uint8_t payload[300];
	uint32_t len = make_connect(payload, "random");
	uint32_t slot = c->slot, generation = c->generation + 1;

	if (lives >= LIVES)
		return;
	lives++;
	memset(c, 0, sizeof(*c));
	c->slot = slot;
	c->generation = generation;
	c->out_total = rnd(4) ? rnd(30000) : 0;
	c->in_total = rnd(4) ? rnd(30000) : 0;
	submit(c, TX, MP_OP_CONNECT, 0, 0, payload, len);
}

static void write_some(struct chan *c)
{
	uint8_t buf[3000];
	uint32_t len = 1 + rnd(sizeof(buf));

	if (c->abort || !(c->bits & MP_ST_OUT) || (c->bits & MP_ST_OUT_END) ||
	    c->out_sent == c->out_total)
		return;
	if (len > c->out_total - c->out_sent)
		len = c->out_total - c->out_sent;
	fill(buf, c, false, c->out_sent, len);
	submit(c, TX, MP_OP_WRITE, c->out_sent, 0, buf, len);
}

static void read_some(struct chan *c)
{
	if (c->in_end || c->life != OPEN)
		return;
	if (rnd(2) && in_flight(c, MP_OP_READ, true) == 0)
		submit(c, RX, MP_OP_READ, c->in_done, 0, NULL, 1 + rnd(4000));
	else if (c->bits & MP_ST_IN)
		submit(c, TX, MP_OP_READ, c->in_asked, 0, NULL, 1 + rnd(4000));
}

static void end_some(struct chan *c)
{
	bool is_over = c->in_end && c->out_done == c->out_total;
	unsigned int reads = in_flight(c, MP_OP_READ, false) - in_flight(c, MP_OP_READ, true);

	if (!c->shut_sent && c->life == OPEN && rnd(20) == 0)
		submit(c, TX, MP_OP_SHUTDOWN, c->out_total, MP_SHUT_WRITE, NULL, 0);
	if (c->life != OPEN || reads || in_flight(c, MP_OP_WRITE, false) ||
	    in_flight(c, MP_OP_SHUTDOWN, false))
		return;
	if (!is_over && rnd(300))
		return;
	c->abort = !is_over && rnd(2);
	submit(c, TX, MP_OP_CLOSE, c->out_total, c->abort ? MP_CLOSE_ABORT : 0, NULL, 0);
	if (c->life != CLOSING)
		c->abort = false;	/* no room: another time */
}

static void driver_moves(struct chan *c)
{
	switch (c->life) {
	case FREE:
		begin(c);
		break;
	case NAMING:
		break;
	case OPEN:
	case CLOSING:
		if (rnd(2))
			write_some(c);
		else
			read_some(c);
		if (rnd(60) == 0 && in_flight(c, MP_OP_READ, true))
			submit(c, TX, MP_OP_CANCEL, 0, 0, NULL, 0);
		end_some(c);
		break;
	}
}

/* --- What comes back ------------------------------------------------------------------ */

static void apply(struct chan *c, const struct mp_state *state)
{
	uint16_t bits = le16toh(state->bits), lost = c->bits & ~bits;

	if (!mp_seq_is_newer(le32toh(state->seq), c->seq))
		return;
	if (!(bits & MP_ST_CLOSED))
		assert_int_equal(lost & (MP_ST_CONNECTED | MP_ST_IN_END | MP_ST_OUT_END), 0);
	assert_int_equal(bits & (MP_ST_FAILED | MP_ST_REFUSED), 0);
	assert_int_equal(le16toh(state->reason), 0);
	c->seq = le32toh(state->seq);
	c->bits = bits;
	if (c->life == NAMING && (bits & MP_ST_CONNECTED))
		c->life = OPEN;
}

static void take_read(struct chan *c, struct fake_request *r, uint32_t status, uint32_t count)
{
	uint64_t expected = le64toh(r->result.offset);

	if (status == MP_OK || status == MP_AGAIN || status == MP_ORDER)
		assert_true(expected >= c->in_done || r->queue == RX || count == 0);
	if (count) {
		assert_int_equal(status, MP_OK);
		check(fake_payload(driver, r), c, true, r->offset, count);
		if (r->offset + count > c->in_done)
			c->in_done = r->offset + count;
	}
	if (status == MP_OK && !count) {
		assert_int_equal(r->offset, c->in_total);
		c->in_end = true;
	}
	if (status == MP_ORDER)
		assert_true(expected != r->offset);
	if (!(in_flight(c, MP_OP_READ, false) - in_flight(c, MP_OP_READ, true)))
		c->in_asked = c->in_done;
}

static void take_result(struct chan *c, struct fake_request *r)
{
	uint32_t status = le32toh(r->result.status), count = le32toh(r->result.count);

	if (status != MP_STALE)
		apply(c, &r->result.state);
	if (r->op == MP_OP_READ) {
		assert_true(status == MP_OK || status == MP_AGAIN || status == MP_ORDER ||
			    status == MP_CANCELLED ||
			    (r->queue == RX && (status == MP_BUSY || c->life == CLOSING)));
		take_read(c, r, status, count);
	} else if (r->op == MP_OP_WRITE) {
		assert_true(status == MP_OK || status == MP_AGAIN || status == MP_ORDER);
		if (le64toh(r->result.offset) > c->out_done)
			c->out_done = le64toh(r->result.offset);
		if (!in_flight(c, MP_OP_WRITE, false))
			c->out_sent = c->out_done;
	} else if (r->op == MP_OP_CANCEL) {
		assert_true(status == MP_OK || status == MP_STALE);
	} else {
		assert_int_equal(status, MP_OK);
	}
	fake_drop(driver, r);
	progress++;
}

static void reap(struct chan *c)
{
	for (;;) {
		struct fake_request **first = NULL, *r;

		for (int i = 0; i < FLIGHT; i++)
			if (c->flight[i] && c->flight[i]->done &&
			    (!first || c->flight[i]->serial < (*first)->serial))
				first = &c->flight[i];
		if (!first)
			break;
		r = *first;
		*first = NULL;
		take_result(c, r);
	}
	if ((c->bits & MP_ST_CLOSED) && !in_flight(c, 0, false))
		c->life = FREE;
}

static void reap_all(void)
{
	for (; driver->event_seen < driver->event_count; driver->event_seen++) {
		struct mp_event *e = &driver->events[driver->event_seen % FAKE_EVENTS].event;
		struct chan *c = &chans[le32toh(e->channel) % CHANNELS];

		progress++;
		if (le32toh(e->generation) == c->generation)
			apply(c, &e->state);
	}
	for (int i = 0; i < CHANNELS; i++)
		reap(&chans[i]);
}

static void step(void)
{
	struct chan *c = &chans[rnd(CHANNELS)];

	switch (rnd(8)) {
	case 0:
		fake_kick(driver, RX);
		break;
	case 1:
		fake_kick(driver, TX);
		break;
	case 2:
		fake_poll_queue(driver, rnd(2) ? RX : TX);
		reap_all();
		break;
	case 3:
		if (driver->woken) {
			driver->woken = false;
			core_run(device_core(driver->device));
		} else if (core_deadline(device_core(driver->device)) == driver->now + 1) {
			driver->now++;	/* more may be discarded then */
			core_tick(device_core(driver->device));
		}
		break;
	case 4:
		service_moves(c);
		break;
	default:
		driver_moves(c);
	}
}

static void run(uint64_t seed, uint16_t size, unsigned int events)
{
	unsigned int patience = 0, busy = CHANNELS, seen;

	random_state = seed;
	lives = 0;
	memset(chans, 0, sizeof(chans));
	world_create(size, CHANNELS);
	world_boot(events);
	service->on_open = stream_opened;
	service->on_close = stream_closed;
	for (uint32_t i = 0; i < CHANNELS; i++)
		chans[i].slot = i;
	driver->manual = true;
	while (lives < LIVES || busy) {
		seen = progress;
		step();
		patience = progress == seen ? patience + 1 : 0;
		if (patience > PATIENCE)
			print_message("stuck: seed %llu\n", (unsigned long long)seed);
		assert_true(patience <= PATIENCE);
		for (int i = busy = 0; i < CHANNELS; i++)
			busy += chans[i].life != FREE;
	}
	driver->manual = false;
	fake_run(driver);
	assert_int_equal(stats_now().core.channels, 0);
	assert_int_equal(stats_now().parked, 0);
	assert_int_equal(stats_now().requests, stats_now().results);
	service->on_close = NULL;
	world_destroy(NULL);
}

static void random_operations(void **state)
{
	const char *seed = getenv("SEED"), *count = getenv("RUNS");
	unsigned int runs = count ? atoi(count) : 3;

	(void)state;
	for (unsigned int i = 0; i < runs; i++)
		run((seed ? strtoull(seed, NULL, 0) : 1) + i, i % 2 ? 32 : 64, 1 + i % 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(random_operations) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
