/* SPDX-License-Identifier: MIT */
/*
 * A host name and its addresses, looked up again and again, and never in the loop's thread.
 *
 * A look-up is getaddrinfo(), which alone asks all that the system is configured to ask. It
 * waits, so it runs in a thread of its own, and it cannot be cancelled, so a resolver that is
 * destroyed leaves the look-up to the thread. Numeric addresses are never looked up.
 */
#ifndef HOST_SERVICE_RESOLVER_H
#define HOST_SERVICE_RESOLVER_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESSES_MAX 16

/* In the order in which to try them: the system's, with the families in turns [RFC 8305]. */
struct addresses {
	int count;
	struct address {
		struct sockaddr_storage name;
		socklen_t len;
	} list[ADDRESSES_MAX];
};

struct loop;
struct resolver;

struct resolver_setup {
	struct loop *loop;
	const char *name;		/* of the service, for the log; outlives the resolver */
	const char *host, *port;
	uint32_t interval_ms;		/* 0: only when asked */
	void (*done)(void *context);	/* a look-up is over, well or not */
	void *context;
};

/*
 * Begins the first look-up. Returns NULL with *error, of getaddrinfo(), where one need not look to
 * know that there will be none.
 */
struct resolver *resolver_create(const struct resolver_setup *setup, int *error);
void resolver_destroy(struct resolver *resolver);	/* accepts NULL */

/* The last ones that were found; none before that. */
const struct addresses *resolver_addresses(const struct resolver *resolver);

/*
 * Looks again. Returns false where done() will not be called: the address is numeric, the last
 * look-up failed a moment ago, or there is no memory.
 */
bool resolver_look(struct resolver *resolver);

/*
 * Waits for the look-up that is under way, but for all of the process together no longer than a few
 * seconds: for a look at the configuration. Returns 0, or getaddrinfo()'s error.
 */
int resolver_wait(struct resolver *resolver);

/* getaddrinfo(), unless a test has put something in its place. */
extern int (*resolver_function)(const char *host, const char *port, const struct addrinfo *hints,
				struct addrinfo **result);

#endif
