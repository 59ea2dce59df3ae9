// SPDX-License-Identifier: MIT
/*
 * Several processes and one channel; several channels and one port: who waits for
 * whom, and what must not mix.
 */
#include "channel.h"

struct record {
	uint32_t magic, writer, number, len;
};

#define RECORD_MAGIC 0x5ec0fd01
#define WRITERS 6
#define RECORDS 12

struct writer {
	int fd;
	uint32_t number;
	size_t len;
};

static void write_records(void *arg)
{
	struct writer *writer = arg;
	char *buf = malloc(writer->len);

	for (uint32_t i = 0; i < RECORDS; i++) {
		struct record record = { RECORD_MAGIC, writer->number, i, writer->len };

		pattern_fill(buf, writer->len, writer->number, i);
		memcpy(buf, &record, sizeof(record));
		CHECK_EQ(write(writer->fd, buf, writer->len), writer->len);
	}
}

/* Reads what all writers wrote: whole records, each writer's in its own order. */
static void read_records(int fd, size_t len)
{
	uint32_t next[WRITERS] = { 0 };
	char *buf = malloc(len), *right = malloc(len);
	struct record record;

	for (int i = 0; i < WRITERS * RECORDS; i++) {
		read_all(fd, buf, len);
		memcpy(&record, buf, sizeof(record));
		CHECK_EQ(record.magic, RECORD_MAGIC);
		CHECK_EQ(record.len, len);
		CHECK(record.writer < WRITERS);
		CHECK_EQ(record.number, next[record.writer]);
		next[record.writer]++;
		pattern_fill(right, len, record.writer, record.number);
		memcpy(right, &record, sizeof(record));
		if (memcmp(buf, right, len))
			FAIL("record %u of writer %u is mixed with another", record.number,
			     record.writer);
	}
}

static void share_writes(size_t len)
{
	struct writer writers[WRITERS];
	int fd = channel_open("echo", 0);
	pid_t pids[WRITERS];

	for (uint32_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ fd, i, len };
		pids[i] = spawn(write_records, &writers[i]);
	}
	read_records(fd, len);
	for (int i = 0; i < WRITERS; i++)
		JOIN(pids[i]);
}

TEST(small_writes_do_not_interleave)
{
	share_writes(100);
}

TEST(page_writes_do_not_interleave)
{
	share_writes(5000);
}

TEST(large_writes_do_not_interleave)
{
	share_writes(700001);
}

struct reader {
	int fd;
	uint64_t count;
};

static void read_to_the_end(void *arg)
{
	struct reader *reader = arg;
	char *buf = malloc(10000);
	ssize_t ret;

	while ((ret = CHECK_OK(read(reader->fd, buf, 10000))) > 0)
		reader->count += ret;
}

TEST(each_byte_goes_to_one_reader)
{
	struct reader *readers = shared_alloc(4096);
	struct puppet p = puppet_open(0);
	uint64_t total = 0;
	pid_t pids[4];

	for (int i = 0; i < 4; i++) {
		readers[i].fd = p.fd;
		pids[i] = spawn(read_to_the_end, &readers[i]);
	}
	ctl("send %u 3000000 1", p.index);
	ctl("end %u", p.index);
	for (int i = 0; i < 4; i++) {
		JOIN(pids[i]);
		total += readers[i].count;
	}
	CHECK_EQ(total, 3000000);
}

static void read_one(void *arg)
{
	char byte;

	CHECK_EQ(read(*(int *)arg, &byte, 1), 1);
}

TEST(a_waiting_reader_does_not_stop_a_writer)
{
	struct puppet p = puppet_open(0);
	pid_t pid = spawn(read_one, &p.fd);

	ctl("expect %u 1", p.index);
	ctl("read %u all", p.index);
	write_pattern(p.fd, MUCH, 1, 0);
	expect_got(&p, MUCH, 1);
	ctl("send %u 1 1", p.index);
	JOIN(pid);
}

static void write_much(void *arg)
{
	write_pattern(*(int *)arg, MUCH, 1, 0);
}

TEST(a_waiting_writer_does_not_stop_a_reader)
{
	struct puppet p = puppet_open(0);
	pid_t pid = spawn(write_much, &p.fd);

	/* It waits for room that does not come before this is read. */
	ctl("read %u 1", p.index);
	ctl("got %u 1", p.index);
	ctl("send %u %u 1", p.index, MUCH);
	read_pattern(p.fd, MUCH, 1, 0);
	expect_got(&p, MUCH, 1);
	JOIN(pid);
}

TEST(a_stalled_channel_slows_no_other)
{
	struct puppet p = puppet_open(0);
	pid_t pid = spawn(write_much, &p.fd);
	int fd = channel_open("echo", 0);
	char before[64];

	ctl("read %u 1", p.index);
	ctl("got %u 1", p.index);
	strcpy(before, ctl("state %u", p.index));
	for (int i = 0; i < 500; i++)
		echo_once(fd, "while the other waits");
	/* All of that happened while the first got nothing. */
	CHECK(!strcmp(before, ctl("state %u", p.index)));
	expect_got(&p, MUCH, 1);
	JOIN(pid);
}

TEST(twenty_stalled_channels_slow_no_other)
{
	struct puppet out[20], in[20];
	uint64_t len[20];
	int fd = channel_open("echo", 0);
	pid_t pid;

	for (int i = 0; i < 20; i++) {
		out[i] = puppet_open(0);
		in[i] = puppet_open(0);
		len[i] = fill(out[i].fd, i, 0);
		ctl("send %u 1000000 %d", in[i].index, i);
	}
	pid = spawn(write_much, &fd);
	read_pattern(fd, MUCH, 1, 0);
	JOIN(pid);
	for (int i = 0; i < 20; i++) {
		expect_got(&out[i], len[i], i);
		read_pattern(in[i].fd, 1000000, i, 0);
	}
}

TEST(many_waiting_readers)
{
	struct puppet p[60];
	pid_t pids[60];

	/* More than may be parked on a small queue. */
	for (int i = 0; i < 60; i++) {
		p[i] = puppet_open(0);
		pids[i] = spawn(read_one, &p[i].fd);
	}
	for (int i = 59; i >= 0; i--)
		ctl("send %u 1 1", p[i].index);
	for (int i = 0; i < 60; i++)
		JOIN(pids[i]);
}

static void poll_and_read(void *arg)
{
	wait_poll(*(int *)arg, POLLIN);
	read_one(arg);
}

TEST(more_waiters_than_the_queue_has_room_for)
{
	struct puppet p[300];
	pid_t pids[300];

	for (int i = 0; i < 300; i++) {
		p[i] = puppet_open(0);
		pids[i] = spawn(i % 2 ? read_one : poll_and_read, &p[i].fd);
	}
	for (int i = 0; i < 300; i++)
		ctl("send %u 1 1", p[(i * 7) % 300].index);
	for (int i = 0; i < 300; i++)
		JOIN(pids[i]);
}
