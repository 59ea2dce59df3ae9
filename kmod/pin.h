/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages of a process that hold still while the device works on them; knows no channel. */
#ifndef KMOD_PIN_H
#define KMOD_PIN_H

#include <linux/scatterlist.h>
#include <linux/types.h>
#include <linux/uio.h>

#define MP_PIN_MAX (256U << 10)		/* bytes in one piece */

struct mp_pinned {
	u32 len;			/* bytes */
	struct sg_table table;
};

ssize_t mp_pin(struct mp_pinned *pinned, unsigned long addr, size_t bytes, bool is_written,
	       size_t max_entry);
void mp_unpin(struct mp_pinned *pinned, bool is_dirty);

#endif
