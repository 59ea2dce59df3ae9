// SPDX-License-Identifier: MIT
/*
 * The device core against a driver that makes up everything: chains, control
 * messages, kicks, stops. The input is a program of small steps; most requests
 * are nearly right, and go on where the last one of their channel ended, so that they get past
 * the first checks, and channels as far as a driver's. Its first byte says what kind of device and
 * driver that is: with the feature, without, virtio-fs; kicked, or looked at.
 *
 * What must hold is found by the sanitizers (memory outside the guest's is
 * inaccessible) and by the end: every stream closed, every admission given back.
 */
#include "base/log.h"
#include "fuzz_driver.h"
#include "fuzz_service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define LIMITS_MS 100		/* more than any limit of a channel */

static uint64_t now, clock_us;
static bool woken, is_polled;

static void run_device(void)
{
	for (int i = 0; woken && i < 100; i++) {
		woken = false;
		core_run(device_core(device));
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

/* The driver is not called before it can see all that was given [protocol.md 6.8]. */
static void env_call(void *context, unsigned int queue)
{
	(void)context;
	CHECK(queue < QUEUES);
	for (int i = 0; i < QUEUES; i++)
		CHECK(!queues[i].ring.unpublished || queues[i].ring.broken);
}

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

static void create(enum device_binding binding)
{
	static const struct device_port_config ports[] = {
		[1] = { .gate = { .name = "multi" }, .max_channels = 4 },
		[2] = { .gate = { .name = "fixed", .is_fixed = true, .service_name = "tied" },
			.max_channels = 4 },
	};
	const struct device_config config = {
		.core = { .guest = "fuzz", .max_channels = 6, .connect_ms = 50 },
		.binding = binding, .port_count = 3, .ports = ports,
		.max_io = 1 << 16, .linger_ms = 20, .is_polled = is_polled,
	};
	const struct device_env env = {
		.core = {
			.now = env_now, .clock_us = env_clock_us, .rearm = env_rearm,
			.wake = env_wake, .admit = env_admit, .release = env_release,
		},
		.call = env_call,
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
	CHECK(device_queue_count(device) == QUEUES);
}

static void boot(void)
{
	uint64_t features = device_features(device);

	for (int i = 0; i < 2 * SLOTS; i++)
		slots[i / SLOTS][i % SLOTS] = (struct slot){ .generation = 1 };
	device_set_features(device, is_multi ? features : features & ~(1ULL << MP_F_MULTI_OPEN));
	for (unsigned int i = 0; i < QUEUES; i++) {
		queue_reset(i);
		queue_start(i);
	}
	run_device();
	control_buffer();
	send_control(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1, false);
	if (is_multi)
		send_control(0xffffffff, MP_CONTROL_HELLO, 0, true);
	for (uint32_t id = 1; id < 3; id++) {
		send_control(id, VIRTIO_CONSOLE_PORT_READY, 1, false);
		if (is_multi)
			send_event_buffer(2 * id + 2);
		else
			send_control(id, VIRTIO_CONSOLE_PORT_OPEN, 1, false);
	}
	run_device();
}

/* A channel that is connected, on the port of @index, perhaps with a READ that is parked. */
static void open_one(unsigned int index, bool reads, bool is_lazy)
{
	struct slot *slot = &slots[index / 2 % 2][0];
	struct mp_request header = { .op = MP_OP_CONNECT, .generation = slot->generation };

	is_calm = true;
	if (!is_multi)
		put_text(index, "db\n");
	else
		put_request(index, slot, header, connect_len(index, 2), 0);
	device_kick(device, index);
	is_calm = false;
	if (!is_multi || !reads)
		return;
	header.op = MP_OP_READ;
	header.flags = is_lazy ? MP_LAZY : 0;
	put_request(index - 1, slot, header, 8, 0);
	device_kick(device, index - 1);
}

/* Whatever became of it, it is closed in order; its result has no memory, if @is_lost. */
static void close_one(unsigned int index, bool is_lost)
{
	struct slot *slot = &slots[index / 2 % 2][0];
	const struct mp_request header = {
		.op = MP_OP_CLOSE, .generation = slot->generation,
		.offset = offset_of(slot->written),
	};

	put_request(index, slot, header, 0, is_lost ? 0x98 : 0);
	device_kick(device, index);
	run_device();
}

/* A driver that broke its rings begins again. */
static void revive(void)
{
	for (unsigned int i = 0; i < QUEUES; i++)
		queue_stop(i);
	device_reset(device);
	CHECK(!device_is_broken(device));
	boot();
}

static void pass_time(uint64_t ms)
{
	now += ms;
	for (int i = 0; i < 100 && core_deadline(device_core(device)) <= now; i++)
		core_tick(device_core(device));
}

static void kick(unsigned int queue)
{
	if (!is_polled || next() & 1)
		device_kick(device, queue);
	else if (!device_look(device, false))
		device_look(device, true);
}

static void read_config(void)
{
	uint8_t buf[64];

	device_read_config(device, next(), buf, next() % sizeof(buf));
}

static void seldom(unsigned int queue)
{
	switch (next() % 4) {
	case 0:
		read_config();
		break;
	case 1:
		device_reset(device);
		break;
	default:
		if (queues[queue].running)
			queue_stop(queue);
		else
			queue_start(queue);
	}
}

/* The low half of a byte is what happens, the next bits where; the highest kicks for it. */
static void step(void)
{
	uint8_t choice = next();
	unsigned int queue = 4 + (choice >> 4) % 4;

	switch (choice & 15) {
	case 0 ... 2:
		is_multi ? send_request(queue | 1) : send_text(queue | 1);
		break;
	case 3:
		send_request(queue | 1);
		break;
	case 4:
		is_multi ? send_request(queue & ~1U) : send_room(queue & ~1U);
		break;
	case 5:
		is_multi ? send_event_buffer(queue & ~1U) : send_room(queue & ~1U);
		break;
	case 6:
		choice & 0x40 ? send_chain(queue) : send_fuse(queue);
		break;
	case 7:
		kick(queue);
		break;
	case 8 ... 10:
		service_step();
		break;
	case 11:
		run_device();
		break;
	case 12:
		pass_time(next() % 32);
		break;
	case 13:
		control_step();
		break;
	case 14:
		control_buffer();
		break;
	default:
		seldom(queue);
	}
	if (choice & 0x80)
		kick(queue);
	if (device_is_broken(device))
		revive();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static bool is_ready;
	struct device_stats stats;
	uint8_t kind;

	if (!is_ready) {
		log_setup(LOG_LEVEL_ERROR);
		ram_create(&mem);
		is_ready = true;
	}
	input = data;
	input_left = len;
	kind = next();
	is_multi = kind & 3;
	is_polled = kind & 4;
	create((kind & 24) == 24 ? DEVICE_FS : DEVICE_CONSOLE);
	boot();
	if (kind & 0x20) {
		open_one(5, kind & 0x40, kind & 0x80);
		open_one(7, kind & 0x80, kind & 0x40);
	}
	while (input_left)
		step();
	/* All limits pass behind the driver's end. */
	if (is_multi && kind & 0x20) {
		close_one(5, kind & 8);
		close_one(7, kind & 8);
		pass_time(LIMITS_MS);
	}
	run_device();
	device_get_stats(device, &stats);
	CHECK(stats.results + stats.parked <= stats.requests);
	let_go();
	device_destroy(device);
	CHECK(opened == closed);
	CHECK(admitted == released);
	return 0;
}
