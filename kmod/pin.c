// SPDX-License-Identifier: GPL-2.0-only
/*
 * User pages to a scatterlist and back.
 *
 * What is pinned is the caller's until mp_unpin(). A caller that gives pages to a device keeps them
 * until the device has given them back, or can touch nothing any more.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "pin.h"

/*
 * Pins up to @bytes at @addr; @is_written: the device writes them. Neighbouring pages share one
 * entry of the scatterlist, up to @max_entry bytes, a page at least. Returns bytes pinned or -errno.
 */
ssize_t mp_pin(struct mp_pinned *pinned, unsigned long addr, size_t bytes, bool is_written,
	       size_t max_entry)
{
	struct page *pages[MP_PIN_MAX / PAGE_SIZE + 1];
	size_t offset = offset_in_page(addr);
	size_t count = min(DIV_ROUND_UP(offset + bytes, PAGE_SIZE), ARRAY_SIZE(pages));
	int got, ret;

	got = pin_user_pages_fast(addr - offset, count, is_written ? FOLL_WRITE : 0, pages);
	if (got <= 0)
		return got ? got : -EFAULT;
	pinned->len = min_t(size_t, bytes, (size_t)got * PAGE_SIZE - offset);
	ret = sg_alloc_table_from_pages_segment(&pinned->table, pages, got, offset, pinned->len,
						max_entry, GFP_KERNEL);
	if (!ret)
		return pinned->len;
	unpin_user_pages(pages, got);
	return ret;
}

/* @is_dirty: bytes were written, and must get to the file that the pages may be of. */
void mp_unpin(struct mp_pinned *pinned, bool is_dirty)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(&pinned->table, sg, i)
		unpin_user_page_range_dirty_lock(sg_page(sg),
						 DIV_ROUND_UP(sg->offset + sg->length, PAGE_SIZE),
						 is_dirty);
	sg_free_table(&pinned->table);
}
