// SPDX-License-Identifier: MIT
/*
 * The device core against a driver that makes up everything: chains, control
 * messages, kicks, stops. The input is a program of small steps; most requests
 * are nearly right, so that they get past the first check.
 *
 * What must hold is found by the sanitizers (memory outside the guest's is
 * inaccessible) and by the end: every stream closed, every admission given back.
 */
#include <errno.h>
#include <linux/virtio_console.h>
#include <stdio.h>

#include <manyport/wire_check.h>

#include "base/log.h"
#include "device/device.h"
#include "fuzz_service.h"
#include "guest_ram.h"

#define QUEUES	8
#define SIZE	16
#define DATA	(RAM_A + 0x8000)	/* scratch for chains, to the end of B */
#define DATA_LEN 0xc000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* --- Guest -------------------------------------------------------------------- */

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
static uint64_t now, clock_us;
static bool woken;
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

/* Appends a descriptor for @len bytes; returns where they are. */
static void *append(struct fuzz_queue *q, uint32_t len, uint16_t flags, int *last, uint16_t *head)
{
	unsigned int idx = q->next_desc++ % SIZE;
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

/* A request that is nearly right. */
static void send_request(unsigned int index)
{
	struct fuzz_queue *q = &queues[index];
	uint8_t op = next() % 8, spoil = next();
	uint32_t len = next16() % 3000;
	struct mp_request header = { .op = op, .channel = next() % 5, .generation = 1 + next() % 2,
				     .offset = spoil & 1 ? next() : 0 };
	bool in = op == MP_OP_READ, out = op == MP_OP_WRITE || op == MP_OP_CONNECT;
	uint16_t head = 0;
	int last = -1;
	uint8_t *at;

	if (op == MP_OP_CONNECT)
		len = sizeof(struct mp_connect) + (spoil & 6 ? 1 + len % 8 : 0);
	if (op == MP_OP_SHUTDOWN || op == MP_OP_CLOSE)
		header.flags = next() % 4;
	header.length = in || out ? len : 0;
	if ((spoil & 0xf0) == 0xf0)
		((uint8_t *)&header)[next() % sizeof(header)] = next();
	at = append(q, sizeof(header), 0, &last, &head);
	if (at)
		memcpy(at, &header, sizeof(header));
	if (out && len) {
		at = append(q, len, 0, &last, &head);
		if (at)
			memset(at, 'n', len);
		if (at && op == MP_OP_CONNECT) {
			struct mp_connect connect = { .name_len = len - sizeof(connect) };

			memcpy(at, &connect, sizeof(connect));
			if (spoil & 8)
				at[next() % len] = next();
		}
	}
	append(q, (spoil & 0xe0) == 0xa0 ? next() : 24, VRING_DESC_F_WRITE, &last, &head);
	if (in && len)
		append(q, len, VRING_DESC_F_WRITE, &last, &head);
	offer(q, head);
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

	send_control(1 + (choice >> 6), events[choice & 7], choice >> 5 & 1, choice & 16);
}

static void run_device(void)
{
	for (int i = 0; woken && i < 100; i++) {
		woken = false;
		device_run(device);
	}
}

/* --- The device's surroundings --------------------------------------------------- */

static uint64_t env_now(void *context) { (void)context; return now; }
/* Each look is a while later, by the input: so turns end anywhere. */
static uint64_t env_clock_us(void *context)
{
	(void)context;
	clock_us += next() * 4;
	return clock_us;
}
static void env_rearm(void *context) { (void)context; }
static void env_wake(void *context) { (void)context; woken = true; }
static void env_call(void *context, unsigned int queue) { (void)context; CHECK(queue < QUEUES); }

static enum mp_reason env_admit(void *context, const struct mp_opener *opener,
				struct mp_service **service, const char **name)
{
	(void)context;
	(void)opener;
	if (next() > 240)
		return MP_REASON_DENIED;
	admitted++;
	*service = &the_service;
	*name = "service";
	return MP_REASON_NONE;
}

static void env_release(void *context, struct mp_service *service, uint32_t uid)
{
	(void)context;
	(void)uid;
	CHECK(service == &the_service);
	released++;
}

static void create(void)
{
	static const struct device_port_config ports[] = {
		[1] = { .name = "multi", .kind = MP_PORT_MULTI_OPEN, .max_channels = 4 },
		[2] = { .name = "fixed", .kind = MP_PORT_FIXED, .max_channels = 4,
			.service = &the_service, .service_name = "tied" },
	};
	const struct device_config config = {
		.guest = "fuzz", .port_count = 3, .ports = ports, .max_channels = 6,
		.max_io = 1 << 16, .connect_ms = 50, .linger_ms = 20,
	};
	const struct device_env env = {
		.now = env_now, .clock_us = env_clock_us, .rearm = env_rearm, .wake = env_wake,
		.call = env_call, .admit = env_admit, .release = env_release,
	};

	the_service.ops = &service_ops;
	the_service.linger_ms = 20;
	the_service.end_ms = 40;
	list_init(&streams);
	opened = closed = admitted = released = 0;
	now = 1;
	woken = false;
	data_at = 0;
	device = device_create(&config, &env);
}

static void boot(bool multi)
{
	uint64_t features = device_features(device);

	device_set_features(device, multi ? features : features & ~(1ULL << MP_F_MULTI_OPEN));
	for (unsigned int i = 0; i < QUEUES; i++) {
		queue_reset(i);
		queue_start(i);
	}
	run_device();
	send_control(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, false);
	if (multi)
		send_control(0xffffffff, MP_CONTROL_HELLO, 0, true);
	for (uint32_t id = 1; id < 3; id++)
		send_control(id, VIRTIO_CONSOLE_PORT_READY, 1, false);
	if (!multi)
		send_control(1, VIRTIO_CONSOLE_PORT_OPEN, 1, false);
	run_device();
}

static void step(void)
{
	uint8_t choice = next();
	unsigned int queue = 4 + (choice >> 4) % 4;

	switch (choice & 15) {
	case 0 ... 3:
		send_request(queue | 1);
		break;
	case 4:
	case 5:
		send_request(queue & ~1U);
		break;
	case 6:
		send_event_buffer(queue & ~1U);
		break;
	case 7:
		send_chain(queue);
		break;
	case 8:
	case 9:
		device_kick(device, queue);
		break;
	case 10:
	case 11:
		service_step();
		break;
	case 12:
		run_device();
		break;
	case 13:
		now += choice >> 4;
		if (device_deadline(device) <= now)
			device_tick(device);
		break;
	case 14:
		control_step();
		break;
	default:
		if (choice == 0xff)
			device_reset(device);
		else if (choice & 0x80)
			control_buffer();
		else if (queues[queue].running)
			queue_stop(queue);
		else
			queue_start(queue);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static bool is_ready;
	struct device_stats stats;

	if (!is_ready) {
		log_setup(LOG_LEVEL_ERROR);
		ram_create(&mem);
		is_ready = true;
	}
	input = data;
	input_left = len;
	create();
	boot(next() & 1);
	while (input_left)
		step();
	run_device();
	device_get_stats(device, &stats);
	CHECK(stats.results + stats.parked <= stats.requests);
	let_go();
	device_destroy(device);
	CHECK(opened == closed);
	CHECK(admitted == released);
	return 0;
}
