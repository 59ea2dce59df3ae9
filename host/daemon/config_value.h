/* SPDX-License-Identifier: MIT */
/* From the text of a setting to its value, by the type of its key. */
#ifndef HOST_DAEMON_CONFIG_VALUE_H
#define HOST_DAEMON_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Users of the guest, as numbers. */
struct config_users {
	struct config_range {
		uint32_t first, last;
	} *ranges;
	int count;
	bool is_given;		/* an empty list is given, too: it allows no user */
};

enum config_type {
	CONFIG_TEXT,		/* char * */
	CONFIG_NAME,		/* char * */
	CONFIG_NUMBER,		/* uint32_t */
	CONFIG_SIZE,		/* uint32_t, bytes */
	CONFIG_TIME,		/* uint32_t, milliseconds */
	CONFIG_BOOL,		/* uint32_t */
	CONFIG_DEVICE,		/* uint32_t, enum device_binding */
	CONFIG_KIND,		/* uint32_t, enum mp_port_kind */
	CONFIG_NAMES,		/* char **, a list */
	CONFIG_USERS,		/* struct config_users, a list */
	CONFIG_STATUSES,	/* struct text_statuses, a list */
};

struct config_key {
	const char *name;
	enum config_type type;
	size_t offset;		/* in the section's structure */
	uint64_t min, max;
	const char *allowed;	/* in words, for messages */
};

/* A name: letters, digits and any of "._-@~", at most @max bytes. */
bool config_name_is_valid(const char *name, size_t len, size_t max);

/* Sets the value at @field. Returns 0, -EINVAL or -ERANGE (not allowed), -ENOMEM. */
int config_value_set(const struct config_key *key, void *field, const char *text);

/* Frees what the value holds. */
void config_value_clear(const struct config_key *key, void *field);

static inline bool config_type_is_list(enum config_type type)
{
	return type == CONFIG_NAMES || type == CONFIG_USERS || type == CONFIG_STATUSES;
}

#endif
