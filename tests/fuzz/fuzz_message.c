// SPDX-License-Identifier: MIT
/*
 * A front end that sends anything, against the vhost-user session.
 *
 * The input is a program: messages of the right shape with wrong content, raw bytes,
 * descriptors of every kind, kicks, writes into guest memory, truncations of it. The
 * device behind is one that only takes chains and gives them back. Checked at the end of each
 * input: no descriptor and no mapping is left, and every ring was stopped.
 */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "fake_device.h"
#include "loop/loop.h"
#include "vhost/kept.h"
#include "vhost/message.h"
#include "vhost/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) do { if (!(condition)) __builtin_trap(); } while (0)

#define RAM_SIZE 0x10000
#define RAM_USER 0x7f0000000000ULL
#define RAM_GUEST 0x40000000ULL

enum { FD_RAM, FD_KICK, FD_CALL, FD_SOCKET, FD_PIPE, FD_NULL, FD_SHORT, FD_SELF, FD_COUNT };

static struct loop *loop;
static struct loop_task quit;
static struct device device;
static struct kept *kept;
static struct session *session;
static int fds[FD_COUNT], sock;
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

static void setup_once(void)
{
	int pair[2];

	if (loop)
		return;
	log_setup(LOG_LEVEL_ERROR);
	CHECK(mem_guard_install() == 0);
	loop = loop_create();
	kept = kept_create(NULL);
	CHECK(kept);
	loop_task_init(loop, &quit, on_quit);
	fds[FD_RAM] = memfd_create("ram", MFD_CLOEXEC);
	fds[FD_SHORT] = memfd_create("short", MFD_CLOEXEC);
	fds[FD_KICK] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[FD_CALL] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	fds[FD_SOCKET] = pair[0];
	CHECK(pipe2(pair, O_CLOEXEC) == 0);
	fds[FD_PIPE] = pair[1];
	fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(ftruncate(fds[FD_RAM], RAM_SIZE) == 0 && ftruncate(fds[FD_SHORT], 4096) == 0);
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[FD_RAM], 0);
	CHECK(ram != MAP_FAILED);
}

/* The lowest free number: the same as long as nothing leaks. */
static int lowest_free_fd(void)
{
	int fd = dup(fds[FD_NULL]);

	close(fd);
	return fd;
}

static void run(void)
{
	char sink[4096];

	for (int i = 0; i < 2; i++) {
		loop_task_queue(&quit);
		CHECK(loop_run(loop) == 0);
	}
	while (recv(sock, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void send_bytes(const void *buf, size_t len, struct input *in, unsigned int count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 32)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count) {
		struct cmsghdr *cmsg = &control.align;
		int *list = (int *)CMSG_DATA(cmsg);

		for (unsigned int i = 0; i < count; i++) {
			unsigned int which = get(in, 1) % FD_COUNT;

			list[i] = which == FD_SELF ? sock : fds[which];
		}
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * count);
	}
	sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_message(uint32_t request, const void *payload, uint32_t size, struct input *in,
			 unsigned int count)
{
	uint8_t buf[sizeof(struct vhost_user_header) + 512];
	struct vhost_user_header header = { request, VHOST_USER_VERSION, size };

	/* Without NEED_REPLY a refusal is the end: rarely. */
	if (get(in, 1) < 0xf0)
		header.flags |= VHOST_USER_NEED_REPLY;
	memcpy(buf, &header, sizeof(header));
	if (size)
		memcpy(buf + sizeof(header), payload, size);
	send_bytes(buf, sizeof(header) + size, in, count);
}

static uint64_t get_user_addr(struct input *in, unsigned int align)
{
	uint64_t addr = RAM_USER + get(in, 2);

	return get(in, 1) < 0xf0 ? addr & ~(uint64_t)(align - 1) : get(in, 8);
}

static struct vhost_user_region get_region(struct input *in)
{
	struct vhost_user_region region = { RAM_GUEST, RAM_SIZE, RAM_USER, 0 };

	if (get(in, 1) > 0x80)
		region.size = get(in, 1) * 4096;
	if (get(in, 1) > 0xc0)
		region.offset = get(in, 3);
	if (get(in, 1) > 0xc0)
		region.guest = get(in, 8);
	return region;
}

static void send_table(struct input *in)
{
	struct vhost_user_mem_table table = { .count = 1 + get(in, 1) % 3 };

	for (unsigned int i = 0; i < table.count; i++) {
		table.regions[i] = get_region(in);
		table.regions[i].guest += i * RAM_SIZE;
		table.regions[i].user += i * RAM_SIZE;
	}
	send_message(VHOST_USER_SET_MEM_TABLE, &table, 8 + 32 * table.count, in, table.count);
}

static void send_addr(struct input *in, uint32_t index)
{
	struct vhost_user_vring_addr addr = { .index = index };

	addr.desc = get_user_addr(in, 16);
	addr.avail = get_user_addr(in, 2);
	addr.used = get_user_addr(in, 4);
	send_message(VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), in, 0);
}

/* Mostly all that there is, now and then anything. */
static void send_features(struct input *in, uint32_t request, uint64_t all)
{
	uint64_t value = get(in, 1) < 0xf0 ? all : get(in, 8);

	send_message(request, &value, sizeof(value), in, 0);
}

/* A message of the right size, most of whose content makes sense. */
static void send_shaped(struct input *in)
{
	uint32_t request = get(in, 1) % (VHOST_USER_REQUEST_COUNT + 1), index = get(in, 1) % 8;
	struct vhost_user_vring_state state = { index, get(in, 1) % 2 ? 1 : get(in, 2) };
	struct vhost_user_config config = { .size = get(in, 1) };
	uint64_t value = index | (get(in, 1) < 0x20 ? VHOST_USER_VRING_NO_FD : 0);
	struct vhost_user_mem_slot slot = { 0 };

	switch (request) {
	case VHOST_USER_SET_VRING_NUM:
		state.num = 1U << get(in, 1) % 17;
		/* fall through */
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE:
	case VHOST_USER_SET_VRING_ENABLE:
		return send_message(request, &state, sizeof(state), in, 0);
	case VHOST_USER_SET_VRING_ADDR:
		return send_addr(in, index);
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		return send_message(request, &value, 8, in, !(value & VHOST_USER_VRING_NO_FD));
	case VHOST_USER_SET_MEM_TABLE:
		return send_table(in);
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		slot.region = get_region(in);
		return send_message(request, &slot, sizeof(slot), in,
				    request == VHOST_USER_ADD_MEM_REG);
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		return send_message(request, &config, VHOST_USER_CONFIG_HEADER + config.size, in,
				    0);
	case VHOST_USER_SET_FEATURES:
		return send_features(in, request, FAKE_FEATURES | 1 << 30);
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		return send_features(in, request, session_protocol_features(&device));
	case VHOST_USER_SET_STATUS:
		return send_message(request, &value, 8, in, 0);
	default:
		return send_message(request, NULL, 0, in,
				    request == VHOST_USER_SET_BACKEND_REQ_FD);
	}
}

static void send_fd(uint32_t request, uint64_t value, int fd)
{
	struct { struct vhost_user_header h; uint64_t v; } __attribute__((packed)) raw = {
		{ request, VHOST_USER_VERSION, 8 }, value,
	};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = &raw, .iov_len = sizeof(raw) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A ring as it should be, so that what follows meets one that runs. */
static void send_ring(struct input *in)
{
	uint32_t index = get(in, 1) % FAKE_QUEUES;
	uint64_t at = RAM_USER + index * 0x1000;
	struct {
		struct vhost_user_header h;
		struct vhost_user_mem_table t;
	} __attribute__((packed)) table = {
		{ VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 40 },
		{ .count = 1, .regions = { { RAM_GUEST, RAM_SIZE, RAM_USER, 0 } } },
	};
	struct { struct vhost_user_header h; uint32_t v[2]; } state = {
		{ VHOST_USER_SET_VRING_NUM, VHOST_USER_VERSION, 8 }, { index, 16 },
	};
	struct {
		struct vhost_user_header h;
		struct vhost_user_vring_addr a;
	} __attribute__((packed)) addr = {
		{ VHOST_USER_SET_VRING_ADDR, VHOST_USER_VERSION, 40 },
		{ .index = index, .desc = at, .avail = at + 0x400, .used = at + 0x800 },
	};
	static const uint8_t ram_only[8];
	struct input first = { ram_only, ram_only + 8 };

	send_bytes(&table, sizeof(table.h) + 40, &first, 1);
	send_bytes(&state, sizeof(state), in, 0);
	send_bytes(&addr, sizeof(addr), in, 0);
	send_fd(VHOST_USER_SET_VRING_KICK, index, fds[FD_KICK]);
	send_fd(VHOST_USER_SET_VRING_CALL, index, fds[get(in, 1) % 2 ? FD_CALL : FD_SOCKET]);
	state.h.request = VHOST_USER_SET_VRING_ENABLE;
	state.v[1] = 1;
	send_bytes(&state, sizeof(state), in, 0);
	device.queues[index].hold = get(in, 1) % 2;
}

/* A chain of the driver's in ring @index, mostly sound. */
static void put_chain(struct input *in)
{
	uint32_t index = get(in, 1) % FAKE_QUEUES, flags = get(in, 1);
	struct vring_desc *desc = (void *)(ram + index * 0x1000);
	struct vring_avail *avail = (void *)(ram + index * 0x1000 + 0x400);
	uint16_t head = get(in, 1) % 17;

	desc[head % 16].addr = RAM_GUEST + get(in, 2);
	desc[head % 16].len = 1 + get(in, 1);
	desc[head % 16].flags = flags < 0xc0 ? VRING_DESC_F_WRITE : flags;
	avail->ring[avail->idx % 16] = head;
	avail->idx++;
}

static void send_anything(struct input *in)
{
	uint8_t buf[256];
	size_t len = get(in, 1);
	unsigned int count = get(in, 1) % 32;

	for (size_t i = 0; i < len; i++)
		buf[i] = get(in, 1);
	if (len)
		send_bytes(buf, len, in, count < 24 ? 0 : count);
}

static void write_ram(struct input *in)
{
	size_t at = get(in, 2), len = get(in, 1) % 32;

	for (size_t i = 0; i < len; i++)
		ram[(at + i) % RAM_SIZE] = get(in, 1);
}

static void step(struct input *in)
{
	unsigned int op = get(in, 1);

	if (op < 0x80) {
		send_shaped(in);
	} else if (op < 0x90) {
		send_ring(in);
	} else if (op < 0xa0) {
		put_chain(in);
	} else if (op < 0xb0) {
		send_anything(in);
	} else if (op < 0xd0) {
		eventfd_write(fds[FD_KICK], 1);
	} else if (op < 0xf8) {
		write_ram(in);
	} else if (op < 0xfa) {
		CHECK(ftruncate(fds[FD_RAM], get(in, 1) * 256) == 0);
		run();
		CHECK(ftruncate(fds[FD_RAM], RAM_SIZE) == 0);
	} else if (session) {
		session_call(session, get(in, 1));
		session_config_changed(session);
	}
}

/* Whatever the input did, this much is always agreed on first. */
static void negotiate(void)
{
	struct { struct vhost_user_header h; uint64_t v; } __attribute__((packed)) raw[] = {
		{ { VHOST_USER_SET_PROTOCOL_FEATURES, 1, 8 }, session_protocol_features(&device) },
		{ { VHOST_USER_SET_FEATURES, 1, 8 }, FAKE_FEATURES | 1 << 30 },
	};

	CHECK(send(sock, raw, sizeof(raw), 0) == sizeof(raw));
	run();
}

static void assert_nothing_left(int lowest)
{
	for (int i = 0; i < FAKE_QUEUES; i++) {
		CHECK(!device.queues[i].ring);
		CHECK(device.queues[i].starts == device.queues[i].stops);
	}
	CHECK(lowest_free_fd() == lowest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	int pair[2], lowest;

	setup_once();
	memset(&device, 0, sizeof(device));
	memset(ram, 0, RAM_SIZE);
	lowest = lowest_free_fd();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	sock = pair[0];
	session = session_create(loop, &device, kept, pair[1], on_end, NULL);
	CHECK(session);
	if (get(&in, 1) < 0xf0)
		negotiate();
	while (in.at < in.end && session) {
		step(&in);
		run();
	}
	session_destroy(session);
	session = NULL;
	close(sock);
	assert_nothing_left(lowest);
	return 0;
}
