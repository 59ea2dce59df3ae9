/* SPDX-License-Identifier: MIT */
/* Bytes of a channel: what a binding calls to move them. */
#ifndef HOST_CHANNEL_TRANSFER_H
#define HOST_CHANNEL_TRANSFER_H

#include "channel/channel.h"

/*
 * Bytes of the service into bytes->iov, until all is filled or the result says why not. The channel
 * is connected; after MOVED_EMPTY changed() says when there is more.
 */
enum moved transfer_read(struct channel *ch, struct bytes *bytes);
/* Bytes of bytes->iov to the service of a connected or closing channel. */
enum moved transfer_write(struct channel *ch, struct bytes *bytes);

#endif
