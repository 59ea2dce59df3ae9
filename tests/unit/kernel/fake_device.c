// SPDX-License-Identifier: MIT
/* The device's side of fake_host.h. */
#include "fake_host.h"
#include "kernel.h"

/* What the device holds of one request. */
struct place {
	struct fake_vq *vq;
	unsigned int index;
};

static bool is_event(const struct fake_added *added)
{
	return !added->out;
}

static const struct mp_request *header_of(const struct place *place)
{
	return place->vq->added[place->index].sgs[0].data;
}

/* The @nth request of kind @op, those on the transmit queue first. */
static bool find(u16 op, unsigned int nth, struct place *place)
{
	struct fake_vq *vqs[] = { &host.tx, &host.rx };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vqs); i++) {
		place->vq = vqs[i];
		for (place->index = 0; place->index < vqs[i]->added_count; place->index++)
			if (!is_event(&vqs[i]->added[place->index]) &&
			    le16_to_cpu(header_of(place)->op) == op && !nth--)
				return true;
	}
	return false;
}

unsigned int host_count(u16 op)
{
	unsigned int count = 0;
	struct place place;

	while (find(op, count, &place))
		count++;
	return count;
}

const struct mp_request *host_request(u16 op, unsigned int nth)
{
	struct place place;

	assert_true(find(op, nth, &place));
	return header_of(&place);
}

/*
 * Moves @count bytes between the payload and the service's streams. The payload is behind header or
 * result in the same piece, or in pieces of its own.
 */
static void move_payload(const struct fake_added *added, bool is_read, u64 offset, u32 count)
{
	unsigned int first = is_read ? added->out : 0;
	u32 i, done = 0, skip = is_read ? sizeof(struct mp_result) : sizeof(struct mp_request);
	const struct scatterlist *sg = &added->sgs[first];

	if (sg->length == skip) {
		sg = added->lists[first + 1];
		skip = 0;
	}
	for (; done < count; done += i, sg++, skip = 0)
		for (i = 0; skip + i < sg->length && done + i < count; i++) {
			u8 *at = (u8 *)sg->data + skip + i;

			if (is_read)
				*at = host_byte(offset + done + i);
			else
				assert_int_equal(*at, host_byte(offset + done + i));
		}
}

static bool is_lying;

static void answer(const struct place *place, u32 status, u32 count, u64 offset)
{
	const struct fake_added *added = &place->vq->added[place->index];
	struct mp_result *result = added->sgs[added->out].data;
	u16 op = le16_to_cpu(header_of(place)->op);

	if (count && !is_lying && (op == MP_OP_READ || op == MP_OP_WRITE))
		move_payload(added, op == MP_OP_READ, le64_to_cpu(header_of(place)->offset),
			     min(count, le32_to_cpu(header_of(place)->length)));
	*result = (struct mp_result){
		.status = cpu_to_le32(status),
		.count = cpu_to_le32(count),
		.offset = cpu_to_le64(offset),
		.state.seq = cpu_to_le32(host.seq),
		.state.bits = cpu_to_le16(host.bits),
		.state.reason = cpu_to_le16(host.reason),
	};
	if (op == MP_OP_READ && (header_of(place)->flags & cpu_to_le16(MP_LAZY)))
		fake_vq_answer_lazily(place->vq, place->index, sizeof(*result) + count);
	else
		fake_vq_answer(place->vq, place->index,
			       sizeof(*result) + (op == MP_OP_READ ? count : 0));
}

static void answer_honestly(const struct place *place, u32 status, u32 count)
{
	u16 op = le16_to_cpu(header_of(place)->op);
	u64 *next = op == MP_OP_READ ? &host.in_next : &host.out_next;

	*next += count;
	answer(place, status, count, *next);
}

void host_answer(u16 op, unsigned int nth, u32 status, u32 count)
{
	struct place place;

	assert_true(find(op, nth, &place));
	answer_honestly(&place, status, count);
}

void host_lie(u32 count)
{
	is_lying = true;
	host_answer(MP_OP_READ, 0, MP_OK, count);
	is_lying = false;
}

void host_answer_at(u16 op, unsigned int nth, u32 status, u32 count, u64 offset)
{
	struct place place;

	assert_true(find(op, nth, &place));
	answer(&place, status, count, offset);
}

void host_change(u16 set, u16 clear)
{
	u16 bits = (host.bits & ~clear) | set;

	host.seq += bits != host.bits;
	host.bits = bits;
}

void host_event(u32 generation)
{
	struct place place = { .vq = &host.rx };
	struct mp_event *event;

	while (!is_event(&host.rx.added[place.index]))
		place.index++;
	assert_true(place.index < host.rx.added_count);
	event = host.rx.added[place.index].sgs[0].data;
	*event = (struct mp_event){
		.channel = cpu_to_le32(host.slot),
		.generation = cpu_to_le32(generation),
		.state.seq = cpu_to_le32(host.seq),
		.state.bits = cpu_to_le16(host.bits),
		.state.reason = cpu_to_le16(host.reason),
	};
	fake_vq_answer(&host.rx, place.index, sizeof(*event));
}

void host_say(u64 bytes)
{
	struct place place;

	host.said += bytes;
	if (find(MP_OP_READ, 0, &place) || (host.bits & MP_ST_IN))
		return;
	host_change(MP_ST_IN, 0);
	host_event(host.generation);
}

/* --- An honest device ----------------------------------------------------- */

static void do_write(const struct place *place)
{
	u32 len = le32_to_cpu(header_of(place)->length);
	u64 room = host.room - host.out_next;
	u32 count = min_t(u64, len, room);

	if (le64_to_cpu(header_of(place)->offset) != host.out_next) {
		answer_honestly(place, MP_ORDER, 0);
		return;
	}
	if (count < len)
		host_change(0, MP_ST_OUT);
	answer_honestly(place, count ? MP_OK : MP_AGAIN, count);
}

/* Returns false when it is parked. */
static bool do_read(const struct place *place)
{
	u32 len = le32_to_cpu(header_of(place)->length);
	u32 count = min_t(u64, len, host.said - host.in_next);
	bool is_parked = place->vq == &host.rx &&
			 !(header_of(place)->flags & cpu_to_le16(MP_READ_NOW));

	if (le64_to_cpu(header_of(place)->offset) != host.in_next) {
		answer_honestly(place, MP_ORDER, 0);
		return true;
	}
	if (count < len && !(host.bits & MP_ST_IN_END))
		host_change(0, MP_ST_IN);
	if (!count && is_parked && !(host.bits & MP_ST_IN_END))
		return false;
	answer_honestly(place, count || (host.bits & MP_ST_IN_END) ? MP_OK : MP_AGAIN, count);
	return true;
}

/* READs that went before it are served first [protocol.md 8.2]. */
static void do_cancel(const struct place *cancel)
{
	struct place place;
	unsigned int nth = 0;

	while (find(MP_OP_READ, nth, &place))
		if (place.vq != &host.rx)
			nth++;
		else if (!do_read(&place))
			answer_honestly(&place, MP_CANCELLED, 0);
	assert_true(find(MP_OP_CANCEL, 0, &place) && place.vq == cancel->vq);
	answer_honestly(&place, MP_OK, 0);
}

static void do_connect(const struct place *place)
{
	host.slot = le32_to_cpu(header_of(place)->channel);
	host.generation = le32_to_cpu(header_of(place)->generation);
	host.bits = 0;
	host.seq = 0;
	host.out_next = 0;
	host.in_next = 0;
	host_change(MP_ST_CONNECTED | MP_ST_OUT, 0);
	answer_honestly(place, MP_OK, 0);
}

static bool serve(const struct place *place)
{
	switch (le16_to_cpu(header_of(place)->op)) {
	case MP_OP_CONNECT:
		do_connect(place);
		return true;
	case MP_OP_WRITE:
		do_write(place);
		return true;
	case MP_OP_READ:
		return do_read(place);
	case MP_OP_CANCEL:
		do_cancel(place);
		return true;
	case MP_OP_CLOSE:
		host_change(MP_ST_CLOSED, 0);
		answer_honestly(place, MP_OK, 0);
		return true;
	default:
		answer_honestly(place, MP_OK, 0);
		return true;
	}
}

bool host_step(void)
{
	struct place place = { .vq = &host.tx };

	host_expect_kicks();
	if (host.tx.added_count)
		return serve(&place);
	place.vq = &host.rx;
	for (; place.index < host.rx.added_count; place.index++)
		if (!is_event(&host.rx.added[place.index]) && serve(&place))
			return true;
	return false;
}

void host_serve(void)
{
	while (host_step())
		;
}
