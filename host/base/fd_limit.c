// SPDX-License-Identifier: MIT
#include <sys/resource.h>

#include "base/fd_limit.h"

/* Before fd_limit_init(), as in most tests, nothing is kept. */
static rlim_t low, high;

static void set_limit(rlim_t count)
{
	struct rlimit limit = { .rlim_cur = count, .rlim_max = high };

	setrlimit(RLIMIT_NOFILE, &limit);
}

unsigned long fd_limit_init(unsigned int reserve)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	high = limit.rlim_max;
	/* Where there are so few, some services are better than none. */
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
