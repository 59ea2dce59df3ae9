/* SPDX-License-Identifier: MIT */
/*
 * One side of a byte stream, without manners [protocol.md 15]: it opens a session as it should,
 * then sends what it is told to. What comes is checked: the other side is the one under test.
 *
 * A call that fails ends the process (peer.h).
 */
#ifndef PEER_BAD_STREAM_PEER_H
#define PEER_BAD_STREAM_PEER_H

#include "link/frame.h"
#include "link/sync.h"
#include "peer.h"

#define STREAM_SLOTS 256U

/* A channel, as this side knows it. */
struct stream_end {
	uint32_t generation;		/* 0: free */
	uint16_t state;			/* of the device: enum mp_state_bits */
	uint64_t reason;
	uint16_t shut;			/* of the driver: MP_SHUT_* */
	bool leaves, has_closed, has_aborted;
	uint64_t in, in_granted;	/* bytes that came */
	uint64_t out, out_granted;	/* bytes that were sent */
};

struct stream {
	int fd;
	bool is_device;
	bool is_lax;			/* what comes is not checked */
	/* Of our SYNC. */
	uint8_t mine[MP_NONCE_SIZE], heard[MP_NONCE_SIZE];
	uint16_t window;
	uint32_t max_channels;
	/* Of the other's. */
	uint16_t peer_window;
	uint32_t peer_channels;
	bool has_restarted;		/* the other side began another session */
	uint32_t number, in_seq, out_seq, pongs;
	struct stream_end ends[STREAM_SLOTS];
	uint32_t connects, newest;	/* that came; slot of the last one */
	size_t len, done;
	char in[2 * FRAME_MAX];
};

enum came { CAME_NOTHING, CAME_FRAME, CAME_SYNC, CAME_END };

void stream_init(struct stream *s, int fd, bool is_device);
/* False where the other side has closed. */
bool stream_send(struct stream *s, const void *buf, size_t len);
bool stream_send_zeros(struct stream *s, size_t len);
/* A SYNC of this side. */
bool stream_send_sync(struct stream *s, bool hunts);
/* Opens a session. False: the other side has closed, or @ms have passed. */
bool stream_hunt(struct stream *s, int ms);
/* What comes next, at most @ms later. The body is valid until the next call. */
enum came stream_take(struct stream *s, struct frame *frame, const char **body, int ms);
/* Lets come what does for at most @ms. */
void stream_look(struct stream *s, int ms);

/* Takes what is there already, up to a PONG beyond the first @pongs. */
bool stream_has_pong(struct stream *s, uint32_t pongs);

/* A frame as it should be; session and sequence number are put in. NULL: a body of zeros. */
bool stream_put(struct stream *s, struct frame frame, const void *body);
/* Writes it into @buf, FRAME_MAX bytes, and returns its length. It counts as sent. */
size_t stream_make(struct stream *s, struct frame frame, const void *body, void *buf);
/* A frame for a channel that is known, of its generation. */
bool stream_say(struct stream *s, uint16_t type, uint16_t flags, uint32_t slot, uint64_t offset);
bool stream_connect(struct stream *s, uint32_t slot, uint32_t generation, const char *name);
bool stream_data(struct stream *s, uint32_t slot, const void *bytes, uint32_t len);
bool stream_grant(struct stream *s, uint32_t slot, uint64_t offset);
void stream_wait_state(struct stream *s, uint32_t slot, uint16_t bits);

#endif
