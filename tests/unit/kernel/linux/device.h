/* SPDX-License-Identifier: MIT */
/* Devices: a name and references. */
#ifndef STANDIN_DEVICE_H
#define STANDIN_DEVICE_H

#include <linux/kernel.h>
#include <linux/module.h>

struct class;
struct device {
	const char *name;
	int refs;			/* beside the test's own */
};

static inline const char *dev_name(const struct device *dev)
{
	return dev->name;
}

static inline struct device *get_device(struct device *dev)
{
	dev->refs++;
	return dev;
}

static inline void put_device(struct device *dev)
{
	dev->refs--;
}

struct class *class_create(struct module *owner, const char *name);

#endif
