// SPDX-License-Identifier: GPL-2.0-only
/*
 * manyport: a virtio-serial port that any number of processes open at once,
 * each open a channel of its own to a host service that the first write names.
 * docs/protocol.md is what travels, docs/architecture.md how it is built.
 *
 * This file: init and exit, and the virtio driver: probe, remove, suspend.
 *
 * Order at the end, which is what keeps a silent device from writing to freed memory:
 * ports fail (processes leave), BYE, queues die, the device is reset, mappings are undone,
 * the virtqueues are deleted, and only then the requests are freed [protocol.md 10.5].
 */
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include <manyport/version.h>

#include "channel.h"
#include "compat.h"
#include "debug.h"
#include "device.h"
#include "work.h"

#define MP_RETURN_SECONDS 10	/* for ports to be announced again when the guest has woken */

/*
 * The shortest virtqueues with which each request fits in beside what is kept free of it
 * [protocol.md 6.5, 8.4, 11.3], with indirect descriptors and without.
 */
#define MP_MIN_ENTRIES	      8U
#define MP_MIN_ENTRIES_DIRECT 16U

static unsigned int queue_count(const struct mp_device *device)
{
	return MP_QUEUES(device->max_ports);
}

/* A virtqueue's number again, which is not that of a control queue: the port that it belongs to. */
static void data_interrupt(struct virtqueue *vq)
{
	struct mp_device *device = vq->vdev->priv;

	mp_pair_interrupt(&device->seats[vq->index < 2 ? 0 : vq->index / 2 - 1].pair);
}

/* A request that never fits in would wait for ever. */
static int queues_check(const struct mp_device *device)
{
	bool has_indirect = virtio_has_feature(device->vdev, VIRTIO_RING_F_INDIRECT_DESC);
	unsigned int least = has_indirect ? MP_MIN_ENTRIES : MP_MIN_ENTRIES_DIRECT;
	unsigned int i, entries;

	for (i = 0; i < queue_count(device); i++) {
		entries = virtqueue_get_vring_size(device->vqs[i]);
		if (entries >= least)
			continue;
		dev_err(&device->vdev->dev,
			"virtqueue %u has %u entries, at least %u are needed (QEMU: vq_size=)\n",
			i, entries, least);
		return -EINVAL;
	}
	return 0;
}

/* In a debug build: a control interrupt that comes early, with a failure behind it or without. */
static int fail_find(struct mp_device *device)
{
	int ret = mp_debug_fail("find_vqs");

	if (!ret && !mp_debug_fail("interrupt"))
		return 0;
	if (!ret) {
		mp_control_interrupt(device->vqs[MP_QUEUE_CONTROL_RX]);
		flush_delayed_work(&device->control_work);
		return 0;
	}
	device->vdev->config->del_vqs(device->vdev);
	/* As late as an interrupt can be: its work has not run yet. */
	queue_delayed_work(mp_workqueue, &device->control_work, 0);
	return ret;
}

/*
 * Finds all virtqueues and ties them to our queues. Interrupts may come as soon as the first
 * one is found: until this returns a data queue is dead, and is_going turns the control
 * queue's away.
 */
static int queues_find(struct mp_device *device)
{
	unsigned int count = queue_count(device), id;
	struct virtqueue_info *info;
	void *memory = NULL;
	int ret;

	info = kcalloc(count, sizeof(*info), GFP_KERNEL);
	if (!info)
		return -ENOMEM;
	for (id = 0; id < device->max_ports; id++) {
		info[MP_QUEUE_RX(id)].name = "receive";
		info[MP_QUEUE_RX(id)].callback = data_interrupt;
		info[MP_QUEUE_TX(id)].name = "transmit";
		info[MP_QUEUE_TX(id)].callback = data_interrupt;
	}
	info[MP_QUEUE_CONTROL_RX].name = "control-receive";
	info[MP_QUEUE_CONTROL_RX].callback = mp_control_interrupt;
	info[MP_QUEUE_CONTROL_TX].name = "control-transmit";
	ret = mp_find_vqs(device->vdev, count, device->vqs, info);
	kfree(info);
	if (ret)
		return ret;
	ret = fail_find(device);
	if (ret)
		return ret;
	ret = queues_check(device);
	if (!ret && mp_fs_is(device->vdev)) {
		virtio_device_ready(device->vdev);
		ret = mp_fs_ask(device->vqs[1], &memory);
	}
	if (ret) {
		virtio_reset_device(device->vdev);
		virtqueue_detach_unused_buf(device->vqs[1]);	/* the question, unanswered */
		device->vdev->config->del_vqs(device->vdev);
	}
	kfree(memory);
	if (ret)
		return ret;
	for (id = 0; id < device->max_ports; id++)
		mp_pair_attach(&device->seats[id].pair, device->vqs[MP_QUEUE_RX(id)],
			       device->vqs[MP_QUEUE_TX(id)]);
	device->control_in = device->vqs[MP_QUEUE_CONTROL_RX];
	device->control_out = device->vqs[MP_QUEUE_CONTROL_TX];
	device->has_queues = true;
	return 0;
}

/* The device stops, and everything it held is over. */
static void queues_delete(struct mp_device *device)
{
	unsigned int i;

	if (!device->has_queues) {
		/* Suspended and not resumed, or never found: the core may have left FAILED. */
		virtio_reset_device(device->vdev);
		return;
	}
	device->has_queues = false;
	mp_control_bye(device);
	device->is_confirmed = false;
	for (i = 0; i < device->max_ports; i++)
		mp_pair_kill(&device->seats[i].pair);
	/* Pairs with wait.c and mp_queue_notify(): no call looks at a queue, nor tells of one. */
	synchronize_rcu();
	cancel_work_sync(&device->broken_work);	/* queued by what was alive until now */
	virtio_reset_device(device->vdev);
	for (i = 0; i < device->max_ports; i++)
		mp_pair_detach(&device->seats[i].pair);
	mp_control_detach(device);
	device->vdev->config->del_vqs(device->vdev);
	mp_control_free(device);
	for (i = 0; i < device->max_ports; i++)
		mp_pair_flush(&device->seats[i].pair);
}

/* claim.c has seen these bits; a device that no longer offers them is refused. */
static int manyport_validate(struct virtio_device *vdev)
{
	bool is_ours = mp_fs_is(vdev) || (virtio_has_feature(vdev, MP_F_MULTI_OPEN) &&
					  virtio_has_feature(vdev, VIRTIO_CONSOLE_F_MULTIPORT));

	return is_ours && virtio_has_feature(vdev, VIRTIO_F_VERSION_1) ? 0 : -ENODEV;
}

static int device_alloc(struct mp_device *device)
{
	unsigned int i;

	device->vqs = kcalloc(queue_count(device), sizeof(*device->vqs), GFP_KERNEL);
	device->seats = kvcalloc(device->max_ports, sizeof(*device->seats), GFP_KERNEL);
	if (!device->vqs || !device->seats)
		return -ENOMEM;
	for (i = 0; i < device->max_ports; i++)
		mp_pair_init(&device->seats[i].pair, mp_ports_event, &device->broken_work);
	return 0;
}

static void device_free(struct mp_device *device)
{
	kvfree(device->seats);
	kfree(device->vqs);
	kfree(device);
}

/* No more control messages are handled: only the caller adds or removes ports. */
static void control_quiesce(struct mp_device *device)
{
	mutex_lock(&device->ports_mutex);
	device->is_going = true;
	mutex_unlock(&device->ports_mutex);
	cancel_delayed_work_sync(&device->control_work);
	cancel_delayed_work_sync(&device->absent_work);
}

/* Undoes device_start(), whatever it and the device have done since: probe, or a life, ends. */
static void device_stop(struct mp_device *device)
{
	control_quiesce(device);
	mp_ports_remove(device, 0, device->max_ports);
	queues_delete(device);
}

/*
 * From a fresh device to one that announces its ports. A device that speaks unasked may have
 * made ports before the failure of this: none is left.
 */
static int device_start(struct mp_device *device)
{
	int ret = queues_find(device);

	if (ret)
		goto err_stop;
	mutex_lock(&device->ports_mutex);
	device->is_going = false;
	mutex_unlock(&device->ports_mutex);
	if (!mp_fs_is(device->vdev))
		virtio_device_ready(device->vdev);
	ret = mp_control_start(device);
	if (ret)
		goto err_stop;
	return 0;

err_stop:
	device_stop(device);
	return ret;
}

/*
 * The machine goes down, or another kernel is about to start in its memory (kexec). Event buffers
 * and parked READs would stay with the device, which some transports let write until the next
 * driver resets it; and the host would not know that the channels are over. So the device ends as
 * in remove, which may still come. Processes that are left get ENODEV.
 *
 * This comes before the drivers' own shutdown, which virtio has not in all kernels and which
 * could not say BYE where it has. Remove does not run during this: it begins by unregistering this,
 * which waits. A resume that comes later starts nothing.
 */
static int device_reboot(struct notifier_block *block, unsigned long action, void *unused)
{
	struct mp_device *device = container_of(block, struct mp_device, reboot);

	mutex_lock(&device->life_mutex);
	device->is_over = true;
	device_stop(device);
	mutex_unlock(&device->life_mutex);
	return NOTIFY_DONE;
}

#ifdef CONFIG_PM_SLEEP
/* Suspend is a reset: channels end with ECONNRESET, nodes stay [protocol.md 10.2]. */
static int manyport_freeze(struct virtio_device *vdev)
{
	struct mp_device *device = vdev->priv;

	mutex_lock(&device->life_mutex);
	control_quiesce(device);
	mp_ports_suspend(device);
	queues_delete(device);
	/* Where the machine is not suspended a process may have begun a channel since. */
	mp_ports_suspend(device);
	mutex_unlock(&device->life_mutex);
	return 0;
}

/* If that fails the ports are gone as well: nothing would serve them. remove comes later. */
static int manyport_restore(struct virtio_device *vdev)
{
	struct mp_device *device = vdev->priv;
	int ret;

	mutex_lock(&device->life_mutex);
	ret = device->is_over ? -ESHUTDOWN : device_start(device);
	if (!ret)
		queue_delayed_work(mp_workqueue, &device->absent_work, MP_RETURN_SECONDS * HZ);
	mutex_unlock(&device->life_mutex);
	return ret;
}

/*
 * The host has lost what it knew of the rings, or says that it cannot go on [virtio-1.2 2.1.2]: the
 * device begins again, as after suspend. An open that comes in between ends with ECONNRESET.
 */
static void reset_work(struct work_struct *work)
{
	struct mp_device *device = container_of(work, struct mp_device, reset_work);
	struct virtio_device *vdev = device->vdev;

	if (READ_ONCE(device->is_over) ||
	    !(vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET))
		return;
	dev_warn_ratelimited(&vdev->dev, "the host asks for a reset: all channels end\n");
	if (!virtio_device_freeze(vdev) && !virtio_device_restore(vdev))
		return;
	/* virtio may have failed before it came to us: nothing would serve the ports. */
	mutex_lock(&device->life_mutex);
	if (!device->is_over)
		dev_err(&vdev->dev, "the device could not be reset: bind the driver anew\n");
	device_stop(device);
	mutex_unlock(&device->life_mutex);
}

/* In an interrupt. The machine's own suspend comes when no freezable work runs. */
static void manyport_config_changed(struct virtio_device *vdev)
{
	struct mp_device *device = vdev->priv;

	queue_work(system_freezable_wq, &device->reset_work);
}
#endif

static int manyport_probe(struct virtio_device *vdev)
{
	struct mp_device *device;
	u32 max_ports;
	int ret;

	if (mp_fs_is(vdev))
		max_ports = mp_fs_ports(vdev);
	else
		virtio_cread(vdev, struct virtio_console_config, max_nr_ports, &max_ports);
	if (!max_ports || max_ports > MP_MAX_PORTS) {
		dev_err(&vdev->dev, "the host offers %u ports: not 1 to %u\n", max_ports,
			MP_MAX_PORTS);
		return -EINVAL;
	}
	device = kzalloc(sizeof(*device), GFP_KERNEL);
	if (!device)
		return -ENOMEM;
	device->vdev = vdev;
	device->max_ports = max_ports;
	spin_lock_init(&device->control_lock);
	INIT_LIST_HEAD(&device->control_bufs);
	mutex_init(&device->ports_mutex);
	mutex_init(&device->life_mutex);
	INIT_DELAYED_WORK(&device->control_work, mp_control_work);
	INIT_DELAYED_WORK(&device->absent_work, mp_ports_absent_work);
	INIT_WORK(&device->broken_work, mp_ports_broken_work);
#ifdef CONFIG_PM_SLEEP
	INIT_WORK(&device->reset_work, reset_work);
#endif
	device->is_going = true;	/* until device_start() says otherwise */
	ret = device_alloc(device);
	if (ret)
		goto err_free;
	ret = alloc_chrdev_region(&device->devt, 0, max_ports, "virtio-portsdev");
	if (ret)
		goto err_free;
	vdev->priv = device;
	ret = device_start(device);
	if (ret)
		goto err_chrdev;
	device->reboot.notifier_call = device_reboot;
	register_reboot_notifier(&device->reboot);	/* cannot fail */
	return 0;

err_chrdev:
	unregister_chrdev_region(device->devt, max_ports);
err_free:
	device_free(device);
	return ret;
}

static void manyport_remove(struct virtio_device *vdev)
{
	struct mp_device *device = vdev->priv;

	unregister_reboot_notifier(&device->reboot);
	mutex_lock(&device->life_mutex);
	device->is_over = true;
	device_stop(device);
	mutex_unlock(&device->life_mutex);
#ifdef CONFIG_PM_SLEEP
	/* One that ran until now has let virtio report changes again; the queues are gone. */
	cancel_work_sync(&device->reset_work);
#endif
	unregister_chrdev_region(device->devt, device->max_ports);
	device_free(device);
}

/* For udev, which loads the module where a device of the type is; the driver has no ids. */
static const struct virtio_device_id module_ids[] __maybe_unused = {
	{ VIRTIO_ID_CONSOLE, VIRTIO_DEV_ANY_ID },
	{ VIRTIO_ID_FS, VIRTIO_DEV_ANY_ID },
	{ 0 },
};
MODULE_DEVICE_TABLE(virtio, module_ids);

static const struct virtio_device_id no_ids[] = {
	{ 0 },
};

static const unsigned int features[] = {
	VIRTIO_CONSOLE_F_MULTIPORT,
	MP_F_MULTI_OPEN,
};

static struct virtio_driver manyport_driver = {
	.feature_table = features,
	.feature_table_size = ARRAY_SIZE(features),
	.driver.name = "manyport",
	.driver.owner = THIS_MODULE,
	.id_table = no_ids,	/* claim.c binds it */
	.validate = manyport_validate,
	.probe = manyport_probe,
	.remove = manyport_remove,
#ifdef CONFIG_PM_SLEEP
	.config_changed = manyport_config_changed,
	.freeze = manyport_freeze,
	.restore = manyport_restore,
#endif
};

static int __init manyport_init(void)
{
	int ret;

	ret = mp_channel_init_cache();
	if (ret)
		return ret;
	mp_workqueue = alloc_workqueue("manyport", WQ_UNBOUND, 0);
	if (!mp_workqueue) {
		ret = -ENOMEM;
		goto err_cache;
	}
	ret = mp_port_init();
	if (ret)
		goto err_workqueue;
	ret = register_virtio_driver(&manyport_driver);
	if (ret)
		goto err_port;
	ret = mp_claim_start(&manyport_driver.driver);
	if (ret)
		goto err_driver;
	return 0;

err_driver:
	unregister_virtio_driver(&manyport_driver);
err_port:
	mp_port_exit();
err_workqueue:
	destroy_workqueue(mp_workqueue);
err_cache:
	mp_channel_destroy_cache();
	return ret;
}

static void __exit manyport_exit(void)
{
	mp_claim_stop();
	unregister_virtio_driver(&manyport_driver);
	destroy_workqueue(mp_workqueue);	/* the last channels are freed here */
	mp_port_exit();
	mp_channel_destroy_cache();
}

module_init(manyport_init);
module_exit(manyport_exit);

MODULE_DESCRIPTION("virtio-serial port with many channels");
MODULE_AUTHOR("The manyport authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(MANYPORT_VERSION);
