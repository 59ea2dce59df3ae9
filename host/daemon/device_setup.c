// SPDX-License-Identifier: MIT
#include "daemon/device_setup.h"

#include "base/log.h"
#include "daemon/config.h"
#include "device/device.h"

struct core_config device_setup_core(const struct config *config)
{
	return (struct core_config){
		.guest = config->guest.name,
		.max_channels = config->guest.max_channels,
		.connect_ms = config->guest.connect_ms,
		.access_log = config->guest.access_log,
	};
}

struct gate device_setup_gate(const struct config_port *port)
{
	return (struct gate){
		.name = port->item.title,
		.is_fixed = port->kind == MP_PORT_FIXED,
		.service_name = port->fixed ? port->fixed->name : NULL,
	};
}

/* A change of the ports, and a crash: the front end stays, and has the queues that it has. */
static void warn_of_port(const struct config_port *port, unsigned int queues)
{
	if (queues && MP_QUEUES(port->id + 1) > queues)
		log_warning("port %s: the front end that is there has no queues for it: it begins "
			    "with the daemon's next start behind its end", port->item.title);
}

struct device *device_setup(const struct config *config, const struct device_env *env,
			    unsigned int queues)
{
	struct device_port_config ports[CONFIG_MAX_PORT_ID + 1] = { 0 };
	struct device_config device = {
		.core = device_setup_core(config),
		.binding = (enum device_binding)config->guest.binding,
		.ports = ports,
		.queue_count = queues,
		.max_io = config->guest.max_io,
		.linger_ms = config->guest.linger_ms,
		.is_polled = config->guest.poll_us,
	};

	for (int i = 0; i < config->port_count; i++) {
		const struct config_port *port = config->ports[i];
		struct device_port_config *entry = &ports[port->id];

		entry->gate = device_setup_gate(port);
		entry->max_channels = port->max_channels;
		warn_of_port(port, queues);
		if (port->id >= device.port_count)
			device.port_count = port->id + 1;
	}
	return device_create(&device, env);
}
