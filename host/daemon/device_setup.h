/* SPDX-License-Identifier: MIT */
/* From the configuration to the device and the channel core. */
#ifndef HOST_DAEMON_DEVICE_SETUP_H
#define HOST_DAEMON_DEVICE_SETUP_H

#include "channel/core.h"

struct config;
struct config_port;
struct device;
struct device_env;

/* What these point to is the configuration's. */
struct core_config device_setup_core(const struct config *config);
struct gate device_setup_gate(const struct config_port *port);

/* @queues: of a front end that is there already, or 0. NULL without memory. */
struct device *device_setup(const struct config *config, const struct device_env *env,
			    unsigned int queues);

#endif
