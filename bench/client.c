// SPDX-License-Identifier: MIT
/*
 * One measurement over any transport that is a file descriptor. Prints one line:
 * the figure, and for a manyport channel what the driver counted per operation.
 *
 *	bench-client TARGET rtt SIZE COUNT		microseconds per round trip, median
 *	bench-client TARGET write SIZE BYTES		megabytes per second
 *	bench-client TARGET read SIZE BYTES
 *
 * TARGET: unix:PATH, or port:NODE:SERVICE.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <manyport/ioctl.h>

static char *buf;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (connect(fd, (void *)&address, sizeof(address)))
		fail(path);
	return fd;
}

static int open_target(char *target)
{
	char *service;
	int fd;

	if (!strncmp(target, "unix:", 5))
		return open_unix(target + 5);
	if (strncmp(target, "port:", 5) || !(service = strrchr(target, ':')))
		fail("TARGET");
	*service++ = '\0';
	fd = open(target + 5, O_RDWR);
	if (fd < 0 || write(fd, service, strlen(service) + 1) < 0)
		fail(target);
	return fd;
}

static void write_all(int fd, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = write(fd, buf + done, len - done);
		if (n <= 0)
			fail("write");
		done += n;
	}
}

static void read_all(int fd, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = read(fd, buf + done, len - done);
		if (n <= 0)
			fail("read");
		done += n;
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void shut_write(int fd)
{
	if (shutdown(fd, SHUT_WR) && ioctl(fd, MANYPORT_IOC_SHUTDOWN, SHUT_WR))
		fail("shutdown");
}

static void report(int fd, const struct manyport_info *before, double operations)
{
	struct manyport_info info;

	if (!ioctl(fd, MANYPORT_IOC_INFO, &info))
		printf("  per operation: %.2f requests, %.2f kicks, %.2f events, %.2f waits",
		       (info.requests - before->requests) / operations,
		       (info.kicks - before->kicks) / operations,
		       (info.events - before->events) / operations,
		       (info.waits - before->waits) / operations);
	printf("\n");
}

static void measure_rtt(int fd, size_t size, long count)
{
	double *times = calloc(count, sizeof(*times)), start;
	struct manyport_info info = { 0 };

	write_all(fd, 1);
	for (long i = -100; i < count; i++) {
		if (!i)
			ioctl(fd, MANYPORT_IOC_INFO, &info);
		start = now();
		write_all(fd, size);
		read_all(fd, size);
		if (i >= 0)
			times[i] = now() - start;
	}
	qsort(times, count, sizeof(*times), compare);
	printf("rtt %zu: %.1f us (p99 %.1f)", size, times[count / 2] * 1e6,
	       times[count * 99 / 100] * 1e6);
	report(fd, &info, count);
}

static void measure_stream(int fd, bool is_write, size_t size, long bytes)
{
	struct manyport_info info = { 0 };
	long done;
	double start;

	write_all(fd, 1);
	ioctl(fd, MANYPORT_IOC_INFO, &info);
	start = now();
	for (done = 0; done < bytes; done += size) {
		if (is_write)
			write_all(fd, size);
		else
			read_all(fd, size);
	}
	if (is_write) {
		shut_write(fd);
		read_all(fd, 1);
	}
	printf("%s %zu: %.0f MB/s", is_write ? "write" : "read", size,
	       done / (now() - start) / 1e6);
	report(fd, &info, (double)done / size);
}

int main(int argc, char **argv)
{
	size_t size;
	int fd;

	if (argc != 5) {
		fprintf(stderr, "usage: bench-client TARGET rtt|write|read SIZE COUNT|BYTES\n");
		return 2;
	}
	size = atol(argv[3]);
	buf = aligned_alloc(4096, (size + 4095) / 4096 * 4096 + 4096);
	fd = open_target(argv[1]);
	memset(buf, argv[2][0] == 'r' && argv[2][1] == 't' ? 'e' : argv[2][0] == 'w' ? 's' : 'z',
	       size);
	if (!strcmp(argv[2], "rtt"))
		measure_rtt(fd, size, atol(argv[4]));
	else
		measure_stream(fd, argv[2][0] == 'w', size, atol(argv[4]));
	return 0;
}
