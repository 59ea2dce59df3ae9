// SPDX-License-Identifier: MIT
/*
 * What the kept state names is taken from the holder. That counts, and here a number that several
 * slots name is held once (kept.h): what was taken before is given back to the count.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device/device.h"
#include "keep/keep.h"
#include "vhost/adopt.h"
#include "vhost/state.h"

struct adoption {
	struct session *s;
	unsigned int count;		/* of numbers that were taken */
	uint32_t taken[2 + 3 * KEPT_QUEUES + MEM_MAX_REGIONS + MESSAGE_MAX_FDS];
};

static bool was_taken(const struct adoption *a, uint32_t number)
{
	for (unsigned int i = 0; i < a->count; i++)
		if (a->taken[i] == number)
			return true;
	return false;
}

/* Once for each slot. Returns -1 for the number 0, -EBADF where it is not held. */
static int take(struct adoption *a, uint32_t number)
{
	struct keep *keep = a->s->kept->keep;
	int fd;

	if (!number)
		return -1;
	fd = keep_take(keep, number);
	if (fd < 0)
		return -EBADF;
	if (was_taken(a, number))
		keep_drop(keep, number);
	else
		a->taken[a->count++] = number;
	return fd;
}

/* The same, where there must be one. */
static int take_one(struct adoption *a, uint32_t number)
{
	int fd = take(a, number);

	return fd == -1 ? -EBADF : fd;
}

static int adopt_socket(struct adoption *a)
{
	struct session *s = a->s;
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int fd = take_one(a, s->said->socket);

	if (fd < 0)
		return fd;
	s->fd = fd;
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	return address.ss_family == AF_UNIX ? 0 : -EINVAL;
}

static int adopt_message(struct adoption *a)
{
	struct message *m = &a->s->said->message;

	if (a->s->said->step == KEPT_IDLE) {
		message_init(m);
		memset(m->numbers, 0, sizeof(m->numbers));
		return message_begin(a->s->fd);
	}
	/* The count stays: a process that dies here leaves as many to the next. */
	for (unsigned int i = 0; i < m->fd_count; i++) {
		int fd = take_one(a, m->numbers[i]);

		if (fd < 0)
			return fd;
		m->fds[i] = fd;
	}
	return 0;
}

static int adopt_backend(struct adoption *a)
{
	int fd = take(a, a->s->said->backend);

	if (fd == -1)
		return 0;
	return fd < 0 ? fd : backend_channel_set(&a->s->backend, fd);
}

static int adopt_memory(struct adoption *a)
{
	const struct kept_regions *table = kept_regions(a->s->said);
	int ret = 0;

	for (unsigned int i = 0; i < table->count && ret == 0; i++) {
		const struct kept_region *r = &table->regions[i];
		int fd = take_one(a, r->number);

		if (fd < 0)
			return fd;
		ret = mem_add(&a->s->mem, r->guest, r->user, r->size, r->fd_offset, fd);
		close(fd);
	}
	return ret;
}

static int adopt_queue(struct adoption *a, unsigned int queue)
{
	const struct kept_ring *said = &a->s->said->rings[queue];
	int kick = take(a, said->kick), call = take(a, said->call), error = take(a, said->error);
	int ret = virtqueue_adopt(&a->s->vqs[queue], kick, call, error);

	return kick < -1 || call < -1 || error < -1 ? -EBADF : ret;
}

int adopt_front_end(struct session *s)
{
	struct adoption a = { .s = s };
	int ret;

	if (!kept_is_valid(s->said, s->queue_count)) {
		kept_clear(s->kept);	/* nothing else may look at it */
		return -EINVAL;
	}
	/* These were the other process's, and are closed with the message. */
	for (unsigned int i = 0; i < MESSAGE_MAX_FDS; i++)
		s->said->message.fds[i] = -1;
	ret = adopt_socket(&a);
	if (ret == 0)
		ret = adopt_message(&a);
	if (ret == 0)
		ret = adopt_backend(&a);
	if (ret == 0)
		ret = adopt_memory(&a);
	for (unsigned int i = 0; i < s->queue_count && ret == 0; i++)
		ret = adopt_queue(&a, i);
	return ret;
}

int adopt_rings(struct session *s)
{
	int ret = 0;

	for (unsigned int i = 0; i < s->queue_count && ret == 0; i++) {
		if (s->said->broken)
			s->said->rings[i].running = false;
		if (s->said->rings[i].running)
			ret = virtqueue_start_again(&s->vqs[i], s->said->features);
	}
	return ret;
}
