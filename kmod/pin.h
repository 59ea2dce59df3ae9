/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages of a call that hold still while the device works on them; knows no channel. */
#ifndef KMOD_PIN_H
#define KMOD_PIN_H

#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/types.h>
#include <linux/uio.h>

#define MP_PIN_MAX (256U << 10)		/* bytes in one piece */
#define MP_PIN_PAGES (MP_PIN_MAX / PAGE_SIZE + 1)

struct mp_pinned {
	bool is_user;			/* memory of the process; else registered pages */
	u32 len;			/* bytes */
	unsigned int count;		/* of sg */
	struct scatterlist sg[MP_PIN_PAGES];
};

size_t mp_pin_offset(const struct iov_iter *iter);
ssize_t mp_pin(struct mp_pinned *pinned, const struct iov_iter *iter, size_t bytes,
	       bool is_written, size_t max_entry);
void mp_unpin(struct mp_pinned *pinned, bool is_dirty);

#endif
