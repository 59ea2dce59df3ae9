// SPDX-License-Identifier: MIT
/* Bytes of a channel, counted; what they mean for its end. See channel.h. */
#include "channel/channel.h"

enum moved transfer_read(struct channel *ch, struct bytes *bytes)
{
	const uint64_t before = bytes->moved;
	enum moved result = stream_read(ch->stream, &ch->in, bytes);

	ch->core->stats.bytes_in += bytes->moved - before;
	if (result == MOVED_FAILED)
		close_fail(ch);
	return result;
}

enum moved transfer_write(struct channel *ch, struct bytes *bytes)
{
	const uint64_t before = bytes->moved;
	enum moved result = stream_write(ch->stream, &ch->out, bytes);

	ch->core->stats.bytes_out += bytes->moved - before;
	if (bytes->moved != before && ch->phase == CHANNEL_CLOSING)
		close_took(ch);
	if (result == MOVED_FAILED)
		close_fail(ch);
	else
		close_advance(ch);
	return result;
}
