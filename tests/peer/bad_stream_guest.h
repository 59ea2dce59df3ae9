/* SPDX-License-Identifier: MIT */
/* The guest of bad_stream: a session with a manyportd, and what stands at the far end. */
#ifndef PEER_BAD_STREAM_GUEST_H
#define PEER_BAD_STREAM_GUEST_H

#include "bad_stream.h"

#define GENERATION(slot) ((slot) + 1)	/* of what guest_open() opens */
#define GUEST_CHANNELS	 200U		/* MaxChannels= of the daemon */
#define GUEST_USER	 150U		/* MaxChannelsPerUser= */

/*
 * Channels 0 and 1 are to the service "keep", and have said HELLO. 0 is the witness, of which the
 * lie does not speak.
 */
struct guest {
	struct stream s;
	int listener, far[2];
};

void guest_session(struct guest *g);
/* "keep", in slot 0 or 1. */
void guest_open(struct guest *g, uint32_t slot);
void guest_start(struct guest *g);
/* What must hold behind a lie, whatever it was about. */
void guest_finish(struct guest *g, enum outcome outcome);
/* Everything that was sent has been acted on, and what that had to say has come. */
void guest_sync(struct guest *g);
/* The daemon's other road is served. */
void guest_use_other_road(void);
/* The daemon's memory has not grown by much since it had @before. */
void guest_expect_memory(uint64_t before);

/* The daemon serves one, and is left with no descriptor more than at the start. */
void guest_be_honest(void);

void run_frames(void);
void run_channels(void);
void run_bytes(void);

#endif
