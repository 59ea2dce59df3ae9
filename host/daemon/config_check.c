// SPDX-License-Identifier: MIT
/* The configuration as a whole: what no single setting can tell. */
#include <string.h>

#include "daemon/config.h"
#include "service/registry.h"

#define DEFAULT_GUEST	"guest"
#define DEFAULT_PORT	"manyport"
#define DEFAULT_RESOLVE_MS (5 * 60 * 1000)

static const struct config_origin by_default = { CONFIG_UNSET, "default" };

/* Without any port there is one, so that services on the command line suffice. */
static void add_defaults(struct config *config)
{
	const struct config_origin origin = { CONFIG_FILE, "default" };

	if (!config->port_count)
		config_begin(config, &by_default, "Port " DEFAULT_PORT);
	if (!config->guest.name)
		config_set(config, &origin, "Guest", "Name", DEFAULT_GUEST);
}

static bool id_is_used(const struct config *config, uint32_t id, const struct config_port *except)
{
	for (int i = 0; i < config->port_count; i++) {
		if (config->ports[i] != except && config->ports[i]->id == id)
			return true;
	}
	return false;
}

/* Ports without a number get the lowest free ones, in order. */
static void number_ports(struct config *config)
{
	for (int i = 0; i < config->port_count; i++) {
		struct config_port *port = config->ports[i];

		if (port->id != UINT32_MAX && id_is_used(config, port->id, port))
			config_error(config, port->item.origin, "port %s: Id=%u is another port's",
				     port->item.title, port->id);
	}
	for (int i = 0; i < config->port_count; i++) {
		struct config_port *port = config->ports[i];
		uint32_t id = 0;

		if (port->id != UINT32_MAX)
			continue;
		while (id <= CONFIG_MAX_PORT_ID && id_is_used(config, id, port))
			id++;
		if (id > CONFIG_MAX_PORT_ID)
			config_error(config, port->item.origin,
				     "port %s: there are at most %d ports",
				     port->item.title, CONFIG_MAX_PORT_ID + 1);
		else
			port->id = id;
	}
}

/* Service= of a fixed port with a URI is a service of its own, named like the port. */
static void add_inline_service(struct config *config, struct config_port *port)
{
	struct config_origin origin = { CONFIG_FILE, port->item.origin };
	char section[192];

	snprintf(section, sizeof(section), "Service %s/%s", port->item.title, port->item.title);
	if (config_find_service(config, section + 8)) {
		config_error(config, port->item.origin, "port %s: [%s] is there already; say "
			     "Service=%s", port->item.title, section, section + 8);
		return;
	}
	config_set(config, &origin, section, "Connect", port->service);
	port->fixed = config_find_service(config, section + 8);
}

static void check_port(struct config *config, struct config_port *port)
{
	bool fixed = port->kind == MP_PORT_FIXED;

	if (!port->max_channels || port->max_channels > config->guest.max_channels)
		port->max_channels = config->guest.max_channels;
	if (fixed != !!port->service) {
		config_error(config, port->item.origin, fixed ?
			     "port %s: Kind=fixed needs Service=" :
			     "port %s: Service= is for Kind=fixed", port->item.title);
		return;
	}
	if (!fixed)
		return;
	if (strchr(port->service, ':') || service_uri_is_known(port->service)) {
		if (!config_find_service(config, port->service)) {
			add_inline_service(config, port);
			return;
		}
	}
	port->fixed = config_find_service(config, port->service);
	if (!port->fixed)
		config_error(config, port->item.origin, "port %s: there is no service %s",
			     port->item.title, port->service);
}

static bool has_multi_port(const struct config *config)
{
	for (int i = 0; i < config->port_count; i++) {
		if (config->ports[i]->kind == MP_PORT_MULTI_OPEN)
			return true;
	}
	return false;
}

static bool is_fixed_somewhere(const struct config *config, const struct config_service *service)
{
	for (int i = 0; i < config->port_count; i++) {
		if (config->ports[i]->fixed == service)
			return true;
	}
	return false;
}

/* Resolves PORT of "PORT/NAME". */
static void split_title(struct config *config, struct config_service *service)
{
	const char *slash = strchr(service->item.title, '/');
	char port[128];

	service->name = slash ? slash + 1 : service->item.title;
	if (!slash)
		return;
	snprintf(port, sizeof(port), "%.*s", (int)(slash - service->item.title),
		 service->item.title);
	service->own_port = config_find_port(config, port);
	if (!service->own_port)
		config_error(config, service->item.origin, "service %s: there is no port %s",
			     service->item.title, port);
	if (service->ports)
		config_error(config, service->item.origin, "service %s: has its port in its name, "
			     "and Ports= too", service->item.title);
}

/* Keys that mean something for programs only are an error elsewhere. */
static void check_program_keys(struct config *config, const struct config_service *service)
{
	static const struct text_statuses none;
	const char *key = NULL;

	if (!service->connect || service_is_program(service->connect))
		return;
	if (service->exit_ms != UINT32_MAX)
		key = "ExitTimeoutSec";
	else if (service->starts_per_sec)
		key = "MaxStartsPerSec";
	else if (memcmp(&service->success, &none, sizeof(none)))
		key = "SuccessExitStatus";
	if (key)
		config_error(config, service->item.origin, "service %s: %s= is for exec:",
			     service->item.title, key);
}

static void set_limits(struct config *config, struct config_service *service)
{
	check_program_keys(config, service);
	if (service->resolve_ms == UINT32_MAX)
		service->resolve_ms = DEFAULT_RESOLVE_MS;
	else if (service->connect && strncmp(service->connect, "tcp:", 4))
		config_error(config, service->item.origin,
			     "service %s: ResolveIntervalSec= is for tcp:", service->item.title);
	if (service->linger_ms == UINT32_MAX)
		service->linger_ms = config->guest.linger_ms;
	if (service->exit_ms == UINT32_MAX)
		service->exit_ms = config->guest.exit_ms;
}

static void check_service(struct config *config, struct config_service *service)
{
	split_title(config, service);
	set_limits(config, service);
	if (!service->connect)
		config_error(config, service->item.origin, "service %s: needs Connect=",
			     service->item.title);
	for (char **name = service->ports; name && *name; name++) {
		const struct config_port *port = config_find_port(config, *name);

		if (!port)
			config_error(config, service->item.origin,
				     "service %s: Ports=: there is no port %s",
				     service->item.title, *name);
		else if (port->kind == MP_PORT_FIXED)
			config_error(config, service->item.origin, "service %s: Ports=: port %s is "
				     "tied to one service", service->item.title, *name);
	}
	if (!is_fixed_somewhere(config, service) &&
	    (!has_multi_port(config) || (service->ports && !*service->ports)))
		config_warning(config, service->item.origin, "service %s: no port leads to it",
			       service->item.title);
}

void config_check(struct config *config)
{
	add_defaults(config);
	number_ports(config);
	for (int i = 0; i < config->port_count; i++)
		check_port(config, config->ports[i]);
	for (int i = 0; i < config->service_count; i++)
		check_service(config, config->services[i]);
	if (!config->service_count)
		config_warning(config, NULL,
			       "no service is configured: every name will be refused");
}

void config_start(struct config *config, struct loop *loop, bool check_only)
{
	for (int i = 0; i < config->service_count; i++) {
		struct config_service *service = config->services[i];
		struct service_setup setup = { .loop = loop, .name = service->item.title,
					       .check_only = check_only,
					       .linger_ms = service->linger_ms,
					       .exit_ms = service->exit_ms,
					       .resolve_ms = service->resolve_ms,
					       .starts_per_sec = service->starts_per_sec,
					       .success = service->success };

		if (!service->connect)
			continue;
		service->service = service_create(&setup, service->connect);
		if (!service->service)
			config_error(config, service->item.origin, "service %s: %s",
				     service->item.title, setup.error);
		else if (setup.warning[0])
			config_warning(config, service->item.origin, "service %s: %s",
				       service->item.title, setup.warning);
	}
}
