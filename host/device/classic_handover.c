// SPDX-License-Identifier: MIT
/* The opens of a classic port as one program leaves them and the next one finds them: record.h. */
#include <stdlib.h>
#include <string.h>

#include "base/record.h"
#include "device/classic.h"

#define FRAME_OPEN	0x4f50
#define FRAME_CHANNEL	0x4348		/* of the open around it, or alone */

static void hand_over_channel(struct port *port, struct classic_open *open,
			      struct classic_channel *channel, struct record *record)
{
	struct mp_opener opener = { 0 };

	if (channel)
		opener = channel->channel.opener;
	opener_hand_over(&opener, record);
	if (!channel)
		channel = classic_add_channel(port, open, &opener);
	if (!channel) {
		record_spoil(record);
		return;
	}
	record_bool(record, &channel->is_reached);
	channel_hand_over(&channel->channel, record);
}

static void hand_over_open(struct classic_open *open, struct record *record)
{
	size_t len = open->name_len;
	void *name;

	record_bool(record, &open->is_ended);
	record_bool(record, &open->is_discarding);
	record_u32(record, &open->chains_left);
	name = record_bytes(record, open->name, &len);
	if (name && len <= sizeof(open->name)) {
		open->name_len = len;
		memcpy(open->name, name, len);
	} else if (name) {
		record_spoil(record);
	}
	free(name);
	if (!open->channel && !record_is_reading(record))
		return;
	if (!record_begin(record, FRAME_CHANNEL))
		return;
	hand_over_channel(open->port, open, open->channel, record);
	record_end(record);
}

static void save_opens(struct classic *classic, struct record *record)
{
	struct list *link;

	list_for_each(link, &classic->opens) {
		record_begin(record, FRAME_OPEN);
		hand_over_open(list_entry(link, struct classic_open, link), record);
		record_end(record);
	}
	list_for_each(link, &classic->channels) {
		struct classic_channel *channel = list_entry(link, struct classic_channel, member);

		if (channel->open)
			continue;
		record_begin(record, FRAME_CHANNEL);
		hand_over_channel(channel->port, NULL, channel, record);
		record_end(record);
	}
}

/* What has not ended is the last one, and the current one. */
static void restore_open(struct port *port, struct record *record)
{
	struct classic_open *open = port->classic.current ? NULL : classic_begin_open(port);

	if (!open) {
		record_spoil(record);
		return;
	}
	hand_over_open(open, record);
	if (open->is_ended)
		port->classic.current = NULL;
}

static void restore_opens(struct port *port, struct record *record)
{
	struct classic *classic = &port->classic;
	uint32_t count;

	while (record_begin(record, FRAME_OPEN)) {
		restore_open(port, record);
		record_end(record);
	}
	while (record_begin(record, FRAME_CHANNEL)) {
		hand_over_channel(port, NULL, NULL, record);
		record_end(record);
	}
	/* What the restart has made of them. Each look takes one out at most, and may add. */
	for (count = classic->channel_count; count && !list_is_empty(&classic->channels); count--) {
		struct list *link = list_pop(&classic->channels);

		list_add_tail(&classic->channels, link);
		classic_look(list_entry(link, struct classic_channel, member));
	}
}

void classic_hand_over(struct port *port, struct record *record)
{
	struct classic *classic = &port->classic;

	record_u32(record, &classic->generation);
	record_u64(record, &classic->tx_skip);
	record_bool(record, &classic->host_open);
	record_bool(record, &classic->waits_for_place);
	if (record_is_reading(record))
		restore_opens(port, record);
	else
		save_opens(classic, record);
}
