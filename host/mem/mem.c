// SPDX-License-Identifier: MIT
/*
 * Guest memory; see mem.h.
 *
 * Every region is checked once, when it is added: it does not wrap, does not
 * overlap another one in either address space, and lies inside its file. So a
 * range that lies in a region can be turned into a pointer without a sum that
 * overflows, and an address has at most one meaning.
 *
 * The guard keeps a table of its own of all mappings in the process, of fixed
 * size, because a signal handler can neither lock nor allocate. SIGBUS is raised in the very thread
 * that touches the page, and the thread that adds and removes regions touches no guest memory while
 * it changes the table. The stores are atomic because other threads may fault at the same time.
 */

#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mem/mem.h"

/* --- The guard ---------------------------------------------------------- */

#define GUARD_MAPPINGS (4 * MEM_MAX_REGIONS)

static struct guard {
	_Atomic uintptr_t start;	/* 0: free; stored last, cleared first */
	_Atomic size_t size, page;
} guards[GUARD_MAPPINGS];
static atomic_bool guard_tripped;
static struct sigaction guard_previous;

static int guard_add(void *map, size_t size, size_t page)
{
	for (struct guard *g = guards; g < guards + GUARD_MAPPINGS; g++) {
		if (atomic_load(&g->start))
			continue;
		atomic_store(&g->size, size);
		atomic_store(&g->page, page);
		atomic_store(&g->start, (uintptr_t)map);
		return 0;
	}
	return -ENOSPC;
}

static void guard_remove(const void *map)
{
	for (struct guard *g = guards; g < guards + GUARD_MAPPINGS; g++)
		if (atomic_load(&g->start) == (uintptr_t)map)
			atomic_store(&g->start, 0);
}

/* Async-signal-safe: mmap() is a bare system call here, and errno is kept. */
static bool guard_fill(uintptr_t addr)
{
	for (struct guard *g = guards; g < guards + GUARD_MAPPINGS; g++) {
		uintptr_t start = atomic_load(&g->start);
		size_t page = atomic_load(&g->page);
		void *hole = (void *)(addr & ~((uintptr_t)page - 1));

		if (!start || addr < start || addr - start >= atomic_load(&g->size))
			continue;
		return mmap(hole, page, PROT_READ | PROT_WRITE,
			    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
	}
	return false;
}

static void guard_handler(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	/* si_code above 0: raised by an access, not sent by a process. */
	if (info->si_code > 0 && guard_fill((uintptr_t)info->si_addr)) {
		atomic_store(&guard_tripped, true);
	} else {
		/* Not in a region: the access faults again, and meets the earlier handler. */
		sigaction(sig, &guard_previous, NULL);
		if (info->si_code <= 0)
			raise(sig);
	}
	errno = saved;
}

int mem_guard_install(void)
{
	struct sigaction action = { .sa_sigaction = guard_handler, .sa_flags = SA_SIGINFO };
	struct sigaction previous;

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, NULL, &previous) < 0)
		return -errno;
	if ((previous.sa_flags & SA_SIGINFO) && previous.sa_sigaction == guard_handler)
		return 0;
	guard_previous = previous;
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

bool mem_guard_tripped(void)
{
	return atomic_exchange(&guard_tripped, false);
}

bool mem_guard_is_tripped(void)
{
	return atomic_load(&guard_tripped);
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/*
 * To populate what only a SIGBUS would answer is EFAULT, and of a page that is bad EHWPOISON. A
 * kernel before 5.14 does not know it: then the hole is noticed when it is touched.
 */
void mem_guard_probe(const struct iovec *iov, int count)
{
	uintptr_t page = sysconf(_SC_PAGESIZE);

	for (int i = 0; i < count; i++) {
		uintptr_t start = (uintptr_t)iov[i].iov_base & ~(page - 1);
		uintptr_t end = (uintptr_t)iov[i].iov_base + iov[i].iov_len;

		if (madvise((void *)start, end - start, MADV_POPULATE_READ) == 0 ||
		    errno != EFAULT)
			continue;
		atomic_store(&guard_tripped, true);
		return;
	}
}

/* --- Regions ------------------------------------------------------------ */

void mem_init(struct mem *mem)
{
	mem->count = 0;
}

static bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static bool wraps(uint64_t start, uint64_t size)
{
	uint64_t end;

	return __builtin_add_overflow(start, size, &end);
}

/* Every sum that is ever made of a region's fields fits after this. */
static int check_region(const struct mem *mem, const struct mem_region *r)
{
	if (!r->size || wraps(r->guest, r->size) || wraps(r->user, r->size) ||
	    wraps(r->fd_offset, r->size) || r->fd_offset + r->size > INT64_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct mem_region *other = &mem->regions[i];

		if (ranges_overlap(r->guest, r->size, other->guest, other->size) ||
		    ranges_overlap(r->user, r->size, other->user, other->size))
			return -EINVAL;
	}
	return 0;
}

/*
 * The page size of @fd's mappings, or -EINVAL when the file is too short. A
 * device (DAX memory) has no size to check: its mmap() does.
 */
static long check_file(int fd, const struct mem_region *r)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < r->fd_offset + r->size)
		return -EINVAL;
	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
		return fs.f_bsize;
	return sysconf(_SC_PAGESIZE);
}

/* mmap() wants whole pages: the mapping may begin before the region and end after it. */
static int map_region(struct mem_region *r, int fd)
{
	long page = check_file(fd, r);
	uint64_t skip;
	int ret;

	if (page < 0)
		return page;
	skip = r->fd_offset & (page - 1);
	r->map_size = (skip + r->size + page - 1) & ~((uint64_t)page - 1);
	r->map = mmap(NULL, r->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		      r->fd_offset - skip);
	if (r->map == MAP_FAILED)
		return -errno;
	r->host = (uint8_t *)r->map + skip;
	ret = guard_add(r->map, r->map_size, page);
	if (ret < 0) {
		munmap(r->map, r->map_size);
		return ret;
	}
	/* A core file of the daemon holds no guest memory. Not every mapping can say so. */
	madvise(r->map, r->map_size, MADV_DONTDUMP);
	/* Nor does a process that is forked from it: that would hold the memory too. */
	madvise(r->map, r->map_size, MADV_DONTFORK);
	return 0;
}

static void unmap_region(struct mem_region *r)
{
	guard_remove(r->map);
	munmap(r->map, r->map_size);
}

int mem_add(struct mem *mem, uint64_t guest, uint64_t user, uint64_t size, uint64_t fd_offset,
	    int fd)
{
	struct mem_region r = {
		.guest = guest, .user = user, .size = size, .fd_offset = fd_offset,
	};
	unsigned int at = 0;
	int ret;

	if (mem->count == MEM_MAX_REGIONS)
		return -ENOSPC;
	ret = check_region(mem, &r);
	if (ret < 0)
		return ret;
	ret = map_region(&r, fd);
	if (ret < 0)
		return ret;
	while (at < mem->count && mem->regions[at].guest < guest)
		at++;
	memmove(&mem->regions[at + 1], &mem->regions[at],
		(mem->count - at) * sizeof(mem->regions[0]));
	mem->regions[at] = r;
	mem->count++;
	return 0;
}

int mem_remove(struct mem *mem, uint64_t guest, uint64_t user, uint64_t size)
{
	for (unsigned int i = 0; i < mem->count; i++) {
		struct mem_region *r = &mem->regions[i];

		if (r->guest != guest || r->user != user || r->size != size)
			continue;
		unmap_region(r);
		mem->count--;
		memmove(r, r + 1, (mem->count - i) * sizeof(*r));
		return 0;
	}
	return -ENOENT;
}

void mem_clear(struct mem *mem)
{
	for (unsigned int i = 0; i < mem->count; i++)
		unmap_region(&mem->regions[i]);
	mem->count = 0;
}

/* --- Addresses ---------------------------------------------------------- */

/* No sum: @addr - @start cannot underflow after the first test. */
static bool lies_in(uint64_t addr, uint64_t len, uint64_t start, uint64_t size)
{
	return addr >= start && len <= size && addr - start <= size - len;
}

/* The region in which @addr lies, or NULL: a search by halves, which a handful does not notice. */
static const struct mem_region *region_of(const struct mem *mem, uint64_t addr)
{
	const struct mem_region *r = mem->regions;

	for (unsigned int left = mem->count; left > 1; left -= left / 2)
		r = r[left / 2].guest <= addr ? r + left / 2 : r;
	return mem->count && lies_in(addr, 1, r->guest, r->size) ? r : NULL;
}

/* The region that begins where @r ends, or NULL: the one with @addr, if a range goes on there. */
static const struct mem_region *next_region(const struct mem *mem, const struct mem_region *r)
{
	const struct mem_region *next = r + 1;

	return next < mem->regions + mem->count && next->guest == r->guest + r->size ? next : NULL;
}

void *mem_at(const struct mem *mem, gpa_t addr, uint64_t len)
{
	const struct mem_region *r = region_of(mem, addr.value);

	if (!len || !r || !lies_in(addr.value, len, r->guest, r->size))
		return NULL;
	return r->host + (addr.value - r->guest);
}

void *mem_at_user(const struct mem *mem, uint64_t user, uint64_t len)
{
	if (!len)
		return NULL;
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct mem_region *r = &mem->regions[i];

		if (lies_in(user, len, r->user, r->size))
			return r->host + (user - r->user);
	}
	return NULL;
}

int mem_iov(const struct mem *mem, gpa_t addr, uint64_t len, struct iovec *iov, int max)
{
	const struct mem_region *r = region_of(mem, addr.value);
	uint64_t skip = r ? addr.value - r->guest : 0;
	int n = 0;

	for (; r && len; r = next_region(mem, r), skip = 0) {
		uint64_t part = r->size - skip < len ? r->size - skip : len;

		if (n == max)
			return -E2BIG;
		iov[n].iov_base = r->host + skip;
		iov[n].iov_len = part;
		n++;
		len -= part;
	}
	return len ? -EFAULT : n;
}

uint64_t mem_reach(const struct mem *mem, gpa_t addr, uint64_t len)
{
	const struct mem_region *r = region_of(mem, addr.value);
	uint64_t reach = 0;

	for (uint64_t skip = r ? addr.value - r->guest : 0; r && reach < len; skip = 0) {
		reach += r->size - skip;
		r = next_region(mem, r);
	}
	return reach < len ? reach : len;
}
