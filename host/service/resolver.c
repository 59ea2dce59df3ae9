// SPDX-License-Identifier: MIT
#include "service/resolver.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "loop/loop.h"

#define PAUSE_MS 1000	/* after a look-up that failed */
#define WAIT_MS	 3000	/* of resolver_wait(), all together */

int (*resolver_function)(const char *host, const char *port, const struct addrinfo *hints,
			 struct addrinfo **result) = getaddrinfo;

/* One look-up. The thread and the resolver share it; the last of the two to leave it frees it. */
struct lookup {
	atomic_int users;
	atomic_bool is_done;		/* until then only the thread may touch what follows */
	int event;			/* becomes readable when the look-up is done */
	int error;
	struct addrinfo *found;
	char *host, *port;
	__typeof__(resolver_function) function;
};

struct resolver {
	struct resolver_setup setup;
	char *host, *port;
	bool is_numeric;
	int error;			/* of the last look-up */
	uint64_t failed_ms;		/* when the last look-up failed */
	struct lookup *lookup;		/* under way, or NULL */
	struct loop_watch watch;	/* of the look-up's event */
	struct loop_timer again;
	struct addresses addresses;
	struct log_limit limit;
};

static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP };

/* --- In the thread ------------------------------------------------------ */

static void lookup_drop(struct lookup *lookup)
{
	if (atomic_fetch_sub(&lookup->users, 1) != 1)
		return;
	if (lookup->found)
		freeaddrinfo(lookup->found);
	close(lookup->event);
	free(lookup->host);
	free(lookup->port);
	free(lookup);
}

static void *look_up(void *context)
{
	struct lookup *lookup = context;

	lookup->error = lookup->function(lookup->host, lookup->port, &hints, &lookup->found);
	if (lookup->error)
		lookup->found = NULL;
	atomic_store(&lookup->is_done, true);
	eventfd_write(lookup->event, 1);
	lookup_drop(lookup);
	return NULL;
}

/* --- Look-ups ----------------------------------------------------------- */

/* The loop's thread alone takes signals. Returns 0 or an error number. */
static int start_thread(struct lookup *lookup)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int ret = pthread_attr_init(&attributes);

	if (ret)
		return ret;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, &attributes, look_up, lookup);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return ret;
}

static struct lookup *lookup_start(const char *host, const char *port)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return NULL;
	lookup->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	lookup->host = strdup(host);
	lookup->port = strdup(port);
	lookup->function = resolver_function;
	atomic_init(&lookup->users, 2);
	if (lookup->event >= 0 && lookup->host && lookup->port && !start_thread(lookup))
		return lookup;
	atomic_store(&lookup->users, 1);
	lookup_drop(lookup);
	return NULL;
}

static void add(struct addresses *addresses, const struct addrinfo *info)
{
	struct address *address = &addresses->list[addresses->count];

	if (info->ai_addrlen > sizeof(address->name))
		return;
	memcpy(&address->name, info->ai_addr, info->ai_addrlen);
	address->len = info->ai_addrlen;
	addresses->count++;
}

/* The first one's family and the others in turns, as long as there are both. */
static void set_addresses(struct addresses *addresses, const struct addrinfo *found)
{
	const struct addrinfo *next[2] = { found, found };

	addresses->count = 0;
	for (int turn = 0; addresses->count < ADDRESSES_MAX && (next[0] || next[1]); turn = !turn) {
		while (next[turn] && (next[turn]->ai_family != found->ai_family) != turn)
			next[turn] = next[turn]->ai_next;
		if (!next[turn])
			continue;
		add(addresses, next[turn]);
		next[turn] = next[turn]->ai_next;
	}
}

static void take_result(struct resolver *resolver)
{
	struct lookup *lookup = resolver->lookup;

	loop_watch_remove(&resolver->watch);
	resolver->lookup = NULL;
	resolver->error = lookup->error;
	if (lookup->error)
		resolver->failed_ms = loop_now(resolver->setup.loop);
	else
		set_addresses(&resolver->addresses, lookup->found);
	lookup_drop(lookup);
	if (resolver->setup.interval_ms)
		loop_timer_start(&resolver->again, resolver->setup.interval_ms);
}

static void is_found(struct loop_watch *watch, uint32_t events)
{
	struct resolver *resolver = container_of(watch, struct resolver, watch);

	(void)events;
	if (!atomic_load(&resolver->lookup->is_done))
		return;
	take_result(resolver);
	if (resolver->error)
		log_limited(&resolver->limit, LOG_LEVEL_WARNING,
			    "service %s: cannot resolve %s: %s%s", resolver->setup.name,
			    resolver->host, gai_strerror(resolver->error),
			    resolver->addresses.count ? "; its addresses stay as they were" : "");
	resolver->setup.done(resolver->setup.context);
}

bool resolver_look(struct resolver *resolver)
{
	uint64_t now = loop_now(resolver->setup.loop);

	if (resolver->lookup)
		return true;
	if (resolver->is_numeric || (resolver->error && now - resolver->failed_ms < PAUSE_MS))
		return false;
	resolver->lookup = lookup_start(resolver->host, resolver->port);
	if (!resolver->lookup)
		return false;
	if (!loop_watch_add(resolver->setup.loop, &resolver->watch, resolver->lookup->event,
			    EPOLLIN, is_found))
		return true;
	lookup_drop(resolver->lookup);
	resolver->lookup = NULL;
	return false;
}

static void look_again(struct loop_timer *timer)
{
	struct resolver *resolver = container_of(timer, struct resolver, again);

	if (!resolver_look(resolver))
		loop_timer_start(timer, resolver->setup.interval_ms);
}

int resolver_wait(struct resolver *resolver)
{
	static int left = WAIT_MS;
	struct pollfd fd = { .events = POLLIN };
	uint64_t begin = loop_clock_us(), ms;

	if (!resolver->lookup)
		return resolver->error;
	fd.fd = resolver->lookup->event;
	if (poll(&fd, 1, left) <= 0 || !atomic_load(&resolver->lookup->is_done)) {
		left = 0;
		return EAI_AGAIN;
	}
	ms = (loop_clock_us() - begin) / 1000;
	left = ms < (uint64_t)left ? left - (int)ms : 0;
	take_result(resolver);
	return resolver->error;
}

/* --- Lifetime ----------------------------------------------------------- */

/* What needs no look-up: a numeric address, and whether the port can be one. */
static int look_at_text(struct resolver *resolver)
{
	struct addrinfo numeric = hints, *found;
	int ret;

	numeric.ai_flags = AI_NUMERICHOST;
	ret = getaddrinfo(resolver->host, resolver->port, &numeric, &found);
	if (!ret) {
		resolver->is_numeric = true;
		set_addresses(&resolver->addresses, found);
	} else if (ret == EAI_NONAME) {
		numeric.ai_flags = AI_PASSIVE;
		ret = getaddrinfo(NULL, resolver->port, &numeric, &found);
	}
	if (!ret)
		freeaddrinfo(found);
	return ret;
}

struct resolver *resolver_create(const struct resolver_setup *setup, int *error)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	*error = EAI_MEMORY;
	if (!resolver)
		return NULL;
	resolver->setup = *setup;
	resolver->watch.fd = -1;
	loop_timer_init(setup->loop, &resolver->again, look_again);
	resolver->host = strdup(setup->host);
	resolver->port = strdup(setup->port);
	if (resolver->host && resolver->port)
		*error = look_at_text(resolver);
	if (!*error) {
		resolver_look(resolver);
		return resolver;
	}
	resolver_destroy(resolver);
	return NULL;
}

void resolver_destroy(struct resolver *resolver)
{
	if (!resolver)
		return;
	loop_timer_stop(&resolver->again);
	loop_watch_remove(&resolver->watch);
	if (resolver->lookup)
		lookup_drop(resolver->lookup);
	free(resolver->host);
	free(resolver->port);
	free(resolver);
}

const struct addresses *resolver_addresses(const struct resolver *resolver)
{
	return &resolver->addresses;
}
