/* SPDX-License-Identifier: MIT */
/*
 * What the maker of a service is given, and where it says what is wrong.
 *
 * Each scheme is one file with one maker below. A maker checks everything
 * that can be checked before a guest is there.
 */
#ifndef HOST_SERVICE_SETUP_H
#define HOST_SERVICE_SETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <manyport/service.h>

#include "base/text.h"

struct loop;

#define SERVICE_STARTS_PER_SEC 100

struct service_setup {
	struct loop *loop;
	const char *name;	/* for the log; outlives the service */
	bool check_only;	/* open and change nothing outside the process */
	uint32_t linger_ms;	/* without progress after the end of a channel */
	uint32_t exit_ms;	/* of a program, when its input has ended */
	uint32_t resolve_ms;	/* between look-ups of a host name; 0: only after failures */
	uint32_t starts_per_sec;	/* of programs; 0: SERVICE_STARTS_PER_SEC */
	struct text_statuses success;	/* of programs, besides 0 */
	char error[256];	/* why NULL was returned */
	char warning[256];	/* or what may become a problem; "" if nothing */
};

/* Says why and returns NULL. */
struct mp_service *service_fail(struct service_setup *setup, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void service_warn(struct service_setup *setup, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The makers; @rest is what follows the colon, "" without one. */
struct mp_service *unix_create(struct service_setup *setup, const char *rest);
struct mp_service *unix_listen_create(struct service_setup *setup, const char *rest);
struct mp_service *tcp_create(struct service_setup *setup, const char *rest);
struct mp_service *exec_create(struct service_setup *setup, const char *rest);
struct mp_service *echo_create(struct service_setup *setup, const char *rest);
struct mp_service *zero_create(struct service_setup *setup, const char *rest);
struct mp_service *null_create(struct service_setup *setup, const char *rest);
struct mp_service *pingpong_create(struct service_setup *setup, const char *rest);
struct mp_service *throttle_create(struct service_setup *setup, const char *rest);

#endif
