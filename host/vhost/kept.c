// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <manyport/wire.h>

#include "base/log.h"
#include "keep/keep.h"
#include "ring/inflight.h"
#include "ring/ring.h"
#include "vhost/kept.h"

#define PAGE		4096UL
#define ROUND(size)	(((size) + PAGE - 1) & ~(PAGE - 1))
#define STATE_BYTES	STATE_BYTES_OF(MEM_MAX_REGIONS)
#define RING_BYTES	ROUND(INFLIGHT_BYTES(RING_MAX_SIZE))
/* Sparse: a ring has as many pages as it has entries. */
#define KEPT_BYTES	(STATE_BYTES + KEPT_QUEUES * RING_BYTES)

/* A table with room for @regions, and the state and the memory with two such tables. */
#define TABLE_BYTES(regions) \
	(sizeof(struct kept_regions) - \
	 (MEM_MAX_REGIONS - (regions)) * sizeof(struct kept_region))
#define STATE_BYTES_OF(regions) \
	ROUND(sizeof(struct kept_state) - \
	      2 * (sizeof(struct kept_regions) - TABLE_BYTES(regions)))
#define SEALS		(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

_Static_assert(sizeof(KEPT_MAGIC) == sizeof(((struct kept_state *)0)->magic) + 1, "8 bytes");

/* --- Numbers ----------------------------------------------------------------------- */

static bool is_named(struct kept_state *state, uint32_t number)
{
	const struct kept_regions *table = kept_regions(state);

	if (number == state->socket || number == state->backend)
		return true;
	for (unsigned int i = 0; i < KEPT_QUEUES; i++) {
		const struct kept_ring *ring = &state->rings[i];

		if (number == ring->kick || number == ring->call || number == ring->error)
			return true;
	}
	for (unsigned int i = 0; i < table->count; i++)
		if (number == table->regions[i].number)
			return true;
	for (unsigned int i = 0; i < MESSAGE_MAX_FDS; i++)
		if (number == state->message.numbers[i])
			return true;
	return false;
}

void kept_drop(struct kept *kept, uint32_t number)
{
	if (kept->keep && number && !is_named(kept->state, number))
		keep_drop(kept->keep, number);
}

void kept_put(struct kept *kept, uint32_t *slot, uint32_t number)
{
	uint32_t before = *slot;

	*(volatile uint32_t *)slot = number;
	kept_drop(kept, before);
}

void kept_use_regions(struct kept *kept)
{
	struct kept_regions *before = kept_regions(kept->state);

	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(volatile uint32_t *)&kept->state->which = !kept->state->which;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < before->count; i++)
		kept_drop(kept, before->regions[i].number);
	before->count = 0;
}

/* @act for each place of a number. The socket first: it counts. */
static void for_each_number(struct kept *kept, void (*act)(struct kept *kept, uint32_t *slot))
{
	struct kept_state *state = kept->state;

	act(kept, &state->socket);
	act(kept, &state->backend);
	for (unsigned int i = 0; i < KEPT_QUEUES; i++) {
		act(kept, &state->rings[i].kick);
		act(kept, &state->rings[i].call);
		act(kept, &state->rings[i].error);
	}
	for (unsigned int i = 0; i < MEM_MAX_REGIONS; i++) {
		act(kept, &state->tables[0].regions[i].number);
		act(kept, &state->tables[1].regions[i].number);
	}
	for (unsigned int i = 0; i < MESSAGE_MAX_FDS; i++)
		act(kept, &state->message.numbers[i]);
}

static void drop(struct kept *kept, uint32_t *slot)
{
	if (kept->keep)
		keep_drop(kept->keep, *slot);
	*slot = 0;
}

/* Whatever the counts say: what is here may be another process's. */
static void drop_all(struct kept *kept)
{
	for_each_number(kept, drop);
}

void kept_clear(struct kept *kept)
{
	struct kept_state *state = kept->state;

	drop_all(kept);
	state->queue_count = 0;
	state->features = 0;
	state->protocol_features = 0;
	state->status = 0;
	state->broken = false;
	state->has_spoken = false;
	state->step = KEPT_IDLE;
	state->which = 0;
	memset(state->tables, 0, sizeof(state->tables));
	memset(&state->message, 0, sizeof(state->message));
	memset(&state->reply, 0, sizeof(state->reply));
	memset(state->rings, 0, sizeof(state->rings));
}

/* Without memory or descriptors to hold it at all. */
static uint32_t give_up(struct kept *kept)
{
	log_warning("front end: its descriptors cannot be held (%s): it ends with this program",
		    strerror(errno));
	keep_drop(kept->keep, kept->number);
	kept->number = 0;
	drop_all(kept);
	kept->keep = NULL;
	return 0;
}

/* Returns 0 with errno set. */
static uint32_t hold(struct kept *kept, int fd, uint32_t (*how)(struct keep *keep, int fd))
{
	uint32_t number = how(kept->keep, fd);

	if (number || keep_is_alone(kept->keep))
		return number;
	log_warning("front end: its descriptors cannot be held (%s): it ends with this process",
		    errno ? strerror(errno) : "the holder takes no more");
	keep_be_alone(kept->keep);
	return how(kept->keep, fd);
}

uint32_t kept_hold(struct kept *kept, int fd)
{
	uint32_t number = kept->keep ? hold(kept, fd, keep_hold) : 0;

	if (kept->keep && !number)
		return give_up(kept);
	/* It counts how often; here that is once, however many slots name the file. */
	if (number && is_named(kept->state, number))
		keep_drop(kept->keep, number);
	return number;
}

/* --- Memory ---------------------------------------------------------------------- */

static int make_file(void)
{
	int fd = memfd_create("manyport-front-end", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, KEPT_BYTES) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return fd;
	close(fd);
	return -errno;
}

/* @fd may be -1. */
static struct kept_state *map(int fd, size_t size)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);

	if (at == MAP_FAILED)
		return NULL;
	/* No process that is forked writes into it. */
	madvise(at, size, MADV_DONTFORK);
	return at;
}

struct inflight *kept_inflight(const struct kept *kept, unsigned int queue)
{
	return (void *)((uint8_t *)kept->state + STATE_BYTES + queue * RING_BYTES);
}

/* --- What an earlier program has left: of our version, or of an older one ----------- */

struct found {
	struct kept_state *state;	/* ours up to the tables; NULL: nothing was found */
	unsigned int regions;		/* for which a table has room */
	size_t size;
};

/* For how many regions a table has room: all in which versions differ; 0: unknown. */
static unsigned int version_regions(uint64_t version)
{
	return version == KEPT_VERSION ? MEM_MAX_REGIONS : version == 1 ? 32 : 0;
}

bool kept_knows_version(uint64_t version)
{
	return version_regions(version);
}

/* A file that keeps its size. */
static struct found map_found(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);	/* -1 of a file that can have none */
	struct found found = { 0 };
	struct stat st;
	uint32_t version = 0;

	if (pread(fd, &version, sizeof(version), offsetof(struct kept_state, version)) < 0)
		return found;
	if (!kept_knows_version(version)) {
		log_warning("front end: a manyportd of another version has left it (%u, this one "
			    "knows %u); its session ends", version, KEPT_VERSION);
		return found;
	}
	found.regions = version_regions(version);
	found.size = STATE_BYTES_OF(found.regions) + KEPT_QUEUES * RING_BYTES;
	if (fstat(fd, &st) < 0 || st.st_size != (off_t)found.size ||
	    seals < 0 || (seals & SEALS) != SEALS) {
		log_warning("front end: what an earlier manyportd has left cannot be used; its "
			    "session ends");
		return found;
	}
	found.state = map(fd, found.size);
	if (!found.state)
		log_warning("front end: cannot be taken over: %s", strerror(errno));
	return found;
}

/* Around the tables the versions are the same. Our own state has been 0 until now. */
static void copy_state(struct kept_state *to, const struct found *found)
{
	const uint8_t *from = (const uint8_t *)found->state;

	memcpy(to, from, offsetof(struct kept_state, tables));
	from += offsetof(struct kept_state, tables);
	for (unsigned int i = 0; i < 2; i++) {
		memcpy(&to->tables[i], from, TABLE_BYTES(found->regions));
		from += TABLE_BYTES(found->regions);
	}
	memcpy(&to->message, from, sizeof(*to) - offsetof(struct kept_state, message));
}

/* Of a ring's area what the ring uses, so that the copy stays sparse, too. */
static void copy(struct kept *kept, const struct found *found)
{
	const uint8_t *from = (const uint8_t *)found->state + STATE_BYTES_OF(found->regions);

	copy_state(kept->state, found);
	for (unsigned int i = 0; i < KEPT_QUEUES; i++) {
		unsigned int size = kept->state->rings[i].size;

		if (size && size <= RING_MAX_SIZE)
			memcpy(kept_inflight(kept, i), from + i * RING_BYTES, INFLIGHT_BYTES(size));
	}
}

/*
 * What was left may name any number that is held, and those that this process is to give. As the
 * guest's memory our own state would be the guest's to write.
 */
static void disown(struct kept *kept, uint32_t *slot)
{
	if (kept->keep && keep_is_own(kept->keep, *slot))
		*slot = 0;
}

/* @found: what the memory is to have from the moment in which it is held, or NULL. */
static int make(struct kept *kept, const struct found *found)
{
	int fd = kept->keep ? make_file() : -1;

	if (kept->keep && fd < 0)
		return fd;
	kept->state = map(fd, KEPT_BYTES);
	if (!kept->state) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	if (found)
		copy(kept, found);
	memcpy(kept->state->magic, KEPT_MAGIC, sizeof(kept->state->magic));
	kept->state->version = KEPT_VERSION;
	if (fd >= 0) {
		kept->number = hold(kept, fd, keep_hold_state);
		if (!kept->number)
			give_up(kept);
		close(fd);
	}
	return 0;
}

/*
 * Goes on with a copy of what was left: the process that left it may have been the guest's, and
 * have given the file to others, to the guest itself as memory. What is looked at must not change
 * behind the look. The older file goes when the copy is held; until something is changed either
 * will do for a successor. Returns 1, 0: nothing was left that can be used, or -errno.
 */
static int find(struct kept *kept)
{
	struct keep *keep = kept->keep;	/* make() may find that it can hold nothing */
	uint32_t number = keep ? keep_find(keep, KEPT_MAGIC) : 0;
	int fd = number ? keep_take(keep, number) : -1, ret;
	struct found found;

	if (fd < 0)
		return 0;
	found = map_found(fd);
	close(fd);
	ret = found.state ? make(kept, &found) : 0;
	if (found.state && !ret)
		for_each_number(kept, disown);
	/* A holder that could not be told to drop it must not show it to a later program. */
	if (found.state && !ret && keep_is_alone(keep))
		found.state->socket = 0;
	keep_drop(keep, number);
	if (found.state)
		munmap(found.state, found.size);
	return found.state && !ret ? 1 : ret;
}

struct kept *kept_create(struct keep *keep)
{
	struct kept *kept = calloc(1, sizeof(*kept));
	int ret;

	if (!kept)
		return NULL;
	kept->keep = keep;
	ret = find(kept);
	if (ret >= 0)
		ret = ret ? 0 : make(kept, NULL);
	/* Between two front ends there is nothing to go on with. */
	if (ret == 0 && !kept->state->socket) {
		kept_clear(kept);
		memset(&kept->state->device, 0, sizeof(kept->state->device));
	}
	if (ret == 0)
		return kept;
	free(kept);
	errno = -ret;
	return NULL;
}

void kept_destroy(struct kept *kept)
{
	if (!kept)
		return;
	kept_clear(kept);
	if (kept->keep)
		keep_drop(kept->keep, kept->number);
	munmap(kept->state, KEPT_BYTES);
	free(kept);
}

int kept_leave(struct kept *kept)
{
	int fd = keep_take(kept->keep, kept->number);
	void *own;

	if (fd < 0)
		return -errno;
	/* What is not written yet is read from the file, which no process writes any more. */
	own = mmap(kept->state, KEPT_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0);
	close(fd);
	if (own == MAP_FAILED)
		return -errno;
	kept->keep = NULL;
	return 0;
}

/* --- What an earlier process has left ---------------------------------------------- */

static bool ring_is_valid(const struct kept_ring *ring)
{
	/* A size of 0: none was said. */
	return ring->size <= RING_MAX_SIZE && !(ring->size & (ring->size - 1)) &&
	       ring->enabled <= 1 && ring->has_addr <= 1 && ring->held <= 1 && ring->running <= 1;
}

static bool message_is_valid(const struct kept_state *state)
{
	const struct vhost_user_header *reply = &state->reply.header;

	if (state->message.fd_count > MESSAGE_MAX_FDS)
		return false;
	switch (state->step) {
	case KEPT_IDLE:
		return true;
	case KEPT_ANSWERED:
	case KEPT_SENDING:
		return message_is_whole(&state->message) &&
		       reply->size <= sizeof(state->reply.payload);
	case KEPT_RECORDED:
		return message_is_whole(&state->message);
	default:
		return false;
	}
}

unsigned int kept_queues(const struct kept *kept)
{
	uint32_t count = kept_has_front_end(kept) ? kept->state->queue_count : 0;

	return count >= MP_QUEUES(1) && count <= KEPT_QUEUES && !(count & 1) ? count : 0;
}

bool kept_is_valid(const struct kept_state *state, unsigned int queues)
{
	if (state->queue_count != queues || queues > KEPT_QUEUES || state->which > 1 ||
	    state->tables[0].count > MEM_MAX_REGIONS || state->tables[1].count > MEM_MAX_REGIONS ||
	    state->broken > 1 || state->has_spoken > 1 || !message_is_valid(state))
		return false;
	for (unsigned int i = 0; i < KEPT_QUEUES; i++)
		if (!ring_is_valid(&state->rings[i]))
			return false;
	return true;
}
