// SPDX-License-Identifier: MIT
/*
 * Two links back to back, over pipes that cut, and lose where the first byte of the input allows
 * it; the rest is a program of what happens to the streams, to the time, and to the channels. What
 * must hold: bytes come in order and whole, what is held is bounded, honest links keep a session
 * whose stream is whole, no channel waits for anything but its own consumer, and in the end each
 * channel ends, and one more works.
 */
#include "link_pipe.h"
#include "fuzz_owner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct side {
	struct owner owner;
	struct pipe out;
	unsigned int ends;		/* that were seen */
} driver, device;

static bool may_lose, is_disturbed;

static struct side *other(const struct side *side)
{
	return side == &driver ? &device : &driver;
}

/* --- What must hold ----------------------------------------------------------- */

static LOOKS struct channel *channel_at(struct side *side, const struct channel *c)
{
	struct channel *its = &side->owner.channels[c->lane.slot];

	return its->is_used && its->lane.generation == c->lane.generation ? its : NULL;
}

static LOOKS void check_direction(const struct channel *from, const struct channel *to)
{
	CHECK(to->lane.in.expected <= from->lane.out.offset);
	CHECK(from->lane.out.granted <= to->lane.in.granted);
}

/* Without a disturbance there is no end; the first one may be that time passed. */
static LOOKS void check_side(struct side *side)
{
	owner_check(&side->owner);
	if (side->ends == side->owner.ends)
		return;
	side->ends = side->owner.ends;
	CHECK(side->owner.why == SESSION_SILENT || is_disturbed);
	is_disturbed = true;
}

static LOOKS void check(void)
{
	check_side(&driver);
	check_side(&device);
	for (uint32_t slot = 0; slot < SLOTS && !is_disturbed; slot++) {
		struct channel *c = &driver.owner.channels[slot];
		struct channel *its = c->is_used ? channel_at(&device, c) : NULL;

		if (!its)
			continue;
		check_direction(c, its);
		check_direction(its, c);
	}
}

/* All is sent, or a consumer has not taken what is held for it. */
static LOOKS void check_progress(const struct channel *from, const struct channel *to)
{
	CHECK(from->lane.out.offset == from->written || to->lane.held_len);
	CHECK(to->lane.in.expected == from->lane.out.offset);
	CHECK(!from->has_last || from->said_last || to->lane.held_len ||
	      (from->ends & (MP_ST_OUT_END | MP_ST_FAILED)));
}

/* Nothing is on its way: what a channel waits for is at its own ends. */
static LOOKS void check_settled(void)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		struct channel *c = &driver.owner.channels[slot], *its;

		if (!c->is_used)
			continue;
		its = channel_at(&device, c);
		CHECK(its && its->stage == c->stage);
		CHECK(!its->is_over && (!c->said_close || its->lane.held_len));
		if (c->stage != CONNECTED)
			continue;
		CHECK(c->ends == its->ends);
		check_progress(c, its);
		if (!its->is_closing)
			check_progress(its, c);
	}
}

/* --- Streams ------------------------------------------------------------------- */

static size_t send_some(struct side *side, size_t most)
{
	size_t sent = pipe_send(&side->out, side->owner.link, most, now);

	check();
	return sent;
}

static size_t deliver_some(struct side *from, size_t most)
{
	struct side *to = other(from);
	size_t ready = pipe_ready(&from->out, to->owner.link);

	if (ready > most)
		ready = most;
	pipe_deliver(&from->out, to->owner.link, ready, now);
	check();
	return ready;
}

/* False: nothing moved. */
static bool exchange(void)
{
	size_t moved = send_some(&driver, PIPE_SIZE);

	moved += deliver_some(&driver, PIPE_SIZE);
	moved += send_some(&device, PIPE_SIZE);
	moved += deliver_some(&device, PIPE_SIZE);
	return moved;
}

/* Until nothing moves at this time. */
static void settle(void)
{
	for (unsigned int rounds = 0; exchange(); rounds++)
		CHECK(rounds < 100000);
	if (!is_disturbed && driver.owner.has_session && device.owner.has_session)
		check_settled();
}

static void pass_time(uint64_t to)
{
	now = to > now ? to : now;
	link_tick(driver.owner.link, now);
	link_tick(device.owner.link, now);
	check();
}

/* To what is due next; false: nothing is. */
static bool wait_for_next(void)
{
	uint64_t a = link_deadline(driver.owner.link), b = link_deadline(device.owner.link);

	if (a == SESSION_NEVER && b == SESSION_NEVER)
		return false;
	pass_time(a < b ? a : b);
	return true;
}

/* The last bytes that it sends never come. */
static void lose(struct side *side)
{
	uint8_t choice = next();
	size_t lost = choice & 1 ? PIPE_SIZE : (size_t)next() << (choice & 6);

	if (!may_lose)
		return;
	send_some(side, PIPE_SIZE);
	is_disturbed = true;
	pipe_lose(&side->out, lost < side->out.len ? lost : side->out.len);
}

/* One side gets a new stream, with or without what is on the way. */
static void restart(struct side *side, uint8_t choice)
{
	if (!may_lose)
		return;
	is_disturbed = true;
	if (choice & 1)
		side->out.len = 0;
	if (choice & 2)
		other(side)->out.len = 0;
	if (choice & 4)
		owner_stop(&side->owner);
	else
		owner_start(&side->owner);
	check();
}

/* --- The input ----------------------------------------------------------------- */

static size_t size_of(uint8_t choice)
{
	return choice & 1 ? PIPE_SIZE : (size_t)next() << (choice & 6);
}

static void step_time(uint8_t choice)
{
	if (choice & 1)
		wait_for_next();
	else
		pass_time(now + (next() << (choice & 7)));
}

static void step(void)
{
	uint8_t choice = next();
	struct side *side = choice & 0x80 ? &device : &driver;

	switch (choice & 15) {
	case 0 ... 5:
		owner_step(&side->owner);
		break;
	case 6 ... 7:
		send_some(side, size_of(choice >> 4));
		break;
	case 8 ... 9:
		deliver_some(side, size_of(choice >> 4));
		break;
	case 10:
		send_some(side, PIPE_SIZE);
		deliver_some(side, PIPE_SIZE);
		break;
	case 11:
		for (int i = choice >> 5; i; i--)
			exchange();
		if (choice & 0x10)
			settle();
		break;
	case 12:
		step_time(choice >> 4);
		break;
	case 13:
		lose(side);
		break;
	case 14:
		restart(side, choice >> 4);
		break;
	default:
		failing = choice >> 4 & 7;
	}
}

static bool is_up(void)
{
	return driver.owner.has_session && device.owner.has_session;
}

static bool is_used(const struct side *side)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		if (side->owner.channels[slot].is_used)
			return true;
	}
	return false;
}

/* Each service is reached, takes all, and says no more; each process closes. */
static void owner_finish(struct owner *owner)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		struct channel *c = &owner->channels[slot];

		if (!c->is_used)
			continue;
		channel_take(owner, c);
		if (owner->is_device)
			channel_connect(owner, c, 0);
		else if (c->stage != CONNECTING)
			owner_close(owner, c, false);
	}
	owner_check(owner);
}

/* The stream is whole from now on: what there is ends. */
static void finish(void)
{
	is_calm = true;
	failing = 0;
	if (link_deadline(driver.owner.link) == SESSION_NEVER && !driver.owner.is_started)
		owner_start(&driver.owner);
	if (link_deadline(device.owner.link) == SESSION_NEVER && !device.owner.is_started)
		owner_start(&device.owner);
	settle();
	for (int i = 0; !is_up() || is_used(&driver) || is_used(&device); i++) {
		CHECK(i < 200);
		owner_finish(&device.owner);
		settle();
		owner_finish(&driver.owner);
		settle();
		if (!is_up() || is_used(&driver) || is_used(&device))
			CHECK(wait_for_next());
		settle();
	}
}

static void check_works(void)
{
	struct channel *c = &driver.owner.channels[0], *its = &device.owner.channels[0];
	uint64_t there = 3 * driver.owner.peer.window, back = 3 * device.owner.peer.window;

	owner_open(&driver.owner, 0, there);
	settle();
	CHECK(c->is_used && c->got == back && its->is_used && its->got == there);
	owner_finish(&driver.owner);
	settle();
	CHECK(is_up() && !is_used(&driver) && !is_used(&device));
}

/* Channels that are connected, with bytes both ways. */
static void open_some(uint32_t count, uint8_t kind)
{
	is_calm = true;
	for (uint32_t slot = 0; slot < count; slot++)
		owner_open(&driver.owner, slot, 100);
	settle();
	is_calm = false;
	for (uint32_t slot = 0; slot < count; slot++) {
		struct channel *c = &driver.owner.channels[slot];
		struct channel *its = &device.owner.channels[slot];

		CHECK(c->stage == CONNECTED && its->stage == CONNECTED);
		c->is_deaf = kind & 8;
		its->is_deaf = kind & 16;
		channel_write(&driver.owner, c, kind & 64 ? UINT32_MAX : 0);
		channel_write(&device.owner, its, kind & 128 ? UINT32_MAX : 0);
	}
}

static void side_create(struct side *side, bool is_device)
{
	owner_configure(&side->owner, is_device);
	/* A frame that lost its end is completed by time alone. */
	if (may_lose && !side->owner.config.session.answer_ms)
		side->owner.config.session.answer_ms = 60000;
	owner_link(&side->owner);
	side->out.len = 0;
	side->ends = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t kind;

	owner_setup_bytes();
	input = data;
	input_left = len;
	kind = next();
	now = 1000;
	failing = 0;
	is_calm = had_no_memory = is_disturbed = false;
	may_lose = kind & 1;
	side_create(&driver, false);
	side_create(&device, true);
	owner_start(&driver.owner);
	owner_start(&device.owner);
	if (!(kind & 2))
		settle();
	CHECK(is_up() || (kind & 2));
	if ((kind & 6) == 4)
		open_some(kind & 32 ? 3 : 1, kind);
	while (input_left)
		step();
	finish();
	check_works();
	owner_destroy(&driver.owner);
	owner_destroy(&device.owner);
	return 0;
}
