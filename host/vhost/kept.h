/* SPDX-License-Identifier: MIT */
/*
 * All that is known of the front end, in memory that outlives the program, and the process where
 * there is a holder (keep/keep.h).
 *
 * The session and its rings work on this memory: there is no second copy that could be late. So at
 * any instruction it is what a successor goes on with (adopt.h), after a crash as after a planned
 * restart:
 *
 * - A descriptor is held before its number is here, and dropped when its number is here no more.
 *   What is held without being named was on its way, and the successor drops it.
 * - A message of the front end is here, with its descriptors, before it is acted on; enum kept_step
 *   says how far that has come. Acting twice is acting once (request.c).
 * - A table of regions is complete before one store in kept_use_regions() makes it count.
 */
#ifndef HOST_VHOST_KEPT_H
#define HOST_VHOST_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "device/kept.h"
#include "mem/mem.h"
#include "vhost/message.h"

struct inflight;
struct keep;

#define KEPT_MAGIC	"mpkept\r\n"	/* 8 bytes, in all versions */
#define KEPT_VERSION	2	/* 1: room for 32 regions in a table, and else the same */
#define KEPT_QUEUES	(2 * (DEVICE_KEPT_PORTS + 1))

enum kept_step {
	KEPT_IDLE,		/* between two messages: what was looked at is looked at again */
	KEPT_RECORDED,		/* to be taken from the socket, and acted on */
	KEPT_ANSWERED,		/* the reply is recorded, and to be sent */
	/*
	 * The reply is being sent. Whether it was, nothing tells: a successor that finds this ends
	 * the session.
	 */
	KEPT_SENDING,
};

struct kept_region {
	uint64_t guest, user, size, fd_offset;
	uint32_t number, reserved;
};

struct kept_regions {
	uint32_t count, reserved;
	struct kept_region regions[MEM_MAX_REGIONS];
};

struct kept_ring {
	uint64_t desc, avail, used;	/* in the front end's address space */
	uint16_t size, base;		/* base: where to continue, while it does not run */
	uint8_t enabled, has_addr, held;	/* held: paused by NUM or BASE */
	uint8_t running;		/* inflight says what is out, and so where to continue */
	uint32_t kick, call, error;	/* numbers */
	uint32_t reserved;
};

struct kept_reply {
	struct vhost_user_header header;
	union {
		uint64_t u64;
		struct vhost_user_vring_state state;
		struct vhost_user_config config;
	} payload;
};

struct kept_state {
	char magic[8];
	uint32_t version;
	uint32_t queue_count;
	uint32_t socket;		/* number; 0: there is no front end, or no holder */
	uint32_t backend;		/* number */
	uint64_t features;		/* of virtio, and bit 30 */
	uint64_t protocol_features;
	uint8_t status;			/* of the virtio device, as the front end set it */
	uint8_t broken;			/* the device is: no ring runs until its reset */
	uint8_t has_spoken;		/* a whole message has come */
	uint8_t step;			/* enum kept_step */
	uint32_t which;			/* of the two tables counts */
	struct kept_regions tables[2];
	struct message message;		/* the one that is being received, or dealt with */
	struct kept_reply reply;
	struct device_kept device;
	struct kept_ring rings[KEPT_QUEUES];
};

struct kept {
	struct keep *keep;		/* NULL: nothing is held (any more) */
	uint32_t number;		/* of the memory itself */
	struct kept_state *state;
};

/*
 * @keep outlives this; NULL: for tests. Takes over what an earlier process or program has left with
 * it, if that is of a version that this one knows. Returns NULL with errno set.
 */
struct kept *kept_create(struct keep *keep);
/* Can what a program of @version has left be taken over? */
bool kept_knows_version(uint64_t version);
/* Is there a front end in it that a successor can go on with? */
static inline bool kept_has_front_end(const struct kept *kept)
{
	return kept->state->socket;
}
/* How many queues it has; 0: there is none, or it makes no sense. */
unsigned int kept_queues(const struct kept *kept);

/* The front end is gone. Accepts NULL. */
void kept_destroy(struct kept *kept);

/*
 * For a successor: all that is here stays as it is, and this process goes on with a copy of its
 * own, at the same address. kept_has_front_end(). Returns 0 or -errno.
 */
int kept_leave(struct kept *kept);

/* The front end is gone, or another one comes: nothing is held. The device's part stays. */
void kept_clear(struct kept *kept);

/* Where the ring of @queue marks what is out. */
struct inflight *kept_inflight(const struct kept *kept, unsigned int queue);

/*
 * Holds @fd for the slot that the number is put into next: once, however many slots name its file.
 * A holder that has no room is given up for good: the front end will not outlive this process.
 * Returns 0 where nothing is held: not even a planned restart is possible then.
 */
uint32_t kept_hold(struct kept *kept, int fd);
/* Drops @number if nothing names it. */
void kept_drop(struct kept *kept, uint32_t number);
/* *@slot is @number from now on; drops the one that was there, if nothing names it any more. */
void kept_put(struct kept *kept, uint32_t *slot, uint32_t number);

static inline struct kept_regions *kept_regions(struct kept_state *state)
{
	return &state->tables[state->which];
}

/* Room for the next table. */
static inline struct kept_regions *kept_next_regions(struct kept_state *state)
{
	return &state->tables[!state->which];
}

/* The next table counts; drops what only the one before names. */
void kept_use_regions(struct kept *kept);

/* Everything that was stored before is there when this is. */
static inline void kept_set_step(struct kept_state *state, enum kept_step step)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(volatile uint8_t *)&state->step = step;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Could a session have left this, for a device with @queues queues? Looks at counts and sizes. */
bool kept_is_valid(const struct kept_state *state, unsigned int queues);

#endif
