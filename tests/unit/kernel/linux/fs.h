/* SPDX-License-Identifier: MIT */
/* Open files. */
#ifndef STANDIN_FS_H
#define STANDIN_FS_H

#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/uio.h>

#define FMODE_READ	1U
#define FMODE_NOWAIT	2U
#define FMODE_WRITE	4U
#define IOCB_NOWAIT	1
#define O_NONBLOCK	04000
#define SIGIO		29
#define POLL_IN		1
#define POLL_OUT	2

struct cdev;
struct pipe_inode_info;
struct file;
struct fasync_struct;

struct inode {
	struct cdev *i_cdev;
};

struct kiocb {
	struct file *ki_filp;
	int ki_flags;
};

struct file_operations {
	struct module *owner;
	int (*open)(struct inode *inode, struct file *file);
	int (*release)(struct inode *inode, struct file *file);
	ssize_t (*read_iter)(struct kiocb *iocb, struct iov_iter *to);
	ssize_t (*write_iter)(struct kiocb *iocb, struct iov_iter *from);
	ssize_t (*splice_read)(struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
			       size_t len, unsigned int flags);
	ssize_t (*splice_write)(struct pipe_inode_info *pipe, struct file *file, loff_t *pos,
				size_t len, unsigned int flags);
	__poll_t (*poll)(struct file *file, struct poll_table_struct *wait);
	int (*fasync)(int fd, struct file *file, int on);
	int (*fsync)(struct file *file, loff_t start, loff_t end, int datasync);
	long (*unlocked_ioctl)(struct file *file, unsigned int cmd, unsigned long arg);
	long (*compat_ioctl)(struct file *file, unsigned int cmd, unsigned long arg);
};

struct file {
	const struct file_operations *f_op;
	unsigned int f_mode, f_flags;
	void *private_data;
};

static inline int nonseekable_open(struct inode *inode, struct file *file)
{
	return 0;
}

/* The two below are for no test. */
ssize_t iter_file_splice_write(struct pipe_inode_info *pipe, struct file *file, loff_t *pos,
			       size_t len, unsigned int flags);
int fasync_helper(int fd, struct file *file, int on, struct fasync_struct **fasync);

static inline void kill_fasync(struct fasync_struct **fasync, int signal, int band)
{
}

#endif
