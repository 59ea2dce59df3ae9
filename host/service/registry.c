// SPDX-License-Identifier: MIT
#include "service/registry.h"

#include <stdio.h>
#include <string.h>

#include "service/leave.h"

static const struct scheme {
	const char *name, *form, *help;
	struct mp_service *(*create)(struct service_setup *setup, const char *rest);
	const char *former;	/* what stands behind the colon where it does not matter */
} schemes[] = {
	{ "unix", "unix:PATH", "connect to a unix socket (@NAME: abstract)", unix_create, "/" },
	{ "unix-listen", "unix-listen:PATH[,mode=0660]",
	  "wait for a client (fixed ports)", unix_listen_create, "/" },
	{ "tcp", "tcp:HOST:PORT", "connect to a TCP server", tcp_create, "127.0.0.1:1" },
	{ "exec", "exec:COMMAND [ARG...]", "run a program on each channel", exec_create,
	  "true" },
	{ "echo", "echo", "give back what was written", echo_create, "" },
	{ "zero", "zero[:SIZE]", "give zeros, take anything", zero_create, "" },
	{ "null", "null", "take anything, give nothing", null_create, "" },
	{ "pingpong", "pingpong[:SIZE]", "answer each SIZE bytes with SIZE bytes",
	  pingpong_create, "" },
	{ "throttle", "throttle:RATE", "echo, at most RATE bytes per second",
	  throttle_create, "1" },
};
#define SCHEME_COUNT (sizeof(schemes) / sizeof(schemes[0]))

static const struct scheme *find_scheme(const char *text)
{
	size_t len = strcspn(text, ":");

	for (size_t i = 0; i < SCHEME_COUNT; i++) {
		if (strlen(schemes[i].name) == len && !strncmp(schemes[i].name, text, len))
			return &schemes[i];
	}
	return NULL;
}

bool service_uri_is_known(const char *text)
{
	return find_scheme(text);
}

bool service_is_program(const char *uri)
{
	const struct scheme *scheme = find_scheme(uri);

	return scheme && scheme->create == exec_create;
}

const char *service_scheme_form(unsigned int index)
{
	return index < SCHEME_COUNT ? schemes[index].form : NULL;
}

const char *service_scheme_help(unsigned int index)
{
	return index < SCHEME_COUNT ? schemes[index].help : NULL;
}

static struct mp_service *fail_unknown(struct service_setup *setup, const char *uri)
{
	char known[192] = "";

	for (size_t i = 0; i < SCHEME_COUNT; i++) {
		size_t len = strlen(known);

		snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "", schemes[i].name);
	}
	return service_fail(setup, "'%.*s' is not a kind of service; known are %s",
			    (int)strcspn(uri, ":"), uri, known);
}

static struct mp_service *create(const struct scheme *scheme, struct service_setup *setup,
				 const char *rest)
{
	struct mp_service *service = scheme->create(setup, rest);

	if (!service)
		return NULL;
	service->kind = scheme->name;
	service->linger_ms = setup->linger_ms;
	service->end_ms = scheme->create == exec_create ? setup->exit_ms : setup->linger_ms;
	return service;
}

struct mp_service *service_create(struct service_setup *setup, const char *uri)
{
	const struct scheme *scheme = find_scheme(uri);
	size_t len = strcspn(uri, ":");

	setup->error[0] = setup->warning[0] = 0;
	if (!scheme)
		return fail_unknown(setup, uri);
	return create(scheme, setup, uri[len] ? uri + len + 1 : "");
}

struct mp_service *service_create_former(struct service_setup *setup, const char *kind)
{
	const struct scheme *scheme = find_scheme(kind);

	setup->check_only = true;
	return scheme ? create(scheme, setup, scheme->former) : fail_unknown(setup, kind);
}

void service_destroy(struct mp_service *service)
{
	if (!service)
		return;
	leave_end(service);
	service->ops->destroy(service);
}
