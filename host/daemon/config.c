// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"
#include "service/registry.h"

#define NAME_MAX_LEN	64
#define NAMES_ALLOWED	"letters, digits and ._-@~, at most 64"
#define COUNT_ALLOWED	"a number from 1 to 1048576"
#define HOUR_MS		3600000
#define LINGER_ALLOWED	"a time from 0 to 1h"
#define EXIT_ALLOWED	"a time from 0 to 24h"

static const struct config_key guest_keys[] = {
	{ "Name", CONFIG_NAME, offsetof(struct config_guest, name), 0, NAME_MAX_LEN,
	  NAMES_ALLOWED },
	{ "MaxChannels", CONFIG_NUMBER, offsetof(struct config_guest, max_channels), 1,
	  MP_MAX_CHANNELS, COUNT_ALLOWED },
	{ "MaxChannelsPerUser", CONFIG_NUMBER, offsetof(struct config_guest, max_channels_per_user),
	  1, MP_MAX_CHANNELS, COUNT_ALLOWED },
	{ "ConnectTimeoutSec", CONFIG_TIME, offsetof(struct config_guest, connect_ms), 10, HOUR_MS,
	  "a time from 10ms to 1h" },
	{ "LingerTimeoutSec", CONFIG_TIME, offsetof(struct config_guest, linger_ms), 0, HOUR_MS,
	  LINGER_ALLOWED },
	{ "ExitTimeoutSec", CONFIG_TIME, offsetof(struct config_guest, exit_ms), 0, 24 * HOUR_MS,
	  EXIT_ALLOWED },
	{ "MaxRequestSize", CONFIG_SIZE, offsetof(struct config_guest, max_io), 4096, MP_MAX_IO,
	  "a size from 4K to 1M" },
	{ "MaxStreamMemory", CONFIG_SIZE, offsetof(struct config_guest, held_max), 0, 1 << 30,
	  "a size up to 1G" },
	{ "PollMicroseconds", CONFIG_NUMBER, offsetof(struct config_guest, poll_us), 0, 1000,
	  "a number from 0 to 1000" },
	{ "AccessLog", CONFIG_BOOL, offsetof(struct config_guest, access_log), 0, 0, "yes or no" },
	{ "Device", CONFIG_DEVICE, offsetof(struct config_guest, binding), 0, 0,
	  "console or fs" },
	{ 0 }
};

static const struct config_key port_keys[] = {
	{ "Id", CONFIG_NUMBER, offsetof(struct config_port, id), 0, CONFIG_MAX_PORT_ID,
	  "a number from 0 to 30" },
	{ "Kind", CONFIG_KIND, offsetof(struct config_port, kind), 0, 0, "multi or fixed" },
	{ "Service", CONFIG_TEXT, offsetof(struct config_port, service), 0, 0,
	  "the name of a service, or SCHEME:..." },
	{ "MaxChannels", CONFIG_NUMBER, offsetof(struct config_port, max_channels), 1,
	  MP_MAX_CHANNELS, COUNT_ALLOWED },
	{ 0 }
};

static const struct config_key service_keys[] = {
	{ "Connect", CONFIG_TEXT, offsetof(struct config_service, connect), 0, 0, "SCHEME:..." },
	{ "Ports", CONFIG_NAMES, offsetof(struct config_service, ports), 0, NAME_MAX_LEN,
	  "names of ports between blanks" },
	{ "AllowUser", CONFIG_USERS, offsetof(struct config_service, allow), 0, 0,
	  "user numbers or ranges between blanks, such as 0 1000-1999" },
	{ "DenyUser", CONFIG_USERS, offsetof(struct config_service, deny), 0, 0,
	  "user numbers or ranges between blanks, such as 0 1000-1999" },
	{ "MaxChannels", CONFIG_NUMBER, offsetof(struct config_service, max_channels), 1,
	  MP_MAX_CHANNELS, COUNT_ALLOWED },
	{ "MaxChannelsPerUser", CONFIG_NUMBER,
	  offsetof(struct config_service, max_channels_per_user), 1, MP_MAX_CHANNELS,
	  COUNT_ALLOWED },
	{ "LingerTimeoutSec", CONFIG_TIME, offsetof(struct config_service, linger_ms), 0, HOUR_MS,
	  LINGER_ALLOWED },
	{ "ExitTimeoutSec", CONFIG_TIME, offsetof(struct config_service, exit_ms), 0,
	  24 * HOUR_MS, EXIT_ALLOWED },
	{ "ResolveIntervalSec", CONFIG_TIME, offsetof(struct config_service, resolve_ms), 0,
	  24 * HOUR_MS, "a time from 0 to 24h" },
	{ "SuccessExitStatus", CONFIG_STATUSES, offsetof(struct config_service, success), 0, 0,
	  "exit statuses or ranges between blanks, such as 1 64-255" },
	{ "MaxStartsPerSec", CONFIG_NUMBER, offsetof(struct config_service, starts_per_sec), 1,
	  100000, "a number from 1 to 100000" },
	{ 0 }
};

/* --- Messages ----------------------------------------------------------- */

static void write_message(struct config *config, const char *kind, const char *origin,
			  const char *format, va_list args)
{
	fprintf(config->messages, "%s%s%s", origin ? origin : "", origin ? ": " : "", kind);
	vfprintf(config->messages, format, args);
	fputc('\n', config->messages);
}

void config_error(struct config *config, const char *origin, const char *format, ...)
{
	va_list args;

	config->errors++;
	va_start(args, format);
	write_message(config, "", origin, format, args);
	va_end(args);
}

void config_warning(struct config *config, const char *origin, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_message(config, "warning: ", origin, format, args);
	va_end(args);
}

/* --- Sections ------------------------------------------------------------ */

struct config_port *config_find_port(const struct config *config, const char *name)
{
	for (int i = 0; i < config->port_count; i++) {
		if (!strcmp(config->ports[i]->item.title, name))
			return config->ports[i];
	}
	return NULL;
}

struct config_service *config_find_service(const struct config *config, const char *title)
{
	for (int i = 0; i < config->service_count; i++) {
		if (!strcmp(config->services[i]->item.title, title))
			return config->services[i];
	}
	return NULL;
}

/* One more element of @size bytes in an array of pointers. */
static struct config_item *add_item(void ***list, int *count, size_t size, const char *title,
				    const char *origin)
{
	void **grown = reallocarray(*list, *count + 1, sizeof(void *));
	struct config_item *item = calloc(1, size);

	if (grown)
		*list = grown;
	if (!grown || !item)
		goto fail;
	item->title = strdup(title);
	item->origin = strdup(origin);
	if (!item->title || !item->origin)
		goto fail;
	grown[(*count)++] = item;
	return item;
fail:
	if (item) {
		free(item->title);
		free(item->origin);
	}
	free(item);
	return NULL;
}

static struct config_item *port_item(struct config *config, const char *origin, const char *name)
{
	struct config_port *port = config_find_port(config, name);

	if (port)
		return &port->item;
	port = (struct config_port *)add_item((void ***)&config->ports, &config->port_count,
					      sizeof(*port), name, origin);
	if (!port) {
		config_error(config, origin, "out of memory");
		return NULL;
	}
	port->id = UINT32_MAX;
	port->kind = MP_PORT_MULTI_OPEN;
	return &port->item;
}

static struct config_item *service_item(struct config *config, const char *origin,
					const char *title)
{
	struct config_service *service = config_find_service(config, title);

	if (service)
		return &service->item;
	service = (struct config_service *)add_item((void ***)&config->services,
						    &config->service_count, sizeof(*service), title,
						    origin);
	if (!service) {
		config_error(config, origin, "out of memory");
		return NULL;
	}
	service->linger_ms = service->exit_ms = service->resolve_ms = UINT32_MAX;
	return &service->item;
}

/* [PORT/]NAME */
static bool service_title_is_valid(const char *title)
{
	size_t len = strcspn(title, "/");

	if (!config_name_is_valid(title, len, NAME_MAX_LEN))
		return false;
	return !title[len] || config_name_is_valid(title + len + 1, strlen(title + len + 1),
						   NAME_MAX_LEN);
}

/* The structure of @section and its keys; NULL after an error. */
static struct config_item *find_section(struct config *config, const char *origin,
					const char *section, const struct config_key **keys)
{
	if (!strcmp(section, "Guest")) {
		*keys = guest_keys;
		return &config->guest.item;
	}
	if (!strncmp(section, "Port ", 5)) {
		*keys = port_keys;
		if (config_name_is_valid(section + 5, strlen(section + 5), NAME_MAX_LEN))
			return port_item(config, origin, section + 5);
		config_error(config, origin, "'%s' is not a name for a port; allowed are "
			     NAMES_ALLOWED, section + 5);
		return NULL;
	}
	if (!strncmp(section, "Service ", 8)) {
		*keys = service_keys;
		if (service_title_is_valid(section + 8))
			return service_item(config, origin, section + 8);
		config_error(config, origin, "'%s' is not [PORT/]NAME of a service; allowed in "
			     "each are " NAMES_ALLOWED, section + 8);
		return NULL;
	}
	config_error(config, origin, "there is no section [%s]; known are [Guest], [Port NAME], "
		     "[Service NAME]", section);
	return NULL;
}

bool config_begin(struct config *config, const struct config_origin *origin, const char *section)
{
	const struct config_key *keys;

	return find_section(config, origin->text, section, &keys);
}

/* --- Settings -------------------------------------------------------------- */

static void report_unknown(struct config *config, const struct config_origin *origin,
			   const struct config_key *keys, const char *section, const char *name)
{
	char known[320] = "";

	for (int i = 0; keys[i].name; i++) {
		size_t len = strlen(known);

		snprintf(known + len, sizeof(known) - len, "%s%s=", i ? ", " : "", keys[i].name);
	}
	config_error(config, origin->text, "there is no %s= in [%s]; known are %s", name, section,
		     known);
}

/* May @key be set from @origin? Not if it was set from there already, or from one that wins. */
static bool take_turn(struct config *config, const struct config_origin *origin,
		      struct config_item *item, const struct config_key *keys, int key)
{
	bool list = config_type_is_list(keys[key].type);

	if (item->set[key] > origin->level)
		return false;
	if (item->set[key] == origin->level && !list) {
		config_error(config, origin->text, "%s= is given twice", keys[key].name);
		return false;
	}
	/* A list of the command line replaces that of the file. */
	if (item->set[key] < origin->level && list)
		config_value_clear(&keys[key], (char *)item + keys[key].offset);
	item->set[key] = origin->level;
	return true;
}

void config_set(struct config *config, const struct config_origin *origin, const char *section,
		const char *name, const char *value)
{
	const struct config_key *keys;
	struct config_item *item = find_section(config, origin->text, section, &keys);
	int key = 0, ret;

	if (!item)
		return;
	while (keys[key].name && strcmp(keys[key].name, name))
		key++;
	if (!keys[key].name) {
		report_unknown(config, origin, keys, section, name);
		return;
	}
	if (!take_turn(config, origin, item, keys, key))
		return;
	ret = config_value_set(&keys[key], (char *)item + keys[key].offset, value);
	if (ret == -ENOMEM)
		config_error(config, origin->text, "out of memory");
	else if (ret)
		config_error(config, origin->text, "%s=%s: allowed is %s", name, value,
			     keys[key].allowed);
}

/* --- Lifetime --------------------------------------------------------------- */

struct config *config_create(FILE *messages)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->messages = messages;
	config->guest.max_channels = 4096;
	config->guest.connect_ms = 10000;
	config->guest.linger_ms = 5000;
	config->guest.exit_ms = 5 * 60 * 1000;
	config->guest.max_io = MP_MAX_IO;
	config->guest.held_max = 16 << 20;
	config->guest.poll_us = 100;
	return config;
}

static void clear_item(struct config_item *item, const struct config_key *keys)
{
	for (int i = 0; keys[i].name; i++)
		config_value_clear(&keys[i], (char *)item + keys[i].offset);
	free(item->title);
	free(item->origin);
}

void config_destroy(struct config *config)
{
	if (!config)
		return;
	for (int i = 0; i < config->service_count; i++) {
		service_destroy(config->services[i]->service);
		clear_item(&config->services[i]->item, service_keys);
		free(config->services[i]);
	}
	for (int i = 0; i < config->port_count; i++) {
		clear_item(&config->ports[i]->item, port_keys);
		free(config->ports[i]);
	}
	clear_item(&config->guest.item, guest_keys);
	free(config->services);
	free(config->ports);
	free(config);
}
