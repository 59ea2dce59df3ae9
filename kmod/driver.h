/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtio driver. */
#ifndef KMOD_DRIVER_H
#define KMOD_DRIVER_H

int mp_driver_register(void);
void mp_driver_unregister(void);

#endif
