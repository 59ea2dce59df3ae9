// SPDX-License-Identifier: MIT
/* What does an idle channel hold, in the guest and in the processes of the host? */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "works.h"

/* The kernel keeps its sums per processor, and adds them up when this is read. */
static void refresh_statistics(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_RDONLY | O_CLOEXEC);
	char byte;

	if (fd >= 0 && read(fd, &byte, 1) >= 0)
		doing("counting memory");
	close(fd);
}

void work_memory(const struct options *options)
{
	const struct timespec moment = { .tv_nsec = 300 * 1000 * 1000 };
	int marks = target_open(options->target), fd;
	double start, seconds;

	refresh_statistics();
	mark_begin(marks, options);
	start = now();
	for (int i = 0; i < options->channels; i++) {
		fd = target_open(options->target);
		channels_open++;
		doing("a round trip on each new channel");
		request(fd, BENCH_ECHO, 64, 64, false);
		if (write_all(fd, more_buf, 64) || read_all(fd, more_buf, 64))
			fail("round trip");
	}
	seconds = now() - start;
	nanosleep(&moment, NULL);
	refresh_statistics();
	printf("result opened=%d opens_s=%.1f\n", options->channels, options->channels / seconds);
	mark_end(marks, options, options->channels, 0, seconds);
}
