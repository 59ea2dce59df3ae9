// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports: the device nodes and their attributes.
 *
 * A port is a struct device, referenced by its node and by every channel. It has the table of
 * its channels, and does not look into them: ports.c ends them when it goes.
 */
#include <linux/completion.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "compat.h"
#include "debug.h"
#include "port.h"

#define MP_ENTRY_MAX 65536U

/*
 * A class of our own: the stock driver may come later, for other devices, and could not register
 * "virtio-ports" if we held it.
 */
static struct class *port_class;

static struct mp_port *to_port(struct device *dev)
{
	return container_of(dev, struct mp_port, dev);
}

/* An attribute of a port: one line, as @format says, of @value. */
#define PORT_ATTR(attribute, format, value)						\
static ssize_t attribute##_show(struct device *dev, struct device_attribute *attr, char *buf) \
{											\
	struct mp_port *port = to_port(dev);						\
											\
	return sysfs_emit(buf, format "\n", value);					\
}											\
static DEVICE_ATTR_RO(attribute)

PORT_ATTR(name, "%s", port->name);	/* appears with PORT_NAME, as with virtio_console */
PORT_ATTR(kind, "%s", port->is_fixed ? "fixed" : "multi-open");
PORT_ATTR(channels, "%u", READ_ONCE(port->ledger.channels));
PORT_ATTR(max_channels, "%u", port->max_channels);
PORT_ATTR(memory, "%ld", atomic_long_read(&port->ledger.bytes));
PORT_ATTR(linger_expired, "%ld", atomic_long_read(&port->linger_expired));

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

int mp_port_init(void)
{
	port_class = mp_class_create("manyport");
	return PTR_ERR_OR_ZERO(port_class);
}

/*
 * For the module's exit. The last reference to a port may be dropped by a stranger (sysfs, a
 * delayed release of kobjects), who then runs port_release(). A port cannot hold a reference
 * to the module against that: a bound driver could never be unloaded. So:
 *
 * The completion's lock is let go before this returns, so no task touches our variables. The
 * stranger may still be on the way out of port_release(), and may have been preempted there.
 * That is what synchronize_rcu_tasks() waits for: until each task has left the code that it
 * was in. Where kernels have none it is synchronize_rcu(): without preemption that is as good,
 * as nothing on that way sleeps; with it (no distribution builds that: tracing and BPF
 * bring RCU tasks) some instructions remain in which the stranger would have to lose the
 * processor for a grace period and the rest of the unloading.
 */
void mp_port_exit(void)
{
	port_count_down();
	wait_for_completion(&ports_released);
	synchronize_rcu_tasks();
	class_destroy(port_class);
}

/* Port @id of @vdev, without limits, queues or a node yet. Returns the port or ERR_PTR. */
struct mp_port *mp_port_create(struct virtio_device *vdev, dev_t devt, unsigned int id,
			       const struct file_operations *operations)
{
	struct mp_port *port = kzalloc(sizeof(*port), GFP_KERNEL);
	int ret;

	if (!port)
		return ERR_PTR(-ENOMEM);
	port->id = id;
	/* Bounce buffers are the scarcer the longer they are. */
	port->max_entry = clamp_t(size_t, virtio_max_dma_size(vdev), PAGE_SIZE, MP_ENTRY_MAX);
	mp_ledger_init(&port->ledger);
	mp_pool_init(&port->pool);
	xa_init_flags(&port->channels, XA_FLAGS_ALLOC | XA_FLAGS_LOCK_IRQ);

	atomic_inc(&ports_alive);	/* until port_release() */
	device_initialize(&port->dev);
	port->dev.class = port_class;
	port->dev.parent = &vdev->dev;
	port->dev.groups = port_groups;
	port->dev.devt = devt;
	port->dev.release = port_release;
	cdev_init(&port->cdev, operations);
	port->cdev.owner = THIS_MODULE;
	ret = dev_set_name(&port->dev, "vport%up%u", vdev->index, id);
	if (!ret)
		return port;
	put_device(&port->dev);
	return ERR_PTR(ret);
}

/*
 * The node appears. Returns 0 or -errno; mp_port_hide() undoes it. In a debug build it may fail
 * behind an open: as device_add() may, behind cdev_add().
 */
int mp_port_show(struct mp_port *port)
{
	int ret = cdev_device_add(&port->cdev, &port->dev);

	if (ret)
		return ret;
	ret = mp_debug_fail_after_open("node");
	if (ret)
		cdev_device_del(&port->cdev, &port->dev);
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

/* The node goes. What is open stays so: the caller ends the channels. */
void mp_port_hide(struct mp_port *port)
{
	WRITE_ONCE(port->is_gone, true);
	if (device_is_registered(&port->dev))
		cdev_device_del(&port->cdev, &port->dev);
}

/* The device's reference is dropped; each channel has its own. */
void mp_port_put(struct mp_port *port)
{
	mp_pool_kill(&port->pool);
	put_device(&port->dev);
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
