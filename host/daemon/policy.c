// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include <manyport/share.h>

#include "base/log.h"
#include "daemon/config.h"
#include "daemon/policy.h"

/*
 * Channels are counted by service and user. A guest can claim any user, so the
 * counters live in a table that holds only those above zero: there are never
 * more than there are channels.
 */
#define BUCKETS 1024

struct counter {
	struct counter *next;
	const struct config_service *service;	/* NULL: of the user in all services */
	uint32_t uid;
	uint32_t channels;
};

struct policy {
	const struct config *config;
	uint32_t *channels;		/* of each service */
	uint32_t total;
	struct counter *buckets[BUCKETS];
};

/* --- Counters --------------------------------------------------------------- */

static struct counter **find_counter(struct policy *policy, const struct config_service *service,
				     uint32_t uid)
{
	uint32_t hash = (uid ^ (uint32_t)((uintptr_t)service >> 5)) * 2654435761U;
	struct counter **place = &policy->buckets[(hash >> 16) % BUCKETS];

	while (*place && ((*place)->service != service || (*place)->uid != uid))
		place = &(*place)->next;
	return place;
}

static uint32_t counter_get(struct policy *policy, const struct config_service *service,
			    uint32_t uid)
{
	struct counter *counter = *find_counter(policy, service, uid);

	return counter ? counter->channels : 0;
}

static bool counter_up(struct policy *policy, const struct config_service *service, uint32_t uid)
{
	struct counter **place = find_counter(policy, service, uid);

	if (!*place) {
		*place = calloc(1, sizeof(**place));
		if (!*place)
			return false;
		(*place)->service = service;
		(*place)->uid = uid;
	}
	(*place)->channels++;
	return true;
}

static bool counter_down(struct policy *policy, const struct config_service *service, uint32_t uid)
{
	struct counter **place = find_counter(policy, service, uid), *counter = *place;

	if (!counter)
		return false;
	if (!--counter->channels) {
		*place = counter->next;
		free(counter);
	}
	return true;
}

/* --- Services --------------------------------------------------------------- */

static bool is_listed(char **names, const char *name)
{
	for (; names && *names; names++) {
		if (!strcmp(*names, name))
			return true;
	}
	return false;
}

static bool leads_to(const struct config_port *port, const struct config_service *service)
{
	if (service->own_port)
		return service->own_port == port;
	return !service->ports || is_listed(service->ports, port->item.title);
}

/* The service's place in the configuration, or -1. */
static int find_service(const struct config *config, const struct config_port *port,
			const char *name)
{
	int found = -1;

	for (int i = 0; i < config->service_count; i++) {
		const struct config_service *service = config->services[i];

		if (port->kind == MP_PORT_FIXED) {
			if (port->fixed == service)
				return i;
			continue;
		}
		if (strcmp(service->name, name) || !leads_to(port, service))
			continue;
		if (service->own_port)
			return i;
		found = i;
	}
	return found;
}

static bool has_user(const struct config_users *users, uint32_t uid)
{
	for (int i = 0; i < users->count; i++) {
		if (uid >= users->ranges[i].first && uid <= users->ranges[i].last)
			return true;
	}
	return false;
}

static bool user_is_allowed(const struct config_service *service, uint32_t uid)
{
	if (uid == UINT32_MAX)
		return !service->allow.is_given && !service->deny.count;
	if (has_user(&service->deny, uid))
		return false;
	return !service->allow.is_given || has_user(&service->allow, uid);
}

static bool is_full(uint32_t limit, uint32_t channels)
{
	return limit && channels >= limit;
}

/*
 * Without MaxChannelsPerUser= one user may hold no more than a share of the guest's channels, so
 * that some are left for the others. The guest's root is exempt, and so are openers whose user is
 * not known, since these cannot be told apart.
 */
static bool has_share(struct policy *policy, uint32_t uid)
{
	const struct config_guest *guest = &policy->config->guest;

	return guest->max_channels_per_user || !uid || uid == UINT32_MAX ||
	       counter_get(policy, NULL, uid) < mp_share_of_one(guest->max_channels, policy->total);
}

static bool has_room(struct policy *policy, int index, uint32_t uid)
{
	const struct config_service *service = policy->config->services[index];

	/* Each road counts its own channels up to the guest's limit; this is all of them. */
	return !is_full(policy->config->guest.max_channels, policy->total) &&
	       !is_full(service->max_channels, policy->channels[index]) &&
	       !is_full(service->max_channels_per_user, counter_get(policy, service, uid)) &&
	       !is_full(policy->config->guest.max_channels_per_user,
			counter_get(policy, NULL, uid)) &&
	       has_share(policy, uid);
}

/* --- Admission -------------------------------------------------------------- */

/*
 * The place of the service that @opener names, where its user may have it; or minus the reason. A
 * fixed port leads to its service under any name, but for a channel that @has_service: that of the
 * port may be another one by now.
 */
static int look_up(const struct policy *policy, const struct mp_opener *opener, bool has_service)
{
	const struct config *config = policy->config;
	const struct config_port *port = config_find_port(config, opener->port);
	int index = port ? find_service(config, port, opener->service) : -1;

	if (index < 0 || !config->services[index]->service ||
	    (has_service && strcmp(config->services[index]->name, opener->service)))
		return -MP_REASON_NO_SERVICE;
	return user_is_allowed(config->services[index], opener->uid) ? index : -MP_REASON_DENIED;
}

/* Counts one channel more. */
static enum mp_reason let_in(struct policy *policy, int index, uint32_t uid)
{
	const struct config_service *service = policy->config->services[index];

	if (!counter_up(policy, service, uid))
		return MP_REASON_BUSY;
	if (!counter_up(policy, NULL, uid)) {
		counter_down(policy, service, uid);
		return MP_REASON_BUSY;
	}
	policy->channels[index]++;
	policy->total++;
	return MP_REASON_NONE;
}

/* @again: it was let in before, to the service of this name. */
static enum mp_reason admit(struct policy *policy, const struct mp_opener *opener, bool again,
			    struct mp_service **result, const char **service_name)
{
	int index = look_up(policy, opener, again);
	enum mp_reason reason;

	if (index < 0)
		return -index;
	if (!again && !has_room(policy, index, opener->uid))
		return MP_REASON_BUSY;
	reason = let_in(policy, index, opener->uid);
	if (reason != MP_REASON_NONE)
		return reason;
	*result = policy->config->services[index]->service;
	*service_name = policy->config->services[index]->name;
	return MP_REASON_NONE;
}

enum mp_reason policy_admit(struct policy *policy, const struct mp_opener *opener,
			    struct mp_service **result, const char **service_name)
{
	return admit(policy, opener, false, result, service_name);
}

enum mp_reason policy_readmit(struct policy *policy, const struct mp_opener *opener,
			      struct mp_service **result, const char **service_name)
{
	return admit(policy, opener, true, result, service_name);
}

enum mp_reason policy_readmit_left(struct policy *policy, const char *title, uint32_t uid,
				   struct mp_service **result)
{
	const struct config *config = policy->config;
	enum mp_reason reason;

	for (int i = 0; i < config->service_count; i++) {
		if (strcmp(config->services[i]->item.title, title) || !config->services[i]->service)
			continue;
		reason = let_in(policy, i, uid);
		if (reason == MP_REASON_NONE)
			*result = config->services[i]->service;
		return reason;
	}
	return MP_REASON_NO_SERVICE;
}

const char *policy_title(const struct policy *policy, const struct mp_service *service)
{
	const struct config *config = policy->config;

	for (int i = 0; i < config->service_count; i++)
		if (config->services[i]->service == service)
			return config->services[i]->item.title;
	return NULL;
}

void policy_release(struct policy *policy, struct mp_service *handle, uint32_t uid)
{
	const struct config *config = policy->config;

	for (int i = 0; i < config->service_count; i++) {
		const struct config_service *service = config->services[i];

		if (service->service != handle)
			continue;
		/* Only admitted channels are released: a fault of the daemon, not of a guest. */
		if (!counter_down(policy, service, uid) || !counter_down(policy, NULL, uid)) {
			log_error("service %s: a channel was released twice", service->item.title);
			return;
		}
		policy->channels[i]--;
		policy->total--;
		return;
	}
}

/* --- Lifetime ---------------------------------------------------------------- */

struct policy *policy_create(const struct config *config)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return NULL;
	policy->config = config;
	policy->channels = calloc(config->service_count + 1, sizeof(*policy->channels));
	if (!policy->channels) {
		free(policy);
		return NULL;
	}
	return policy;
}

void policy_destroy(struct policy *policy)
{
	if (!policy)
		return;
	for (int i = 0; i < BUCKETS; i++) {
		while (policy->buckets[i]) {
			struct counter *counter = policy->buckets[i];

			policy->buckets[i] = counter->next;
			free(counter);
		}
	}
	free(policy->channels);
	free(policy);
}
