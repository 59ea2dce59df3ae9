/* SPDX-License-Identifier: MIT */
/* From text to service: "SCHEME:REST", as an administrator writes it. */
#ifndef HOST_SERVICE_REGISTRY_H
#define HOST_SERVICE_REGISTRY_H

#include "service/setup.h"

/* Makes the service that @uri describes, or returns NULL with setup->error. */
struct mp_service *service_create(struct service_setup *setup, const char *uri);
void service_destroy(struct mp_service *service);	/* accepts NULL */

/*
 * A service that only goes on with streams of this kind, whose own service is of another kind now
 * or configured no more: it opens nothing, and its URI leads nowhere. NULL with setup->error.
 */
struct mp_service *service_create_former(struct service_setup *setup, const char *kind);

/* Does @uri start a program? */
bool service_is_program(const char *uri);

/* Does @text begin with the name of a scheme, or is it one? */
bool service_uri_is_known(const char *text);

/* One line for each scheme, for --help and for messages; ends at NULL. */
const char *service_scheme_form(unsigned int index);
const char *service_scheme_help(unsigned int index);

#endif
