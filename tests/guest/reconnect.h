/* SPDX-License-Identifier: MIT */
/*
 * A fixed port's clients, as tests see them.
 *
 * Each connection that the daemon makes to the service of "tied" is a new puppet, and each
 * generation has a number of its own: so a test sees whether an open has asked. On
 * "agent" clients of the host wait for an open that asks.
 */
#ifndef GUEST_RECONNECT_H
#define GUEST_RECONNECT_H

#include <sched.h>

#include "channel.h"

static inline struct puppet tied_open(int flags)
{
	struct puppet p = { .index = puppet_next() };

	p.fd = port_open(PORT_TIED, flags);
	puppet_await(p.index);
	return p;
}

static inline unsigned int client(void)
{
	return atoi(ctl("dial agent"));
}

/* The driver knows that the service takes no more. INFO asks for nothing. */
static inline void await_out_end(int fd)
{
	while (!(channel_info(fd).flags & MANYPORT_INFO_OUT_ENDED))
		sched_yield();
}

/* @fd has a generation that is none of @old: it has asked. */
#define CHECK_ASKED(fd, old) CHECK(channel_info(fd).generation != (old))
#define CHECK_NOT_ASKED(fd, old) CHECK_EQ(channel_info(fd).generation, (old))

static inline unsigned int generation_of(int fd)
{
	return channel_info(fd).generation;
}

/* A client came, said something that was read, and left: the process knows of nothing. */
static inline struct puppet left_alone(int flags)
{
	struct puppet p = tied_open(flags);

	ctl("send %u 10 1", p.index);
	read_pattern(p.fd, 10, 1, 0);
	ctl("close %u", p.index);
	await_out_end(p.fd);
	return p;
}

/* Likewise, and a read has told it. */
static inline struct puppet left_and_told(int flags)
{
	struct puppet p = left_alone(flags);
	unsigned int generation = generation_of(p.fd);
	char byte;
	ssize_t ret;

	while ((ret = read(p.fd, &byte, 1)) < 0 && errno == EAGAIN)
		sched_yield();	/* it is being fetched */
	CHECK_EQ(ret, 0);
	CHECK_NOT_ASKED(p.fd, generation);
	return p;
}

#endif
