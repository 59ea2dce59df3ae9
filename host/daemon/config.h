/* SPDX-License-Identifier: MIT */
/*
 * What the administrator wants: one guest, its ports, its services.
 *
 * A configuration is made of settings, "KEY=VALUE in a section". They come from a
 * file and from the command line, and all go through config_set(): one
 * meaning, one check. The command line wins over the file; within one of them
 * a setting may be given once, a list any number of times.
 *
 *	config_create -> config_set ... -> config_check -> config_start
 *
 * Errors do not stop anything: all are collected, each with its origin.
 */
#ifndef HOST_DAEMON_CONFIG_H
#define HOST_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <manyport/service.h>

#include "base/text.h"
#include "daemon/config_value.h"

struct loop;

/* Port numbers: User Mode Linux has 64 queues, which is 31 ports. */
#define CONFIG_MAX_PORT_ID	30
#define CONFIG_MAX_KEYS		12

enum config_level { CONFIG_UNSET, CONFIG_FILE, CONFIG_COMMAND_LINE };

/* Where a setting comes from: "FILE:LINE" or the option. */
struct config_origin {
	enum config_level level;
	const char *text;
};

/* What all sections have. */
struct config_item {
	char *title;			/* what follows the section's kind; NULL for [Guest] */
	char *origin;			/* where it was mentioned first */
	uint8_t set[CONFIG_MAX_KEYS];	/* enum config_level of each key */
};

struct config_guest {
	struct config_item item;
	char *name;
	uint32_t max_channels, max_channels_per_user;
	uint32_t connect_ms, max_io;
	uint32_t held_max;		/* bytes that the channels of a stream hold together */
	uint32_t linger_ms, exit_ms;	/* of services that have none of their own */
	uint32_t poll_us;		/* how long to spin for work before sleeping */
	uint32_t binding;		/* enum device_binding */
	uint32_t access_log;		/* bool */
};

struct config_port {
	struct config_item item;
	uint32_t id;			/* UINT32_MAX until config_check() */
	uint32_t kind;			/* enum mp_port_kind */
	char *service;			/* fixed: a service's name or a URI, else NULL */
	uint32_t max_channels;
	struct config_service *fixed;	/* what @service means; by config_check() */
};

struct config_service {
	struct config_item item;	/* title: [PORT/]NAME */
	char *connect;			/* the URI */
	char **ports;			/* NULL: every multi-open port */
	struct config_users allow, deny;
	uint32_t max_channels, max_channels_per_user;
	uint32_t linger_ms, exit_ms;	/* UINT32_MAX until config_check(): the guest's */
	uint32_t resolve_ms;		/* of host names; UINT32_MAX until config_check() */
	uint32_t starts_per_sec;	/* of programs; 0: the default */
	struct text_statuses success;	/* of programs, besides 0 */
	const struct config_port *own_port;	/* PORT of the title, or the fixed port */
	const char *name;		/* NAME of the title; by config_check() */
	struct mp_service *service;	/* by config_start() */
};

struct config {
	struct config_guest guest;
	struct config_port **ports;
	int port_count;
	struct config_service **services;
	int service_count;
	int errors;
	FILE *messages;			/* where errors and warnings are written */
};

/* Messages go to @messages, which stays the caller's. Returns NULL without memory. */
struct config *config_create(FILE *messages);
void config_destroy(struct config *config);	/* accepts NULL; destroys the services */

/* Notes an error; @origin may be NULL. */
void config_error(struct config *config, const char *origin, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void config_warning(struct config *config, const char *origin, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A section is begun: "Guest", "Port NAME" or "Service NAME". False after an error. */
bool config_begin(struct config *config, const struct config_origin *origin, const char *section);

/* @key=@value in @section. */
void config_set(struct config *config, const struct config_origin *origin, const char *section,
		const char *key, const char *value);

/* Reads an INI file into @config. */
void config_read_file(struct config *config, const char *path);

/* Completes the configuration and looks at it as a whole. */
void config_check(struct config *config);

/* Makes the services. @check_only: as far as possible without a trace. */
void config_start(struct config *config, struct loop *loop, bool check_only);

/* The port or service with this name, or NULL. */
struct config_port *config_find_port(const struct config *config, const char *name);
struct config_service *config_find_service(const struct config *config, const char *title);

#endif
