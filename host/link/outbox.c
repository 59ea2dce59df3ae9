// SPDX-License-Identifier: MIT
/* See outbox.h. */
#include "link/outbox.h"

#include <assert.h>
#include <string.h>

static const char zeros[MP_STREAM_PAD];

_Static_assert(OUTBOX_SIZE <= (OUTBOX_IOVS - 1) * OUTBOX_PART, "each part, and the zeros, has one");

void outbox_clear(struct outbox *box)
{
	box->head = 0;
	box->tail = 0;
	box->zeros = 0;
}

void *outbox_room(struct outbox *box, size_t len)
{
	size_t used = box->tail - box->head;

	if (box->zeros || used + len > OUTBOX_SIZE)
		return NULL;
	if (box->tail + len > OUTBOX_SIZE) {
		memmove(box->buf, box->buf + box->head, used);
		box->head = 0;
		box->tail = used;
	}
	return box->buf + box->tail;
}

void outbox_add(struct outbox *box, size_t len)
{
	assert(box->tail + len <= OUTBOX_SIZE);
	box->tail += len;
}

int outbox_iov(const struct outbox *box, struct iovec *iov)
{
	size_t left = box->tail - box->head, len;
	int count = 0;

	for (; left; left -= len) {
		len = left < OUTBOX_PART ? left : OUTBOX_PART;
		iov[count].iov_base = (char *)box->buf + box->tail - left;
		iov[count++].iov_len = len;
	}
	if (box->zeros) {
		iov[count].iov_base = (char *)zeros;
		iov[count++].iov_len = box->zeros;
	}
	return count;
}

void outbox_sent(struct outbox *box, size_t len)
{
	size_t used = box->tail - box->head, part = len < used ? len : used;

	box->head += part;
	if (box->head == box->tail)
		box->head = box->tail = 0;
	assert(len - part <= box->zeros);
	box->zeros -= len - part;
}
