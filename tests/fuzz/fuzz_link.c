// SPDX-License-Identifier: MIT
/*
 * A link, driver or device, and a peer that breaks rules. The first byte of the input says which;
 * the rest is a program of what the peer says and hears, of what the owner's channels do, and of
 * the time. In the end a peer that says what is right gets a session.
 */
#include "fuzz_say.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* --- Time and streams -------------------------------------------------------------------- */

static void pass_time(uint64_t to)
{
	unsigned int ends = owner.ends;

	now = to > now ? to : now;
	link_tick(owner.link, now);
	CHECK(owner.ends == ends || owner.why == SESSION_SILENT);
	CHECK(link_deadline(owner.link) > now);		/* its owner would never sleep */
	peer_look();
}

/* A peer that says what is right gets its session, whatever came before. */
static void come_up(void)
{
	if (link_deadline(owner.link) == SESSION_NEVER && !owner.is_started && !owner.has_session)
		owner_start(&owner);
	for (int i = 0; !owner.has_session; i++) {
		struct sync sync = {
			.version = 1, .window = MP_WINDOW_MAX, .hunts = true,
			.max_channels = owner.is_device ? 0 : SLOTS,
		};

		CHECK(i < 4);
		peer_get_all();
		if (!owner.is_started)
			pass_time(link_deadline(owner.link));
		peer_get_all();
		new_nonce();
		memcpy(sync.mine, peer.nonce, MP_NONCE_SIZE);
		memcpy(sync.yours, peer.heard, MP_NONCE_SIZE);
		sync_put(said, &sync);
		say(said, sizeof(struct mp_sync), SESSION_IN_SIZE);
	}
	peer_get_all();
}

/* Channels that are connected. */
static void open_some(uint32_t count, bool is_deaf)
{
	is_calm = true;
	for (uint32_t slot = 0; slot < count; slot++) {
		owner_open(&owner, slot, 100);
		peer_get_all();
		say_frame(slot << 3);
		CHECK(owner.channels[slot].stage == CONNECTED);
		owner.channels[slot].is_deaf = is_deaf;
	}
	is_calm = false;
}

static void new_stream(uint8_t choice)
{
	if (choice & 1)
		owner_stop(&owner);
	else
		owner_start(&owner);
	peer_look();
}

/* --- The input ------------------------------------------------------------------------------ */

static void seldom(uint8_t choice)
{
	switch (choice & 7) {
	case 0 ... 1:
		say_anything(choice >> 3);
		break;
	case 2:
		say_zeros(choice >> 3);
		break;
	case 3 ... 4:
		say_sync(choice >> 3);
		break;
	case 5:
		failing = choice >> 3 & 7;
		break;
	case 6:
		pass_time(link_deadline(owner.link) != SESSION_NEVER && choice & 8 ?
			  link_deadline(owner.link) : now + next());
		break;
	default:
		new_stream(choice >> 3);
	}
}

static void step(void)
{
	uint8_t choice = next();

	switch (choice & 7) {
	case 0 ... 2:
		say_frame(next());
		break;
	case 3 ... 4:
		owner_step(&owner);
		peer_look();
		break;
	case 5:
		choice & 8 ? peer_get_all() : (void)peer_get((size_t)next() << (choice >> 4));
		break;
	case 6:
		come_up();
		break;
	default:
		seldom(next());
	}
	owner_check(&owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t kind;

	owner_setup_bytes();
	memset(&peer, 0, offsetof(struct peer, in));
	input = data;
	input_left = len;
	kind = next();
	now = 1000;
	failing = 0;
	had_no_memory = false;
	owner_configure(&owner, kind & 1);
	owner_link(&owner);
	if (!(kind & 2))
		come_up();
	if ((kind & 6) == 4)
		open_some(1 + (kind >> 4 & 1), kind & 8);
	while (input_left)
		step();
	failing = 0;
	come_up();
	owner_destroy(&owner);
	return 0;
}
