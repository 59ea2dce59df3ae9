// SPDX-License-Identifier: MIT
/* What is remembered of descriptors, and how one is known for a channel. */
#include <errno.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "preload.h"

/*
 * A descriptor above these is looked at for each call. Pages that are not touched take no
 * memory.
 */
#define KNOWN_MAX 65536

enum { KNOWN_NOT, KNOWN_OTHER, KNOWN_TARGET };	/* from KNOWN_TARGET on: a target's number */

static _Atomic unsigned char known[KNOWN_MAX], marks[KNOWN_MAX];

static unsigned char get(int fd)
{
	return fd >= 0 && fd < KNOWN_MAX ? atomic_load_explicit(&known[fd], memory_order_relaxed) :
					   KNOWN_NOT;
}

static void set(int fd, unsigned char value)
{
	if (fd >= 0 && fd < KNOWN_MAX)
		atomic_store_explicit(&known[fd], value, memory_order_relaxed);
}

static void set_marks(int fd, unsigned char value)
{
	if (fd >= 0 && fd < KNOWN_MAX)
		atomic_store_explicit(&marks[fd], value, memory_order_relaxed);
}

void known_set(int fd, const struct target *target, unsigned int value)
{
	set(fd, KNOWN_TARGET + target_number(target));
	set_marks(fd, value);
}

bool known_has(int fd, enum known_mark mark)
{
	return fd >= 0 && fd < KNOWN_MAX &&
	       (atomic_load_explicit(&marks[fd], memory_order_relaxed) & mark);
}

void known_mark(int fd, enum known_mark mark)
{
	if (fd >= 0 && fd < KNOWN_MAX)
		atomic_fetch_or_explicit(&marks[fd], mark, memory_order_relaxed);
}

void known_unmark(int fd, enum known_mark mark)
{
	if (known_has(fd, mark))
		atomic_fetch_and_explicit(&marks[fd], ~mark, memory_order_relaxed);
}

void known_clear(int fd)
{
	if (get(fd) == KNOWN_NOT)
		return;
	set(fd, KNOWN_NOT);
	set_marks(fd, 0);
	limit_set(fd, LIMIT_IN, 0);
	limit_set(fd, LIMIT_OUT, 0);
}

bool known_maybe(int fd)
{
	return get(fd) != KNOWN_NOT;
}

const struct target *known_target(int fd)
{
	unsigned char value = get(fd);
	struct manyport_info info;

	if (value >= KNOWN_TARGET)
		return target_at(value - KNOWN_TARGET);
	/* Inherited, or a duplicate: the first socket of that service. */
	return manyport_info(fd, &info) ? NULL : target_of_service(info.service);
}

/*
 * Only the module knows this call, whose number holds the size of its answer, and only a
 * character device is asked: it may be a port of any device.
 */
bool known_is_channel(int fd)
{
	struct manyport_info info;
	int error = errno;
	struct stat status;
	bool is_channel = !fstat(fd, &status) && S_ISCHR(status.st_mode) &&
			  !manyport_info(fd, &info);

	if (!is_channel) {
		known_clear(fd);
	} else if (get(fd) == KNOWN_NOT) {
		/* It may be the duplicate of one whose name is not collected. */
		set(fd, KNOWN_OTHER);
		set_marks(fd, KNOWN_PENDING);
	}
	errno = error;
	return is_channel;
}
