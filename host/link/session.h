/* SPDX-License-Identifier: MIT */
/*
 * A session over a byte stream [protocol.md 15.3, 15.7]: it starts, hunts, is had, ends, starts.
 *
 * It has no descriptor and no clock. Its owner moves bytes, and hands the time in (milliseconds of
 * a clock that does not go back):
 *
 *	link_session_start	there is a new stream
 *	link_session_room	where bytes that come from the stream go to
 *	link_session_came	so many came
 *	link_session_iov	what is to be sent
 *	link_session_sent	so many bytes of it were; nothing is called between the two
 *	link_session_deadline	when link_session_tick() is due
 *
 * Calls upward come out of link_session_start(), link_session_came() and link_session_tick() only.
 * They may put frames, and call nothing else of these.
 */
#ifndef HOST_LINK_SESSION_H
#define HOST_LINK_SESSION_H

#include "link/outbox.h"
#include "link/sync.h"

#define SESSION_IN_SIZE		(OUTBOX_SIZE + 4096U)	/* a peer's outbox does not fill it */
#define SESSION_GAP_MS		1000U	/* between two starts */
#define SESSION_AGAIN_MAX_MS	60000U	/* between zeros and SYNC of one */
#define SESSION_NEVER		UINT64_MAX

/*
 * SESSION_OFF:
 *	There is no stream.
 *	Operations:
 *	- link_session_start(): HUNTS
 * SESSION_HUNTS:
 *	Drops all bytes but SYNCs. Its own start is put off (start_at), or it has sent zeros and
 *	SYNC, and does so again and again.
 *	Operations:
 *	- a SYNC that has our nonce: HAS, and begin() is called
 *	- link_session_stop(): OFF
 * SESSION_HAS:
 *	Frames come and go.
 *	Operations:
 *	- any broken rule, a loss, silence, a SYNC of another start: end() is called, then HUNTS
 *	- link_session_stop(): end() is called, OFF
 */
enum link_session_phase { SESSION_OFF, SESSION_HUNTS, SESSION_HAS };

/* Why a session ended. */
enum link_session_why {
	SESSION_STOPPED,		/* the owner has no stream any more */
	SESSION_RESTARTED,		/* the peer has started */
	SESSION_LOST,			/* bytes are missing, or are no frame */
	SESSION_BROKEN,			/* the peer broke a rule */
	SESSION_SILENT,
};

struct link_session_peer {
	uint16_t version;		/* of the session: the lower of both */
	uint16_t window;		/* bytes that each channel may send at first */
	uint32_t max_channels;		/* of the device; 0 at the device */
};

struct link_session_ops {
	/* Fills @nonce with MP_NONCE_SIZE random bytes. */
	void (*nonce)(void *context, uint8_t *nonce);
	void (*begin)(void *context, const struct link_session_peer *peer);
	/* @body is valid for the call. False: the frame breaks a rule. */
	bool (*frame)(void *context, const struct frame *frame, const void *body);
	void (*end)(void *context, enum link_session_why why);
};

struct link_session_config {
	bool is_device;
	uint16_t version, window;	/* as in a SYNC */
	uint32_t max_channels;		/* as in a SYNC: 0 for a driver */
	uint32_t answer_ms;		/* 0: silence is no end */
};

struct link_session {
	const struct link_session_ops *ops;
	void *context;
	struct link_session_config config;
	enum link_session_phase phase;	/* by link_session_become() only */
	uint8_t mine[MP_NONCE_SIZE], heard[MP_NONCE_SIZE];
	bool owes_sync, owes_ping, owes_pong;
	/* The session that there is, or was. */
	uint32_t number, in_seq, out_seq;
	/* Starts: the last, and the next if it is put off. */
	uint64_t started_ms, start_at;
	/* Zeros and SYNC are sent again. SESSION_NEVER: they are still being sent. */
	uint64_t again_at;
	uint32_t again_ms;
	/* Silence. */
	uint64_t quiet_since;
	uint32_t channels, pings;	/* since then */
	size_t in_len;
	bool is_busy;			/* in link_session_came(): see above */
	struct outbox out;
	char in[SESSION_IN_SIZE];
};

struct link_session *link_session_create(const struct link_session_config *config,
					 const struct link_session_ops *ops, void *context);
void link_session_destroy(struct link_session *s);

void link_session_start(struct link_session *s, uint64_t now);
/* The stream is gone. */
void link_session_stop(struct link_session *s);

size_t link_session_room(struct link_session *s, void **buf);
void link_session_came(struct link_session *s, size_t len, uint64_t now);

int link_session_iov(struct link_session *s, struct iovec *iov);
void link_session_sent(struct link_session *s, size_t len, uint64_t now);

uint64_t link_session_deadline(const struct link_session *s);
void link_session_tick(struct link_session *s, uint64_t now);

/* A channel begins or ends: while there are some, silence is looked for. */
void link_session_hold(struct link_session *s, uint64_t now);
void link_session_release(struct link_session *s);

/* Where the body of the next frame goes, MP_FRAME_BODY bytes; NULL: not now. */
void *link_session_body(struct link_session *s);
/* Queues that frame. Session and sequence number are put in. */
void link_session_put(struct link_session *s, struct frame *frame);

/* --- For session_in.c ----------------------------------------------------- */

/* A SYNC that is for this side came. @has_ours: it has our nonce. */
void link_session_hear(struct link_session *s, const struct sync *sync, bool has_ours,
		       uint64_t now);
/* The session ends, and the side starts. */
void link_session_end(struct link_session *s, enum link_session_why why, uint64_t now);

#endif
