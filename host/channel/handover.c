// SPDX-License-Identifier: MIT
/*
 * A channel as one program leaves it and the next one finds it; see channel.h. What is on the work
 * list is not written: it follows from phase and halves.
 */
#include <stdio.h>

#include "base/record.h"
#include "channel/channel.h"

void opener_hand_over(struct mp_opener *opener, struct record *record)
{
	record_u32(record, &opener->uid);
	record_u32(record, &opener->gid);
	record_u32(record, &opener->pid);
	record_text(record, opener->comm, sizeof(opener->comm));
	record_u32(record, &opener->channel);
	record_u32(record, &opener->generation);
}

static void save_stream(struct mp_stream *stream, struct record *record)
{
	char kind[MP_KIND_SIZE];

	/* Without a frame the reader knows that it cannot go on. */
	if (!stream || !stream->ops->kind || !record_begin(record, CHANNEL_STREAM))
		return;
	snprintf(kind, sizeof(kind), "%s", stream->ops->kind);
	record_text(record, kind, sizeof(kind));
	stream->ops->save(stream, record);
	record_end(record);
}

void channel_hand_over(struct channel *ch, struct record *record)
{
	bool has_stream = ch->stream, has_limit = heap_has(&ch->timer.due);
	uint64_t when = has_limit ? ch->timer.due.key : core_now(ch->core);
	char name[MP_NAME_MAX + 1] = "";

	if (ch->service)
		snprintf(name, sizeof(name), "%s", ch->service_name);
	ch->phase = record_number(record, ch->phase, CHANNEL_CLOSED);
	record_u16(record, &ch->cause);
	record_bool(record, &ch->is_patient);
	record_bool(record, &ch->is_retrying);
	stream_hand_over(&ch->in, record);
	stream_hand_over(&ch->out, record);
	close_hand_over(&ch->closing, record);
	record_text(record, name, sizeof(name));
	record_bool(record, &has_stream);
	record_u64(record, &when);
	if (record_is_reading(record))
		connect_resume(ch, name, has_stream, when, record);
	else
		save_stream(ch->stream, record);
}
