// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file operations of a port's node: each open is a channel.
 */
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/user_namespace.h>
#include <asm/ioctls.h>

#include <manyport/ioctl.h>
#include <manyport/wire_check.h>

#include "batch.h"
#include "calls.h"
#include "channel.h"
#include "chunk.h"
#include "fetch.h"
#include "in.h"
#include "naming.h"
#include "poll.h"
#include "port.h"
#include "reconnect.h"
#include "wait.h"

static int mp_file_open(struct inode *inode, struct file *file)
{
	struct mp_port *port = container_of(inode->i_cdev, struct mp_port, cdev);
	struct mp_channel *ch;
	int ret;

	ch = mp_channel_open(port);
	if (IS_ERR(ch))
		return PTR_ERR(ch);
	ch->in.is_readable = file->f_mode & FMODE_READ;
	if (port->is_fixed) {
		ret = mp_naming_connect(&ch->naming, NULL, "", 0, true, false);
		if (ret != -EAGAIN) {
			mp_channel_release(ch);
			return ret;
		}
	}
	file->private_data = ch;
	file->f_mode |= FMODE_NOWAIT;
	return nonseekable_open(inode, file);
}

static int mp_file_release(struct inode *inode, struct file *file)
{
	mp_channel_release(file->private_data);
	return 0;
}

static void set_polled(struct mp_channel *ch)
{
	if (READ_ONCE(ch->in.is_polled))
		return;
	spin_lock_irq(&ch->link.lock);
	mp_fetch_polled_locked(&ch->in);
	mp_link_unlock(&ch->link, 0);
}

/*
 * May this call not wait? Then the channel is one that the driver fetches for. A worker of io_uring
 * may, though it tries without at first, to have a poll wait in its place: for a large transfer on
 * the call's own pages it waits itself, since behind a poll all is copied.
 */
static bool is_nonblocking(struct kiocb *iocb, const struct iov_iter *iter, struct mp_channel *ch)
{
	bool nonblock = (iocb->ki_filp->f_flags & O_NONBLOCK) ||
			((iocb->ki_flags & IOCB_NOWAIT) &&
			 !(mp_batch_in_worker() && mp_batch_is_worth(iter)));

	if (nonblock)
		set_polled(ch);
	return nonblock;
}

/* What a call gets that may not wait, of a device that is silent. */
static ssize_t or_silent(const struct mp_channel *ch, ssize_t ret)
{
	return ret == -EAGAIN && READ_ONCE(ch->link.port->is_silent) ? -ETIMEDOUT : ret;
}

static ssize_t mp_file_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct mp_channel *ch = iocb->ki_filp->private_data;

	return or_silent(ch, mp_read(ch, to, is_nonblocking(iocb, to, ch)));
}

static ssize_t mp_file_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct mp_channel *ch = iocb->ki_filp->private_data;

	return or_silent(ch, mp_write(ch, from, is_nonblocking(iocb, from, ch)));
}

static ssize_t mp_file_splice_read(struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
				   size_t len, unsigned int flags)
{
	bool nonblock = file->f_flags & O_NONBLOCK;

	if (nonblock)
		set_polled(file->private_data);
	/* Whether the pipe may be waited for (@flags) says nothing of the channel. */
	return or_silent(file->private_data,
			 mp_splice_read(file->private_data, pipe, len, nonblock));
}

static __poll_t mp_file_poll(struct file *file, poll_table *wait)
{
	struct mp_channel *ch = file->private_data;
	__poll_t mask, events = poll_requested_events(wait), edge = 0;

	poll_wait(file, &ch->link.wait, wait);
	if (READ_ONCE(ch->link.is_held))
		mp_wait_look(&ch->link);
	spin_lock_irq(&ch->link.lock);
	mp_fetch_polled_locked(&ch->in);
	mp_fetch_ahead_locked(&ch->in, false);
	if (events & (EPOLLIN | EPOLLRDNORM))
		mp_end_looked_locked(ch);
	if (mp_end_is_met_locked(ch))
		edge = mp_end_poll_locked(ch, events, mp_poll_mask_locked(ch));
	mask = mp_poll_mask_locked(ch);
	if (!(mask & EPOLLOUT))
		mp_chunks_want_locked(&ch->out, true);
	mp_link_unlock(&ch->link, edge);
	return mask;
}

static int mp_file_fasync(int fd, struct file *file, int on)
{
	struct mp_channel *ch = file->private_data;

	spin_lock_irq(&ch->link.lock);
	mp_fetch_polled_locked(&ch->in);
	mp_chunks_want_locked(&ch->out, true);
	mp_link_unlock(&ch->link, 0);
	return fasync_helper(fd, file, on, &ch->fasync);
}

static int mp_file_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	return mp_write_flush(file->private_data);
}

/*
 * A process that may become a user may speak for that user, as with SCM_CREDENTIALS. The caller is
 * asked, not the opener of the port: a file that was handed on gives no rights of its own.
 */
static int user_of(const struct manyport_connect_as *connect, struct mp_user *user)
{
	struct user_namespace *ns = current_user_ns();

	user->uid = make_kuid(ns, connect->uid);
	user->gid = make_kgid(ns, connect->gid);
	if (!uid_valid(user->uid) || !gid_valid(user->gid))
		return -EINVAL;
	return ns_capable(ns, CAP_SETUID) && ns_capable(ns, CAP_SETGID) ? 0 : -EPERM;
}

/* @arg: struct manyport_connect, which is the end of manyport_connect_as; @as: it is the whole. */
static long ioctl_connect(struct mp_channel *ch, bool nonblock, const void __user *arg, bool as)
{
	size_t skip = as ? 0 : offsetof(struct manyport_connect_as, name);
	struct manyport_connect_as connect;
	struct mp_user user;
	size_t len;
	long ret = 0;

	if (ch->link.port->is_fixed)
		return -EOPNOTSUPP;
	if (copy_from_user((void *)&connect + skip, arg, sizeof(connect) - skip))
		return -EFAULT;
	if (as)
		ret = user_of(&connect, &user);
	if (ret)
		return ret;
	len = strnlen(connect.name, sizeof(connect.name));
	if (len > MP_NAME_MAX)
		return -ENAMETOOLONG;
	if (!mp_name_is_valid(connect.name, len))
		return -EINVAL;
	ret = mp_naming_connect(&ch->naming, as ? &user : NULL, connect.name, len, nonblock, true);
	ret = or_silent(ch, ret);
	return ret == -EAGAIN ? -EINPROGRESS : ret;
}

static_assert(MANYPORT_EXITED == MP_REASON_EXITED && MANYPORT_KILLED == MP_REASON_KILLED);
static_assert(offsetofend(struct manyport_info, service) == MANYPORT_INFO_SIZE_1);

static void fill_info_locked(const struct mp_channel *ch, struct manyport_info *info)
{
	enum mp_channel_state state = mp_channel_state_locked(ch);
	u16 bits = ch->link.bits, reason = ch->link.reason;

	if (state == MP_CH_ANSWERED)	/* the naming call is still to collect its answer */
		state = bits & MP_ST_FAILED ? MP_CH_FAILED : MP_CH_CONNECTED;
	info->state = state;
	info->error = -ch->link.error;
	if (state == MP_CH_REFUSED)
		info->error = -mp_reason_to_errno(reason);
	if (state == MP_CH_FAILED)
		info->error = ECONNRESET;
	if (state == MP_CH_FAILED && mp_reason_is_exit(reason))
		info->exit = reason;
	info->channel = ch->link.slot;
	info->generation = ch->link.generation;
	info->readable = ch->in.ready;
	info->unsent = ch->out.bytes;
	info->flags = (bits & MP_ST_IN_END || ch->in.half.is_shut ? MANYPORT_INFO_IN_ENDED : 0) |
		      (bits & MP_ST_OUT_END || ch->out.half.is_shut ? MANYPORT_INFO_OUT_ENDED : 0) |
		      (ch->link.port->is_fixed ? MANYPORT_INFO_FIXED : 0);
	info->bytes_in = ch->in.half.bytes;
	info->bytes_out = ch->out.half.bytes;
	info->zero_copy_in = ch->in.half.zero_copy;
	info->zero_copy_out = ch->out.half.zero_copy;
	info->requests = ch->link.requests;
	info->kicks = ch->link.kicks;
	info->events = ch->link.events;
	info->waits = ch->link.waits;
	info->polled = ch->link.polled;
	if (ch->naming.name)
		strscpy(info->service, ch->naming.name, sizeof(info->service));
}

/* @size: what the caller's header knows of the structure. */
static long ioctl_info(struct mp_channel *ch, void __user *arg, u32 size)
{
	struct manyport_info *info = kzalloc(sizeof(*info), GFP_KERNEL);
	long ret = 0;

	if (!info)
		return -ENOMEM;
	mp_wait_look(&ch->link);	/* answers that no caller waited for may lie in the rings */
	spin_lock_irq(&ch->link.lock);
	fill_info_locked(ch, info);
	spin_unlock_irq(&ch->link.lock);
	info->size = size;
	if (copy_to_user(arg, info, size))
		ret = -EFAULT;
	kfree(info);
	return ret;
}

/* The rights of the file are asked as read and write would ask them. */
static long ioctl_transfer(struct file *file, bool is_send, bool nonblock, const void __user *arg)
{
	struct mp_channel *ch = file->private_data;
	struct manyport_transfer transfer;
	void __user *data;
	struct iov_iter iter;
	u32 flags;

	if (copy_from_user(&transfer, arg, sizeof(transfer)))
		return -EFAULT;
	flags = transfer.flags;
	if (flags & ~(MANYPORT_TRANSFER_NOWAIT | (is_send ? 0 : MANYPORT_TRANSFER_PEEK)) ||
	    transfer.size > INT_MAX)
		return -EINVAL;
	if (!(file->f_mode & (is_send ? FMODE_WRITE : FMODE_READ)))
		return -EBADF;
	data = u64_to_user_ptr(transfer.data);
	if (!access_ok(data, transfer.size))
		return -EFAULT;
	iov_iter_ubuf(&iter, is_send ? WRITE : READ, data, transfer.size);
	nonblock |= flags & MANYPORT_TRANSFER_NOWAIT;
	if (nonblock)
		set_polled(ch);	/* as a call of a non-blocking file */
	if (is_send)
		return or_silent(ch, mp_write(ch, &iter, nonblock));
	return or_silent(ch, flags & MANYPORT_TRANSFER_PEEK ? mp_peek(ch, &iter, nonblock) :
							      mp_read(ch, &iter, nonblock));
}

static long ioctl_count(struct mp_channel *ch, bool is_out, int __user *arg)
{
	u32 bytes;

	mp_wait_look(&ch->link);	/* answers that no caller waited for may lie in the rings */
	spin_lock_irq(&ch->link.lock);
	bytes = is_out ? ch->out.bytes : ch->in.ready;
	if (!is_out && !bytes) {	/* as a poll does: a process may ask again and again */
		mp_fetch_polled_locked(&ch->in);
		mp_fetch_ahead_locked(&ch->in, false);
	}
	mp_link_unlock(&ch->link, 0);
	return put_user((int)min_t(u32, bytes, INT_MAX), arg);
}

static long mp_file_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct mp_channel *ch = file->private_data;
	bool nonblock = file->f_flags & O_NONBLOCK;

	switch (cmd) {
	case MANYPORT_IOC_CONNECT:
	case MANYPORT_IOC_CONNECT_AS:
		return ioctl_connect(ch, nonblock, (const void __user *)arg,
				     cmd == MANYPORT_IOC_CONNECT_AS);
	case MANYPORT_IOC_SHUTDOWN:
		return mp_shutdown(ch, arg);
	case MANYPORT_IOC_ABORT:
		return mp_channel_abort(ch);
	case MANYPORT_IOC_INFO:
	case MANYPORT_IOC_INFO_1:
		return ioctl_info(ch, (void __user *)arg, _IOC_SIZE(cmd));
	case MANYPORT_IOC_RECV:
	case MANYPORT_IOC_SEND:
		return ioctl_transfer(file, cmd == MANYPORT_IOC_SEND, nonblock,
				      (const void __user *)arg);
	case FIONREAD:
		return ioctl_count(ch, false, (int __user *)arg);
	case TIOCOUTQ:
		return ioctl_count(ch, true, (int __user *)arg);
	default:
		return -ENOTTY;
	}
}

/* SHUTDOWN passes its argument by value: not a pointer, but small enough for either. */
const struct file_operations mp_file_operations = {
	.owner = THIS_MODULE,
	.open = mp_file_open,
	.release = mp_file_release,
	.read_iter = mp_file_read_iter,
	.write_iter = mp_file_write_iter,
	.splice_read = mp_file_splice_read,
	.splice_write = iter_file_splice_write,
	.poll = mp_file_poll,
	.fasync = mp_file_fasync,
	.fsync = mp_file_fsync,
	.unlocked_ioctl = mp_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
