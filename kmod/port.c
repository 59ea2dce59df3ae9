// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports: the device nodes, their attributes and what their users may hold.
 *
 * A port is a struct device, referenced by its node and by every channel. When
 * it goes its channels fail first; whoever still holds one touches only
 * memory, never a queue.
 */
#include <linux/capability.h>
#include <linux/completion.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include <manyport/share.h>

#include "debug.h"
#include "manyport.h"

#define MP_ENTRY_MAX 65536U

static struct mp_port *to_port(struct device *dev)
{
	return container_of(dev, struct mp_port, dev);
}

static ssize_t name_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", to_port(dev)->name);
}
static DEVICE_ATTR_RO(name);	/* appears with PORT_NAME, as with virtio_console */

static ssize_t kind_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", to_port(dev)->is_fixed ? "fixed" : "multi-open");
}
static DEVICE_ATTR_RO(kind);

static ssize_t channels_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_port(dev)->channel_count));
}
static DEVICE_ATTR_RO(channels);

static ssize_t max_channels_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_port(dev)->max_channels);
}
static DEVICE_ATTR_RO(max_channels);

static ssize_t memory_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&to_port(dev)->bytes));
}
static DEVICE_ATTR_RO(memory);

static ssize_t linger_expired_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&to_port(dev)->linger_expired));
}
static DEVICE_ATTR_RO(linger_expired);

static struct attribute *port_attrs[] = {
	&dev_attr_kind.attr,
	&dev_attr_channels.attr,
	&dev_attr_max_channels.attr,
	&dev_attr_memory.attr,
	&dev_attr_linger_expired.attr,
	NULL
};
ATTRIBUTE_GROUPS(port);

/* Ports not yet released, and one more for the module itself: its text stays until then. */
static atomic_t ports_alive = ATOMIC_INIT(1);
static DECLARE_COMPLETION(ports_released);

static void port_count_down(void)
{
	if (atomic_dec_and_test(&ports_alive))
		complete(&ports_released);
}

static void port_release(struct device *dev)
{
	struct mp_port *port = to_port(dev);

	xa_destroy(&port->channels);
	mutex_destroy(&port->open_mutex);
	kfree(port->name);
	kfree(port);
	port_count_down();
}

/*
 * For the module's exit. The last reference to a port may be dropped by a stranger (sysfs, a
 * delayed release of kobjects), who then runs port_release(). A port cannot hold a reference
 * to the module against that: a bound driver could never be unloaded. So:
 *
 * The completion's lock is let go before this returns, so nobody touches our variables. The
 * stranger may still be on his way out of port_release(), and may have been preempted there.
 * That is what synchronize_rcu_tasks() waits for: until each task has left the code that it
 * was in. Where kernels have none it is synchronize_rcu(): without preemption that is as good,
 * as nothing on that way sleeps; with it (no distribution builds that: tracing and BPF
 * bring RCU tasks) some instructions remain in which the stranger would have to lose the
 * processor for a grace period and the rest of the unloading.
 */
void mp_port_wait_released(void)
{
	port_count_down();
	wait_for_completion(&ports_released);
	synchronize_rcu_tasks();
}

/* What HELLO and PORT_MODE of this life of the device allow. */
void mp_port_set_limits(struct mp_port *port, const struct mp_device *device, u32 max_channels)
{
	port->max_channels = min3(max_channels, device->max_channels, max(mp_max_channels, 1U));
	port->max_io = device->max_io;
	port->max_segments = device->max_segments;
	/* Bounce buffers are the scarcer the longer they are. */
	port->max_entry = min_t(size_t, virtio_max_dma_size(device->vdev), MP_ENTRY_MAX);
}

/* Without a node yet. Returns the port or ERR_PTR. */
struct mp_port *mp_port_create(struct mp_device *device, unsigned int id, u16 kind,
			       u32 max_channels)
{
	struct mp_port *port = kzalloc(sizeof(*port), GFP_KERNEL);
	int ret;

	if (!port)
		return ERR_PTR(-ENOMEM);
	port->device = device;
	port->rx = mp_device_rx(device, id);
	port->tx = mp_device_tx(device, id);
	port->id = id;
	port->is_fixed = kind == MP_PORT_FIXED;
	mp_port_set_limits(port, device, max_channels);
	atomic_set(&port->generation, device->generations[id]);
	mutex_init(&port->open_mutex);
	INIT_LIST_HEAD(&port->accounts);
	mp_pool_init(&port->pool);
	xa_init_flags(&port->channels, XA_FLAGS_ALLOC | XA_FLAGS_LOCK_IRQ);

	atomic_inc(&ports_alive);	/* until port_release() */
	device_initialize(&port->dev);
	port->dev.class = mp_class;
	port->dev.parent = &device->vdev->dev;
	port->dev.groups = port_groups;
	port->dev.devt = device->devt + id;
	port->dev.release = port_release;
	cdev_init(&port->cdev, &mp_file_operations);
	port->cdev.owner = THIS_MODULE;
	ret = dev_set_name(&port->dev, "vport%up%u", device->vdev->index, id);
	if (!ret)
		return port;
	put_device(&port->dev);
	return ERR_PTR(ret);
}

/* In a debug build it may fail behind an open: as device_add() may, behind cdev_add(). */
static int node_add(struct mp_port *port)
{
	int ret = cdev_device_add(&port->cdev, &port->dev);

	if (ret)
		return ret;
	ret = mp_debug_fail_after_open("node");
	if (ret)
		cdev_device_del(&port->cdev, &port->dev);
	return ret;
}

/*
 * The node appears, and may be opened before this returns, also when it fails (by a node
 * that somebody else has made). Events find the port already. Returns 0 or -errno: then
 * the port is gone. mp_port_remove() undoes it.
 */
int mp_port_show(struct mp_port *port)
{
	int ret = node_add(port);

	port->is_shown = !ret;
	if (ret)
		mp_port_remove(port);
	return ret;
}

/* The first name counts; udev makes /dev/virtio-ports/NAME on the change event. */
void mp_port_set_name(struct mp_port *port, const char *name, size_t len)
{
	if (port->name)
		return;
	port->name = kstrndup(name, len, GFP_KERNEL);
	if (!port->name || device_create_file(&port->dev, &dev_attr_name))
		return;
	kobject_uevent(&port->dev.kobj, KOBJ_CHANGE);
}

/* Every channel of the port gets @error from now on and its waiters wake. */
void mp_port_fail_channels(struct mp_port *port, int error)
{
	struct mp_channel *ch;
	unsigned long slot = 0;
	__poll_t wake;

	for (;;) {
		xa_lock_irq(&port->channels);
		ch = xa_find(&port->channels, &slot, ULONG_MAX, XA_PRESENT);
		if (ch)
			mp_channel_get(ch);
		xa_unlock_irq(&port->channels);
		if (!ch)
			return;
		spin_lock_irq(&ch->lock);
		wake = mp_channel_fail_locked(ch, error);
		/* Also one that had ended before, and waits for answers to send its CLOSE. */
		mp_write_uncount_locked(ch);
		ch->is_closed = true;	/* the device has forgotten it, or cannot be told */
		spin_unlock_irq(&ch->lock);
		mp_channel_settle(ch, wake);
		mp_channel_put(ch);
		slot++;
	}
}

/*
 * One of the port's queues is broken: every channel ends with EIO, and so does every open from now
 * on. The node stays, so that there is something to see; a new life of the device mends it.
 */
void mp_port_break(struct mp_port *port)
{
	if (port->is_broken)
		return;
	WRITE_ONCE(port->is_broken, true);
	dev_err(&port->dev,
		"a virtqueue is broken: all channels end until the driver is bound anew\n");
	smp_mb();	/* pairs with the table's lock in mp_channel_open() */
	mp_port_fail_channels(port, -EIO);
}

/*
 * The node goes, events find no port any more and every channel ends with ENODEV: an open
 * that is under way sees is_gone, or its channel is in the table before mp_port_fail_channels()
 * looks there. An event may be with the port until a grace period later. The queues are the
 * device's business.
 */
void mp_port_remove_begin(struct mp_port *port)
{
	WRITE_ONCE(port->device->ports[port->id], NULL);
	mutex_lock(&port->open_mutex);
	WRITE_ONCE(port->is_gone, true);
	mutex_unlock(&port->open_mutex);
	if (port->is_shown)
		cdev_device_del(&port->cdev, &port->dev);
	mp_port_fail_channels(port, -ENODEV);
}

/* Behind the grace period: gives the port away; its channels keep it as long as they live. */
void mp_port_remove_end(struct mp_port *port)
{
	mp_pool_kill(&port->pool);
	/* What is left in the queues never fits a channel of the port that comes next. */
	port->device->generations[port->id] = atomic_read(&port->generation);
	put_device(&port->dev);
}

/* Of one port. The caller holds ports_mutex. */
void mp_port_remove(struct mp_port *port)
{
	mp_port_remove_begin(port);
	synchronize_rcu();	/* pairs with handle_event(): nobody has looked it up any more */
	mp_port_remove_end(port);
}

/*
 * Who pays for an open. Whoever may make a user namespace has thousands of users in it, so all of
 * them are one account: that of the user who made the outermost one. Namespaces that root
 * made are his way to give away users: there each pays for himself.
 */
static kuid_t payer(void)
{
	struct user_namespace *ns = current_user_ns();

	if (ns == &init_user_ns)
		return current_fsuid();
	while (ns->parent != &init_user_ns)
		ns = ns->parent;
	return uid_eq(ns->owner, GLOBAL_ROOT_UID) ? current_fsuid() : ns->owner;
}

static struct mp_account *account_get_locked(struct mp_port *port, kuid_t uid, bool is_privileged)
{
	struct mp_account *account;

	lockdep_assert_held(&port->open_mutex);
	list_for_each_entry(account, &port->accounts, node)
		if (uid_eq(account->uid, uid) && account->is_privileged == is_privileged)
			return account;
	account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);
	if (!account)
		return NULL;
	account->uid = uid;
	account->is_privileged = is_privileged;
	list_add(&account->node, &port->accounts);
	return account;
}

static void account_put_locked(struct mp_account *account)
{
	if (account->channels)
		return;
	list_del(&account->node);
	kfree(account);
}

/* Is there a channel for one more open of @account? [protocol.md 9.3] */
static bool has_channel_locked(const struct mp_port *port, const struct mp_account *account)
{
	lockdep_assert_held(&port->open_mutex);
	if (port->channel_count >= port->max_channels ||
	    account->channels >= mp_max_channels_per_user)
		return false;
	return account->is_privileged ||
	       account->channels < mp_share_of_one(port->max_channels, port->channel_count);
}

/*
 * Counts one more open of the current user. Returns its account, or ERR_PTR:
 * -ENODEV, -EBUSY (a limit), -ENOMEM. A closed channel counts until it is drained.
 */
struct mp_account *mp_port_charge_open(struct mp_port *port)
{
	bool is_privileged = ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
	struct mp_account *account;
	int ret = 0;

	if (mutex_lock_killable(&port->open_mutex))
		return ERR_PTR(-EINTR);
	account = account_get_locked(port, payer(), is_privileged);
	if (!account)
		ret = -ENOMEM;
	else if (port->is_gone)
		ret = -ENODEV;
	else if (!has_channel_locked(port, account))
		ret = -EBUSY;
	if (!ret) {
		account->channels++;
		WRITE_ONCE(port->channel_count, port->channel_count + 1);
	} else if (account) {
		account_put_locked(account);
	}
	mutex_unlock(&port->open_mutex);
	return ret ? ERR_PTR(ret) : account;
}

void mp_port_uncharge_open(struct mp_port *port, struct mp_account *account)
{
	if (!account)
		return;
	mutex_lock(&port->open_mutex);
	account->channels--;
	WRITE_ONCE(port->channel_count, port->channel_count - 1);
	account_put_locked(account);
	mutex_unlock(&port->open_mutex);
}

/* The most that @account may have charged while all together have @used. */
static unsigned long bytes_of_one(const struct mp_account *account, unsigned long used)
{
	unsigned long max = READ_ONCE(mp_max_bytes_per_user);

	if (account->is_privileged)
		return max;
	return min_t(u64, max, mp_share_of_one(READ_ONCE(mp_max_bytes), used));
}

/* And all together, when it is @account's turn. */
static unsigned long bytes_of_all(const struct mp_account *account)
{
	unsigned long max = READ_ONCE(mp_max_bytes);

	return account->is_privileged ? max : mp_share_common(max);
}

/* Would @bytes more be charged now? Others may be quicker. */
bool mp_port_has_room(const struct mp_port *port, const struct mp_account *account, size_t bytes)
{
	unsigned long used = atomic_long_read(&port->bytes);

	return used + bytes <= bytes_of_all(account) &&
	       atomic_long_read(&account->bytes) + bytes <= bytes_of_one(account, used);
}

/* Looks and adds in one step: however many callers there are, @max is not passed. */
static bool charge(atomic_long_t *used, size_t bytes, unsigned long max)
{
	long old = atomic_long_read(used);

	do {
		if (old + bytes > max)
			return false;
	} while (!atomic_long_try_cmpxchg(used, &old, old + bytes));
	return true;
}

/*
 * Counts @bytes of pinned or buffered memory. Returns false when the port or
 * the user is at its bound, unless @force: that is for the one page in each
 * direction that lies outside every bound [protocol.md 9.3].
 */
bool mp_port_charge(struct mp_port *port, struct mp_account *account, size_t bytes, bool force)
{
	unsigned long used;

	if (!charge(&port->bytes, bytes, force ? ULONG_MAX : bytes_of_all(account)))
		return false;
	used = atomic_long_read(&port->bytes) - bytes;
	if (charge(&account->bytes, bytes, force ? ULONG_MAX : bytes_of_one(account, used)))
		return true;
	atomic_long_sub(bytes, &port->bytes);
	return false;
}

void mp_port_uncharge(struct mp_port *port, struct mp_account *account, size_t bytes)
{
	atomic_long_sub(bytes, &port->bytes);
	atomic_long_sub(bytes, &account->bytes);
}

/* Generations count on over the whole port, so that none comes twice. Never 0. */
u32 mp_port_next_generation(struct mp_port *port)
{
	u32 generation;

	do {
		generation = atomic_inc_return(&port->generation);
	} while (!generation);
	return generation;
}
