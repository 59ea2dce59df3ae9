/* SPDX-License-Identifier: MIT */
/* Character devices: none is made. */
#ifndef STANDIN_CDEV_H
#define STANDIN_CDEV_H

struct cdev {
	int unused;
};

#endif
