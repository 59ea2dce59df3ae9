/* SPDX-License-Identifier: GPL-2.0-only */
/* The calls of a process on a channel: read.c, splice.c, write.c, shutdown.c; file.c uses all. */
#ifndef KMOD_CALLS_H
#define KMOD_CALLS_H

#include <linux/fs.h>
#include <linux/types.h>
#include <linux/uio.h>

#include "state.h"

struct pipe_inode_info;

ssize_t mp_read(struct mp_channel *ch, struct iov_iter *to, bool nonblock);
int mp_read_wait(struct mp_channel *ch);
ssize_t mp_peek(struct mp_channel *ch, struct iov_iter *to, bool nonblock);
ssize_t mp_splice_read(struct mp_channel *ch, struct pipe_inode_info *pipe, size_t len,
		       bool nonblock);
ssize_t mp_write(struct mp_channel *ch, struct iov_iter *from, bool nonblock);
int mp_write_flush(struct mp_channel *ch);
int mp_shutdown(struct mp_channel *ch, unsigned long how);

extern const struct file_operations mp_file_operations;

#endif
