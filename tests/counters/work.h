/* SPDX-License-Identifier: MIT */
/* What both ends of the counted work know. */
#ifndef COUNTERS_WORK_H
#define COUNTERS_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#define WORK_MAX	(1U << 20)
#define MARK_SIZE	32U		/* of a mark, and of its answer */

/* The first bytes on a connection; both ends run on one machine's processor. */
struct work {
	uint32_t gives, wants;
};

static inline bool write_all(int fd, const void *buf, size_t len)
{
	ssize_t ret;

	for (size_t done = 0; done < len; done += ret) {
		ret = write(fd, (const char *)buf + done, len - done);
		if (ret <= 0)
			return false;
	}
	return true;
}

static inline bool read_all(int fd, void *buf, size_t len)
{
	ssize_t ret;

	for (size_t done = 0; done < len; done += ret) {
		ret = read(fd, (char *)buf + done, len - done);
		if (ret <= 0)
			return false;
	}
	return true;
}

#endif
