/* SPDX-License-Identifier: MIT */
/* Polling. */
#ifndef STANDIN_POLL_H
#define STANDIN_POLL_H

#include <sys/epoll.h>

#include <linux/types.h>
#include <linux/wait.h>

struct file;

typedef struct poll_table_struct {
	__poll_t events;
} poll_table;

static inline void poll_wait(struct file *file, wait_queue_head_t *wait, poll_table *table)
{
}

static inline __poll_t poll_requested_events(const poll_table *table)
{
	return table->events;
}

#endif
