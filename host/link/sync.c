// SPDX-License-Identifier: MIT
/* See sync.h. */
#include "link/sync.h"

#include <string.h>

#include "link/le.h"

#define MAGIC_SIZE sizeof(((struct mp_sync *)0)->magic)

static const char magic[] = MP_SYNC_MAGIC;

_Static_assert(sizeof(magic) == MAGIC_SIZE + 1, "the magic fills its field");

static uint32_t check_of(const struct sync *sync, uint32_t flags)
{
	return ~((sync->version | (uint32_t)sync->window << 16) ^ sync->max_channels ^ flags);
}

void sync_put(void *buf, const struct sync *sync)
{
	const uint32_t flags = sync->hunts ? MP_SYNC_HUNTS : 0;
	struct mp_sync wire = {
		.version = le16_make(sync->version),
		.window = le16_make(sync->window),
		.max_channels = le32_make(sync->max_channels),
		.flags = le32_make(flags),
		.check = le32_make(check_of(sync, flags)),
	};

	memcpy(wire.magic, magic, MAGIC_SIZE);
	memcpy(wire.mine, sync->mine, MP_NONCE_SIZE);
	memcpy(wire.yours, sync->yours, MP_NONCE_SIZE);
	memcpy(buf, &wire, sizeof(wire));
}

bool sync_begins(const void *buf, size_t len)
{
	return !memcmp(buf, magic, len < MAGIC_SIZE ? len : MAGIC_SIZE);
}

bool sync_get(struct sync *sync, const void *buf, bool to_device)
{
	struct mp_sync wire;
	uint32_t flags;

	if (!sync_begins(buf, MAGIC_SIZE))
		return false;
	memcpy(&wire, buf, sizeof(wire));
	memcpy(sync->mine, wire.mine, MP_NONCE_SIZE);
	memcpy(sync->yours, wire.yours, MP_NONCE_SIZE);
	sync->version = le16_get(wire.version);
	sync->window = le16_get(wire.window);
	sync->max_channels = le32_get(wire.max_channels);
	flags = le32_get(wire.flags);
	sync->hunts = flags & MP_SYNC_HUNTS;
	return le32_get(wire.check) == check_of(sync, flags) && !(flags & ~MP_SYNC_HUNTS) &&
	       sync->version >= 1 && sync->window >= 1 && sync->window <= MP_WINDOW_MAX &&
	       (sync->max_channels == 0) == to_device && sync->max_channels <= MP_MAX_CHANNELS;
}

size_t sync_skip(const void *buf, size_t len)
{
	const char *start = buf, *at = start, *end = start + len;

	while ((at = memchr(at, magic[0], end - at)) && !sync_begins(at, end - at)) {
		if (++at == end)
			return len;
	}
	return at ? (size_t)(at - start) : len;
}
