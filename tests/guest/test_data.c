// SPDX-License-Identifier: MIT
/* read and write: every byte once and in order, both ways, of any size and shape. */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "channel.h"

static const size_t sizes[] = { 1, 2, 3, 63, 64, 4095, 4096, 4097, 16383, 16384, 65535, 65536,
				65537, 262143, 262145, 1 << 20, (1 << 20) + 1, MUCH };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* A buffer that begins @skew bytes after the start of a page. */
static char *skewed_alloc(size_t size, size_t skew)
{
	char *memory = aligned_alloc(4096, (size + skew + 4095) / 4096 * 4096);

	CHECK(memory);
	return memory + skew;
}

static void write_sizes(size_t skew)
{
	struct puppet p = puppet_open(0);
	char *buf = skewed_alloc(MUCH, skew);
	uint64_t total = 0;

	ctl("expect %u 9", p.index);
	ctl("read %u all", p.index);
	for (size_t i = 0; i < SIZES; i++) {
		pattern_fill(buf, sizes[i], 9, total);
		/* A blocking write takes all. */
		CHECK_EQ(write(p.fd, buf, sizes[i]), sizes[i]);
		total += sizes[i];
	}
	expect_got(&p, total, 9);
}

TEST(write_of_any_size)
{
	write_sizes(0);
}

TEST(write_of_any_size_unaligned)
{
	write_sizes(1);
	write_sizes(4093);
}

static void read_sizes(size_t skew)
{
	struct puppet p = puppet_open(0);
	char *buf = skewed_alloc(MUCH, skew);
	uint64_t total = 0;

	for (size_t i = 0; i < SIZES; i++) {
		ctl("send %u %zu 9 %llu", p.index, sizes[i], (unsigned long long)total);
		read_all(p.fd, buf, sizes[i]);
		CHECK_EQ(pattern_check(buf, sizes[i], 9, total), sizes[i]);
		total += sizes[i];
	}
}

TEST(read_of_any_size)
{
	read_sizes(0);
}

TEST(read_of_any_size_unaligned)
{
	read_sizes(1);
	read_sizes(4093);
}

TEST(many_small_writes)
{
	struct puppet p = puppet_open(0);

	for (int i = 0; i < 3000; i++)
		write_pattern(p.fd, 1 + i % 7, 2, (i / 7) * 28 + (i % 7) * (i % 7 + 1) / 2);
	expect_got(&p, 3000 / 7 * 28 + (3000 % 7) * (3000 % 7 + 1) / 2, 2);
}

TEST(many_small_reads)
{
	struct puppet p = puppet_open(0);
	uint64_t offset = 0;

	ctl("send %u 20000 2", p.index);
	for (int i = 0; offset < 20000; i++) {
		size_t len = 1 + i % 11;

		if (len > 20000 - offset)
			len = 20000 - offset;
		read_pattern(p.fd, len, 2, offset);
		offset += len;
	}
}

static void write_much(void *arg)
{
	write_pattern(*(int *)arg, 2 * MUCH, 4, 0);
}

TEST(both_ways_at_once)
{
	int fd = channel_open("echo", 0);
	pid_t pid = spawn(write_much, &fd);

	read_pattern(fd, 2 * MUCH, 4, 0);
	JOIN(pid);
}

TEST(read_returns_what_is_there)
{
	struct puppet p = puppet_open(0);
	char buf[1000];

	ctl("send %u 10 1", p.index);
	/* One byte makes it return; it never waits for the rest of the buffer. */
	CHECK_LE(CHECK_OK(read(p.fd, buf, sizeof(buf))), 10);
	ctl("send %u 500 1", p.index);
	CHECK_GT(CHECK_OK(read(p.fd, buf, sizeof(buf))), 0);
}

TEST(large_read_returns_what_is_there)
{
	struct puppet p = puppet_open(0);
	char *buf = malloc(MUCH);

	ctl("send %u 100 1", p.index);
	CHECK_LE(CHECK_OK(read(p.fd, buf, MUCH)), 100);
	CHECK_EQ(pattern_check(buf, 1, 1, 0), 1);
}

TEST(zero_bytes)
{
	struct puppet p = puppet_open(0);
	char byte;

	CHECK_EQ(read(p.fd, &byte, 0), 0);
	CHECK_EQ(write(p.fd, "", 0), 0);
	ctl("send %u 1 1", p.index);
	AWAIT_POLL(p.fd, POLLIN | POLLOUT);
	CHECK_EQ(read(p.fd, &byte, 0), 0);
	read_pattern(p.fd, 1, 1, 0);
}

TEST(the_end_is_for_ever)
{
	struct puppet p = puppet_open(0);

	ctl("send %u 10 1", p.index);
	ctl("end %u", p.index);
	read_pattern(p.fd, 10, 1, 0);
	expect_end(p.fd);
	set_nonblock(p.fd, true);
	expect_end(p.fd);
	/* The other direction stays open. */
	write_pattern(p.fd, 10, 1, 0);
	expect_got(&p, 10, 1);
	expect_end(p.fd);
}

TEST(data_before_the_end_is_never_lost)
{
	for (int i = 0; i < 10; i++) {
		struct puppet p = puppet_open(0);
		uint64_t len = 1 + i * 33333;

		ctl("send %u %llu 1", p.index, (unsigned long long)len);
		ctl("close %u", p.index);
		read_pattern(p.fd, len, 1, 0);
		expect_end(p.fd);
		close(p.fd);
	}
}

TEST(enotconn_before_naming)
{
	int fd = port_open(PORT_MULTI, 0);
	char byte;

	CHECK_FAILS(read(fd, &byte, 1), ENOTCONN);
	set_nonblock(fd, true);
	CHECK_FAILS(read(fd, &byte, 1), ENOTCONN);
	CHECK_EQ(channel_info(fd).state, MANYPORT_UNNAMED);
}

TEST(econnreset_when_a_program_fails)
{
	int fd = channel_open("fail", 0);	/* 100000 bytes, then exit 3 */
	char byte;

	/* Its data first. */
	read_pattern(fd, 100000, 1, 0);
	CHECK_FAILS(read(fd, &byte, 1), ECONNRESET);
	CHECK_FAILS(read(fd, &byte, 1), ECONNRESET);
	CHECK_EQ(channel_info(fd).state, MANYPORT_FAILED);
}

TEST(end_when_a_program_succeeds)
{
	int fd = channel_open("succeed", 0);	/* the same, but exit 0 */

	read_pattern(fd, 100000, 1, 0);
	expect_end(fd);
}

TEST(econnreset_by_tcp)
{
	struct puppet p = puppet_open_at("tcp", 0);
	char byte;

	write_pattern(p.fd, 100, 1, 0);
	expect_got(&p, 100, 1);
	ctl("abort %u", p.index);
	CHECK_FAILS(read(p.fd, &byte, 1), ECONNRESET);
}

static ssize_t write_until_error(int fd)
{
	char byte = 0;
	ssize_t ret;

	/* A write may be taken before the host says no; never for ever. */
	do {
		ret = write(fd, &byte, 1);
	} while (ret == 1);
	return ret;
}

TEST(epipe_when_the_service_takes_no_more)
{
	struct puppet p = puppet_open(0);

	ctl("noread %u", p.index);
	CHECK_FAILS(write_until_error(p.fd), EPIPE);
	CHECK_FAILS(write(p.fd, "x", 1), EPIPE);
	/* Reading is still possible. */
	ctl("send %u 100 1", p.index);
	read_pattern(p.fd, 100, 1, 0);
}

static void write_into_closed(void *arg)
{
	char *buf = calloc(1, MUCH);
	ssize_t ret = write(*(int *)arg, buf, MUCH);

	/* Some went into buffers; the next call says why no more did. */
	if (ret > 0)
		ret = write(*(int *)arg, buf, MUCH);
	CHECK_EQ(ret, -1);
	CHECK(errno == EPIPE || errno == ECONNRESET);
}

TEST(a_waiting_write_ends_with_the_service)
{
	struct puppet p = puppet_open(0);
	pid_t pid = spawn(write_into_closed, &p.fd);

	ctl("read %u 100000", p.index);
	ctl("got %u 100000", p.index);
	ctl("abort %u", p.index);
	JOIN(pid);
}

TEST(a_waiting_read_ends_with_the_service)
{
	struct puppet p = puppet_open(0);
	pid_t pid = fork();
	char byte;

	CHECK_GE(pid, 0);
	if (!pid) {
		CHECK_EQ(read(p.fd, &byte, 1), 0);
		_exit(0);
	}
	ctl("close %u", p.index);
	JOIN(pid);
}

TEST(a_late_failure_is_reported)
{
	struct puppet p = puppet_open(0);

	/* The driver has taken more than the service will ever have. */
	fill(p.fd, 1, 0);
	CHECK_GT(channel_info(p.fd).unsent, 0);
	ctl("abort %u", p.index);
	wait_poll(p.fd, POLLERR);
	CHECK_EQ(fsync(p.fd), -1);
	CHECK(errno == EPIPE || errno == ECONNRESET);
}

TEST(fsync_waits_for_the_service)
{
	struct puppet p = puppet_open(0);
	uint64_t len = fill(p.fd, 1, 0);
	pid_t pid;

	CHECK_GT(channel_info(p.fd).unsent, 0);
	set_nonblock(p.fd, false);
	pid = fork();
	CHECK_GE(pid, 0);
	if (!pid) {
		CHECK_OK(fsync(p.fd));
		CHECK_EQ(channel_info(p.fd).unsent, 0);
		_exit(0);
	}
	expect_got(&p, len, 1);
	JOIN(pid);
	CHECK_OK(fsync(p.fd));
}

TEST(vectors_with_empty_segments)
{
	int fd = channel_open("echo", 0);
	char out[10] = "0123456789", in[10] = "";
	struct iovec from[] = { { out, 0 }, { out, 3 }, { NULL, 0 }, { out + 3, 7 }, { out, 0 } };
	struct iovec to[] = { { NULL, 0 }, { in, 1 }, { in + 1, 0 }, { in + 1, 9 }, { in, 0 } };

	CHECK_EQ(writev(fd, from, 5), 10);
	for (ssize_t done = 0; done < 10;) {
		ssize_t ret = CHECK_OK(done ? read(fd, in + done, 10 - done) : readv(fd, to, 5));

		CHECK_GT(ret, 0);
		done += ret;
	}
	CHECK(!memcmp(in, out, 10));
}

/* 1024 pieces of @piece bytes, each with a gap of one byte after it. */
static void make_pieces(struct iovec *pieces, char *buf, size_t piece)
{
	for (int i = 0; i < 1024; i++)
		pieces[i] = (struct iovec){ buf + i * (piece + 1), piece };
}

static void use_many_segments(size_t piece)
{
	struct puppet p = puppet_open(0);
	char *buf = malloc(1024 * (piece + 1));
	struct iovec pieces[1024];
	ssize_t ret, done;

	make_pieces(pieces, buf, piece);
	for (int i = 0; i < 1024; i++)
		pattern_fill(pieces[i].iov_base, piece, 8, i * piece);
	ctl("read %u all", p.index);
	CHECK_EQ(writev(p.fd, pieces, 1024), 1024 * piece);
	expect_got(&p, 1024 * piece, 8);

	memset(buf, 0, 1024 * (piece + 1));
	ctl("send %u %zu 8", p.index, 1024 * piece);
	for (done = 0; done < (ssize_t)(1024 * piece); done += ret) {
		size_t first = done / piece, inside = done % piece;

		pieces[first].iov_base = (char *)pieces[first].iov_base + inside;
		pieces[first].iov_len -= inside;
		ret = CHECK_OK(readv(p.fd, pieces + first, 1024 - first));
		CHECK_GT(ret, 0);
		make_pieces(pieces, buf, piece);
	}
	for (int i = 0; i < 1024; i++)
		CHECK_EQ(pattern_check(pieces[i].iov_base, piece, 8, i * piece), piece);
}

TEST(many_small_segments)
{
	use_many_segments(3);
}

TEST(many_large_segments)
{
	use_many_segments(5000);
}

TEST(efault_in_a_write_takes_a_prefix)
{
	static const size_t good[] = { 1, 4096, 70000, 600000 };

	for (int i = 0; i < 4; i++) {
		struct puppet p = puppet_open(0);
		char *buf = edge_alloc(good[i]);
		ssize_t ret;

		pattern_fill(buf, good[i], 1, 0);
		ctl("read %u all", p.index);
		ret = write(p.fd, buf, good[i] + 100000);
		if (ret < 0)
			CHECK_EQ(errno, EFAULT);
		CHECK_LE(ret, (ssize_t)good[i]);
		/* Exactly the bytes that it admits have gone. */
		ret = ret < 0 ? 0 : ret;
		write_pattern(p.fd, 100, 1, ret);
		close(p.fd);
		expect_arrived(&p, ret + 100, 1);
	}
	CHECK_FAILS(write(channel_open("null", 0), no_memory(), 100), EFAULT);
}

TEST(efault_in_a_read_loses_nothing)
{
	static const size_t good[] = { 0, 1, 4096, 70000, 600000 };

	for (int i = 0; i < 5; i++) {
		struct puppet p = puppet_open(0);
		char *buf = edge_alloc(good[i]);
		ssize_t ret;

		ctl("send %u 700000 1", p.index);
		wait_poll(p.fd, POLLIN);
		ret = read(p.fd, buf, good[i] + 100000);
		if (ret < 0)
			CHECK_EQ(errno, EFAULT);
		ret = ret < 0 ? 0 : ret;
		CHECK_LE(ret, (ssize_t)good[i]);
		CHECK_EQ(pattern_check(buf, ret, 1, 0), ret);
		read_pattern(p.fd, 700000 - ret, 1, ret);
		close(p.fd);
	}
}

TEST(test_services)
{
	int zero = channel_open("zero", 0), null = channel_open("null", 0);
	char buf[5000];

	memset(buf, 1, sizeof(buf));
	read_all(zero, buf, sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		CHECK_EQ(buf[i], 0);
	write_pattern(null, MUCH, 1, 0);
	CHECK_OK(fsync(null));
}

/* --- A page that comes late ------------------------------------------------ */

#define PAGE	4096
#define LATE_MS	5	/* longer than small writes wait to be sent together */

struct late_page {
	int uffd;
	char *page;
	char *content;		/* what it will hold */
};

/* Fills each page that is missing, after a moment, until the descriptor is closed. */
static void *bring_pages(void *arg)
{
	const struct late_page *late = arg;
	struct uffd_msg message;

	while (read(late->uffd, &message, sizeof(message)) == sizeof(message)) {
		struct uffdio_copy copy = {
			.dst = (unsigned long)late->page,
			.src = (unsigned long)late->content,
			.len = PAGE,
		};

		poll(NULL, 0, LATE_MS);
		if (ioctl(late->uffd, UFFDIO_COPY, &copy))
			break;
	}
	return NULL;
}

/* Without userfaultfd (User Mode Linux) it is an ordinary page. */
static void late_page_make(struct late_page *late)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t thread;

	late->content = skewed_alloc(PAGE, 0);
	late->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(late->page != MAP_FAILED);
	late->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (late->uffd < 0) {
		CHECK_EQ(errno, ENOSYS);
		return;
	}
	range.range.start = (unsigned long)late->page;
	range.range.len = PAGE;
	CHECK_EQ(ioctl(late->uffd, UFFDIO_API, &api), 0);
	CHECK_EQ(ioctl(late->uffd, UFFDIO_REGISTER, &range), 0);
	CHECK_EQ(pthread_create(&thread, NULL, bring_pages, late), 0);
}

/*
 * A write joins bytes that wait for an answer. The answer comes while the write still waits for its
 * page: then the write must send the bytes, since no other answer will.
 */
TEST(a_write_whose_page_comes_late_is_sent)
{
	struct puppet p = puppet_open(0);
	struct late_page late;
	uint64_t total = 0;

	late_page_make(&late);
	ctl("expect %u 9", p.index);
	ctl("read %u all", p.index);
	for (int i = 0; i < 20; i++) {
		write_pattern(p.fd, 2, 9, total);
		write_pattern(p.fd, 2, 9, total + 2);
		pattern_fill(late.content, 2, 9, total + 4);
		if (late.uffd < 0)
			memcpy(late.page, late.content, 2);
		else
			CHECK_EQ(madvise(late.page, PAGE, MADV_DONTNEED), 0);
		CHECK_EQ(write(p.fd, late.page, 2), 2);
		total += 6;
		expect_got(&p, total, 9);
	}
}
