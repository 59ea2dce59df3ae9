// SPDX-License-Identifier: MIT
#include <errno.h>

#include "ring/inflight.h"

#define VERSION 1			/* [vhost-user]: of split virtqueues */

void inflight_begin(struct inflight *area, uint16_t size, uint16_t used_idx)
{
	for (unsigned int i = 0; i < size; i++)
		area->chains[i].is_out = 0;
	area->features = 0;
	area->version = VERSION;
	area->size = size;
	area->last_batch_head = 0;
	area->used_idx = used_idx;
}

/* Some of the batch may be unmarked already: the process ended on the way. */
static int unmark_batch(struct inflight *area, uint16_t count)
{
	uint16_t head = area->last_batch_head;

	if (count > area->size)
		return -EPROTO;
	for (; count; count--) {
		if (head >= area->size)
			return -EPROTO;
		area->chains[head].is_out = 0;
		head = area->chains[head].next;
	}
	return 0;
}

int inflight_recover(struct inflight *area, uint16_t size, uint16_t used_idx)
{
	int count = 0, ret;

	if (area->version != VERSION || area->size != size)
		return -EPROTO;
	ret = unmark_batch(area, used_idx - area->used_idx);
	if (ret < 0)
		return ret;
	for (unsigned int i = 0; i < size; i++)
		count += !!area->chains[i].is_out;
	area->last_batch_head = 0;
	*(volatile uint16_t *)&area->used_idx = used_idx;
	return count;
}
