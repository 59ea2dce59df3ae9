// SPDX-License-Identifier: GPL-2.0-only
/*
 * manyport: a virtio-serial port that any number of processes open at once,
 * each open a channel of its own to a host service that the first write names.
 *
 * This file: module parameters, init and exit. docs/protocol.md is what
 * travels, docs/architecture.md how it is built.
 */
#include <linux/module.h>

#include "driver.h"
#include "manyport.h"
#include "port.h"
#include "work.h"

uint mp_zero_copy_min = 65536;
module_param_named(zero_copy_min, mp_zero_copy_min, uint, 0644);
MODULE_PARM_DESC(zero_copy_min, "bytes from which a blocking call's own pages are used (65536)");

uint mp_send_buffer = 256 << 10;
module_param_named(send_buffer, mp_send_buffer, uint, 0644);
MODULE_PARM_DESC(send_buffer, "bytes per channel that a write may leave behind (262144)");

uint mp_receive_buffer = 256 << 10;
module_param_named(receive_buffer, mp_receive_buffer, uint, 0644);
MODULE_PARM_DESC(receive_buffer, "bytes per channel that are fetched ahead (262144)");

uint mp_poll_us = 100;
module_param_named(poll_us, mp_poll_us, uint, 0644);
MODULE_PARM_DESC(poll_us, "microseconds that a call may look for an answer before it sleeps (100)");

struct workqueue_struct *mp_workqueue;

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
