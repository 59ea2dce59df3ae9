// SPDX-License-Identifier: MIT
/*
 * The daemon's guest as a whole: loop, session, device, services, with a front end and a driver
 * that are honest up to the channel and do anything from there. What the parts alone do not show:
 * memory that is truncated under requests and parked reads, touched by the daemon and by the
 * kernel; queues that are looked at instead of kicked; messages while requests are under way.
 * Checked at the end of each input: nothing is left open, and the next guest is as new.
 */
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <manyport/wire_check.h>

#include "base/log.h"
#include "daemon/config.h"
#include "daemon/guest.h"
#include "fuzz_input.h"
#include "loop/loop.h"
#include "mem/mem.h"
#include "vhost/session.h"
#include "vhost/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUES	  6
#define SIZE	  16
#define PAGE	  0x1000U
#define RAM_SIZE  (64 * PAGE)
#define RAM_USER  0x7f0000000000ULL
#define RAM_GUEST 0x40000000ULL
#define DATA	  (QUEUES * PAGE)	/* behind the rings, a page of each */
#define FEATURES  (UINT64_C(1) << 28 | UINT64_C(1) << 29 | UINT64_C(1) << 32 | 1 << 30 | 2 | \
		   UINT64_C(1) << MP_F_MULTI_OPEN)

static struct loop *loop;
static struct loop_task quit;
static struct loop_timer late;
static struct config *config;
static struct guest *guest;
static int ram_fd, kicks[QUEUES], call_fd, listener, null_fd, sock;
static uint8_t *ram;
static bool is_over;		/* the session has ended */
static uint32_t data_at;
static struct ring_side {
	unsigned int next_desc;
} sides[QUEUES];
static uint64_t read_at, written_at;	/* results of channel 0, as offsets in memory */

/* --- Once --------------------------------------------------------------------- */

static void on_quit(struct loop_task *task)
{
	loop_quit(task->loop);
}

static void on_late(struct loop_timer *timer)
{
	loop_quit(timer->loop);
}

static void set(const char *section, const char *key, const char *value)
{
	const struct config_origin origin = { CONFIG_COMMAND_LINE, "fuzz" };

	config_set(config, &origin, section, key, value);
}

/* Connections are never accepted: what is written stays in the kernel's buffers. */
static void listen_on(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	unlink(path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(bind(listener, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	CHECK(listen(listener, 1000) == 0);
}

static void make_config(void)
{
	char path[64], uri[80];

	snprintf(path, sizeof(path), "/tmp/manyport-fuzz-%d.sock", getpid());
	snprintf(uri, sizeof(uri), "unix:%s", path);
	listen_on(path);
	config = config_create(stderr);
	set("Guest", "Name", "fuzz");
	set("Guest", "PollMicroseconds", "50");
	set("Port multi", "Id", "1");
	set("Port multi", "Kind", "multi");
	set("Service e", "Connect", "echo");
	set("Service z", "Connect", "zero");
	set("Service n", "Connect", "null");
	set("Service u", "Connect", uri);
	config_check(config);
	config_start(config, loop, false);
	CHECK(!config->errors);
}

static void setup_once(void)
{
	if (loop)
		return;
	log_setup(LOG_LEVEL_ERROR);
	loop = loop_create();
	loop_task_init(loop, &quit, on_quit);
	loop_timer_init(loop, &late, on_late);
	make_config();
	ram_fd = memfd_create("ram", MFD_CLOEXEC);
	CHECK(ftruncate(ram_fd, RAM_SIZE) == 0);
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
	CHECK(ram != MAP_FAILED);
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < QUEUES; i++)
		kicks[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int lowest_free_fd(void)
{
	int fd = dup(null_fd);

	close(fd);
	return fd;
}

/* --- Front end ---------------------------------------------------------------- */

/* Replies are thrown away; their end is that of the session. */
static void run(void)
{
	char sink[4096];
	ssize_t n = -1;

	for (int i = 0; i < 2; i++) {
		loop_task_queue(&quit);
		CHECK(loop_run(loop) == 0);
	}
	while (sock >= 0 && (n = recv(sock, sink, sizeof(sink), MSG_DONTWAIT)) > 0)
		;
	is_over |= n == 0;
}

/* With nothing to do: the loop looks at the queues, and then rests. */
static void idle(void)
{
	loop_timer_start(&late, 1);
	CHECK(loop_run(loop) == 0);
	loop_timer_stop(&late);
}

static void send_fd(uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct vhost_user_header header = { request, VHOST_USER_VERSION, size };
	struct iovec iov[] = { { &header, sizeof(header) }, { (void *)payload, size } };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	if (sock >= 0)
		sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_u64(uint32_t request, uint64_t value, int fd)
{
	send_fd(request, &value, sizeof(value), fd);
}

static void send_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_vring_state state = { index, num };

	send_fd(request, &state, sizeof(state), -1);
}

static void send_table(void)
{
	struct vhost_user_mem_table table = {
		.count = 1, .regions = { { RAM_GUEST, RAM_SIZE, RAM_USER, 0 } },
	};

	send_fd(VHOST_USER_SET_MEM_TABLE, &table, 40, ram_fd);
}

static void send_ring(uint32_t index)
{
	uint64_t at = RAM_USER + index * PAGE;
	struct vhost_user_vring_addr addr = {
		.index = index, .desc = at, .avail = at + 0x400, .used = at + 0x800,
	};

	memset(ram + index * PAGE, 0, PAGE);
	sides[index].next_desc = 0;
	send_state(VHOST_USER_SET_VRING_NUM, index, SIZE);
	send_state(VHOST_USER_SET_VRING_BASE, index, 0);
	send_fd(VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	send_u64(VHOST_USER_SET_VRING_KICK, index, kicks[index]);
	send_u64(VHOST_USER_SET_VRING_CALL, index, call_fd);
	send_state(VHOST_USER_SET_VRING_ENABLE, index, 1);
	run();
}

/* --- Driver ------------------------------------------------------------------- */

/* Appends @len bytes to the chain that begins with *@head; returns their offset in memory. */
static uint32_t append(unsigned int index, uint32_t len, uint16_t flags, int *last, int *head)
{
	struct vring_desc *desc = (void *)(ram + index * PAGE);
	unsigned int idx = sides[index].next_desc++ % SIZE;
	uint32_t at;

	if (data_at + len > RAM_SIZE - DATA)
		data_at = 0;
	at = DATA + data_at;
	data_at += len;
	desc[idx] = (struct vring_desc){ RAM_GUEST + at, len, flags, 0 };
	if (*last < 0) {
		*head = idx;
	} else {
		desc[*last].flags |= VRING_DESC_F_NEXT;
		desc[*last].next = idx;
	}
	*last = idx;
	return at;
}

static void offer(unsigned int index, int head)
{
	struct vring_avail *avail = (void *)(ram + index * PAGE + 0x400);

	avail->ring[avail->idx % SIZE] = head;
	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
}

static void kick(unsigned int index)
{
	eventfd_write(kicks[index], 1);
	run();
}

static void send_control(uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control header = { .id = id, .event = event, .value = value };
	struct mp_hello hello = { .magic = htole32(MP_MAGIC), .version = 1, .size = sizeof(hello) };
	int last = -1, head = 0;

	memcpy(ram + append(3, sizeof(header), 0, &last, &head), &header, sizeof(header));
	if (event == MP_CONTROL_HELLO)
		memcpy(ram + append(3, sizeof(hello), 0, &last, &head), &hello, sizeof(hello));
	offer(3, head);
	kick(3);
}

static void send_room(unsigned int index, uint32_t len)
{
	int last = -1, head = 0;

	append(index, len, VRING_DESC_F_WRITE, &last, &head);
	offer(index, head);
	kick(index);
}

static uint64_t offset_of(uint64_t at)
{
	struct mp_result result = { 0 };

	if (at)
		memcpy(&result, ram + at, sizeof(result));
	return result.offset;
}

/* @far: the payload lies in the last pages, which are what is truncated most. */
static void send_request(unsigned int index, uint16_t op, uint16_t flags, uint32_t len, bool far)
{
	struct vring_desc *desc = (void *)(ram + index * PAGE);
	struct mp_request header = { .op = op, .flags = flags, .length = len, .generation = 1 };
	bool in = op == MP_OP_READ;
	int last = -1, head = 0;
	uint32_t result;

	header.offset = in ? offset_of(read_at) : op == MP_OP_CANCEL ? 0 : offset_of(written_at);
	memcpy(ram + append(index, sizeof(header), 0, &last, &head), &header, sizeof(header));
	if (len && !in)
		memset(ram + append(index, len, 0, &last, &head), 'x', len);
	if (len && !in && far)
		desc[last].addr = RAM_GUEST + RAM_SIZE - 2 * PAGE - len % PAGE;
	result = append(index, sizeof(struct mp_result), VRING_DESC_F_WRITE, &last, &head);
	memset(ram + result, 0, sizeof(struct mp_result));
	if (in)
		append(index, len, VRING_DESC_F_WRITE, &last, &head);
	if (in && far)
		desc[last].addr = RAM_GUEST + RAM_SIZE - 2 * PAGE - len % PAGE;
	if (in)
		read_at = result;
	if (op == MP_OP_WRITE)
		written_at = result;
	offer(index, head);
}

static void send_connect(char service)
{
	struct {
		struct mp_request request;
		struct mp_connect connect;
		char name;
	} __attribute__((packed)) message = {
		.request = { .op = MP_OP_CONNECT, .length = sizeof(struct mp_connect) + 1,
			     .generation = 1 },
		.connect = { .name_len = 1 }, .name = service,
	};
	int last = -1, head = 0;

	memcpy(ram + append(5, sizeof(message), 0, &last, &head), &message, sizeof(message));
	append(5, sizeof(struct mp_result), VRING_DESC_F_WRITE, &last, &head);
	offer(5, head);
	kick(5);
}

/* --- The input ---------------------------------------------------------------- */

static void boot(uint8_t kind)
{
	data_at = 0;
	read_at = written_at = 0;
	send_u64(VHOST_USER_SET_PROTOCOL_FEATURES, UINT64_C(1) << VHOST_USER_PROTOCOL_MQ |
		 UINT64_C(1) << VHOST_USER_PROTOCOL_STATUS, -1);
	send_u64(VHOST_USER_SET_FEATURES, FEATURES, -1);
	send_table();
	for (uint32_t i = 0; i < QUEUES; i++)
		send_ring(i);
	for (int i = 0; i < 4; i++)
		send_room(2, 300);
	send_control(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	send_control(0xffffffff, MP_CONTROL_HELLO, 0);
	send_control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	send_room(4, sizeof(struct mp_event));
	send_connect("eznu"[kind & 3]);
	if (!(kind & 4))
		return;
	send_request(4, MP_OP_READ, kind >> 3 & MP_LAZY, 64, kind & 16);
	kick(4);
}

/* What is under way meets the hole, in the next two rounds; then the file is whole again. */
static void truncate_ram(void)
{
	unsigned int pages = next(), choice = next();

	if (choice & 1)
		send_request(4, MP_OP_READ, choice & MP_READ_NOW, 64, true);
	if (choice & 4)
		run();
	if (choice & 8)
		send_request(5, MP_OP_WRITE, 0, 64, choice & 16);
	pages = pages & 0x80 ? 60 : pages % 64;
	CHECK(ftruncate(ram_fd, pages * PAGE) == 0);
	for (unsigned int i = 0; i < QUEUES; i++)
		eventfd_write(kicks[i], 1);
	run();
	CHECK(ftruncate(ram_fd, RAM_SIZE) == 0);
}

static void say(void)
{
	uint32_t index = next() % QUEUES;

	switch (next() % 8) {
	case 0:
		send_table();
		break;
	case 1:
		send_state(VHOST_USER_SET_VRING_ENABLE, index, next() & 1);
		break;
	case 2:
		send_state(VHOST_USER_GET_VRING_BASE, index, 0);
		break;
	case 3:
		send_u64(VHOST_USER_SET_STATUS, next() & 1 ? 15 : 0, -1);
		break;
	case 4:
		boot(next());
		break;
	default:
		send_ring(index);
	}
}

static void step(void)
{
	uint8_t choice = next();
	uint32_t len = 1 + next() * 16;
	bool far = choice & 0x10;

	switch (choice & 15) {
	case 0 ... 2:
		send_request(5, MP_OP_WRITE, choice >> 5 & MP_LAZY, len, far);
		break;
	case 3 ... 5:
		send_request(4, MP_OP_READ, choice >> 5 & (MP_LAZY | MP_READ_NOW), len, far);
		break;
	case 6:
		send_request(5, MP_OP_READ, 0, len, far);
		break;
	case 7:
		send_request(5, MP_OP_CANCEL, 0, 0, false);
		break;
	case 8:
		send_request(5, choice & 0x40 ? MP_OP_CLOSE : MP_OP_SHUTDOWN, choice >> 5 & 1, 0,
			     false);
		break;
	case 9:
		send_room(4, sizeof(struct mp_event));
		break;
	case 10:
		truncate_ram();
		break;
	case 11:
		say();
		break;
	case 12:
		idle();
		break;
	case 13:
		ram[(next() << 8 | next()) % RAM_SIZE] = next();
		break;
	default:
		run();
	}
	if (choice & 0x80)
		kick(choice & 15 ? 5 : 4);
}

static void drop_connections(void)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2], lowest;

	setup_once();
	/* Each time: what it is for is seen only in inputs. */
	CHECK(mem_guard_install() == 0);
	input = data;
	input_left = size;
	lowest = lowest_free_fd();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	sock = pair[0];
	is_over = false;
	guest = guest_create(loop, config);
	CHECK(guest && guest_queue_count(guest) == QUEUES);
	CHECK(guest_attach(guest, pair[1]) == 0);
	boot(next());
	while (input_left && !is_over)
		step();
	close(sock);
	sock = -1;
	run();
	guest_destroy(guest);
	drop_connections();
	CHECK(!mem_guard_is_tripped());
	CHECK(lowest_free_fd() == lowest);
	return 0;
}
