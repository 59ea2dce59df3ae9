/* SPDX-License-Identifier: MIT */
/* Errors in pointers. */
#ifndef STANDIN_ERR_H
#define STANDIN_ERR_H

#include <linux/errno.h>
#include <linux/types.h>

#define ERR_PTR(error)	((void *)(long)(error))
#define PTR_ERR(ptr)	((long)(ptr))
#define IS_ERR(ptr)	((unsigned long)(ptr) >= (unsigned long)-4095L)
#define ERR_CAST(ptr)	((void *)(ptr))

#endif
