/* SPDX-License-Identifier: MIT */
/* As in user space. */
#ifndef STANDIN_ERRNO_H
#define STANDIN_ERRNO_H

#include_next <linux/errno.h>
#include <errno.h>

#define ERESTARTSYS 512

#endif
