// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whose device it is: binds our driver to the devices that are ours, and touches no other.
 *
 * virtio_console drives the same device type. A driver whose id table names the type is probed
 * for every device of it, and what it then refuses keeps FAILED in its status: some devices
 * never start again after that. So our id table matches nothing, and the bus never probes us.
 * We look at what each device of the type offers instead, which changes nothing in it, and
 * bind only our own: device_driver_attach() does not ask the id table. Likewise virtiofs and
 * type 26, where looking finds candidates, and binding asks them (fs.c).
 *
 * When: mp_claim_start() has the devices looked at that are there, the bus's notifier those that
 * come later. A work item does it, because binding calls the same notifier chain, whose lock is
 * held while we are told. The other driver's probe and the work item both take the device's lock,
 * so one is first: if we are, the bus finds the device taken; if we are not, we take the device
 * from the driver that has it. A device is looked at once, and again when its name is written to
 * "claim" in sysfs: who unbinds a device by hand has the last word.
 *
 * A device that goes away: device_del() takes it off the bus's list of devices, then takes the
 * device's lock to release its driver, and only later does the transport unmap the registers.
 * So as long as we hold the lock and the device is on the list, the registers are there. After
 * the unlock it is the driver core that looks at the device's state under the same lock:
 * releasing a device that has no driver does nothing, binding one that is going is refused
 * with ENODEV, and one that another driver got after the unlock with EBUSY, so that we look again.
 *
 * A device that comes: we are told in the middle of device_add(). Newer kernels refuse to bind it
 * then, and leak the text that says why. The transport adds it in its own probe, that is under
 * the lock of the device's parent; so whoever has had that lock finds device_add() done.
 *
 * Suspend: the work items are frozen before devices are suspended. End of the module: no more
 * notifications, then no more work items, and only then the driver is unregistered.
 */
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>

#include <manyport/wire.h>

#include "compat.h"
#include "device.h"

#define CLAIM_TRIES 100	/* of a device that other drivers take again and again */

/* A device to be looked at, on its way to claim_workqueue. */
struct claim {
	struct work_struct work;
	struct virtio_device *vdev;	/* with a reference to its dev */
	struct device *parent;		/* with a reference, where device_add() may not be done */
};

static struct device_driver *claim_driver;
static DEFINE_MUTEX(claim_mutex);	/* no claim takes a device from our own driver */
static struct workqueue_struct *claim_workqueue;

/* A virtio-console, or a virtio-fs that a front end makes of one [protocol.md 2.6]. */
static bool is_type(const struct virtio_device *vdev)
{
	return vdev->id.device == VIRTIO_ID_CONSOLE || mp_fs_is(vdev);
}

static bool is_on_bus_locked(struct device *dev)
{
	struct device *found;

	device_lock_assert(dev);
	found = bus_find_device_by_name(dev->bus, NULL, dev_name(dev));
	put_device(found);
	return found == dev;
}

/*
 * Is a device that is still there ours, or (type 26) may it be? One that was pulled out reads as
 * all ones.
 */
static bool is_ours_locked(struct virtio_device *vdev)
{
	const u64 offered = mp_offered_features(vdev);
	const u64 needed = BIT_ULL(MP_F_MULTI_OPEN) | BIT_ULL(VIRTIO_CONSOLE_F_MULTIPORT) |
			   BIT_ULL(VIRTIO_F_VERSION_1);

	if (mp_fs_is(vdev))
		return (offered & BIT_ULL(VIRTIO_F_VERSION_1)) && offered != U64_MAX &&
		       mp_fs_is_candidate(vdev);
	return (offered & needed) == needed && offered != U64_MAX;
}

/*
 * User Mode Linux's transport has one set of features for a device: what the host offers, and
 * after a probe what that driver took of it. The stock driver's probe has lost our bit.
 */
static void report_lost_locked(struct device *dev)
{
	if (IS_ENABLED(CONFIG_UML) && dev->driver)
		dev_notice(dev, "stays with %s: User Mode Linux forgot what else it offers\n",
			   dev->driver->name);
}

/*
 * A driver that failed has left FAILED, and the next one must begin with a reset
 * [virtio-1.2 3.1.1]. Linux does that only where a driver is removed.
 */
static void clear_failed_locked(struct virtio_device *vdev)
{
	if (vdev->dev.driver || !(vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_FAILED))
		return;
	virtio_reset_device(vdev);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
}

/* Is the device ours, but not with our driver? Where another has it, @owner is its name. */
static bool claim_look(struct virtio_device *vdev, char *owner, size_t size)
{
	struct device *dev = &vdev->dev;
	bool wanted = false;

	device_lock(dev);
	if (dev->driver == claim_driver || !is_on_bus_locked(dev))
		goto out;
	wanted = is_ours_locked(vdev);
	if (!wanted) {
		report_lost_locked(dev);
		goto out;
	}
	clear_failed_locked(vdev);
	if (dev->driver)
		strscpy(owner, dev->driver->name, size);
out:
	device_unlock(dev);
	return wanted;
}

/*
 * A device with our tag that does not answer as manyport does: a file system. It is again as
 * it was before it had a driver, and the bus finds it one.
 */
static void give_back(struct virtio_device *vdev, int error)
{
	struct device *dev = &vdev->dev;
	bool is_there;

	device_lock(dev);
	is_there = is_on_bus_locked(dev);
	if (is_there)
		clear_failed_locked(vdev);
	device_unlock(dev);
	if (!is_there)
		return;		/* pulled out before the lock was taken */
	dev_notice(dev, "has our tag, and does not answer as manyport: error %d\n", error);
	if (device_attach(dev) < 0)
		dev_err(dev, "cannot be given back\n");
}

/* The caller holds a reference to the device, and no lock of it. -ENODEV: not ours, or going. */
static int claim_device_locked(struct virtio_device *vdev)
{
	struct device *dev = &vdev->dev;
	int tries, ret = -EBUSY;
	char owner[32] = "";

	for (tries = 0; ret == -EBUSY && tries < CLAIM_TRIES; tries++) {
		if (!claim_look(vdev, owner, sizeof(owner)))
			return -ENODEV;
		if (*owner)
			device_release_driver(dev);
		ret = device_driver_attach(claim_driver, dev);
	}
	if (ret && ret != -EBUSY && mp_fs_is(vdev))
		give_back(vdev, ret);
	if (!ret && *owner)
		dev_info(dev, "taken from %s\n", owner);
	if (ret && ret != -ENODEV)
		dev_err(dev, "is manyport's, but cannot be bound: error %d\n", ret);
	return ret;
}

static int claim_device(struct virtio_device *vdev)
{
	int ret;

	mutex_lock(&claim_mutex);
	ret = claim_device_locked(vdev);
	mutex_unlock(&claim_mutex);
	return ret;
}

static void claim_work(struct work_struct *work)
{
	struct claim *claim = container_of(work, struct claim, work);

	if (claim->parent) {
		device_lock(claim->parent);
		device_unlock(claim->parent);
		put_device(claim->parent);
	}
	claim_device(claim->vdev);
	put_device(&claim->vdev->dev);
	kfree(claim);
}

/*
 * Has a device looked at, if it is of our type. It stays allocated until that is done, and so does
 * its parent, which the device itself holds only as long as it is on the bus: as here.
 */
static int claim_queue(struct device *dev, void *unused)
{
	struct virtio_device *vdev = dev_to_virtio(dev);
	struct claim *claim;

	if (!is_type(vdev))
		return 0;
	claim = kmalloc(sizeof(*claim), GFP_KERNEL);
	if (!claim) {
		dev_err(dev, "no memory to find out if it is manyport's\n");
		return 0;
	}
	INIT_WORK(&claim->work, claim_work);
	get_device(dev);
	claim->vdev = vdev;
	claim->parent = get_device(dev->parent);
	queue_work(claim_workqueue, &claim->work);
	return 0;
}

static int claim_notify(struct notifier_block *block, unsigned long action, void *dev)
{
	if (action == BUS_NOTIFY_ADD_DEVICE)
		claim_queue(dev, NULL);
	return NOTIFY_DONE;
}

static struct notifier_block claim_notifier = { .notifier_call = claim_notify };

/*
 * "claim" in the driver's folder of sysfs has the device looked at whose name is written there,
 * and says how it went, as "bind" does for a driver with ids.
 */
static ssize_t claim_store(struct device_driver *driver, const char *name, size_t size)
{
	struct device *dev = bus_find_device_by_name(driver->bus, NULL, name);
	int ret = -ENODEV;

	if (!dev)
		return ret;
	if (is_type(dev_to_virtio(dev)))
		ret = claim_device(dev_to_virtio(dev));
	put_device(dev);
	return ret ?: size;
}
static DRIVER_ATTR_WO(claim);

/* From now on our devices are bound to @driver, which is registered and matches nothing. */
int mp_claim_start(struct device_driver *driver)
{
	int ret;

	claim_driver = driver;
	claim_workqueue = alloc_ordered_workqueue("manyport_claim", WQ_FREEZABLE);
	if (!claim_workqueue)
		return -ENOMEM;
	ret = bus_register_notifier(driver->bus, &claim_notifier);
	if (ret)
		goto err_workqueue;
	ret = driver_create_file(driver, &driver_attr_claim);
	if (ret)
		goto err_notifier;
	/* After the notifier: a device that comes during the walk is seen twice, not missed. */
	bus_for_each_dev(driver->bus, NULL, NULL, claim_queue);
	flush_workqueue(claim_workqueue);
	return 0;

err_notifier:
	bus_unregister_notifier(driver->bus, &claim_notifier);
err_workqueue:
	destroy_workqueue(claim_workqueue);
	return ret;
}

/* No device is bound any more. Those that are bound stay so until the driver is unregistered. */
void mp_claim_stop(void)
{
	driver_remove_file(claim_driver, &driver_attr_claim);	/* waits for its writers */
	bus_unregister_notifier(claim_driver->bus, &claim_notifier);
	destroy_workqueue(claim_workqueue);
}
