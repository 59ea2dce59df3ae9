// SPDX-License-Identifier: GPL-2.0-only
/*
 * A call's pages to a scatterlist and back: memory of the process, which is pinned, or pages that
 * io_uring has registered, of which we have references beside its own pins.
 *
 * What is pinned is the caller's until mp_unpin(). A caller that gives pages to a device keeps them
 * until the device has given them back, or can touch nothing any more.
 */
#include <linux/bvec.h>
#include <linux/kernel.h>
#include <linux/mm.h>

#include "compat.h"
#include "pin.h"

/* Where @iter goes on, in its page. */
size_t mp_pin_offset(const struct iov_iter *iter)
{
	return offset_in_page(user_backed_iter(iter) ? (unsigned long)mp_iter_address(iter) :
			      iter->bvec->bv_offset + iter->iov_offset);
}

/*
 * Pages that io_uring has registered were made dirty when it pinned them for writing, and are of no
 * file that is written back. To lock one here could wait for ever: it may be locked until the
 * request that this call is part of has ended.
 */
static void let_go(struct page *page, unsigned int count, bool is_user, bool is_dirty)
{
	unsigned long pfn = page_to_pfn(page);

	if (is_user) {
		unpin_user_page_range_dirty_lock(page, count, is_dirty);
		return;
	}
	while (count--)
		put_page(pfn_to_page(pfn++));
}

/* A reference keeps a page for us only if it is pinned: others are a driver's, which frees them. */
static bool are_pinned(struct page **pages, unsigned int count)
{
	while (count--)
		if (!folio_maybe_dma_pinned(page_folio(pages[count])))
			return false;
	return true;
}

/*
 * The pages of the next @bytes of @at, which is no user's: all of them, if all are pinned and there
 * is no hole between two. Returns how many, or -EFAULT.
 */
static int get_registered(struct page **pages, struct iov_iter at, size_t bytes)
{
	unsigned int count = 0;
	size_t start, end = 0;
	bool is_hole = false;

	while (bytes && !is_hole) {
		ssize_t ret = iov_iter_get_pages2(&at, pages + count, bytes, MP_PIN_PAGES - count,
						  &start);

		if (ret <= 0)
			break;
		is_hole = count && (start || end);
		end = offset_in_page(start + ret);
		count += DIV_ROUND_UP(start + ret, PAGE_SIZE);
		bytes -= ret;
	}
	if (!bytes && !is_hole && are_pinned(pages, count))
		return count;
	while (count)
		put_page(pages[--count]);
	return -EFAULT;
}

/* Neighbouring pages share an entry, up to @max_entry bytes, a page at least. */
static void fill_entries(struct mp_pinned *pinned, struct page **pages, unsigned int got,
			 size_t offset, size_t max_entry)
{
	struct scatterlist *sg = pinned->sg;
	size_t left = pinned->len, bytes;
	unsigned int i;

	sg_init_table(sg, got);
	for (i = 0; i < got; i++, offset = 0, left -= bytes) {
		bytes = min_t(size_t, left, PAGE_SIZE - offset);
		if (i && page_to_pfn(pages[i]) == page_to_pfn(pages[i - 1]) + 1 &&
		    sg->length + bytes <= max_entry)
			sg->length += bytes;
		else
			sg_set_page(i ? ++sg : sg, pages[i], bytes, offset);
	}
	sg_mark_end(sg);
	pinned->count = sg + 1 - pinned->sg;
}

/*
 * Pins up to @bytes of @iter's next segment; @is_written: the device writes them. Returns bytes
 * pinned or -errno.
 */
ssize_t mp_pin(struct mp_pinned *pinned, const struct iov_iter *iter, size_t bytes,
	       bool is_written, size_t max_entry)
{
	struct page *pages[MP_PIN_PAGES];
	size_t offset = mp_pin_offset(iter);
	int got;

	pinned->is_user = user_backed_iter(iter);
	if (pinned->is_user)
		got = pin_user_pages_fast((unsigned long)mp_iter_address(iter) - offset,
					  DIV_ROUND_UP(offset + bytes, PAGE_SIZE),
					  is_written ? FOLL_WRITE : 0, pages);
	else
		got = get_registered(pages, *iter, bytes);
	if (got <= 0)
		return got ? got : -EFAULT;
	pinned->len = min_t(size_t, bytes, (size_t)got * PAGE_SIZE - offset);
	fill_entries(pinned, pages, got, offset, max_entry);
	return pinned->len;
}

/* @is_dirty: bytes were written, and must get to the file that the pages may be of. */
void mp_unpin(struct mp_pinned *pinned, bool is_dirty)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sg(pinned->sg, sg, pinned->count, i)
		let_go(sg_page(sg), DIV_ROUND_UP(sg->offset + sg->length, PAGE_SIZE),
		       pinned->is_user, is_dirty);
}
