/* SPDX-License-Identifier: MIT */
/*
 * How far the driver has come: what a daemon that takes over must know [protocol.md 10.9].
 *
 * The device works on this memory, which may lie in a memfd that outlives the process, so there is
 * no copy that could be late. A change is there before what follows from it is visible in a ring.
 * device_adopt() checks what it finds here. The layout is that of a version of the memfd.
 */
#ifndef HOST_DEVICE_KEPT_H
#define HOST_DEVICE_KEPT_H

#include <stdint.h>

#define DEVICE_KEPT_PORTS 32		/* ids below */

struct device_kept {
	uint8_t life;			/* enum device_life */
	uint8_t resumed;		/* life is CLASSIC: the driver slept before; 0 if unknown */
	uint16_t version;		/* that the driver chose, while life is MULTI */
	uint16_t bye;			/* number of the newest BYE to the driver [3.7] */
	uint16_t reserved2;
	struct device_kept_port {
		uint8_t ready;		/* enum port_ready */
		uint8_t guest_open;	/* classic: the driver said PORT_OPEN 1 */
	} ports[DEVICE_KEPT_PORTS];
};

_Static_assert(sizeof(struct device_kept) == 8 + 2 * DEVICE_KEPT_PORTS, "one layout for all");

#endif
