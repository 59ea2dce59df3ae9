/* SPDX-License-Identifier: MIT */
/* READ and WRITE [protocol.md 6]. */
#ifndef HOST_DEVICE_BYTES_H
#define HOST_DEVICE_BYTES_H

#include "device/message.h"

/* Each returns an enum mp_status, or -EINPROGRESS when parked. */
int bytes_read(struct request *request);
int bytes_write(struct request *request);

/* Of all channels in slots. */
extern const struct channel_ops bytes_channel_ops;

#endif
