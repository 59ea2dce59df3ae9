// SPDX-License-Identifier: GPL-2.0-only
/*
 * User pages to a scatterlist and back.
 *
 * What is pinned is the caller's until mp_unpin(); who gives it to a device keeps it until the
 * device has given it back, or can touch nothing any more.
 */
#include <linux/highmem.h>
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

/* Copies up to @bytes at @offset of one entry. Returns bytes. */
static size_t copy_entry(struct scatterlist *sg, size_t offset, size_t bytes, struct iov_iter *to)
{
	unsigned long pfn = page_to_pfn(sg_page(sg));
	size_t done = 0, step, at, copied;

	while (done < bytes && iov_iter_count(to)) {
		at = sg->offset + offset + done;
		step = min_t(size_t, bytes - done, PAGE_SIZE - offset_in_page(at));
		copied = copy_page_to_iter(pfn_to_page(pfn + (at >> PAGE_SHIFT)),
					   offset_in_page(at), step, to);
		done += copied;
		if (copied < step)
			break;
	}
	return done;
}

/* Copies up to @bytes from behind the first @skip to @to. Returns bytes. */
size_t mp_pinned_copy(const struct mp_pinned *pinned, size_t skip, size_t bytes,
		      struct iov_iter *to)
{
	size_t copied = 0, step, done;
	struct scatterlist *sg;
	unsigned int n;

	for_each_sg(pinned->sg, sg, pinned->sg_count, n) {
		if (skip >= sg->length) {
			skip -= sg->length;
			continue;
		}
		step = min_t(size_t, sg->length - skip, bytes - copied);
		done = copy_entry(sg, skip, step, to);
		skip = 0;
		copied += done;
		if (done < step || copied == bytes)
			break;
	}
	return copied;
}
