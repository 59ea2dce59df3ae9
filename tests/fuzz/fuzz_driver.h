/* SPDX-License-Identifier: MIT */
/*
 * A driver whose chains are made up from the input: requests that are nearly right, event buffers,
 * control messages, what a classic driver and one of file systems send, and anything.
 */
#ifndef TESTS_FUZZ_DRIVER_H
#define TESTS_FUZZ_DRIVER_H

#include <linux/fuse.h>
#include <linux/virtio_console.h>

#include <manyport/wire_check.h>

#include "device/device.h"
#include "fuzz_input.h"
#include "guest_ram.h"

#define QUEUES	8
#define SIZE	16
#define SLOTS	3
#define DATA	(RAM_A + 0x8000)	/* scratch for chains, to the end of B */
#define DATA_LEN 0xc000U

/* --- Queues ------------------------------------------------------------------- */

struct fuzz_queue {
	struct ring ring;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	unsigned int next_desc;
	bool running;
};

static struct mem mem;
static struct fuzz_queue queues[QUEUES];
static struct device *device;
static bool is_multi;		/* the driver has accepted the feature */
static uint32_t data_at;

static void queue_reset(unsigned int index)
{
	struct fuzz_queue *q = &queues[index];
	uint64_t where = RAM_A + index * 0x1000;

	memset(q, 0, sizeof(*q));
	q->desc = mem_at(&mem, gpa(where), 0x400);
	q->avail = mem_at(&mem, gpa(where + 0x400), 0x200);
	q->used = mem_at(&mem, gpa(where + 0x800), 0x200);
	memset(q->desc, 0, 0x1000);
	q->ring.size = SIZE;
	q->ring.indirect = true;
	q->ring.event_idx = index & 1;
	q->ring.desc_addr = where + RAM_USER;
	q->ring.avail_addr = where + 0x400 + RAM_USER;
	q->ring.used_addr = where + 0x800 + RAM_USER;
}

static void queue_start(unsigned int index)
{
	struct fuzz_queue *q = &queues[index];

	if (q->running)
		return;
	q->running = !ring_start(&q->ring, &mem, q->ring.last_avail);
	if (q->running)
		device_ring_start(device, index, &q->ring);
}

static void queue_stop(unsigned int index)
{
	device_ring_stop(device, index);
	ring_stop(&queues[index].ring);
	queues[index].running = false;
}

/* Not one whose chain is out: that would break the ring, and sooner or later end each input. */
static unsigned int pick_desc(struct fuzz_queue *q, bool is_head)
{
	unsigned int idx = q->next_desc++ % SIZE;

	for (int i = 0; is_head && i < SIZE && (q->ring.out[0] >> idx & 1); i++)
		idx = q->next_desc++ % SIZE;
	return idx;
}

/* Appends a descriptor for @len bytes; returns where they are. */
static void *append(struct fuzz_queue *q, uint32_t len, uint16_t flags, int *last, uint16_t *head)
{
	unsigned int idx = pick_desc(q, *last < 0);
	void *at;

	if (data_at + len > DATA_LEN)
		data_at = 0;
	at = mem_at(&mem, gpa(DATA + data_at), len);
	desc_set(&q->desc[idx], DATA + data_at, len, flags, 0);
	if (*last >= 0) {
		q->desc[*last].flags |= VRING_DESC_F_NEXT;
		q->desc[*last].next = idx;
	} else {
		*head = idx;
	}
	*last = idx;
	data_at += len;
	return at;
}

static void offer(struct fuzz_queue *q, uint16_t head)
{
	q->avail->ring[q->avail->idx % SIZE] = head;
	__atomic_store_n(&q->avail->idx, (uint16_t)(q->avail->idx + 1), __ATOMIC_RELEASE);
}

/* --- Requests ----------------------------------------------------------------- */

/* What the driver knows of a slot: where the last results are, which say how to go on. */
struct slot {
	uint32_t generation;
	const void *read, *written;
};

static struct slot slots[2][SLOTS];	/* of both ports */

static uint64_t offset_of(const void *result)
{
	struct mp_result copy = { 0 };

	if (result)
		memcpy(&copy, result, sizeof(copy));
	return copy.offset;
}

/* @spoil: now and then another generation, offset or length than fits. */
static struct mp_request plan(struct slot *slot, uint8_t op, uint8_t spoil)
{
	struct mp_request header = { .op = op, .generation = slot->generation };

	switch (op) {
	case MP_OP_CONNECT:
		if (spoil & 1)
			*slot = (struct slot){ .generation = slot->generation + 1 };
		header.generation = slot->generation;
		return header;
	case MP_OP_READ:
		header.flags = next() & (MP_LAZY | MP_READ_NOW);
		header.offset = offset_of(slot->read);
		break;
	case MP_OP_WRITE:
		header.flags = next() & MP_LAZY;
		header.offset = offset_of(slot->written);
		break;
	case MP_OP_SHUTDOWN:
		header.flags = next() & (MP_SHUT_READ | MP_SHUT_WRITE);
		header.offset = offset_of(slot->written) + (next() & 8);
		break;
	case MP_OP_CLOSE:
		header.flags = next() % 8 ? 0 : MP_CLOSE_ABORT;
		header.offset = offset_of(slot->written) + (next() & 8);
		break;
	}
	if ((spoil & 7) == 7)
		header.offset += next();
	if ((spoil & 0x38) == 0x38)
		header.generation ^= next();
	return header;
}

static void put_payload(uint8_t *at, uint8_t op, uint32_t len, uint8_t spoil)
{
	struct mp_connect connect = { .name_len = len - sizeof(connect) };

	if (!at)
		return;
	memset(at, 'n', len);
	if (op != MP_OP_CONNECT)
		return;
	memcpy(at, &connect, sizeof(connect));
	if (spoil & 8)
		at[next() % len] = next();
}

static void put_request(unsigned int index, struct slot *slot, struct mp_request header,
			uint32_t len, uint8_t spoil)
{
	struct fuzz_queue *q = &queues[index];
	uint16_t op = header.op, head = 0;
	bool in = op == MP_OP_READ, out = op == MP_OP_WRITE || op == MP_OP_CONNECT;
	int last = -1;
	uint8_t *at;

	header.length = in || out ? len : 0;
	if ((spoil & 0xf0) == 0xf0)
		((uint8_t *)&header)[next() % sizeof(header)] = next();
	at = append(q, sizeof(header), 0, &last, &head);
	if (at)
		memcpy(at, &header, sizeof(header));
	if (out)
		put_payload(append(q, len, 0, &last, &head), op, len, spoil);
	at = append(q, (spoil & 0xf8) == 0xa8 ? next() : 24, VRING_DESC_F_WRITE, &last, &head);
	if (at)
		memset(at, 0, 24);
	if (in)
		slot->read = at;
	if (op == MP_OP_WRITE)
		slot->written = at;
	if (in)
		append(q, len, VRING_DESC_F_WRITE, &last, &head);
	if ((spoil & 0xf8) == 0x98)
		q->desc[last].addr = RAM_HOLE;	/* a result, or a READ's payload */
	offer(q, head);
}

static uint32_t connect_len(unsigned int index, uint32_t name_len)
{
	return sizeof(struct mp_connect) + (index < 6 ? name_len : 0);
}

/* A request that is nearly right. */
static void send_request(unsigned int index)
{
	uint8_t op = next() % 8, spoil = next(), number = next() % SLOTS;
	struct slot *slot = &slots[index / 2 % 2][number];
	struct mp_request header = plan(slot, op, spoil);
	uint32_t len = 1 + (spoil & 0x40 ? next16() % 3000 : next() % 8);

	header.channel = number;
	put_request(index, slot, header, op == MP_OP_CONNECT ? connect_len(index, len % 8) : len,
		    spoil);
}

/* Any chain: pieces of any size in any direction, with any bytes. */
static void send_chain(unsigned int index)
{
	struct fuzz_queue *q = &queues[index];
	unsigned int pieces = 1 + next() % 5;
	uint16_t head = 0;
	int last = -1;

	for (unsigned int i = 0; i < pieces; i++) {
		uint8_t kind = next();
		uint8_t *at = append(q, kind >> 1, kind & 1 ? VRING_DESC_F_WRITE : 0, &last, &head);

		for (unsigned int j = 0; at && !(kind & 1) && j < (kind >> 1U) && j < 16; j++)
			at[j] = next();
	}
	offer(q, next() < 250 ? head : next());
}

static void send_event_buffer(unsigned int index)
{
	uint16_t head = 0;
	int last = -1;

	append(&queues[index], 16, VRING_DESC_F_WRITE, &last, &head);
	offer(&queues[index], head);
}

static void send_control(uint32_t id, uint16_t event, uint16_t value, bool hello)
{
	struct mp_hello answer = { .magic = htole32(MP_MAGIC), .version = 1,
				   .size = sizeof(answer) };
	struct virtio_console_control header = { .id = id, .event = event, .value = value };
	uint16_t head = 0;
	int last = -1;
	void *at;

	at = append(&queues[3], sizeof(header), 0, &last, &head);
	if (at)
		memcpy(at, &header, sizeof(header));
	if (hello) {
		at = append(&queues[3], sizeof(answer), 0, &last, &head);
		if (at)
			memcpy(at, &answer, sizeof(answer));
	}
	offer(&queues[3], head);
	device_kick(device, 3);
}

static void control_buffer(void)
{
	uint16_t head = 0;
	int last = -1;

	append(&queues[2], next() < 200 ? 300 : next(), VRING_DESC_F_WRITE, &last, &head);
	offer(&queues[2], head);
	device_kick(device, 2);
}

static void control_step(void)
{
	static const uint16_t events[] = { 0, 3, 6, 6, MP_CONTROL_HELLO, MP_CONTROL_BYE, 1, 2 };
	uint8_t choice = next();

	send_control(1 + (choice >> 6 & 1), events[choice & 7], choice >> 5 & 1, choice & 16);
}

static void put_text(unsigned int index, const char *text)
{
	uint16_t head = 0;
	int last = -1;
	void *at = append(&queues[index], strlen(text), 0, &last, &head);

	if (at)
		memcpy(at, text, strlen(text));
	offer(&queues[index], head);
}

/* What a classic driver's process writes: a name, or bytes behind it. */
static void send_text(unsigned int index)
{
	static const char *const texts[] = { "db\n", "db\nbytes", "pipe:", "bytes" };

	put_text(index, texts[next() % 4]);
}

static void send_room(unsigned int index)
{
	uint16_t head = 0;
	int last = -1;

	append(&queues[index], 1 + next(), VRING_DESC_F_WRITE, &last, &head);
	offer(&queues[index], head);
}

/* Of virtiofs, or its host's question. */
static void send_fuse(unsigned int index)
{
	struct fuse_in_header header = { .opcode = next() & 1 ? MP_CONTROL_HELLO : next() };
	uint16_t head = 0;
	int last = -1;
	void *at = append(&queues[index], sizeof(header), 0, &last, &head);

	if (at)
		memcpy(at, &header, sizeof(header));
	append(&queues[index], next(), VRING_DESC_F_WRITE, &last, &head);
	offer(&queues[index], head);
}

#endif
