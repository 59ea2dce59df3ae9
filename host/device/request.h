/* SPDX-License-Identifier: MIT */
/* Requests of a port's queues [protocol.md 5, 6]; see request.c. */
#ifndef HOST_DEVICE_REQUEST_H
#define HOST_DEVICE_REQUEST_H

#include "device/port.h"

/* The queue_take of a port's queues: one request, or event buffer. */
int request_take(struct queue *queue);
/* No chain of the receive queue goes first any more: the queue stops, or the port. */
void request_forget_first(struct port *port);

#endif
