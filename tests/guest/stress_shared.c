// SPDX-License-Identifier: MIT
/* Channels that are stalled on purpose, and channels with many writers. See stress.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <manyport/client.h>

#include "pattern.h"
#include "stress.h"

#define WRITERS 8
#define RECORDS 40

void stress_write(int fd, const void *buf, size_t len)
{
	ssize_t ret = write(fd, buf, len);

	if (ret != (ssize_t)len)
		stress_fail("write of %zu gave %zd: %s", len, ret, strerror(errno));
}

static void read_all(int fd, void *buf, size_t len)
{
	size_t done = 0;
	ssize_t ret;

	while (done < len) {
		ret = read(fd, (char *)buf + done, len - done);
		if (ret <= 0)
			stress_fail("read after %zu of %zu gave %zd: %s", done, len, ret,
				    strerror(errno));
		done += ret;
	}
}

void stress_read_verdict(int fd, const struct stress_hello *hello, uint64_t expected)
{
	struct stress_verdict verdict;
	char buf[4096];
	uint64_t done = 0;
	size_t part;

	for (; done < hello->in_len; done += part) {
		part = hello->in_len - done < sizeof(buf) ? hello->in_len - done : sizeof(buf);
		read_all(fd, buf, part);
		if (pattern_check(buf, part, hello->seed + 1, done) < part)
			stress_fail("wrong byte behind %llu", (unsigned long long)done);
	}
	read_all(fd, &verdict, sizeof(verdict));
	if (verdict.magic != STRESS_MAGIC || verdict.is_bad || verdict.received != expected)
		stress_fail("the host got %llu of %llu bytes%s",
			    (unsigned long long)verdict.received, (unsigned long long)expected,
			    verdict.is_bad ? ", wrong ones" : "");
}

static void wait_for_go(int ready, int go)
{
	char byte = 0;

	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1))
		stress_fail("no start");
}

/*
 * Writes more than all buffers hold to a service that does not read. The write ends
 * only when the host reads again, after all other workers are done.
 */
void stress_stall(uint64_t seed, unsigned int number, int ready, int go)
{
	struct stress_hello hello = { STRESS_MAGIC, STRESS_STALL, seed, 4 << 20, 1 << 20 };
	char *buf = malloc(hello.out_len);
	int fd = stress_open(false);

	(void)number;
	stress_write(fd, &hello, sizeof(hello));
	wait_for_go(ready, go);
	pattern_fill(buf, hello.out_len, seed, 0);
	stress_write(fd, buf, hello.out_len);
	manyport_shutdown(fd, SHUT_WR);
	stress_read_verdict(fd, &hello, hello.out_len);
}

/* Most records are small; some are larger than what one request can carry. */
static uint32_t record_len(uint32_t writer, uint32_t number)
{
	uint64_t dice = stress_mix(writer, 31 * number);
	uint32_t body = dice % 16 ? dice / 16 % 3000 : dice / 16 % (2 << 20);

	return sizeof(struct stress_record) + body;
}

static void write_records(int fd, uint32_t writer)
{
	char *buf = malloc(3 << 20);

	for (uint32_t i = 0; i < RECORDS; i++) {
		uint32_t len = record_len(writer, i), head = sizeof(struct stress_record);
		struct stress_record record = { STRESS_MAGIC, writer, i, len };

		memcpy(buf, &record, head);
		pattern_fill(buf + head, len - head, stress_mix(writer, i), head);
		stress_write(fd, buf, len);
	}
}

static uint64_t all_records(void)
{
	uint64_t total = 0;

	for (uint32_t writer = 0; writer < WRITERS; writer++)
		for (uint32_t i = 0; i < RECORDS; i++)
			total += record_len(writer, i);
	return total;
}

/* Many processes write records into one channel; none may be torn or overtaken. */
void stress_share(uint64_t seed, unsigned int number, int ready, int go)
{
	struct stress_hello hello = { STRESS_MAGIC, STRESS_RECORDS, seed, 0, 100000 };
	int fd = stress_open(false), status;
	pid_t pids[WRITERS];

	(void)number;
	stress_write(fd, &hello, sizeof(hello));
	wait_for_go(ready, go);
	for (uint32_t i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			write_records(fd, i);
			_exit(0);
		}
	}
	for (int i = 0; i < WRITERS; i++)
		if (waitpid(pids[i], &status, 0) != pids[i] || status)
			stress_fail("a writer failed");
	manyport_shutdown(fd, SHUT_WR);
	stress_read_verdict(fd, &hello, all_records());
}
