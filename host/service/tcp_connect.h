/* SPDX-License-Identifier: MIT */
/*
 * One connection to whichever of some addresses answers first [RFC 8305]: they are tried one
 * after the other, the next as soon as one fails or has not answered for a moment.
 */
#ifndef HOST_SERVICE_TCP_CONNECT_H
#define HOST_SERVICE_TCP_CONNECT_H

#include "service/resolver.h"

struct loop;
struct tcp_connect;

struct tcp_connect_ops {
	/* @fd is the callee's, and @address where it leads. */
	void (*connected)(void *context, int fd, const struct address *address);
	void (*failed)(void *context, int error);	/* -errno, of the last one */
};

/*
 * Begins. Exactly one of @ops is called later, not from inside this call, unless
 * tcp_connect_end() comes before; both need that call. NULL without memory.
 */
struct tcp_connect *tcp_connect_begin(struct loop *loop, const struct addresses *addresses,
				      const struct tcp_connect_ops *ops, void *context);

/* Gives up what is under way, and frees. Accepts NULL. */
void tcp_connect_end(struct tcp_connect *connecting);

#endif
