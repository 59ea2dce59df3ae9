/* SPDX-License-Identifier: MIT */
/*
 * The channel of one open of the node, with the contract of the module's node: protocol.md 4.7 and
 * 7.5, include/manyport/ioctl.h. No call waits.
 */
#ifndef SERVE_OPEN_H
#define SERVE_OPEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <manyport/ioctl.h>

#include "loop/loop.h"
#include "server.h"

/*
 * OPEN_UNNAMED:	no pair yet.
 * OPEN_NAMING:		the client was told the name; its answer will be the pair's first bytes.
 * OPEN_CONNECTED:	bytes move once the outcome was collected.
 * OPEN_REFUSED:	outcome says why; no pair. The connect ioctl may name again.
 * OPEN_ABORTED:	no pair.
 */
enum open_phase { OPEN_UNNAMED, OPEN_NAMING, OPEN_CONNECTED, OPEN_REFUSED, OPEN_ABORTED };

struct serve_open {
	struct serve *serve;
	/* Something changed, or may have. From the loop, never from a call below. */
	void (*changed)(struct serve_open *open);
	struct frame_connect opener;	/* as it was at the open; no name */
	struct loop_watch watch;	/* of our end of the pair */
	struct loop_task look;		/* the holder said that something changed */
	struct serve_holder holder;
	enum open_phase phase;
	int outcome;			/* 0 or -errno, of the last name */
	bool is_collected;		/* a naming call has given the outcome */
	bool is_shut_in, is_shut_out;
	bool has_met_end;
	uint16_t name_len;
	char *name;
	uint64_t bytes_in, bytes_out;
};

/* @o is zeroed; @who is opening it, and waits. */
void serve_open_init(struct serve_open *o, struct serve *serve, const struct ucred *who,
		     void (*changed)(struct serve_open *open));
/* What was written still arrives. */
void serve_open_end(struct serve_open *o);

/* Bytes move. */
static inline bool serve_open_is_connected(const struct serve_open *o)
{
	return o->phase == OPEN_CONNECTED && o->is_collected;
}

#define OPEN_WAITS 1

/*
 * Names a service; @may_retry: a refused open may name again. Returns what a naming call gets: 0,
 * -errno, or OPEN_WAITS.
 */
int serve_open_name(struct serve_open *o, const char *name, size_t len, bool may_retry);
/* What a naming call gets now; @same: it says the name that was said last. */
int serve_open_outcome(struct serve_open *o, bool same);
/* The answer to the name, if it is there: to be called when something changed. */
void serve_open_take_answer(struct serve_open *o);
/* How many bytes of a first write its name takes, or -errno. */
int serve_open_find_name(const char *buf, size_t size, const char **name, size_t *len);

/* Returns how many bytes were moved, 0 at the end of what comes, -EAGAIN, or -errno. */
int serve_open_write(struct serve_open *o, const char *buf, size_t len);
int serve_open_read(struct serve_open *o, char *buf, size_t size);

/* POLL*: the table of protocol.md 7.5. */
uint32_t serve_open_poll(const struct serve_open *o);

int serve_open_shut(struct serve_open *o, uint64_t how);
void serve_open_abort(struct serve_open *o);
/* But size. */
void serve_open_fill_info(const struct serve_open *o, struct manyport_info *info);

#endif
