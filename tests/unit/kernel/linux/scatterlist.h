/* SPDX-License-Identifier: MIT */
/* One piece of memory. */
#ifndef STANDIN_SCATTERLIST_H
#define STANDIN_SCATTERLIST_H

#include <linux/types.h>

struct scatterlist {
	void *data;
	unsigned int length;
};

static inline void sg_init_one(struct scatterlist *sg, const void *data, unsigned int length)
{
	sg->data = (void *)data;
	sg->length = length;
}

#endif
