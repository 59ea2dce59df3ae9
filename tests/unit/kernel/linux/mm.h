/* SPDX-License-Identifier: MIT */
/* Pages of a process: plain memory, whose address is the page's own. */
#ifndef STANDIN_MM_H
#define STANDIN_MM_H

#include <linux/kernel.h>

#define FOLL_WRITE 1U

struct folio;
struct page;

#define offset_in_page(x)	((unsigned long)(x) & (PAGE_SIZE - 1))
#define page_to_pfn(page)	((unsigned long)(page) >> PAGE_SHIFT)
#define pfn_to_page(pfn)	((struct page *)((pfn) << PAGE_SHIFT))

/* Counted: see kernel.h. */
int pin_user_pages_fast(unsigned long start, int count, unsigned int flags, struct page **pages);
void put_page(struct page *page);
struct folio *page_folio(struct page *page);
bool folio_maybe_dma_pinned(struct folio *folio);
void unpin_user_page_range_dirty_lock(struct page *page, unsigned long count, bool is_dirty);

#endif
