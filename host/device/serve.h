/* SPDX-License-Identifier: MIT */
/* Which part of the device a queue is for, at this moment; see serve.c. */
#ifndef HOST_DEVICE_SERVE_H
#define HOST_DEVICE_SERVE_H

#include "device/queue.h"

/* The run() of every queue. */
void serve_queue(struct work *work);
/* One warm queue that has chains; false when none has. */
bool serve_look(struct device *device);
/* No queue is warm any more, but one that had chains (true), which have been dealt with. */
bool serve_rest(struct device *device);

#endif
