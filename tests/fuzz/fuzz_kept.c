// SPDX-License-Identifier: MIT
/*
 * What another process has left of a session, with anything in it, against the one that takes it
 * over.
 *
 * A session is made once, its memory and its descriptors are kept aside. Each input changes bytes
 * of a copy: of the state, of what is marked as out, of the guest's memory; then a session goes on
 * with it, is sent messages and kicked. Checked at the end: no descriptor is left, here or with the
 * holder, and every ring was stopped.
 */
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "fake_device.h"
#include "fake_keep.h"
#include "loop/loop.h"
#include "ring/inflight.h"
#include "vhost/kept.h"
#include "vhost/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) do { if (!(condition)) __builtin_trap(); } while (0)

#define RAM_SIZE	0x10000
#define RAM_USER	0x7f0000000000ULL
#define RAM_GUEST	0x40000000ULL
#define RING_SIZE	16

static struct loop *loop;
static struct loop_task quit;
static struct device device;
static struct session *session;
static struct keep keep;
static struct kept_state left;		/* by the process before */
static struct inflight *marks;		/* of each ring */
static int held[FAKE_HELD], held_count;	/* by number */
static int null;
static uint8_t *ram;

struct input {
	const uint8_t *at, *end;
};

static uint64_t get(struct input *in, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes-- && in->at < in->end)
		value = value << 8 | *in->at++;
	return value;
}

static void fake_point(void)
{
}

static void on_quit(struct loop_task *task)
{
	loop_quit(task->loop);
}

static void on_end(void *context, int why)
{
	(void)context;
	(void)why;
	session_destroy(session);
	session = NULL;
}

static void run(void)
{
	for (int i = 0; i < 2; i++) {
		loop_task_queue(&quit);
		CHECK(loop_run(loop) == 0);
	}
}

/* --- What is left ---------------------------------------------------------------- */

static uint32_t hold(int fd)
{
	held[++held_count] = fd;
	return held_count;
}

/* Rings that run, the first with two chains out, in one region of memory. */
static void make_state(int memory)
{
	left.queue_count = FAKE_QUEUES;
	left.features = FAKE_FEATURES | 1 << 30;
	left.protocol_features = session_protocol_features(&device);
	left.tables[0].count = 1;
	left.tables[0].regions[0] = (struct kept_region){
		.guest = RAM_GUEST, .user = RAM_USER, .size = RAM_SIZE, .number = hold(memory),
	};
	for (unsigned int i = 0; i < FAKE_QUEUES; i++) {
		uint64_t at = RAM_USER + i * 0x1000;

		left.rings[i] = (struct kept_ring){
			.desc = at, .avail = at + 0x400, .used = at + 0x800, .size = RING_SIZE,
			.enabled = 1, .has_addr = 1, .running = 1,
			.kick = hold(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
			.call = hold(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
		};
	}
}

static void setup_once(void)
{
	int memory, pair[2];

	if (loop)
		return;
	log_setup(LOG_LEVEL_ERROR);
	CHECK(mem_guard_install() == 0);
	loop = loop_create();
	loop_task_init(loop, &quit, on_quit);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	memory = memfd_create("ram", MFD_CLOEXEC);
	CHECK(ftruncate(memory, RAM_SIZE) == 0);
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	CHECK(ram != MAP_FAILED);
	marks = calloc(1, INFLIGHT_BYTES(RING_SIZE));
	CHECK(marks);
	inflight_begin(marks, RING_SIZE, 0);
	inflight_take(marks, 3, 1);
	inflight_take(marks, 5, 2);
	make_state(memory);
	/* More, for numbers that the input makes up. */
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	hold(pair[0]);
	hold(memfd_create("short", MFD_CLOEXEC));
	hold(null);
}

/* As it was when the process ended: a fresh copy of everything. */
static void leave_front_end(struct kept *kept, int socket)
{
	static const char magic[] = KEPT_MAGIC;

	for (int i = 1; i <= held_count; i++) {
		keep.held[keep.count].number = i;
		keep.held[keep.count].is_state = false;
		keep.held[keep.count].fd = fcntl(held[i], F_DUPFD_CLOEXEC, 0);
		keep.count++;
	}
	*kept->state = left;
	memcpy(kept->state->magic, magic, sizeof(kept->state->magic));
	kept->state->version = KEPT_VERSION;
	kept->state->socket = keep_hold(&keep, socket);
	for (unsigned int i = 0; i < FAKE_QUEUES; i++)
		memcpy(kept_inflight(kept, i), marks, INFLIGHT_BYTES(RING_SIZE));
	memset(ram, 0, RAM_SIZE);
	for (unsigned int i = 0; i < FAKE_QUEUES; i++) {
		struct vring_desc *desc = (void *)(ram + i * 0x1000);

		for (unsigned int j = 0; j < RING_SIZE; j++)
			desc[j] = (struct vring_desc){
				RAM_GUEST + 0x8000, 64, VRING_DESC_F_WRITE, 0
			};
	}
	for (unsigned int i = 0; i < keep.count; i++)
		keep.held[i].users = keep.held[i].number == kept->number;
}

/* --- What the input does --------------------------------------------------------- */

static void change(struct input *in, struct kept *kept)
{
	uint8_t *state = (uint8_t *)kept->state;
	unsigned int how = get(in, 1) % 8;
	struct kept_ring *ring = &kept->state->rings[get(in, 1) % FAKE_QUEUES];

	switch (how) {
	case 0:
		state[get(in, 2) % sizeof(*kept->state)] = get(in, 1);
		break;
	case 1:		/* not its size: memory of a front end is that large, and no larger */
		((uint8_t *)kept_inflight(kept, get(in, 1) % FAKE_QUEUES))
			[get(in, 2) % INFLIGHT_BYTES(RING_SIZE)] = get(in, 1);
		break;
	case 2:
		ram[get(in, 2) % RAM_SIZE] = get(in, 1);
		break;
	case 3:
		((uint8_t *)ring)[get(in, 1) % sizeof(*ring)] = get(in, 1);
		break;
	case 4:
		((uint8_t *)&kept->state->tables[0])[get(in, 1) % 96] = get(in, 1);
		break;
	case 5:
		ring->kick = get(in, 1) % (held_count + 2);
		ring->running = get(in, 1) % 2;
		break;
	case 6:
		kept->state->step = get(in, 1) % (KEPT_SENDING + 2);
		kept->state->message.header = (struct vhost_user_header){
			get(in, 1) % (VHOST_USER_REQUEST_COUNT + 1), 1, get(in, 1) % 48,
		};
		kept->state->message.received = 12 + kept->state->message.header.size;
		kept->state->message.fd_count = get(in, 1) % 4;
		break;
	default:
		kept->state->message.numbers[get(in, 1) % 4] = get(in, 1) % (held_count + 2);
		kept->state->message.payload.bytes[get(in, 1) % 48] = get(in, 1);
	}
}

/* A front end that goes on. */
static void go_on(struct input *in, int sock)
{
	static const uint32_t requests[] = {
		VHOST_USER_GET_FEATURES, VHOST_USER_SET_OWNER, VHOST_USER_RESET_OWNER,
		VHOST_USER_GET_STATUS,
	};
	char sink[4096];

	while (session && in->at < in->end) {
		struct vhost_user_header header = { requests[get(in, 1) % 4], 1, 0 };

		eventfd_write(held[2 + 2 * (get(in, 1) % FAKE_QUEUES)], 1);
		send(sock, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);
		run();
		while (recv(sock, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
	}
}

static int lowest_free_fd(void)
{
	int fd = dup(null);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned int changes = get(&in, 1) % 16;
	struct kept *kept;
	int pair[2], lowest;

	setup_once();
	lowest = lowest_free_fd();
	memset(&device, 0, sizeof(device));
	fake_keep_init(&keep);
	keep.next = held_count + 1;
	kept = kept_create(&keep);
	CHECK(kept);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	leave_front_end(kept, pair[1]);
	while (changes--)
		change(&in, kept);
	close(pair[1]);
	if (kept_has_front_end(kept))
		session = session_adopt(loop, &device, kept, on_end, NULL);
	keep_drop_rest(&keep);
	run();
	go_on(&in, pair[0]);
	session_destroy(session);
	session = NULL;
	kept_destroy(kept);
	close(pair[0]);
	fake_keep_fini(&keep);
	for (int i = 0; i < FAKE_QUEUES; i++) {
		CHECK(!device.queues[i].ring);
		CHECK(device.queues[i].starts == device.queues[i].stops);
	}
	CHECK(lowest_free_fd() == lowest);
	return 0;
}
