/* SPDX-License-Identifier: MIT */
/* The way to a service; see connect.c. */
#ifndef HOST_CHANNEL_CONNECT_H
#define HOST_CHANNEL_CONNECT_H

#include "channel/channel.h"

/*
 * Begins to connect, or connects again after a refusal. @name is the guest's text, unchecked; at a
 * fixed gate it is not looked at. The outcome is in the phase, now or after changed().
 */
void connect_begin(struct channel *ch, const char *name, size_t len);
/* At a fixed gate, whose service was there and has gone: not at once. */
void connect_later(struct channel *ch);

#endif
