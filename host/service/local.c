// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/record.h"
#include "service/local.h"
#include "service/setup.h"

/* The stream whose peer is being called, until it is closed. Such calls never nest (service.h). */
static struct local_stream *reporting;

static void report(struct loop_task *task)
{
	struct local_stream *local = container_of(task, struct local_stream, task);
	bool readable = local->owes_readable, writable = local->owes_writable;

	local->owes_readable = local->owes_writable = false;
	reporting = local;
	if (readable)
		local->peer->ops->readable(local->peer);
	if (writable && reporting == local)
		local->peer->ops->writable(local->peer);
	reporting = NULL;
}

void local_init(struct local_stream *local, struct loop *loop, const struct mp_stream_ops *ops,
		struct mp_peer *peer)
{
	local->stream.ops = ops;
	local->peer = peer;
	/* Connecting arms IN [protocol.md 7.2], so the first call is owed at once. */
	local->owes_readable = true;
	loop_task_init(loop, &local->task, report);
}

void local_fini(struct local_stream *local)
{
	loop_task_cancel(&local->task);
	if (reporting == local)
		reporting = NULL;
}

ssize_t local_read_later(struct local_stream *local)
{
	local->owes_readable = true;
	return -EAGAIN;
}

ssize_t local_write_later(struct local_stream *local)
{
	local->owes_writable = true;
	return -EAGAIN;
}

void local_wake(struct local_stream *local)
{
	if (local->owes_readable || local->owes_writable)
		loop_task_queue(&local->task);
}

void local_shutdown(struct local_stream *local, uint16_t how)
{
	local->shut_read |= !!(how & MP_SHUT_READ);
	local->shut_write |= !!(how & MP_SHUT_WRITE);
	local_wake(local);
}

void local_hand_over(struct local_stream *local, struct record *record)
{
	bool is_awake = local->task.prev;

	record_bool(record, &local->owes_readable);
	record_bool(record, &local->owes_writable);
	record_bool(record, &local->shut_read);
	record_bool(record, &local->shut_write);
	record_bool(record, &is_awake);
	if (is_awake)
		local_wake(local);
	else if (record_is_reading(record))
		loop_task_cancel(&local->task);
}

int local_restore(struct mp_service *service, struct mp_peer *peer, struct record *record,
		  struct mp_stream **stream)
{
	int ret = service->ops->open(service, peer, NULL, stream);

	if (ret > 0)
		(*stream)->ops->save(*stream, record);
	return ret;
}

struct mp_service *local_service_create(struct service_setup *setup,
					const struct mp_service_ops *ops, uint64_t number)
{
	struct local_service *local = calloc(1, sizeof(*local));

	if (!local)
		return service_fail(setup, "out of memory");
	local->service.ops = ops;
	local->loop = setup->loop;
	local->number = number;
	return &local->service;
}

void local_service_destroy(struct mp_service *service)
{
	free(service);
}
