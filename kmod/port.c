// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports: the device nodes and their attributes.
 *
 * A port is a struct device, referenced by its node and by every channel. When
 * it goes its channels fail first; whoever still holds one touches only
 * memory, never a queue.
 */
#include <linux/completion.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "debug.h"
#include "manyport.h"

#define MP_ENTRY_MAX 65536U

static uint max_channels = 65536;
module_param(max_channels, uint, 0644);
MODULE_PARM_DESC(max_channels, "open channels per port; the host may allow less (65536)");

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
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_port(dev)->ledger.channels));
}
static DEVICE_ATTR_RO(channels);

static ssize_t max_channels_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_port(dev)->max_channels);
}
static DEVICE_ATTR_RO(max_channels);

static ssize_t memory_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&to_port(dev)->ledger.bytes));
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
void mp_port_set_limits(struct mp_port *port, const struct mp_device *device, u32 offered)
{
	port->max_channels = min3(offered, device->max_channels, max(max_channels, 1U));
	port->max_io = device->max_io;
	port->max_segments = device->max_segments;
	/* Bounce buffers are the scarcer the longer they are. */
	port->max_entry = min_t(size_t, virtio_max_dma_size(device->vdev), MP_ENTRY_MAX);
}

/* Without a node yet. Returns the port or ERR_PTR. */
struct mp_port *mp_port_create(struct mp_device *device, unsigned int id, u16 kind, u32 offered)
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
	mp_port_set_limits(port, device, offered);
	atomic_set(&port->generation, device->generations[id]);
	mp_ledger_init(&port->ledger);
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
	WRITE_ONCE(port->is_gone, true);
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
	synchronize_rcu();	/* pairs with device_event(): nobody has looked it up any more */
	mp_port_remove_end(port);
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
