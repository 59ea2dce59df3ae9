/* SPDX-License-Identifier: MIT */
/* Pages that can be touched: all. */
#ifndef STANDIN_HIGHMEM_H
#define STANDIN_HIGHMEM_H

#include <linux/mm.h>

#endif
