// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports: the device nodes, their attributes and what their users may hold.
 *
 * A port is a struct device, referenced by its node and by every channel. When
 * it goes its channels fail first; whoever still holds one touches only
 * memory, never a queue.
 */
#include <linux/slab.h>

#include "manyport.h"

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

static struct attribute *port_attrs[] = {
	&dev_attr_kind.attr,
	&dev_attr_channels.attr,
	&dev_attr_max_channels.attr,
	&dev_attr_memory.attr,
	NULL
};
ATTRIBUTE_GROUPS(port);

/* Ports not yet released: the module's text must stay until there are none. */
static atomic_t ports_alive = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(ports_wait);

static void port_release(struct device *dev)
{
	struct mp_port *port = to_port(dev);

	xa_destroy(&port->channels);
	mutex_destroy(&port->open_mutex);
	kfree(port->name);
	kfree(port);
	if (atomic_dec_and_test(&ports_alive))
		wake_up(&ports_wait);
}

/* The last reference to a port may be dropped by others (sysfs, delayed kobject release). */
void mp_port_wait_released(void)
{
	wait_event(ports_wait, !atomic_read(&ports_alive));
	synchronize_rcu();	/* and who woke us has left port_release() */
}

/* What HELLO and PORT_MODE of this life of the device allow. */
void mp_port_set_limits(struct mp_port *port, const struct mp_device *device, u32 max_channels)
{
	port->max_channels = min3(max_channels, device->max_channels, max(mp_max_channels, 1U));
	port->max_io = device->max_io;
	port->max_segments = device->max_segments;
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

/*
 * The node appears, and may be opened before this returns: events find the port
 * already. Returns 0 or -errno: then the port is gone. mp_port_remove() undoes it.
 */
int mp_port_show(struct mp_port *port)
{
	int ret = cdev_device_add(&port->cdev, &port->dev);

	if (!ret)
		return 0;
	WRITE_ONCE(port->device->ports[port->id], NULL);
	synchronize_rcu();	/* pairs with handle_event() */
	put_device(&port->dev);
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
		if (error == -ENODEV || error == -ECONNRESET)
			ch->is_closed = true;	/* the device has forgotten it */
		spin_unlock_irq(&ch->lock);
		mp_channel_settle(ch, wake);
		mp_channel_put(ch);
		slot++;
	}
}

/* The node goes and every channel ends with ENODEV. The queues are the device's business. */
void mp_port_remove(struct mp_port *port)
{
	mutex_lock(&port->open_mutex);
	WRITE_ONCE(port->is_gone, true);
	mutex_unlock(&port->open_mutex);
	cdev_device_del(&port->cdev, &port->dev);
	synchronize_rcu();	/* pairs with handle_event(): nobody looks it up any more */
	mp_port_fail_channels(port, -ENODEV);
	mp_pool_kill(&port->pool);
	/* What is left in the queues never fits a channel of the port that comes next. */
	port->device->generations[port->id] = atomic_read(&port->generation);
	put_device(&port->dev);
}

static struct mp_account *account_get_locked(struct mp_port *port, kuid_t uid)
{
	struct mp_account *account;

	lockdep_assert_held(&port->open_mutex);
	list_for_each_entry(account, &port->accounts, node)
		if (uid_eq(account->uid, uid))
			return account;
	account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);
	if (!account)
		return NULL;
	account->uid = uid;
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

/*
 * Counts one more open of the current user. Returns its account, or ERR_PTR:
 * -ENODEV, -EBUSY (a limit), -ENOMEM. A closed channel counts until it is drained.
 */
struct mp_account *mp_port_charge_open(struct mp_port *port)
{
	struct mp_account *account;
	int ret = 0;

	if (mutex_lock_killable(&port->open_mutex))
		return ERR_PTR(-EINTR);
	account = account_get_locked(port, current_fsuid());
	if (!account)
		ret = -ENOMEM;
	else if (port->is_gone)
		ret = -ENODEV;
	else if (port->channel_count >= port->max_channels ||
		 account->channels >= mp_max_channels_per_user)
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

/*
 * Counts @bytes of pinned or buffered memory. Returns false when the port or
 * the user is at its bound, unless @force: that is for the one page in each
 * direction that lies outside every bound [protocol.md 9.3].
 */
bool mp_port_charge(struct mp_port *port, struct mp_account *account, size_t bytes, bool force)
{
	if (!force && (atomic_long_read(&port->bytes) + bytes > mp_max_bytes ||
		       atomic_long_read(&account->bytes) + bytes > mp_max_bytes_per_user))
		return false;
	atomic_long_add(bytes, &port->bytes);
	atomic_long_add(bytes, &account->bytes);
	return true;
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
