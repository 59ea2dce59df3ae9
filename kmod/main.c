// SPDX-License-Identifier: GPL-2.0-only
/*
 * manyport: a virtio-serial port that any number of processes open at once,
 * each open a channel of its own to a host service that the first write names.
 *
 * This file: init and exit. docs/protocol.md is what travels, docs/architecture.md how it is
 * built.
 */
#include <linux/module.h>

#include "channel.h"
#include "device.h"
#include "port.h"
#include "work.h"

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
	ret = mp_driver_register();
	if (ret)
		goto err_port;
	return 0;

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
	mp_driver_unregister();
	destroy_workqueue(mp_workqueue);	/* the last channels are freed here */
	mp_port_exit();
	mp_channel_destroy_cache();
}

module_init(manyport_init);
module_exit(manyport_exit);

MODULE_DESCRIPTION("virtio-serial port with many channels");
MODULE_AUTHOR("The manyport authors");
MODULE_LICENSE("GPL");
