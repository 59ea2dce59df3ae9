// SPDX-License-Identifier: MIT
/* See frame.h. Structures are copied out of and into the buffer: nothing is aligned there. */
#include "link/frame.h"

#include <string.h>

#include "link/le.h"

#define TO_DEVICE	1
#define TO_DRIVER	2

/* What each type may carry [protocol.md 15.2]. */
static const struct {
	uint8_t to;
	bool has_channel, has_offset;
	uint32_t min, max;		/* length of the body */
	uint16_t flags;
} types[FRAME_TYPES] = {
	[MP_FRAME_CONNECT] = { .to = TO_DEVICE, .has_channel = true,
		.min = sizeof(struct mp_connect) + 1, .max = FRAME_CONNECT_MAX },
	[MP_FRAME_DATA] = { .to = TO_DEVICE | TO_DRIVER, .has_channel = true, .has_offset = true,
		.min = 1, .max = MP_FRAME_BODY },
	[MP_FRAME_GRANT] = { .to = TO_DEVICE | TO_DRIVER, .has_channel = true, .has_offset = true },
	[MP_FRAME_SHUTDOWN] = { .to = TO_DEVICE, .has_channel = true, .has_offset = true,
		.flags = MP_SHUT_READ | MP_SHUT_WRITE },
	[MP_FRAME_CLOSE] = { .to = TO_DEVICE, .has_channel = true, .has_offset = true,
		.flags = MP_CLOSE_ABORT },
	[MP_FRAME_STATE] = { .to = TO_DRIVER, .has_channel = true, .has_offset = true,
		.flags = UINT16_MAX & ~(MP_ST_IN | MP_ST_OUT) },
	[MP_FRAME_PING] = { .to = TO_DEVICE | TO_DRIVER },
	[MP_FRAME_PONG] = { .to = TO_DEVICE | TO_DRIVER },
};

void frame_put(void *buf, const struct frame *frame)
{
	const struct mp_frame head = {
		.session = le32_make(frame->session),
		.seq = le32_make(frame->seq),
		.type = le16_make(frame->type),
		.flags = le16_make(frame->flags),
		.length = le32_make(frame->length),
		.channel = le32_make(frame->slot),
		.generation = le32_make(frame->generation),
		.offset = le64_make(frame->offset),
	};
	const struct mp_frame_end end = {
		.seq = le32_make(~frame->seq),
		.session = le32_make(~frame->session),
	};

	memcpy(buf, &head, sizeof(head));
	memcpy((char *)buf + sizeof(head) + frame->length, &end, sizeof(end));
}

void frame_get_head(struct frame *frame, const void *buf)
{
	struct mp_frame head;

	memcpy(&head, buf, sizeof(head));
	*frame = (struct frame){
		.session = le32_get(head.session),
		.seq = le32_get(head.seq),
		.type = le16_get(head.type),
		.flags = le16_get(head.flags),
		.length = le32_get(head.length),
		.slot = le32_get(head.channel),
		.generation = le32_get(head.generation),
		.offset = le64_get(head.offset),
	};
}

bool frame_is_valid(const struct frame *frame, bool to_device)
{
	if (frame->type >= FRAME_TYPES)
		return false;
	return (types[frame->type].to & (to_device ? TO_DEVICE : TO_DRIVER)) &&
	       frame->length >= types[frame->type].min &&
	       frame->length <= types[frame->type].max &&
	       !(frame->flags & ~types[frame->type].flags) &&
	       types[frame->type].has_channel == (frame->generation != 0) &&
	       (types[frame->type].has_channel || !frame->slot) &&
	       (types[frame->type].has_offset || !frame->offset);
}

bool frame_has_end(const struct frame *frame, const void *buf)
{
	struct mp_frame_end end;

	memcpy(&end, (const char *)buf + sizeof(struct mp_frame) + frame->length, sizeof(end));
	return le32_get(end.seq) == ~frame->seq && le32_get(end.session) == ~frame->session;
}

bool frame_get_connect(struct frame_connect *connect, const void *body, size_t length)
{
	struct mp_connect wire;

	if (length <= sizeof(wire))
		return false;
	memcpy(&wire, body, sizeof(wire));
	connect->uid = le32_get(wire.uid);
	connect->gid = le32_get(wire.gid);
	connect->pid = le32_get(wire.pid);
	memcpy(connect->comm, wire.comm, sizeof(wire.comm));
	connect->name = (const char *)body + sizeof(wire);
	connect->name_len = le32_get(wire.name_len);
	return connect->name_len == length - sizeof(wire) && connect->name_len <= MP_NAME_MAX;
}

size_t frame_put_connect(void *body, const struct frame_connect *connect)
{
	struct mp_connect wire = {
		.uid = le32_make(connect->uid),
		.gid = le32_make(connect->gid),
		.pid = le32_make(connect->pid),
		.name_len = le32_make(connect->name_len),
	};

	memcpy(wire.comm, connect->comm, sizeof(wire.comm));
	memcpy(body, &wire, sizeof(wire));
	memcpy((char *)body + sizeof(wire), connect->name, connect->name_len);
	return sizeof(wire) + connect->name_len;
}
