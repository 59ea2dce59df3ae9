/* SPDX-License-Identifier: MIT */
/* Pages that can be touched: all. */
#ifndef STANDIN_HIGHMEM_H
#define STANDIN_HIGHMEM_H

#include <string.h>

#include <linux/mm.h>

#define memcpy_from_page(to, page, offset, len) \
	memcpy(to, (const char *)(page) + (offset), len)

#endif
