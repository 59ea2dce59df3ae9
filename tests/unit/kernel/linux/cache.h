/* SPDX-License-Identifier: MIT */
/* Cache lines. */
#ifndef STANDIN_CACHE_H
#define STANDIN_CACHE_H

#define L1_CACHE_BYTES		64
#define SMP_CACHE_BYTES		L1_CACHE_BYTES

#endif
