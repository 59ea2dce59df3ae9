/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: the only door to the guest's pages.
 *
 * A guest address is a type of its own (gpa_t). Only this file turns it into
 * a pointer, and always together with a length that lies inside one region.
 * No code keeps such a pointer beyond the handling of one event.
 */
#ifndef HOST_MEM_MEM_H
#define HOST_MEM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct { uint64_t value; } gpa_t;

static inline gpa_t gpa(uint64_t value) { return (gpa_t){ value }; }

/* As many as QEMU asks for at most; back ends made with libvhost-user have 509. */
#define MEM_MAX_REGIONS 512

struct mem_region {
	uint64_t guest;		/* guest-physical address of the first byte */
	uint64_t user;		/* the front end's virtual address of the same */
	uint64_t size;		/* bytes */
	uint64_t fd_offset;	/* where in the file descriptor it starts */
	uint8_t *host;		/* our mapping of the first byte */
	void *map;		/* what munmap() wants: may start before host */
	size_t map_size;
};

struct mem {
	unsigned int count;
	struct mem_region regions[MEM_MAX_REGIONS];	/* sorted by guest */
};

void mem_init(struct mem *mem);

/*
 * Maps one region from @fd (which stays the caller's). Returns 0, -EINVAL
 * (zero size, wrap, overlap, offset beyond the file), -ENOSPC (too many),
 * or what mmap() said.
 */
int mem_add(struct mem *mem, uint64_t guest, uint64_t user, uint64_t size, uint64_t fd_offset,
	    int fd);

/* Unmaps the region with exactly these addresses. Returns 0 or -ENOENT. */
int mem_remove(struct mem *mem, uint64_t guest, uint64_t user, uint64_t size);

void mem_clear(struct mem *mem);

/* The host pointer for @len bytes (1 or more) at @addr in one region, or NULL. */
void *mem_at(const struct mem *mem, gpa_t addr, uint64_t len);

/* As mem_at(), for an address of the front end's address space. */
void *mem_at_user(const struct mem *mem, uint64_t user, uint64_t len);

/*
 * Appends iovecs for @len bytes at @addr; a range may cross adjacent regions.
 * Returns how many were appended (0 for no bytes), -EFAULT (not guest memory), -E2BIG (@max).
 */
int mem_iov(const struct mem *mem, gpa_t addr, uint64_t len, struct iovec *iov, int max);

/* How many of the @len bytes at @addr are guest memory, from the first one on. */
uint64_t mem_reach(const struct mem *mem, gpa_t addr, uint64_t len);

/*
 * Truncated guest memory: a front end may shrink the file under our mapping,
 * and the next access raises SIGBUS. mem_guard_install() takes the signal over for
 * the process; the handler puts an anonymous page in the hole so that the
 * access ends, and marks it. mem_guard_tripped() tells, once, that this
 * happened: the session must end. A SIGBUS outside any region is fatal as usual.
 */
int mem_guard_install(void);
bool mem_guard_tripped(void);
/* As above, and it will still be told. */
bool mem_guard_is_tripped(void);
/*
 * The kernel could not reach a part of @iov, which lies in regions: it raises no signal then, but
 * says EFAULT. Where the file is too short that is marked as if the caller had touched the hole.
 */
void mem_guard_probe(const struct iovec *iov, int count);

#endif
