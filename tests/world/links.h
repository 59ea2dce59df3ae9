/* SPDX-License-Identifier: MIT */
#ifndef WORLD_LINKS_H
#define WORLD_LINKS_H

/*
 * Starts a process that makes the links /dev/virtio-ports/NAME as udev does
 * on a whole system.  Returns 0 or -1 with errno.  The process runs until a
 * signal kills it.
 */
int links_start(void);

#endif
