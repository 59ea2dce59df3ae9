// SPDX-License-Identifier: GPL-2.0-only
/*
 * User pages to a scatterlist and back.
 *
 * What is pinned is the caller's until mp_unpin(). A caller that gives pages to a device keeps them
 * until the device has given them back, or can touch nothing any more.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "pin.h"

/*
 * Neighbouring pages share one entry, up to @max bytes: fewer descriptors, and none that is more
 * than the DMA layer maps in one piece.
 */
static void build_sg(struct mp_pinned *pinned, size_t offset, size_t max)
{
	struct scatterlist *sg = pinned->sg;
	struct page **pages = pinned->pages;
	size_t left = pinned->len;
	unsigned int i, used = 0;

	sg_init_table(sg, pinned->page_count);
	for (i = 0; i < pinned->page_count; i++) {
		size_t bytes = min_t(size_t, left, PAGE_SIZE - offset);

		if (used && page_to_pfn(pages[i]) == page_to_pfn(pages[i - 1]) + 1 &&
		    sg[used - 1].length + bytes <= max)
			sg[used - 1].length += bytes;
		else
			sg_set_page(&sg[used++], pages[i], bytes, offset);
		left -= bytes;
		offset = 0;
	}
	sg_mark_end(&sg[used - 1]);
	pinned->sg_count = used;
}

/*
 * Pins up to @bytes at @addr; @is_written: the device writes them. No entry of the scatterlist is
 * longer than @max_entry, unless a page is. Returns bytes pinned or -errno.
 */
ssize_t mp_pin(struct mp_pinned *pinned, unsigned long addr, size_t bytes, bool is_written,
	       size_t max_entry)
{
	size_t offset = offset_in_page(addr);
	unsigned int count = DIV_ROUND_UP(offset + bytes, PAGE_SIZE);
	int ret;

	pinned->sg = kmalloc_array(count, sizeof(*pinned->sg) + sizeof(*pinned->pages),
				   GFP_KERNEL);
	if (!pinned->sg)
		return -ENOMEM;
	pinned->pages = (struct page **)(pinned->sg + count);
	ret = pin_user_pages_fast(addr - offset, count, is_written ? FOLL_WRITE : 0,
				  pinned->pages);
	if (ret <= 0) {
		kfree(pinned->sg);
		return ret ? ret : -EFAULT;
	}
	pinned->page_count = ret;
	pinned->len = min_t(size_t, bytes, (size_t)ret * PAGE_SIZE - offset);
	build_sg(pinned, offset, max_entry);
	return pinned->len;
}

/* @is_dirty: bytes were written, and must get to the file that the pages may be of. */
void mp_unpin(struct mp_pinned *pinned, bool is_dirty)
{
	unpin_user_pages_dirty_lock(pinned->pages, pinned->page_count, is_dirty);
	kfree(pinned->sg);
}
