/* SPDX-License-Identifier: MIT */
/*
 * Streams that a program before this one had, and their services, which may be of another kind now,
 * or configured no more. The streams of such a service go on, or end, with a stand-in of their own
 * kind (registry.h).
 */
#ifndef HOST_DAEMON_FORMER_H
#define HOST_DAEMON_FORMER_H

#include <manyport/service.h>

struct config;
struct former;
struct loop;

/* Both outlive it. NULL without memory. */
struct former *former_create(struct loop *loop, const struct config *config);
/* Its streams have ended. Accepts NULL. */
void former_destroy(struct former *former);

/* As mp_service_ops.restore(), for a stream of @kind. @service may be of another, or NULL. */
int former_restore(struct former *former, struct mp_service *service, const char *kind,
		   struct mp_peer *peer, struct record *record, struct mp_stream **stream);

/* Where a stream of @kind that has no service is restored; NULL without memory. */
struct mp_service *former_service(struct former *former, const char *kind);

/* Writes, or reads, what all services have beside their streams. */
void former_hand_over(struct former *former, struct record *record);

#endif
