/* SPDX-License-Identifier: MIT */
/* The kernel's log: kernel.h says how much came. */
#ifndef STANDIN_PRINTK_H
#define STANDIN_PRINTK_H

void standin_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define pr_warn_ratelimited standin_warn

#endif
