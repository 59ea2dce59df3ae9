/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages of a process that hold still while the device works on them; knows no channel. */
#ifndef KMOD_PIN_H
#define KMOD_PIN_H

#include <linux/scatterlist.h>
#include <linux/types.h>
#include <linux/uio.h>

struct mp_pinned {
	u32 len;			/* bytes */
	unsigned int page_count, sg_count;
	struct page **pages;		/* behind sg */
	struct scatterlist *sg;
};

ssize_t mp_pin(struct mp_pinned *pinned, unsigned long addr, size_t bytes, bool is_written,
	       size_t max_entry);
void mp_unpin(struct mp_pinned *pinned, bool is_dirty);

#endif
