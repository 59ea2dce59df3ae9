/* SPDX-License-Identifier: GPL-2.0-only */
/* Binds the driver to the devices that are ours. */
#ifndef KMOD_CLAIM_H
#define KMOD_CLAIM_H

#include <linux/device.h>

int mp_claim_start(struct device_driver *driver);
void mp_claim_stop(void);

#endif
