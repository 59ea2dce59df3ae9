/* SPDX-License-Identifier: MIT */
/* The end of a channel; see close.c. */
#ifndef HOST_CHANNEL_CLOSE_H
#define HOST_CHANNEL_CLOSE_H

#include "channel/channel.h"

/*
 * One direction ends, or both (MP_SHUT_*); the out stream at @final. False when it cannot end
 * there [protocol.md 8.1]. @ch is connected.
 */
bool close_shut(struct channel *ch, uint16_t how, uint64_t final);
/*
 * The guest is done with @ch, in any phase before CLOSING. What it has written, up to @final
 * (OFFSET_NONE: close_at_offset() will say), still reaches the service.
 */
void close_begin(struct channel *ch, uint64_t final);
/* The same for a connected channel, also if it was never used: its service sees an end. */
void close_linger(struct channel *ch, uint64_t final);
/* The out stream of @ch, if it is closing, ends where it is now. */
void close_at_offset(struct channel *ch);
/* At once, and what has not arrived is dropped. @ch is not closed yet. */
void close_abort(struct channel *ch);
/* Its stream broke, or what should go there is lost: the service sees a failure. */
void close_fail(struct channel *ch);

/* --- For the other files of the core -------------------------------------- */

/* Makes the lists of timers that closing a channel of @service will need. False without memory. */
bool close_make_timers(struct core *core, const struct mp_service *service);
/* Does what a closing channel waits for, as far as it can be done; nothing in other phases. */
void close_advance(struct channel *ch);
/* The service of a closing channel has taken bytes. */
void close_took(struct channel *ch);

#endif
