// SPDX-License-Identifier: MIT
/* io_uring on a channel: reads, writes and polls that complete later. Raw system calls. */
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "channel.h"

#define ENTRIES 64

struct uring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static void *map(int fd, size_t size, off_t offset)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	CHECK(memory != MAP_FAILED);
	return memory;
}

static struct uring uring_create(void)
{
	struct io_uring_params params = { 0 };
	struct uring ring;
	char *sq, *cq;

	ring.fd = syscall(SYS_io_uring_setup, ENTRIES, &params);
	if (ring.fd < 0)
		test_skip("io_uring_setup: %s", strerror(errno));
	sq = map(ring.fd, params.sq_off.array + params.sq_entries * 4, IORING_OFF_SQ_RING);
	cq = map(ring.fd, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
		 IORING_OFF_CQ_RING);
	ring.sqes = map(ring.fd, params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	ring.sq_tail = (unsigned int *)(sq + params.sq_off.tail);
	ring.sq_mask = (unsigned int *)(sq + params.sq_off.ring_mask);
	ring.sq_array = (unsigned int *)(sq + params.sq_off.array);
	ring.cq_head = (unsigned int *)(cq + params.cq_off.head);
	ring.cq_tail = (unsigned int *)(cq + params.cq_off.tail);
	ring.cq_mask = (unsigned int *)(cq + params.cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
	return ring;
}

static struct io_uring_sqe *add(struct uring *ring, int op, int fd, void *buf, unsigned int len,
				uint64_t data)
{
	unsigned int tail = *ring->sq_tail, index = tail & *ring->sq_mask;
	struct io_uring_sqe *sqe = &ring->sqes[index];

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op;
	sqe->fd = fd;
	sqe->addr = (uintptr_t)buf;
	sqe->len = len;
	/* A stream has no position; a poll wants no offset at all. */
	sqe->off = op == IORING_OP_POLL_ADD ? 0 : -1;
	sqe->user_data = data;
	ring->sq_array[index] = index;
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
	return sqe;
}

static void submit(struct uring *ring, unsigned int count)
{
	CHECK_EQ(syscall(SYS_io_uring_enter, ring->fd, count, 0, 0, NULL, 0), count);
}

static bool has_completed(struct uring *ring)
{
	return __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) != *ring->cq_head;
}

struct completion {
	uint64_t user_data;
	int res;
};

static struct completion await(struct uring *ring)
{
	struct completion cqe;

	while (!has_completed(ring))
		if (syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL,
			    0) < 0)
			CHECK_EQ(errno, EINTR);
	cqe.user_data = ring->cqes[*ring->cq_head & *ring->cq_mask].user_data;
	cqe.res = ring->cqes[*ring->cq_head & *ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, *ring->cq_head + 1, __ATOMIC_RELEASE);
	return cqe;
}

TEST(write_then_read)
{
	struct uring ring = uring_create();
	int fd = channel_open("echo", 0);
	char out[5000], in[5000];

	pattern_fill(out, sizeof(out), 1, 0);
	add(&ring, IORING_OP_WRITE, fd, out, sizeof(out), 1);
	submit(&ring, 1);
	CHECK_EQ(await(&ring).res, sizeof(out));
	for (int done = 0; done < (int)sizeof(in);) {
		add(&ring, IORING_OP_READ, fd, in + done, sizeof(in) - done, 2);
		submit(&ring, 1);
		struct completion cqe = await(&ring);

		CHECK_GT(cqe.res, 0);
		done += cqe.res;
	}
	CHECK_EQ(pattern_check(in, sizeof(in), 1, 0), sizeof(in));
}

TEST(read_waits_for_bytes)
{
	struct uring ring = uring_create();
	struct puppet p = puppet_open(0);
	char buf[100];

	for (int i = 0; i < 20; i++) {
		add(&ring, IORING_OP_READ, p.fd, buf, sizeof(buf), i);
		submit(&ring, 1);
		barrier();
		CHECK(!has_completed(&ring));
		ctl("send %u 10 1 %d", p.index, i * 10);
		struct completion cqe = await(&ring);

		CHECK_EQ(cqe.user_data, i);
		CHECK_EQ(cqe.res, 10);
		CHECK_EQ(pattern_check(buf, 10, 1, i * 10), 10);
	}
}

/* A read of a fixed port that gives 0 tells the end, and the next one asks [protocol.md 4.6]. */
TEST(the_end_on_a_fixed_port)
{
	struct uring ring = uring_create();
	struct puppet p = { .index = puppet_next() };
	unsigned int generation;
	struct completion cqe;
	char buf[100];

	p.fd = port_open(PORT_TIED, 0);
	puppet_await(p.index);
	add(&ring, IORING_OP_READ, p.fd, buf, sizeof(buf), 1);
	submit(&ring, 1);
	generation = channel_info(p.fd).generation;
	ctl("close %u", p.index);
	CHECK_EQ(await(&ring).res, 0);
	barrier();
	CHECK_EQ(channel_info(p.fd).generation, generation);
	CHECK_EQ(puppet_next(), ++p.index);
	for (bool is_sent = false;; is_sent = true) {
		add(&ring, IORING_OP_READ, p.fd, buf, sizeof(buf), 2);
		submit(&ring, 1);
		if (!is_sent) {
			puppet_await(p.index);
			ctl("send %u 10 2", p.index);
		}
		cqe = await(&ring);
		if (cqe.res)
			break;
	}
	CHECK_EQ(cqe.res, 10);
	CHECK_EQ(pattern_check(buf, 10, 2, 0), 10);
}

TEST(read_waits_on_a_nonblocking_file)
{
	struct uring ring = uring_create();
	struct puppet p = puppet_open(O_NONBLOCK);
	struct completion cqe;
	char buf[100];

	/* Such a file gives EAGAIN here as in read(); a poll in front makes it wait. */
	add(&ring, IORING_OP_POLL_ADD, p.fd, NULL, 0, 1)->poll32_events = POLLIN;
	ring.sqes[(*ring.sq_tail - 1) & *ring.sq_mask].flags = IOSQE_IO_LINK;
	add(&ring, IORING_OP_READ, p.fd, buf, sizeof(buf), 2);
	submit(&ring, 2);
	barrier();
	CHECK(!has_completed(&ring));
	ctl("send %u 10 1", p.index);
	cqe = await(&ring);
	CHECK_EQ(cqe.user_data, 1);
	CHECK(cqe.res & POLLIN);
	cqe = await(&ring);
	CHECK_EQ(cqe.user_data, 2);
	CHECK_EQ(cqe.res, 10);
}

TEST(large_write_and_read)
{
	struct uring ring = uring_create();
	struct puppet p = puppet_open(0);
	size_t size = 2 << 20;
	char *buf = malloc(size);
	size_t done;

	pattern_fill(buf, size, 1, 0);
	ctl("expect %u 1", p.index);
	ctl("read %u all", p.index);
	for (done = 0; done < size;) {
		add(&ring, IORING_OP_WRITE, p.fd, buf + done, size - done, 1);
		submit(&ring, 1);
		int ret = await(&ring).res;

		CHECK_GT(ret, 0);
		done += ret;
	}
	expect_got(&p, size, 1);
	memset(buf, 0, size);
	ctl("send %u %zu 1", p.index, size);
	for (done = 0; done < size;) {
		add(&ring, IORING_OP_READ, p.fd, buf + done, size - done, 1);
		submit(&ring, 1);
		int ret = await(&ring).res;

		CHECK_GT(ret, 0);
		done += ret;
	}
	CHECK_EQ(pattern_check(buf, size, 1, 0), size);
}

TEST(in_a_worker)
{
	struct uring ring = uring_create();
	struct puppet p = puppet_open(0);
	char *buf = malloc(1 << 20);

	add(&ring, IORING_OP_READ, p.fd, buf, 1 << 20, 1)->flags = IOSQE_ASYNC;
	submit(&ring, 1);
	barrier();
	CHECK(!has_completed(&ring));
	ctl("send %u 10 1", p.index);
	CHECK_EQ(await(&ring).res, 10);
	CHECK_EQ(pattern_check(buf, 10, 1, 0), 10);
}

#define FIXED (2U << 20)

/* A ring with a registered buffer of FIXED bytes, one byte into a page. */
static char *register_buffer(struct uring *ring)
{
	char *buf = (char *)aligned_alloc(4096, FIXED + 4096) + 1;
	struct iovec iov = { buf, FIXED };

	memset(buf, 0, FIXED);
	CHECK_OK(syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_BUFFERS, &iov, 1));
	return buf;
}

/* All of the registered buffer, in as many requests as it takes. */
static void move_all(struct uring *ring, int op, int fd, char *buf, int flags)
{
	size_t done = 0;

	while (done < FIXED) {
		add(ring, op, fd, buf + done, FIXED - done, 1)->flags = flags;
		submit(ring, 1);
		int ret = await(ring).res;

		CHECK_GT(ret, 0);
		done += ret;
	}
}

/* Returns how many bytes went each way without a copy. */
static uint64_t use_registered_buffer(int flags)
{
	struct uring ring = uring_create();
	struct puppet p = puppet_open(0);
	char *buf = register_buffer(&ring);
	struct manyport_info info;

	pattern_fill(buf, FIXED, 1, 0);
	ctl("expect %u 1", p.index);
	ctl("read %u all", p.index);
	move_all(&ring, IORING_OP_WRITE_FIXED, p.fd, buf, flags);
	expect_got(&p, FIXED, 1);
	memset(buf, 0, FIXED);
	ctl("send %u %u 1", p.index, FIXED);
	move_all(&ring, IORING_OP_READ_FIXED, p.fd, buf, flags);
	CHECK_EQ(pattern_check(buf, FIXED, 1, 0), FIXED);
	info = channel_info(p.fd);
	return info.zero_copy_out < info.zero_copy_in ? info.zero_copy_out : info.zero_copy_in;
}

/* In a worker they wait for the device, and nothing is copied; without one they may not wait. */
TEST(registered_buffers_in_a_worker)
{
	CHECK_GE(use_registered_buffer(IOSQE_ASYNC), FIXED / 2);
}

TEST(registered_buffers_without_a_worker)
{
	CHECK_EQ(use_registered_buffer(0), 0);
}

static void read_into_registered_buffer(void *arg)
{
	struct uring ring = uring_create();
	char *buf = register_buffer(&ring);

	for (;;) {
		add(&ring, IORING_OP_READ_FIXED, *(int *)arg, buf, FIXED, 1)->flags = IOSQE_ASYNC;
		submit(&ring, 1);
		CHECK_GT(await(&ring).res, 0);
	}
}

static void write_from_registered_buffer(void *arg)
{
	struct uring ring = uring_create();
	char *buf = register_buffer(&ring);

	for (;;) {
		add(&ring, IORING_OP_WRITE_FIXED, *(int *)arg, buf, FIXED, 1)->flags = IOSQE_ASYNC;
		submit(&ring, 1);
		CHECK_GT(await(&ring).res, 0);
	}
}

/* Its workers' pages are at the device, or they wait for the service: they end with the process. */
TEST(killed_with_registered_buffers_in_use)
{
	close(uring_create().fd);
	for (int i = 0; i < 20; i++) {
		struct puppet p = puppet_open(0);
		pid_t reader = spawn(read_into_registered_buffer, &p.fd);
		pid_t writer = spawn(write_from_registered_buffer, &p.fd);

		ctl("send %u %u 1", p.index, 16 * FIXED);
		ctl("read %u %u", p.index, i % 2 ? FIXED : 1);
		for (int yields = i; yields--;)
			sched_yield();
		kill_and_wait(reader);
		kill_and_wait(writer);
		ctl("close %u", p.index);
		close(p.fd);
	}
	await_port(PORT_MULTI, 1);	/* that of the control channel */
}

TEST(many_channels_wait)
{
	struct uring ring = uring_create();
	struct puppet p[30];
	char buf[30];

	for (int i = 0; i < 30; i++) {
		p[i] = puppet_open(0);
		add(&ring, IORING_OP_READ, p[i].fd, &buf[i], 1, i);
	}
	submit(&ring, 30);
	for (int i = 29; i >= 0; i--) {
		ctl("send %u 1 %d", p[i].index, i);
		struct completion cqe = await(&ring);

		CHECK_EQ(cqe.user_data, i);
		CHECK_EQ(cqe.res, 1);
		CHECK_EQ((uint8_t)buf[i], pattern_byte(i, 0));
	}
}

TEST(poll)
{
	struct uring ring = uring_create();
	struct puppet p = puppet_open(0);
	struct completion cqe;

	add(&ring, IORING_OP_POLL_ADD, p.fd, NULL, 0, 1)->poll32_events = POLLIN;
	submit(&ring, 1);
	barrier();
	CHECK(!has_completed(&ring));
	ctl("send %u 10 1", p.index);
	cqe = await(&ring);
	CHECK(cqe.res & POLLIN);
	read_pattern(p.fd, 10, 1, 0);
}

TEST(cancelled_read_takes_nothing)
{
	struct uring ring = uring_create();
	struct puppet p = puppet_open(0);
	char buf[100];

	for (int i = 0; i < 10; i++) {
		add(&ring, IORING_OP_READ, p.fd, buf, sizeof(buf), 1);
		submit(&ring, 1);
		add(&ring, IORING_OP_ASYNC_CANCEL, -1, (void *)1, 0, 2)->off = 0;
		submit(&ring, 1);
		for (int k = 0; k < 2; k++) {
			struct completion cqe = await(&ring);

			if (cqe.user_data == 1)
				CHECK(cqe.res == -ECANCELED || cqe.res == -EINTR);
		}
		ctl("send %u 1000 1 %d", p.index, i * 1000);
		read_pattern(p.fd, 1000, 1, i * 1000);
	}
}

static void leave_reads_behind(void *arg)
{
	struct uring ring = uring_create();
	char buf[100];

	add(&ring, IORING_OP_READ, *(int *)arg, buf, sizeof(buf), 1);
	add(&ring, IORING_OP_READ, *(int *)arg, buf, sizeof(buf), 2)->flags = IOSQE_ASYNC;
	submit(&ring, 2);
}

TEST(exit_with_reads_under_way)
{
	struct puppet p = puppet_open(0);

	close(uring_create().fd);
	JOIN(spawn(leave_reads_behind, &p.fd));
	ctl("send %u 1000 1", p.index);
	/* The dead process's reads may end late; what they took is not lost. */
	read_pattern(p.fd, 1000, 1, 0);
}

TEST(vectors)
{
	struct uring ring = uring_create();
	int fd = channel_open("echo", 0);
	struct iovec parts[] = { { "ab", 2 }, { "", 0 }, { "cde", 3 } };
	char back[5];

	add(&ring, IORING_OP_WRITEV, fd, parts, 3, 1);
	submit(&ring, 1);
	CHECK_EQ(await(&ring).res, 5);
	read_all(fd, back, 5);
	CHECK(!memcmp(back, "abcde", 5));
}

TEST(errors)
{
	struct uring ring = uring_create();
	int fd = port_open(PORT_MULTI, 0);
	char buf[10];

	add(&ring, IORING_OP_READ, fd, buf, sizeof(buf), 1);
	submit(&ring, 1);
	CHECK_EQ(await(&ring).res, -ENOTCONN);
	add(&ring, IORING_OP_WRITE, fd, "nothing", 8, 1);
	submit(&ring, 1);
	CHECK_EQ(await(&ring).res, -ENOENT);
}

TEST(names_the_service)
{
	struct uring ring = uring_create();
	int fd = port_open(PORT_MULTI, 0);

	add(&ring, IORING_OP_WRITE, fd, "echo", 5, 1);
	submit(&ring, 1);
	CHECK_EQ(await(&ring).res, 5);
	echo_once(fd, "data");
}
