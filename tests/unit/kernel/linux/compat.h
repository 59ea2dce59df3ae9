/* SPDX-License-Identifier: MIT */
/* Callers of 32 bits. */
#ifndef STANDIN_COMPAT_H
#define STANDIN_COMPAT_H

#include <linux/fs.h>

static inline long compat_ptr_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return file->f_op->unlocked_ioctl(file, cmd, arg);
}

#endif
