// SPDX-License-Identifier: MIT
/* A driver whose rings are right and whose requests are not. */

#include <string.h>

#include "attack.h"

/* --- Form --------------------------------------------------------------- */

static struct driver_request good_write(struct driver *d)
{
	static const uint8_t bytes[64];

	return (struct driver_request){
		.header = {
			.op = htole16(MP_OP_WRITE), .length = htole32(sizeof(bytes)),
			.generation = htole32(d->channels[0].generation),
		},
		.out = bytes, .out_len = sizeof(bytes),
	};
}

#define EXPECT(field, value, status) do {					\
	struct driver_request r_ = good_write(d);				\
	r_.header.field = value;						\
	uint32_t got_ = driver_submit(d, &r_);					\
	if (got_ != (status))							\
		FAIL("%s = %s: status %u, not %s", #field, #value, got_, #status);	\
} while (0)

ATTACK(every_field_wrong, AT_CHANNEL)
{
	EXPECT(op, htole16(0), MP_UNSUPPORTED);
	EXPECT(op, htole16(MP_OP_LISTEN), MP_UNSUPPORTED);
	EXPECT(op, htole16(UINT16_MAX), MP_UNSUPPORTED);
	EXPECT(op, htole16(MP_OP_READ), MP_INVALID);
	EXPECT(op, htole16(MP_OP_CONNECT), MP_INVALID);
	EXPECT(op, htole16(MP_OP_CLOSE), MP_INVALID);
	EXPECT(flags, htole16(MP_READ_NOW), MP_INVALID);
	EXPECT(flags, htole16(UINT16_MAX), MP_INVALID);
	EXPECT(length, htole32(0), MP_INVALID);
	EXPECT(length, htole32(63), MP_INVALID);
	EXPECT(length, htole32(65), MP_INVALID);
	EXPECT(length, UINT32_MAX, MP_INVALID);
	EXPECT(channel, htole32(1), MP_STALE);
	EXPECT(channel, htole32(d->max_channels), MP_STALE);
	EXPECT(channel, htole32(0x7fffffff), MP_STALE);
	EXPECT(channel, htole32(MP_CHANNEL_HOST), MP_INVALID);
	EXPECT(channel, UINT32_MAX, MP_INVALID);
	EXPECT(generation, 0, MP_INVALID);
	EXPECT(generation, htole32(77), MP_STALE);
	EXPECT(offset, htole64(1), MP_ORDER);
	EXPECT(offset, htole64(UINT64_MAX - 64), MP_ORDER);
	EXPECT(offset, UINT64_MAX, MP_INVALID);
	EXPECT(reserved, 1, MP_INVALID);
	driver_expect_alive(d);
}

ATTACK(a_header_too_short, AT_CHANNEL)
{
	const struct peer_segment segments[] = {
		{ peer_gpa(d->request), 31 }, { peer_gpa(d->result), 24 },
	};

	peer_add(d->tx, segments, 1, 1);
	peer_kick(d->tx);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
	CHECK(le32toh(driver_result(d)->status) == MP_INVALID);
	/* Nothing readable at all, on a queue without event buffers. */
	peer_add(d->tx, segments + 1, 0, 1);
	peer_kick(d->tx);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
	CHECK(le32toh(driver_result(d)->status) == MP_INVALID);
	driver_expect_alive(d);
}

ATTACK(payload_above_the_limit, AT_CHANNEL)
{
	uint32_t len = d->max_io + 1, at = peer_alloc(d->peer, len);
	struct mp_request *header = (void *)(d->peer->mem + d->request);
	const struct peer_segment segments[] = {
		{ peer_gpa(d->request), sizeof(*header) }, { peer_gpa(at), len },
		{ peer_gpa(d->result), 24 },
	};

	*header = good_write(d).header;
	header->length = htole32(len);
	peer_add(d->tx, segments, 2, 1);
	peer_kick(d->tx);
	CHECK(peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) >= 0);
	CHECK(le32toh(driver_result(d)->status) == MP_INVALID);
	driver_expect_alive(d);
}

ATTACK(everything_on_the_receive_queue, AT_CHANNEL)
{
	struct peer_queue *tx = d->tx;

	d->keep_events = false;
	d->tx = d->rx;
	/* An honest driver's bookkeeping is of no use here. */
	for (int op = MP_OP_CONNECT; op <= MP_OP_CLOSE; op++) {
		struct mp_request *header = (void *)(d->peer->mem + d->request);
		const struct peer_segment segments[] = {
			{ peer_gpa(d->request), sizeof(*header) }, { peer_gpa(d->result), 24 },
		};

		if (op == MP_OP_READ)
			continue;
		*header = good_write(d).header;
		header->op = htole16(op);
		header->length = 0;
		if (op == MP_OP_SHUTDOWN)
			header->flags = htole16(MP_SHUT_WRITE);
		peer_add(d->rx, segments, 1, 1);
		peer_kick(d->rx);
		CHECK(peer_wait_used(d->peer, d->rx, NULL, PEER_WAIT_MS) >= 0);
		CHECK(le32toh(driver_result(d)->status) == MP_INVALID);
	}
	d->tx = tx;
	d->keep_events = true;
	driver_expect_alive(d);
}

/* --- Answers that are looked at late [protocol.md 6.8] ------------------- */

/* A lazy READ, with its bytes or without: CANCEL is answered after it. */
ATTACK(lazy_reads_and_writes, AT_CHANNEL)
{
	const struct mp_result *parked = (const void *)(d->peer->mem + d->parked_result);
	struct driver_request write = good_write(d);
	uint64_t in = 0, out = 0;

	write.header.flags = htole16(MP_LAZY);
	d->park_flags = MP_LAZY;
	for (int i = 0; i < 100; i++) {
		driver_park(d, 0, in, 64);
		for (int j = i % 3; j; j--, out += le32toh(driver_result(d)->count)) {
			write.header.offset = htole64(out);
			CHECK(driver_submit(d, &write) == MP_OK);
		}
		CHECK(driver_simple(d, MP_OP_CANCEL, 0, 0, 0) == MP_OK);
		driver_take_events(d);
		CHECK(d->parked_is_back);
		in += le32toh(parked->count);
	}
	driver_expect_alive(d);
	d->park_flags = 0;
	/* The channel itself, too: what was written and not read can be read. */
	while (in < out) {
		driver_wait(d, 0, MP_ST_IN);
		CHECK(driver_read(d, 0, in, 64) == MP_OK);
		in += le32toh(driver_result(d)->count);
	}
}

/* --- Connecting --------------------------------------------------------- */

static void expect_refused(struct driver *d, uint32_t slot, const char *name,
			   enum mp_reason reason)
{
	CHECK(driver_connect(d, slot, name) == MP_OK);
	driver_wait(d, slot, MP_ST_CONNECTED | MP_ST_REFUSED);
	CHECK(d->channels[slot].bits & MP_ST_REFUSED);
	if (d->channels[slot].reason != reason)
		FAIL("\"%s\" is refused for %u, not %u", name, d->channels[slot].reason, reason);
}

ATTACK(names, AT_PORT)
{
	char longest[MP_NAME_MAX + 1];

	expect_refused(d, 0, "no-such-service", MP_REASON_NO_SERVICE);
	expect_refused(d, 1, "/etc/passwd", MP_REASON_NO_SERVICE);
	expect_refused(d, 2, "unix:/run/x", MP_REASON_NO_SERVICE);
	expect_refused(d, 3, "exec:/bin/sh", MP_REASON_NO_SERVICE);
	expect_refused(d, 4, "a b", MP_REASON_NAME_INVALID);
	expect_refused(d, 5, "+x", MP_REASON_NAME_INVALID);
	expect_refused(d, 6, "echo\n", MP_REASON_NAME_INVALID);
	expect_refused(d, 7, "\xff\xfe", MP_REASON_NAME_INVALID);
	expect_refused(d, 8, "%s%n%x", MP_REASON_NO_SERVICE);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[MP_NAME_MAX] = '\0';
	expect_refused(d, 9, longest, MP_REASON_NO_SERVICE);
	driver_expect_alive(d);
}

ATTACK(connect_payloads, AT_CHANNEL)
{
	uint8_t payload[sizeof(struct mp_connect) + MP_NAME_MAX + 1] = { 0 };
	struct mp_connect *connect = (void *)payload;
	static const uint32_t lens[] = { 0, 1, 31, 32, 33, 287, 288 };

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (uint32_t name_len = 0; name_len <= 256; name_len += 64) {
			const struct driver_request request = {
				.header = {
					.op = htole16(MP_OP_CONNECT), .length = htole32(lens[i]),
					.channel = htole32(100 + i), .generation = htole32(1000),
				},
				.out = payload, .out_len = lens[i],
			};

			connect->name_len = htole32(name_len ? name_len : UINT32_MAX);
			CHECK(driver_submit(d, &request) == MP_INVALID);
		}
	}
	/* In use, with the same generation and with another. */
	d->generation = d->channels[0].generation - 1;
	CHECK(driver_connect(d, 0, "echo") == MP_BAD_STATE);
	CHECK(driver_connect(d, 0, "echo") == MP_BUSY);
	d->generation += 1000;
	driver_expect_alive(d);
}

/* As many as there is room for, and then more. */
ATTACK(flood_of_channels, AT_PORT)
{
	uint32_t accepted = 0, refused = 0, slot;

	for (slot = 0; slot < d->max_channels; slot++) {
		CHECK(driver_connect(d, slot, slot % 2 ? "zero" : "echo") == MP_OK);
		if (d->channels[slot].bits & MP_ST_REFUSED) {
			CHECK(d->channels[slot].reason == MP_REASON_BUSY);
			refused++;
		} else {
			accepted++;
		}
	}
	CHECK(accepted == 500 && refused > 0);	/* the user's limit */
	for (uint32_t i = 0; i < 1000; i++)
		CHECK(driver_simple(d, MP_OP_CANCEL, i % slot, 0, 0) == MP_OK);
	/* One goes, with its slot. */
	CHECK(driver_simple(d, MP_OP_CLOSE, slot - 1, MP_CLOSE_ABORT, 0) == MP_OK);
	CHECK(driver_simple(d, MP_OP_CLOSE, 0, MP_CLOSE_ABORT, 0) == MP_OK);
	driver_wait(d, slot - 1, MP_ST_CLOSED);
	driver_expect_alive(d);
}

/* The same slot over and over. */
ATTACK(flood_of_generations, AT_PORT)
{
	for (int i = 0; i < 3000; i++) {
		CHECK(driver_connect(d, 0, i % 3 ? "echo" : "nothing") == MP_OK);
		CHECK(driver_simple(d, MP_OP_CLOSE, 0, MP_CLOSE_ABORT, 0) == MP_OK);
		CHECK(d->channels[0].bits & MP_ST_CLOSED);
	}
	driver_expect_alive(d);
}

/* --- State -------------------------------------------------------------- */

ATTACK(shutdowns_and_closes, AT_CHANNEL)
{
	CHECK(driver_write(d, 0, 0, "12345", 5) == MP_OK);
	CHECK(driver_simple(d, MP_OP_SHUTDOWN, 0, MP_SHUT_WRITE, 3) == MP_INVALID);
	CHECK(driver_simple(d, MP_OP_SHUTDOWN, 0, 0, 5) == MP_INVALID);
	CHECK(driver_simple(d, MP_OP_SHUTDOWN, 0, 4, 5) == MP_INVALID);
	CHECK(driver_simple(d, MP_OP_SHUTDOWN, 0, MP_SHUT_WRITE, 10) == MP_OK);
	CHECK(driver_simple(d, MP_OP_SHUTDOWN, 0, MP_SHUT_WRITE, 9) == MP_INVALID);
	CHECK(driver_simple(d, MP_OP_CLOSE, 0, 2, 10) == MP_INVALID);
	CHECK(driver_simple(d, MP_OP_CLOSE, 0, 0, 10) == MP_OK);
	CHECK(driver_simple(d, MP_OP_CLOSE, 0, 0, 10) == MP_BAD_STATE);
	CHECK(driver_read(d, 0, 0, 100) == MP_BAD_STATE);
	CHECK(driver_simple(d, MP_OP_CLOSE, 0, MP_CLOSE_ABORT, 0) == MP_OK);
	CHECK(d->channels[0].bits & MP_ST_CLOSED);
	CHECK(driver_simple(d, MP_OP_CLOSE, 0, MP_CLOSE_ABORT, 0) == MP_STALE);
	driver_expect_alive(d);
}

/* A close must get through, also with an end that was passed already: it aborts. */
ATTACK(close_before_what_was_written, AT_CHANNEL)
{
	CHECK(driver_write(d, 0, 0, "12345", 5) == MP_OK);
	CHECK(driver_simple(d, MP_OP_CLOSE, 0, 0, 4) == MP_OK);
	CHECK(d->channels[0].bits & MP_ST_CLOSED);
	driver_expect_alive(d);
}

/* An end that is never reached: the linger limit does. */
ATTACK(close_at_the_end_of_time, AT_CHANNEL)
{
	driver_open_channel(d, 1, "brief");
	CHECK(driver_simple(d, MP_OP_CLOSE, 1, 0, UINT64_MAX) == MP_OK);
	driver_wait(d, 1, MP_ST_CLOSED);
	CHECK(d->channels[1].reason == MP_REASON_LINGER);
	driver_expect_alive(d);
}

ATTACK(reads_parked_twice, AT_CHANNEL)
{
	struct mp_request *header = (void *)(d->peer->mem + d->request);
	const struct peer_segment segments[] = {
		{ peer_gpa(d->request), sizeof(*header) }, { peer_gpa(d->result), 24 },
		{ peer_gpa(d->in), 100 },
	};

	driver_park(d, 0, 0, 100);
	*header = (struct mp_request){
		.op = htole16(MP_OP_READ), .length = htole32(100),
		.generation = htole32(d->channels[0].generation),
	};
	peer_add(d->rx, segments, 1, 2);
	peer_kick(d->rx);
	CHECK(peer_wait_used(d->peer, d->rx, NULL, PEER_WAIT_MS) >= 0);
	CHECK(le32toh(driver_result(d)->status) == MP_BUSY);
	CHECK(driver_simple(d, MP_OP_CANCEL, 0, 0, 0) == MP_OK);
	CHECK(driver_simple(d, MP_OP_CANCEL, 0, 0, 0) == MP_OK);
	driver_take_events(d);
	CHECK(d->parked_is_back);
	driver_expect_alive(d);
}

/* More parked reads than half the ring takes: the rest is answered. */
ATTACK(reads_parked_everywhere, AT_PORT)
{
	uint32_t answered = 0, slots = 180;

	d->keep_events = false;
	for (uint32_t slot = 0; slot < slots; slot++)
		driver_open_channel(d, slot, "echo");
	/* Two descriptors each: request and result are one buffer, twice used. */
	for (uint32_t slot = 0; slot < 70; slot++)
		driver_park(d, slot, 0, 16);
	for (uint32_t slot = 0; slot < 70; slot++) {
		CHECK(driver_simple(d, MP_OP_CANCEL, slot, 0, 0) == MP_OK);
		answered += driver_take_events(d);
	}
	CHECK(answered >= 70);
	d->keep_events = true;
	driver_add_events(d, DRIVER_EVENTS);
	driver_expect_alive(d);
}

/* --- Events ------------------------------------------------------------- */

/* Nothing to deliver with: events are owed, and come when there is. */
ATTACK(event_buffer_starvation, AT_PORT)
{
	uint32_t slots = 200, late = 0;

	d->keep_events = false;
	for (uint32_t slot = 0; slot < slots; slot++) {
		CHECK(driver_connect(d, slot, "echo") == MP_OK);
		CHECK(driver_write(d, slot, 0, "event", 5) == MP_OK);
		driver_take_events(d);
	}
	for (uint32_t slot = 0; slot < slots; slot++)
		late += !(d->channels[slot].bits & MP_ST_IN);
	CHECK(late > 0);
	d->keep_events = true;
	driver_add_events(d, 1);
	for (uint32_t slot = 0; slot < slots; slot++)
		driver_wait(d, slot, MP_ST_IN);
	driver_expect_alive(d);
}

ATTACK(event_buffers_of_wrong_size, AT_CHANNEL)
{
	static const uint32_t sizes[] = { 24, 25, 4096 };
	struct peer_segment segment = { peer_gpa(d->in), 0 };

	/* With room for a result they are requests without a header. */
	d->keep_events = false;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		segment.len = sizes[i];
		peer_add(d->rx, &segment, 0, 1);
		peer_kick(d->rx);
		CHECK(peer_wait_used(d->peer, d->rx, NULL, PEER_WAIT_MS) >= 0);
	}
	d->keep_events = true;
	driver_expect_alive(d);
	/* Without it the ring is broken. */
	segment.len = sizeof(struct mp_event) - 1;
	peer_add(d->rx, &segment, 0, 1);
	peer_kick(d->rx);
	peer_expect_broken(d->peer);
}
