/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What state a channel is in: the table of [protocol.md 4.7], computed from its parts.
 *
 * MP_CH_UNNAMED	Operations: name. Caveats: the slot is taken, the device knows nothing.
 * MP_CH_CONNECTING	Operations: the naming call. Caveats: on a fixed port whose service was
 *			there before, reads meet the end of the last generation.
 * MP_CH_ANSWERED	Operations: the naming call, which collects the answer; all others find
 *			the channel unnamed. Caveats: bytes may have come already, or the end.
 * MP_CH_CONNECTED	Operations: all.
 * MP_CH_REFUSED	Operations: name again. Caveats: a write gives the reason, and is no
 *			name.
 * MP_CH_ENDED		Both halves have ended, here or there. Operations: what was received is
 *			read. Caveats: on a fixed port the next generation follows (reconnect.c).
 * MP_CH_FAILED		As MP_CH_ENDED; the service did not end by itself.
 * MP_CH_ABORTED	A holder gave the channel up. Operations: close.
 * MP_CH_CLOSING	The file is gone. Operations: CLOSE, and the wait for CLOSED.
 * MP_CH_GONE		The channel is over for another reason than the service. Operations: close.
 */
#ifndef KMOD_STATE_H
#define KMOD_STATE_H

struct mp_channel;

enum mp_channel_state {
	MP_CH_UNNAMED,
	MP_CH_CONNECTING,
	MP_CH_ANSWERED,
	MP_CH_CONNECTED,
	MP_CH_REFUSED,
	MP_CH_ENDED,
	MP_CH_FAILED,
	MP_CH_ABORTED,
	MP_CH_CLOSING,
	MP_CH_GONE,
};

enum mp_channel_state mp_channel_state_locked(const struct mp_channel *ch);

#endif
