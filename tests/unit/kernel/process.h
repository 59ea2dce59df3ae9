/* SPDX-License-Identifier: MIT */
/* Between kernel.c and process.c: the halves of one kernel. */
#ifndef TESTS_UNIT_KERNEL_PROCESS_H
#define TESTS_UNIT_KERNEL_PROCESS_H

#include "kernel.h"

/* A moment of kernel_at() has come. */
void kernel_reached(enum kernel_moment moment, const void *object);

void process_reset(void);
/* A reference was taken (1) or dropped (-1). */
void kernel_ref(int change);

#endif
