/* SPDX-License-Identifier: MIT */
/* Cache lines. */
#ifndef STANDIN_CACHE_H
#define STANDIN_CACHE_H

#define L1_CACHE_BYTES		64
#define ____cacheline_aligned	__attribute__((aligned(L1_CACHE_BYTES)))

#endif
