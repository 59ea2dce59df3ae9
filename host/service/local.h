/* SPDX-License-Identifier: MIT */
/*
 * A stream whose service is code in this process: no descriptor, no system
 * call. A stream may not call its peer from inside an operation (service.h),
 * so readiness is reported by a task of the loop.
 */
#ifndef HOST_SERVICE_LOCAL_H
#define HOST_SERVICE_LOCAL_H

#include <stdbool.h>

#include <manyport/service.h>

#include "loop/loop.h"

struct service_setup;

struct local_stream {
	struct mp_stream stream;	/* first: what the core holds */
	struct mp_peer *peer;
	struct loop_task task;
	bool owes_readable, owes_writable;	/* returned -EAGAIN since the last call */
	bool shut_read, shut_write;
};

void local_init(struct local_stream *local, struct loop *loop, const struct mp_stream_ops *ops,
		struct mp_peer *peer);
/* No call of the peer follows. The caller frees. */
void local_fini(struct local_stream *local);

/* -EAGAIN, and the call that is owed for it. */
ssize_t local_read_later(struct local_stream *local);
ssize_t local_write_later(struct local_stream *local);

/* Something may have changed: reports what is owed, soon. */
void local_wake(struct local_stream *local);

/* Notes @how and wakes. */
void local_shutdown(struct local_stream *local, uint16_t how);

/* Writes, or reads, what is in @local. */
void local_hand_over(struct local_stream *local, struct record *record);
/* The restore() of services whose open() ends well at once, and whose save() reads as well. */
int local_restore(struct mp_service *service, struct mp_peer *peer, struct record *record,
		  struct mp_stream **stream);

/* A service that needs nothing but its loop and one number. */
struct local_service {
	struct mp_service service;
	struct loop *loop;
	uint64_t number;
};
struct mp_service *local_service_create(struct service_setup *setup,
					const struct mp_service_ops *ops, uint64_t number);
void local_service_destroy(struct mp_service *service);

#endif
