// SPDX-License-Identifier: GPL-2.0-only
/*
 * Naming: from an open to a connected channel.
 *
 * CONNECT is sent once; its outcome is a state [protocol.md 4.4]. The call that
 * named the service collects the outcome: at once when it may wait, else when it is
 * repeated with the same name. Nothing of a naming write is consumed before.
 */
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "manyport.h"

/* Prefix, the longest name, its end mark: what a naming write may hold of a name. */
#define MP_NAMING_MAX (sizeof(MP_NAME_PREFIX) - 1 + MP_NAME_MAX + 2)

/*
 * CONNECT found no memory. A fixed port serves for ever: once more, behind what else waits. Any
 * other channel is over; if the device knows it (refused before), the CLOSE says so.
 */
static __poll_t connect_given_up_locked(struct mp_channel *ch)
{
	if (ch->link.port->is_fixed && !ch->link.is_released && !ch->link.error &&
	    !mp_connect_send_locked(ch, ch->connect_req))
		return 0;
	return mp_link_fail_locked(&ch->link, -ENOMEM);
}

/* Returns what to wake. */
static __poll_t connect_take_locked(struct mp_channel *ch, const struct mp_result *answer)
{
	u32 status = le32_to_cpu(answer->status);

	if (status == MP_OK)
		return 0;
	if (status == MP_FAULT)
		return mp_link_fault_locked(&ch->link);
	if (status != MP_BUSY || ch->link.phase != MP_PHASE_NAMING)
		return mp_link_break_locked(&ch->link, "connect");
	ch->link.phase = MP_PHASE_REFUSED;
	ch->link.reason = MP_REASON_BUSY;
	ch->link.is_closed = true;	/* the device made no channel */
	return EPOLLIN | EPOLLOUT | EPOLLERR;
}

/*
 * The answer to CONNECT. MP_BUSY is looked at before any state: the device made no channel, so
 * what comes with it is the state of none. Any other outcome is in the state. Writers are woken
 * always, since the naming call also waits for this answer after a state that overtook it.
 */
static __poll_t connect_taken(struct mp_req *req, int ret, const struct mp_result *answer)
{
	struct mp_connect_req *connect = container_of(req, struct mp_connect_req, req);
	struct mp_channel *ch = mp_channel_of(req->link);
	__poll_t wake = EPOLLOUT;

	ch->connect_busy = false;
	if (connect != ch->connect_req)
		kfree(connect);
	if (ret == -ENOMEM)
		return wake | connect_given_up_locked(ch);
	return ret ? wake : wake | connect_take_locked(ch, answer);
}

static struct mp_user opener_of(const struct mp_channel *ch)
{
	return (struct mp_user){ ch->cred->fsuid, ch->cred->fsgid };
}

static struct mp_connect_req *connect_alloc(struct mp_channel *ch, const struct mp_user *user,
					    const char *name, size_t len)
{
	struct mp_connect_req *connect = kzalloc(sizeof(*connect), GFP_KERNEL_ACCOUNT);

	if (!connect)
		return NULL;
	connect->connect.uid = cpu_to_le32(from_kuid(&init_user_ns, user->uid));
	connect->connect.gid = cpu_to_le32(from_kgid(&init_user_ns, user->gid));
	connect->connect.pid = cpu_to_le32(ch->pid);
	connect->connect.name_len = cpu_to_le32(len);
	memcpy(connect->connect.comm, ch->comm,
	       min(sizeof(connect->connect.comm), sizeof(ch->comm)));
	memcpy(connect->name, name, len);
	return connect;
}

/* Sends CONNECT for the current generation. Returns 0, -ESHUTDOWN, -EIO (a broken queue). */
int mp_connect_send_locked(struct mp_channel *ch, struct mp_connect_req *connect)
{
	u32 name_len = le32_to_cpu(connect->connect.name_len);
	int ret;

	lockdep_assert_held(&ch->link.lock);
	mp_req_init(&connect->req, connect_taken);
	mp_req_payload(&connect->req, &connect->connect, sizeof(connect->connect) + name_len,
		       false);
	ch->link.bits &= ~MP_ST_REFUSED;
	ch->link.reason = MP_REASON_NONE;
	ch->link.phase = MP_PHASE_NAMING;
	ch->is_collected = false;
	ret = mp_link_send_locked(&ch->link, ch->link.port->tx, &connect->req, MP_OP_CONNECT, 0, 0);
	ch->connect_busy = !ret;
	return ret;
}

/* The device's state says how it went. Returns what to wake. */
__poll_t mp_connect_answered_locked(struct mp_channel *ch)
{
	lockdep_assert_held(&ch->link.lock);
	if (ch->link.bits & MP_ST_REFUSED) {
		ch->link.phase = MP_PHASE_REFUSED;
		return EPOLLIN | EPOLLOUT | EPOLLERR;
	}
	ch->link.phase = MP_PHASE_CONNECTED;
	if (ch->link.port->is_fixed) {
		ch->is_collected = true;
		ch->was_connected = true;
	}
	return EPOLLOUT;
}

/* What a process is told when the queue took no CONNECT. */
static int submit_error(int error)
{
	return error == -EIO ? -EIO : -ENODEV;
}

/* A fixed port's channel is connected from the start. Never waits. */
int mp_connect_fixed(struct mp_channel *ch)
{
	const struct mp_user opener = opener_of(ch);
	int ret;

	ch->connect_req = connect_alloc(ch, &opener, "", 0);
	if (!ch->connect_req)
		return -ENOMEM;
	spin_lock_irq(&ch->link.lock);
	/* The port may have gone since the open: then its queues are not there any more. */
	ret = ch->link.error ? ch->link.error : mp_connect_send_locked(ch, ch->connect_req);
	if (ret) {
		ret = submit_error(ret);
		ch->link.error = ret;
		ch->link.is_closed = true;	/* so that the release gives the slot back */
	}
	spin_unlock_irq(&ch->link.lock);
	return ret;
}

/* What a naming call gets now that the channel is in this phase; 1: wait. */
static int naming_outcome_locked(struct mp_channel *ch, bool same)
{
	if (ch->link.error)
		return ch->link.error;
	switch (ch->link.phase) {
	case MP_PHASE_NAMING:
		return same ? 1 : -EALREADY;
	case MP_PHASE_CONNECTED:
		if (ch->is_collected)
			return -EISCONN;
		if (!same)
			return -EALREADY;
		ch->is_collected = true;
		return 0;
	case MP_PHASE_REFUSED:
		/* The state may overtake the answer to CONNECT: then that is waited for. */
		if (ch->connect_busy)
			return same ? 1 : -EALREADY;
		ch->is_collected = true;
		return mp_reason_to_errno(ch->link.reason);
	default:
		return -ENOTCONN;
	}
}

static bool is_answered(struct mp_channel *ch, bool unused)
{
	bool ret;

	spin_lock_irq(&ch->link.lock);
	ret = ch->link.error || (ch->link.phase != MP_PHASE_NAMING &&
			    !(ch->link.phase == MP_PHASE_REFUSED && ch->connect_busy));
	spin_unlock_irq(&ch->link.lock);
	return ret;
}

/* May this call begin an attempt, rather than collect the outcome of the last? */
static bool may_start_locked(const struct mp_channel *ch, bool same, bool may_retry)
{
	if (ch->link.error)
		return false;
	if (ch->link.phase == MP_PHASE_UNNAMED)
		return true;
	return ch->link.phase == MP_PHASE_REFUSED && may_retry && !ch->connect_busy &&
	       (ch->is_collected || !same);
}

/*
 * Connects @ch to the service @name (valid, @len bytes) for @user (NULL: the opener). @may_retry:
 * a refused channel may try again. Returns 0 or the refusal's errno, -EAGAIN (under way and
 * @nonblock), -EALREADY (another name, or the same for another user, is under way), -EISCONN,
 * -ERESTARTSYS, -ENOMEM.
 */
int mp_connect_name(struct mp_channel *ch, const struct mp_user *user, const char *name,
		    size_t len, bool nonblock, bool may_retry)
{
	const struct mp_user who = user ? *user : opener_of(ch);
	struct mp_connect_req *connect = connect_alloc(ch, &who, name, len);
	char *copy = kstrndup(name, len, GFP_KERNEL_ACCOUNT);
	bool same;
	int ret;

	if (!connect || !copy) {
		kfree(connect);
		kfree(copy);
		return -ENOMEM;
	}
	spin_lock_irq(&ch->link.lock);
	same = ch->name && strlen(ch->name) == len && !memcmp(ch->name, name, len) &&
	       uid_eq(ch->user.uid, who.uid) && gid_eq(ch->user.gid, who.gid);
	if (may_start_locked(ch, same, may_retry)) {
		swap(ch->name, copy);
		ch->user = who;
		ch->link.is_closed = false;
		same = true;
		ret = mp_connect_send_locked(ch, connect);
		if (ret)
			ch->link.error = submit_error(ret);
		else
			connect = NULL;
	}
	ret = naming_outcome_locked(ch, same);
	spin_unlock_irq(&ch->link.lock);
	kfree(connect);
	kfree(copy);
	if (ret <= 0)
		return ret;
	if (nonblock)
		return -EAGAIN;
	/* Again, when another holder has collected a refusal and begun the next attempt. */
	while (ret > 0) {
		ret = mp_wait(ch, &ch->out_spin, is_answered, false);
		if (ret)
			return ret;
		spin_lock_irq(&ch->link.lock);
		ret = naming_outcome_locked(ch, true);
		spin_unlock_irq(&ch->link.lock);
	}
	/* Another holder of the channel has collected it: it is ours as well. */
	return ret == -EISCONN ? 0 : ret;
}

/*
 * Finds the name in the first bytes of a write: up to a NUL, else the whole
 * write without one newline, CR LF too, behind it. @have: bytes in @buf; @total: in the write.
 * Returns how many bytes of the write the name takes, or -errno.
 */
static ssize_t find_name(const char *buf, size_t have, size_t total, const char **name,
			 size_t *len)
{
	const size_t prefix = sizeof(MP_NAME_PREFIX) - 1;
	const char *nul = memchr(buf, 0, have);
	size_t consumed = nul ? nul - buf + 1 : total;

	*name = buf;
	*len = nul ? nul - buf : have;
	if (!nul && total <= have && have && buf[have - 1] == '\n') {
		--*len;
		if (*len && buf[*len - 1] == '\r')
			--*len;
	}
	if (*len >= prefix && !memcmp(buf, MP_NAME_PREFIX, prefix)) {
		*name += prefix;
		*len -= prefix;
	}
	if ((!nul && total > have) || *len > MP_NAME_MAX)
		return -ENAMETOOLONG;
	return mp_name_is_valid(*name, *len) ? consumed : -EINVAL;
}

/*
 * The first write of a channel. Returns how many bytes the name took, and
 * @from is behind them; or -errno and @from is untouched.
 */
ssize_t mp_connect_first_write(struct mp_channel *ch, struct iov_iter *from, bool nonblock)
{
	size_t total = iov_iter_count(from), have, len;
	char buf[MP_NAMING_MAX];
	ssize_t consumed;
	const char *name;
	int ret;

	spin_lock_irq(&ch->link.lock);
	ret = 0;
	if (ch->link.phase == MP_PHASE_REFUSED && !ch->connect_busy) {
		ch->is_collected = true;	/* a payload never becomes a name */
		ret = mp_reason_to_errno(ch->link.reason);
	}
	spin_unlock_irq(&ch->link.lock);
	if (ret)
		return ret;
	have = copy_from_iter(buf, min(total, sizeof(buf)), from);
	iov_iter_revert(from, have);
	if (have < min(total, sizeof(buf)))
		return -EFAULT;
	consumed = find_name(buf, have, total, &name, &len);
	if (consumed < 0)
		return consumed;
	ret = mp_connect_name(ch, NULL, name, len, nonblock, false);
	/* Another holder's ioctl has collected the answer meanwhile: it is ours as well. */
	if (ret && ret != -EISCONN)
		return ret;
	iov_iter_advance(from, consumed);
	return consumed;
}
