// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/door.h"
#include "daemon/guest.h"
#include "daemon/policy.h"
#include "device/device.h"
#include "loop/loop.h"
#include "service/leave.h"
#include "vhost/message.h"
#include "vhost/session.h"

#define QUEUE_FDS	3	/* kick, call, error */

struct guest {
	struct loop *loop;
	const struct config *config;
	struct policy *policy;
	struct device *device;
	struct session *session;	/* NULL: no front end */
	struct loop_task run;
	struct loop_timer tick;
	struct loop_poller poller;
	struct door door;		/* where front ends come in */
	bool once;			/* the guest ends with the session */
	bool is_ending;
	int result;
};

/* --- What the device asks of us ------------------------------------------------ */

static uint64_t env_now(void *context)
{
	return loop_now(((struct guest *)context)->loop);
}

static uint64_t env_clock_us(void *context)
{
	(void)context;
	return loop_clock_us();
}

static void env_rearm(void *context)
{
	struct guest *guest = context;
	uint64_t now = loop_now(guest->loop), deadline = UINT64_MAX;

	if (guest->device)	/* NULL while device_create() runs */
		deadline = device_deadline(guest->device);
	if (deadline == UINT64_MAX)
		loop_timer_stop(&guest->tick);
	else
		loop_timer_start(&guest->tick, deadline > now ? deadline - now : 0);
}

static void env_wake(void *context)
{
	loop_task_queue(&((struct guest *)context)->run);
}

static void env_call(void *context, unsigned int queue)
{
	session_call(((struct guest *)context)->session, queue);
}

static enum mp_reason env_admit(void *context, const struct mp_opener *opener,
				struct mp_service **service, const char **service_name)
{
	return policy_admit(((struct guest *)context)->policy, opener, service, service_name);
}

static void env_release(void *context, struct mp_service *service, uint32_t uid)
{
	policy_release(((struct guest *)context)->policy, service, uid);
}

static void run_device(struct loop_task *task)
{
	struct guest *guest = container_of(task, struct guest, run);

	device_run(guest->device);
	session_check(guest->session);
}

static bool look_at_device(struct loop_poller *poller)
{
	struct guest *guest = container_of(poller, struct guest, poller);
	bool found = device_look(guest->device, false);

	if (found)
		session_check(guest->session);
	return found;
}

static bool rest_device(struct loop_poller *poller)
{
	struct guest *guest = container_of(poller, struct guest, poller);
	bool found = device_look(guest->device, true);

	if (found)
		session_check(guest->session);
	return found;
}

static void tick_device(struct loop_timer *timer)
{
	struct guest *guest = container_of(timer, struct guest, tick);

	device_tick(guest->device);
	env_rearm(guest);
	session_check(guest->session);
}

/* --- Front ends ------------------------------------------------------------------ */

static void session_ended(void *context, int why)
{
	struct guest *guest = context;

	session_destroy(guest->session);
	guest->session = NULL;
	door_is_free(&guest->door);
	if (!guest->once)
		return;
	guest->result = why;
	guest_end(guest);
}

static int begin_session(struct guest *guest, int fd)
{
	char who[DOOR_WHO_SIZE];

	guest->session = session_create(guest->loop, guest->device, fd, session_ended, guest);
	if (!guest->session)
		return errno ? -errno : -ENOMEM;
	log_limited_here(LOG_LEVEL_INFO, "%s: a front end is attached (%s)",
			 guest->config->guest.name, door_who(who, fd));
	return 0;
}

static void serve_front_end(void *context, int fd)
{
	struct guest *guest = context;
	int ret = begin_session(guest, fd);

	if (!ret)
		return;
	log_limited_here(LOG_LEVEL_ERROR, "%s: cannot serve the front end: %s",
			 guest->config->guest.name, strerror(-ret));
	close(fd);
}

static bool is_attached(void *context)
{
	return ((struct guest *)context)->session;
}

static bool is_silent(void *context)
{
	return session_is_silent(((struct guest *)context)->session);
}

static void send_away(void *context)
{
	struct guest *guest = context;

	session_destroy(guest->session);
	guest->session = NULL;
}

static const struct door_ops door_ops = {
	.is_attached = is_attached, .is_silent = is_silent, .send_away = send_away,
	.let_in = serve_front_end,
};

int guest_listen(struct guest *guest, const char *path, const struct unix_access *access)
{
	return door_open(&guest->door, path, access);
}

int guest_attach(struct guest *guest, int fd)
{
	guest->once = true;
	return begin_session(guest, fd);
}

int guest_result(const struct guest *guest)
{
	return guest->result;
}

unsigned int guest_queue_count(const struct guest *guest)
{
	return device_queue_count(guest->device);
}

unsigned int guest_front_end_fds(const struct guest *guest)
{
	/* Two connections (one is looked at); a back channel; what one message carries. */
	return 3 + QUEUE_FDS * guest_queue_count(guest) + MESSAGE_MAX_FDS;
}

/* --- The end ----------------------------------------------------------------------- */

static void stop_serving(struct guest *guest)
{
	door_close(&guest->door);
	/* session_destroy() stops the rings, then ends the channels, which still use the policy. */
	session_destroy(guest->session);
	guest->session = NULL;
}

static void nothing_is_left(void *context)
{
	loop_quit(((struct guest *)context)->loop);
}

void guest_end(struct guest *guest)
{
	if (guest->is_ending) {
		loop_quit(guest->loop);
		return;
	}
	guest->is_ending = true;
	sd_notify(0, "STOPPING=1");
	stop_serving(guest);
	if (leave_count())
		log_info("%s: services have not taken everything: waiting for %u of them; another "
			 "signal ends at once", guest->config->guest.name, leave_count());
	leave_hurry(nothing_is_left, guest);
}

/* --- Life -------------------------------------------------------------------------- */

static struct device *make_device(struct guest *guest)
{
	const struct config *config = guest->config;
	struct device_port_config ports[CONFIG_MAX_PORT_ID + 1] = { 0 };
	struct device_config device = {
		.core = {
			.guest = config->guest.name,
			.max_channels = config->guest.max_channels,
			.connect_ms = config->guest.connect_ms,
			.access_log = config->guest.access_log,
		},
		.binding = (enum device_binding)config->guest.binding,
		.ports = ports,
		.max_io = config->guest.max_io,
		.linger_ms = config->guest.linger_ms,
		.is_polled = config->guest.poll_us,
	};
	const struct device_env env = {
		.core = {
			.context = guest, .now = env_now, .clock_us = env_clock_us,
			.rearm = env_rearm, .wake = env_wake, .admit = env_admit,
			.release = env_release,
		},
		.call = env_call,
	};

	for (int i = 0; i < config->port_count; i++) {
		const struct config_port *port = config->ports[i];
		struct device_port_config *entry = &ports[port->id];

		entry->gate.name = port->item.title;
		entry->gate.is_fixed = port->kind == MP_PORT_FIXED;
		entry->gate.service_name = port->fixed ? port->fixed->name : NULL;
		entry->max_channels = port->max_channels;
		if (port->id >= device.port_count)
			device.port_count = port->id + 1;
	}
	return device_create(&device, &env);
}

struct guest *guest_create(struct loop *loop, const struct config *config)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	if (!guest)
		return NULL;
	guest->loop = loop;
	guest->config = config;
	door_init(&guest->door, loop, config->guest.name, &door_ops, guest);
	loop_task_init(loop, &guest->run, run_device);
	loop_timer_init(loop, &guest->tick, tick_device);
	guest->poller = (struct loop_poller){ look_at_device, rest_device, config->guest.poll_us };
	guest->policy = policy_create(config);
	guest->device = guest->policy ? make_device(guest) : NULL;
	if (!guest->device) {
		guest_destroy(guest);
		return NULL;
	}
	if (config->guest.poll_us)
		loop_set_poller(loop, &guest->poller);
	return guest;
}

void guest_destroy(struct guest *guest)
{
	if (!guest)
		return;
	loop_set_poller(guest->loop, NULL);
	stop_serving(guest);
	/* Before the device goes: streams that are left give their places back to it. */
	leave_end(NULL);
	device_destroy(guest->device);
	loop_task_cancel(&guest->run);
	loop_timer_stop(&guest->tick);
	policy_destroy(guest->policy);
	free(guest);
}
