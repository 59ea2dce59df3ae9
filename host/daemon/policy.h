/* SPDX-License-Identifier: MIT */
/*
 * Which users of the guest may have a channel to which service.
 *
 * On a multi-open port a name leads to [Service PORT/NAME], else to [Service
 * NAME] if its Ports= lists the port or is not given; a fixed port leads to its one
 * service. Nothing else is reachable. Then the user must be allowed, and the limits
 * of the service, of the user in the service and of the user must have room.
 *
 * The user is what the guest's kernel claims. UINT32_MAX is "not known" (the
 * stock driver does not say): such a channel is let in only where no user is
 * allowed or denied by number.
 */
#ifndef HOST_DAEMON_POLICY_H
#define HOST_DAEMON_POLICY_H

#include <manyport/service.h>

struct config;
struct policy;

/* @config must outlive the policy. NULL without memory. */
struct policy *policy_create(const struct config *config);
void policy_destroy(struct policy *policy);	/* accepts NULL */

/* As device_env.admit() and release(). */
enum mp_reason policy_admit(struct policy *policy, const struct mp_opener *opener,
			    struct mp_service **service, const char **service_name);
/*
 * What a program before this one had let in to the service of this name, which may not be the fixed
 * port's any more. As core_env.readmit(): no limit is looked at.
 */
enum mp_reason policy_readmit(struct policy *policy, const struct mp_opener *opener,
			      struct mp_service **service, const char **service_name);
/* The same for what is left of a channel, by the title that its service has. */
enum mp_reason policy_readmit_left(struct policy *policy, const char *title, uint32_t uid,
				   struct mp_service **service);
/* The title of a service, or NULL. */
const char *policy_title(const struct policy *policy, const struct mp_service *service);
void policy_release(struct policy *policy, struct mp_service *service, uint32_t uid);

#endif
