/* SPDX-License-Identifier: MIT */
/* Pieces of memory. */
#ifndef STANDIN_SCATTERLIST_H
#define STANDIN_SCATTERLIST_H

#include <linux/mm.h>
#include <linux/types.h>

struct scatterlist {
	void *data;
	unsigned int length;
	unsigned int offset;		/* of data in its page */
	bool is_last;
};

static inline void sg_set_page(struct scatterlist *sg, struct page *page, unsigned int length,
			       unsigned int offset)
{
	sg->data = (char *)page + offset;
	sg->length = length;
	sg->offset = offset;
}

static inline struct page *sg_page(const struct scatterlist *sg)
{
	return (struct page *)((char *)sg->data - sg->offset);
}

static inline void *sg_virt(const struct scatterlist *sg)
{
	return sg->data;
}

static inline void sg_mark_end(struct scatterlist *sg)
{
	sg->is_last = true;
}

static inline void sg_init_table(struct scatterlist *sg, unsigned int count)
{
	memset(sg, 0, count * sizeof(*sg));
}

static inline void sg_init_one(struct scatterlist *sg, const void *data, unsigned int length)
{
	sg_init_table(sg, 1);
	sg->data = (void *)data;
	sg->offset = offset_in_page(data);
	sg->length = length;
	sg_mark_end(sg);
}

#define for_each_sg(list, sg, count, i)	for (i = 0, sg = (list); i < (count); i++, sg++)

#endif
