/* SPDX-License-Identifier: MIT */
/*
 * One direction of a connection of manyport forward: bytes from one side to the other.
 *
 * A flow reads only when it holds nothing, so a side that does not take its bytes stops the
 * flow, no more than one buffer is held, and back pressure reaches the sender. A flow is done
 * when the end was passed on, or when the side that it leads to takes no more.
 */
#ifndef FLOW_H
#define FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "loop/loop.h"

#define FLOW_BUF_SIZE (128 * 1024)

enum side_kind { SIDE_PORT, SIDE_TCP, SIDE_UNIX };

/*
 * One end of a connection. Its events are edges, so readable and writable stay set until a call
 * shows that they no longer hold: EAGAIN, or a short read of a stream, which is empty then. A short
 * read does not count where an end, an error or a mark of urgent data may have cut it short.
 */
struct side {
	struct loop_watch watch;
	int fd;				/* -1: none */
	enum side_kind kind;
	bool readable, writable, hung_up;
	bool short_is_dry;
	bool watches_room;		/* since a write first found no room */
};

void side_init(struct side *side, enum side_kind kind, int fd);
/* @ready is called with events, and gives them to side_learn(). Returns 0 or -errno. */
int side_watch(struct loop *loop, struct side *side,
	       void (*ready)(struct loop_watch *watch, uint32_t events));
void side_learn(struct side *side, uint32_t events);
/* Begins or stops to watch for room. Either way events tell what is ready at this moment, too. */
void side_watch_room(struct side *side, bool watches);
/* Stops watching the side. Returns its descriptor, which the caller now owns, or -1. */
int side_take(struct side *side);

struct flow {
	struct side *from, *to;
	char *held;			/* read and not yet written, or NULL */
	size_t held_len, held_done;
	uint64_t bytes;			/* that @to has taken */
	bool from_ended, is_done;
	bool is_dropped;		/* @to takes nothing: bytes are read and thrown away */
};

/*
 * Moves what can be moved now, up to a turn's share; @buf of FLOW_BUF_SIZE bytes is used for
 * this call only. Returns 1 when there may be more to move at once, 0, or -errno; *failed is
 * then the side whose call gave it. -EBADMSG: the client sent a descriptor.
 */
int flow_move(struct flow *flow, char *buf, struct side **failed);
/* Frees what it holds. */
void flow_forget(struct flow *flow);

#endif
