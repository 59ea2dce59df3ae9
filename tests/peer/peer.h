/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front end and the memory of its guest, without manners: it
 * sends what it is told to, and writes whatever it likes into its rings.
 *
 * Made for one attack in a process of its own: a call that fails ends the
 * process, and nothing is freed. Only what an attack may provoke is returned.
 */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "vhost/wire.h"

#define PEER_MAX_QUEUES	 64
#define PEER_RING_SIZE	 512
#define PEER_RING_STRIDE 0x10000	/* of memory, for each queue */
#define PEER_MEM_SIZE	 (24u << 20)
#define PEER_DATA	 (PEER_MAX_QUEUES * PEER_RING_STRIDE)	/* where buffers begin */
#define PEER_GUEST	 0x100000000ULL		/* guest address of the memory */
#define PEER_USER	 0x7f1000000000ULL	/* the front end's address of it */
#define PEER_WAIT_MS	 60000			/* for an answer that must come */

#define FAIL(...) do {								\
	printf("# %s:%d: ", __FILE__, __LINE__);				\
	printf(__VA_ARGS__);							\
	printf("\n");								\
	exit(1);								\
} while (0)

#define CHECK(condition) do {							\
	if (!(condition))							\
		FAIL("not true: %s", #condition);				\
} while (0)

struct peer_queue {
	unsigned int index;
	uint16_t size;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	int kick, call, error;
	uint16_t last_used;
	uint16_t free[PEER_RING_SIZE], free_count;	/* descriptors */
	uint16_t next[PEER_RING_SIZE];			/* our own copy of the chains */
	bool added[PEER_RING_SIZE];			/* by peer_add(): a head that is out */
};

struct peer {
	const char *path;
	int sock;
	int memfd;
	uint8_t *mem;
	uint32_t brk;			/* first unused byte of memory */
	uint64_t features;		/* acknowledged */
	uint64_t protocol_features;
	unsigned int queue_count;
	struct peer_queue queues[PEER_MAX_QUEUES];
};

struct peer_reply {
	struct vhost_user_header header;
	uint8_t payload[4096];
};

/* --- Connection and messages -------------------------------------------- */

/* Connects and makes memory; nothing is said. */
struct peer *peer_open(const char *path);
/* As above on an existing peer: a second connection to the same daemon. */
int peer_connect(const char *path);
void peer_close(struct peer *peer);

/* Each returns false when the daemon has closed the connection. */
bool peer_send_raw(struct peer *peer, const void *buf, size_t len, const int *fds, int count);
bool peer_send(struct peer *peer, uint32_t request, uint32_t flags, const void *payload,
	       uint32_t size, const int *fds, int count);
bool peer_receive(struct peer *peer, struct peer_reply *reply);

/* A message with NEED_REPLY. Returns 0 (done), 1 (refused) or -1 (connection closed). */
int peer_ask(struct peer *peer, uint32_t request, const void *payload, uint32_t size,
	     const int *fds, int count);
int peer_ask_u64(struct peer *peer, uint32_t request, uint64_t value, int fd);
int peer_ask_state(struct peer *peer, uint32_t request, uint32_t index, uint32_t num);
/* GET_VRING_BASE, which stops the queue. Returns the index to continue from, or -1: closed. */
int peer_stop_queue(struct peer *peer, uint32_t index);
uint64_t peer_get_u64(struct peer *peer, uint32_t request);

/* The connection ends, or must be seen to have ended, now. */
void peer_expect_closed(struct peer *peer);

/* --- Setting up, in order ----------------------------------------------- */

/* Leaves out the virtio features in @without. */
void peer_negotiate(struct peer *peer, uint64_t without);
void peer_share_memory(struct peer *peer);
void peer_init_queue(struct peer *peer, unsigned int index, uint16_t size);
struct vhost_user_vring_addr peer_ring_addr(const struct peer *peer, unsigned int index);
void peer_start_queue(struct peer *peer, unsigned int index);

/* --- Memory and rings --------------------------------------------------- */

/* @len fresh bytes; a multiple of 16. Returns their offset. */
uint32_t peer_alloc(struct peer *peer, uint32_t len);
static inline uint64_t peer_gpa(uint64_t offset)
{
	return PEER_GUEST + offset;
}

/* One descriptor, as it is written. */
void peer_desc(struct peer_queue *queue, uint16_t index, uint64_t addr, uint32_t len,
	       uint16_t flags, uint16_t next);
/* Makes @head visible; kicks. */
void peer_avail(struct peer_queue *queue, uint16_t head);
void peer_kick(struct peer_queue *queue);

struct peer_segment {
	uint64_t gpa;
	uint32_t len;
};

/* A proper chain: @readable segments, then @writable ones. Returns its head. */
uint16_t peer_add(struct peer_queue *queue, const struct peer_segment *segments,
		  unsigned int readable, unsigned int writable);
/*
 * The next used entry. Returns its head or -1. The descriptors of one that peer_add() made are
 * free again; others are the attack's own.
 */
int peer_take_used(struct peer_queue *queue, uint32_t *len);
/* As above; waits up to @ms, less if the connection ends or the device breaks. */
int peer_wait_used(struct peer *peer, struct peer_queue *queue, uint32_t *len, int ms);

/* Waits until one of the two happened: the device is broken, or the session is over. */
void peer_expect_broken(struct peer *peer);
/* Did the daemon signal an error since the last look? */
bool peer_is_broken(struct peer *peer);

uint64_t peer_now_ms(void);

#endif
