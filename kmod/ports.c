// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ports of a device: they come, break and go, and their channels with them.
 *
 * The ports of a device, in its seats, are written under ports_mutex. An event looks a port up
 * in an RCU section instead, so a port that has left the table is given away only a grace period
 * later. What may still touch which part, while a port goes:
 *
 *   port	once it has left the table no event finds it, after the grace period none holds it;
 *		processes keep it until their channels are freed, and use its memory only
 *   channel	mp_channel_fail_all() gives each an error: no call submits from then on, and none
 *		begins to look at a queue; after the grace period none looks any more (wait.c)
 *   queue	still its interrupts, its work and its timer, until the device deletes the queues
 *
 * So a device without ports can be freed once its queues are deleted, also where the queues were
 * gone before the ports.
 */
#include <linux/module.h>
#include <linux/rcupdate.h>

#include "calls.h"
#include "channel.h"
#include "device.h"
#include "link.h"
#include "work.h"

static uint max_channels = 65536;
module_param(max_channels, uint, 0644);
MODULE_PARM_DESC(max_channels, "open channels per port; the host may allow less (65536)");

void mp_ports_event(struct mp_queue *rx, const struct mp_event *event, u32 used)
{
	struct mp_seat *seat = container_of(rx, struct mp_seat, pair.rx);
	struct mp_port *port;

	rcu_read_lock();	/* pairs with synchronize_rcu() here: the port stays so long */
	port = READ_ONCE(seat->port);
	if (port)
		mp_link_event(port, event, used);
	rcu_read_unlock();
}

/*
 * Of the ports [@id, @end) those that are there go: the node does, events find no port any more
 * and every channel ends with ENODEV. An open that is under way sees is_gone, or its channel is in
 * the table before mp_channel_fail_all() looks there. An event may be with a port until a grace
 * period later, one for all of them; then they are given away, and their channels keep them as
 * long as they live. The caller holds ports_mutex, or has quiesced the control queue.
 */
void mp_ports_remove(struct mp_device *device, unsigned int id, unsigned int end)
{
	struct mp_port *port, *next;
	LIST_HEAD(ports);

	for (; id < end; id++) {
		port = device->seats[id].port;
		if (!port)
			continue;
		list_add_tail(&port->going_node, &ports);
		WRITE_ONCE(device->seats[id].port, NULL);
		mp_port_hide(port);
		mp_channel_fail_all(port, -ENODEV);
	}
	synchronize_rcu();	/* pairs with mp_ports_event() and wait.c */
	list_for_each_entry_safe(port, next, &ports, going_node) {
		/* What is left in the queues never fits a channel of the port that comes next. */
		device->seats[port->id].generation = atomic_read(&port->generation);
		mp_port_put(port);
	}
}

/*
 * What HELLO and PORT_MODE of this life of the device allow. A request has its header and result
 * beside its pages [protocol.md 9.2], and also without indirect descriptors fits in when the queue
 * is empty. The caller holds ports_mutex.
 */
static void set_limits(struct mp_device *device, struct mp_port *port)
{
	u32 offered = le32_to_cpu(device->seats[port->id].mode.max_channels);
	unsigned int entries = virtqueue_get_vring_size(port->tx->vq);

	port->version = device->version;
	port->max_channels = min3(offered, device->max_channels, max(max_channels, 1U));
	port->max_io = device->max_io;
	port->max_pages = min(device->max_segments, entries - MP_RESERVED_DESCS) - 2;
}

/*
 * The device announces port @id, which may be there from its last life. Events find a new port
 * before its node appears, and that may be opened before this returns, also when it fails (by a
 * node that another process has made). Returns 0 or -errno: then there is no port. The caller
 * holds ports_mutex.
 */
int mp_ports_add(struct mp_device *device, unsigned int id)
{
	struct mp_port *port = device->seats[id].port;
	int ret = 0;

	if (port) {
		set_limits(device, port);
	} else {
		port = mp_port_create(device->vdev, device->devt + id, id, &mp_file_operations);
		if (IS_ERR(port))
			return PTR_ERR(port);
		port->pair = &device->seats[id].pair;
		port->rx = &port->pair->rx;
		port->tx = &port->pair->tx;
		port->is_fixed = device->seats[id].kind == MP_PORT_FIXED;
		atomic_set(&port->generation, device->seats[id].generation);
		set_limits(device, port);
		WRITE_ONCE(device->seats[id].port, port);
		ret = mp_port_show(port);
	}
	port->is_announced = !ret;
	/* Its queues may be silent, or broken, from before. */
	queue_work(mp_workqueue, &device->broken_work);
	if (ret)
		mp_ports_remove(device, id, id + 1);
	return ret;
}

/* The guest woke a while ago: a port that the device has not announced again is gone. */
void mp_ports_absent_work(struct work_struct *work)
{
	struct mp_device *device =
		container_of(to_delayed_work(work), struct mp_device, absent_work);
	unsigned int id;

	mutex_lock(&device->ports_mutex);
	for (id = 0; !device->is_going && id < device->max_ports; id++) {
		if (!device->seats[id].port || device->seats[id].port->is_announced)
			continue;
		dev_warn(&device->vdev->dev, "port %u did not come back when the guest woke\n", id);
		/* Its kind stays: a message of it may have come, and PORT_ADD is on its way. */
		mp_ports_remove(device, id, id + 1);
	}
	mutex_unlock(&device->ports_mutex);
}

/* The guest goes to sleep: channels end, nodes stay. The control queue is quiet. */
void mp_ports_suspend(struct mp_device *device)
{
	unsigned int id;

	for (id = 0; id < device->max_ports; id++) {
		if (!device->seats[id].port)
			continue;
		mp_channel_fail_all(device->seats[id].port, -ECONNRESET);
		device->seats[id].port->is_broken = false;	/* its next queues are new */
		device->seats[id].port->is_silent = false;
		device->seats[id].port->is_announced = false;
	}
}

/*
 * If one of the port's queues is broken every channel ends with EIO, and so does every open from
 * now on. The node stays, so that there is something to see; a new life of the device mends it.
 */
static void port_check(struct mp_port *port)
{
	if (port->is_broken || !(READ_ONCE(port->rx->is_broken) || READ_ONCE(port->tx->is_broken)))
		return;
	WRITE_ONCE(port->is_broken, true);
	dev_err(&port->dev,
		"a virtqueue is broken: all channels end until the driver is bound anew\n");
	smp_mb();	/* pairs with the table's lock in mp_channel_open() */
	mp_channel_fail_all(port, -EIO);
}

/* The device answers no request: waits end. When an answer comes all goes on. */
static void port_watch(struct mp_port *port)
{
	bool is_silent = READ_ONCE(port->tx->silence.is_silent);

	if (is_silent == port->is_silent)
		return;
	WRITE_ONCE(port->is_silent, is_silent);
	if (!is_silent)
		return;
	dev_warn(&port->dev, "the host does not answer: calls that wait for it end\n");
	smp_mb();	/* pairs with set_current_state() in wait.c */
	mp_channel_fail_all(port, -ETIMEDOUT);
}

/* A queue broke, or the device became silent: the port that it belongs to does. */
void mp_ports_broken_work(struct work_struct *work)
{
	struct mp_device *device = container_of(work, struct mp_device, broken_work);
	unsigned int id;

	mutex_lock(&device->ports_mutex);
	for (id = 0; !device->is_going && id < device->max_ports; id++)
		if (device->seats[id].port) {
			port_check(device->seats[id].port);
			port_watch(device->seats[id].port);
		}
	mutex_unlock(&device->ports_mutex);
}
