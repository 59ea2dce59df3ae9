/* SPDX-License-Identifier: MIT */
/* The end of every entry. */
#ifndef HOST_DEVICE_SETTLE_H
#define HOST_DEVICE_SETTLE_H

#include "device/state.h"

/* Sends what is due, lets go of what is over. */
void settle_device(struct device *device);
/* The same: the core's settle(). */
void settle_core(struct core *core);

#endif
