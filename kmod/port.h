/* SPDX-License-Identifier: GPL-2.0-only */
/* A port: the node that processes open, and the table of its channels. */
#ifndef KMOD_PORT_H
#define KMOD_PORT_H

#include <linux/atomic.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/xarray.h>

#include "account.h"
#include "pair.h"
#include "pool.h"

struct mp_port {
	struct device dev;
	struct cdev cdev;
	struct mp_pair *pair;		/* not valid once is_gone */
	struct mp_queue *rx, *tx;	/* those of @pair */
	unsigned int id;
	bool is_fixed;
	u32 max_channels;
	u32 max_io;
	u32 max_pages;			/* of a caller, in one request */
	u16 version;			/* of the protocol, from HELLO */
	size_t max_entry;		/* bytes of one scatterlist entry of user pages */
	char *name;			/* set once, by PORT_NAME */
	bool is_announced;		/* in this life of the device; under its ports_mutex */
	struct list_head going_node;	/* while its device removes it */

	struct mp_ledger ledger;
	bool is_gone;
	bool is_silent;			/* waits end with ETIMEDOUT; set under ports_mutex */
	bool is_broken;			/* one of its queues is; set under device->ports_mutex */
	atomic_long_t linger_expired;	/* closes that the host's limit ended */
	struct mp_pool pool;

	struct xarray channels;		/* slot -> channel; its lock is taken in interrupts */
	u32 slot_hint;
	atomic_t generation;		/* last one given [protocol.md 4.1] */
};

int mp_port_init(void);
void mp_port_exit(void);
struct mp_port *mp_port_create(struct virtio_device *vdev, dev_t devt, unsigned int id,
			       const struct file_operations *operations);
int mp_port_show(struct mp_port *port);
void mp_port_hide(struct mp_port *port);
void mp_port_put(struct mp_port *port);
void mp_port_set_name(struct mp_port *port, const char *name, size_t len);
u32 mp_port_next_generation(struct mp_port *port);

#endif
