// SPDX-License-Identifier: MIT
#include <sys/resource.h>

#include "base/fd_limit.h"
#include "base/record.h"

/* Both are 0, and there is no reserve, until fd_limit_init(): most tests do not call it. */
static rlim_t low, high;
static struct rlimit original;		/* 0: as it is now */

static void set_limit(rlim_t count)
{
	struct rlimit limit = { .rlim_cur = count, .rlim_max = high };

	setrlimit(RLIMIT_NOFILE, &limit);
}

void fd_limit_original(struct rlimit *limit)
{
	if (original.rlim_max)
		*limit = original;
	else
		getrlimit(RLIMIT_NOFILE, limit);
}

void fd_limit_hand_over(struct record *record)
{
	struct rlimit limit;

	fd_limit_original(&limit);
	original.rlim_cur = record_number(record, limit.rlim_cur, RLIM_INFINITY);
	original.rlim_max = record_number(record, limit.rlim_max, RLIM_INFINITY);
	/* Until fd_limit_init(): what comes first is the front end. */
	if (record_is_reading(record) && !getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

unsigned long fd_limit_init(unsigned int reserve)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	fd_limit_original(&original);
	high = limit.rlim_max;
	/* If the reserve would take more than half, channels keep half: better than no service. */
	low = reserve < high / 2 ? high - reserve : high - high / 2;
	set_limit(low);
	return low;
}

void fd_limit_open_reserve(void)
{
	if (high)
		set_limit(high);
}

void fd_limit_close_reserve(void)
{
	if (high)
		set_limit(low);
}
