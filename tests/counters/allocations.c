// SPDX-License-Identifier: MIT
/*
 * Loaded into the daemon with LD_PRELOAD: counts what it allocates, in the file
 * $COUNT_ALLOCATIONS, where server.c looks. The daemon has one thread.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own names for what is defined here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static uint64_t early, *count = &early;

static void __attribute__((constructor)) map_count(void)
{
	const char *path = getenv("COUNT_ALLOCATIONS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		abort();
	map = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		abort();
	close(fd);
	count = map;
}

void *malloc(size_t size)
{
	++*count;
	return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	++*count;
	return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
	++*count;
	return __libc_realloc(old, size);
}
