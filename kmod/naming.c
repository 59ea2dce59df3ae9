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

#include <manyport/wire_check.h>

#include "naming.h"
#include "port.h"
#include "queue.h"
#include "wait.h"

/* Prefix, the longest name, its end mark: what a naming write may hold of a name. */
#define MP_NAMING_MAX (sizeof(MP_NAME_PREFIX) - 1 + MP_NAME_MAX + 2)

/*
 * CONNECT found no memory. A fixed port serves for ever: once more, behind what else waits. Any
 * other channel is over; if the device knows it (refused before), the CLOSE says so.
 */
static __poll_t connect_given_up_locked(struct mp_naming *naming)
{
	struct mp_link *link = naming->link;

	if (link->port->is_fixed && !link->is_released && !link->error &&
	    !mp_naming_send_locked(naming, naming->connect_req))
		return 0;
	return mp_link_fail_locked(link, -ENOMEM);
}

/* Returns what to wake. */
static __poll_t connect_take_locked(struct mp_naming *naming, const struct mp_result *answer)
{
	struct mp_link *link = naming->link;
	u32 status = le32_to_cpu(answer->status);

	if (status == MP_OK)
		return 0;
	if (status == MP_FAULT)
		return mp_link_fault_locked(link);
	if (status != MP_BUSY || link->phase != MP_PHASE_NAMING)
		return mp_link_break_locked(link, "connect");
	mp_link_refused_locked(link);
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
	struct mp_naming *naming = connect->naming;
	__poll_t wake = EPOLLOUT;

	naming->busy = NULL;
	if (connect != naming->connect_req)
		kfree(connect);
	if (ret == -ENOMEM)
		return wake | connect_given_up_locked(naming);
	/* The queue died: a channel that began behind the end of all others ends as they did. */
	if (ret == -ESHUTDOWN)
		return wake | mp_link_fail_locked(naming->link, -ECONNRESET);
	return ret ? wake : wake | connect_take_locked(naming, answer);
}

void mp_naming_init(struct mp_naming *naming, struct mp_link *link, struct mp_spin *spin)
{
	naming->link = link;
	naming->spin = spin;
	naming->opener.uid = cpu_to_le32(from_kuid(&init_user_ns, current_fsuid()));
	naming->opener.gid = cpu_to_le32(from_kgid(&init_user_ns, current_fsgid()));
	naming->opener.pid = cpu_to_le32(task_tgid_nr_ns(current, &init_pid_ns));
	get_task_comm(naming->opener.comm, current);
}

void mp_naming_destroy(struct mp_naming *naming)
{
	kfree(naming->connect_req);
	kfree(naming->name);
}

static struct mp_connect_req *connect_alloc(struct mp_naming *naming, const struct mp_user *user,
					    const char *name, size_t len)
{
	struct mp_connect_req *connect = kzalloc(sizeof(*connect), GFP_KERNEL_ACCOUNT);

	if (!connect)
		return NULL;
	connect->naming = naming;
	connect->connect = naming->opener;
	if (user) {
		connect->connect.uid = cpu_to_le32(from_kuid(&init_user_ns, user->uid));
		connect->connect.gid = cpu_to_le32(from_kgid(&init_user_ns, user->gid));
	}
	connect->connect.name_len = cpu_to_le32(len);
	memcpy(connect->name, name, len);
	return connect;
}

/*
 * Sends CONNECT for the current generation. Returns 0, -ENODEV, -EIO (a broken queue),
 * -ECONNRESET (the device is being reset).
 */
int mp_naming_send_locked(struct mp_naming *naming, struct mp_connect_req *connect)
{
	struct mp_link *link = naming->link;
	u32 name_len = le32_to_cpu(connect->connect.name_len);
	int ret;

	lockdep_assert_held(&link->lock);
	mp_req_init(&connect->req, connect_taken);
	mp_req_payload(&connect->req, &connect->connect, sizeof(connect->connect) + name_len,
		       false, false);
	mp_link_become_locked(link, MP_PHASE_NAMING);
	naming->is_collected = false;
	ret = mp_link_send_locked(link, link->port->tx, &connect->req, MP_OP_CONNECT, 0, 0);
	naming->busy = ret ? NULL : connect;
	if (ret == -ENODEV && link->error != -ENODEV) {
		ret = -ECONNRESET;
		mp_link_fail_locked(link, ret);	/* only its callers know of it yet */
	}
	return ret;
}

/*
 * Another daemon has the device. If CONNECT waits in the driver no device has seen it, and naming
 * goes on with this one: in the next generation, as the last daemon may have refused a name in this
 * one, and what it said of that may be on its way. No device acts on either before BYE is answered
 * [protocol.md 3.7]. Returns true if so.
 */
bool mp_naming_renew_locked(struct mp_naming *naming)
{
	struct mp_link *link = naming->link;
	u32 generation;

	lockdep_assert_held(&link->lock);
	if (!naming->busy)
		return false;
	generation = mp_port_next_generation(link->port);
	if (!mp_queue_renew(link->port->tx, &naming->busy->req, generation))
		return false;
	mp_link_renew_locked(link, generation);
	return true;
}

/* The device's state says how it went. Returns what to wake. */
__poll_t mp_naming_answered_locked(struct mp_naming *naming)
{
	struct mp_link *link = naming->link;

	lockdep_assert_held(&link->lock);
	if (link->bits & MP_ST_REFUSED) {
		mp_link_become_locked(link, MP_PHASE_REFUSED);
		return EPOLLIN | EPOLLOUT | EPOLLERR;
	}
	mp_link_become_locked(link, MP_PHASE_CONNECTED);
	if (link->port->is_fixed)
		naming->is_collected = true;
	return EPOLLOUT;
}

/* What a naming call gets now that the channel is in this phase; 1: wait. */
static int naming_outcome_locked(struct mp_naming *naming, bool same)
{
	struct mp_link *link = naming->link;

	if (link->error)
		return link->error;
	switch (link->phase) {
	case MP_PHASE_NAMING:
		return same ? 1 : -EALREADY;
	case MP_PHASE_CONNECTED:
		if (naming->is_collected)
			return -EISCONN;
		if (!same)
			return -EALREADY;
		naming->is_collected = true;
		return 0;
	case MP_PHASE_REFUSED:
		/* The state may overtake the answer to CONNECT: then that is waited for. */
		if (naming->busy)
			return same ? 1 : -EALREADY;
		naming->is_collected = true;
		return mp_reason_to_errno(link->reason);
	default:
		return -ENOTCONN;
	}
}

/* What a naming call waits for: its outcome, which it has collected then. */
struct outcome {
	struct mp_naming *naming;
	int ret;
};

static bool has_outcome_locked(void *of, bool unused)
{
	struct outcome *outcome = of;

	outcome->ret = naming_outcome_locked(outcome->naming, true);
	return outcome->ret <= 0;
}

/* May this call begin an attempt, rather than collect the outcome of the last? */
static bool may_start_locked(const struct mp_naming *naming, bool same, bool may_retry)
{
	const struct mp_link *link = naming->link;

	if (link->error)
		return false;
	if (link->phase == MP_PHASE_UNNAMED)
		return true;
	return link->phase == MP_PHASE_REFUSED && may_retry && !naming->busy &&
	       (naming->is_collected || !same);
}

/*
 * Connects the channel to the service @name (valid, @len bytes; none on a fixed port, when it is
 * opened) for @user (NULL: the opener).
 * @may_retry: a refused channel may try again. Returns 0 or the refusal's errno, -EAGAIN (under
 * way and @nonblock), -EALREADY (another name, or the same for another user, is under way),
 * -EISCONN, -ERESTARTSYS, -ENOMEM.
 */
int mp_naming_connect(struct mp_naming *naming, const struct mp_user *user, const char *name,
		      size_t len, bool nonblock, bool may_retry)
{
	struct mp_link *link = naming->link;
	struct outcome outcome = { naming };
	const struct mp_condition is_answered = { has_outcome_locked, &outcome };
	struct mp_connect_req *connect = connect_alloc(naming, user, name, len);
	char *copy = kstrndup(name, len, GFP_KERNEL_ACCOUNT);
	__poll_t wake = 0;
	bool same;
	int ret;

	if (!connect || !copy) {
		kfree(connect);
		kfree(copy);
		return -ENOMEM;
	}
	spin_lock_irq(&link->lock);
	same = naming->name && strlen(naming->name) == len && !memcmp(naming->name, name, len) &&
	       naming->uid == connect->connect.uid && naming->gid == connect->connect.gid;
	if (may_start_locked(naming, same, may_retry)) {
		swap(naming->name, copy);
		naming->uid = connect->connect.uid;
		naming->gid = connect->connect.gid;
		same = true;
		ret = mp_naming_send_locked(naming, connect);
		if (ret) {
			wake = mp_link_fail_locked(link, ret);
		} else {
			if (link->port->is_fixed)
				naming->connect_req = connect;
			connect = NULL;
		}
	}
	ret = naming_outcome_locked(naming, same);
	/* Until now a poll said no IN: bytes that have come make their edge here. */
	mp_link_unlock(link, ret ? wake : EPOLLIN);
	kfree(connect);
	kfree(copy);
	if (ret <= 0)
		return ret;
	if (nonblock)
		return -EAGAIN;
	ret = mp_wait(link, naming->spin, &is_answered, 0) ?: outcome.ret;
	if (!ret)
		link->ops->settle(link, EPOLLIN);
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
ssize_t mp_naming_first_write(struct mp_naming *naming, struct iov_iter *from, bool nonblock)
{
	struct mp_link *link = naming->link;
	size_t total = iov_iter_count(from), have, len;
	char buf[MP_NAMING_MAX];
	ssize_t consumed;
	const char *name;
	bool is_refused;
	int ret;

	spin_lock_irq(&link->lock);
	/* A payload never becomes a name. */
	is_refused = link->phase == MP_PHASE_REFUSED && !naming->busy;
	ret = is_refused ? naming_outcome_locked(naming, true) : 0;
	spin_unlock_irq(&link->lock);
	if (ret)
		return ret;
	have = copy_from_iter(buf, min(total, sizeof(buf)), from);
	iov_iter_revert(from, have);
	if (have < min(total, sizeof(buf)))
		return -EFAULT;
	consumed = find_name(buf, have, total, &name, &len);
	if (consumed < 0)
		return consumed;
	ret = mp_naming_connect(naming, NULL, name, len, nonblock, false);
	/* Another holder's ioctl collected the answer before this call did: it is ours as well. */
	if (ret && ret != -EISCONN)
		return ret;
	iov_iter_advance(from, consumed);
	return consumed;
}
