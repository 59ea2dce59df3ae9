// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd_limit.h"
#include "base/list.h"
#include "base/log.h"
#include "base/unix_address.h"
#include "daemon/config.h"
#include "daemon/guest.h"
#include "daemon/policy.h"
#include "device/device.h"
#include "loop/loop.h"
#include "service/leave.h"
#include "vhost/message.h"
#include "vhost/session.h"

#define QUEUE_FDS	3	/* kick, call, error */
#define PAUSE_MS	100	/* after accept() failed for want of descriptors */
#define PATIENCE_ROUNDS	4	/* of the loop, for the end of the front end before */

struct guest {
	struct loop *loop;
	const struct config *config;
	struct policy *policy;
	struct device *device;
	struct session *session;	/* NULL: no front end */
	struct loop_task run;
	struct loop_timer tick;
	struct loop_poller poller;
	struct unix_listener listener;
	struct loop_watch watch;	/* of the listener */
	struct loop_timer pause;
	/*
	 * A VMM that starts anew connects right after its forerunner has closed: both
	 * may come in one round of the loop, in either order. So a second front
	 * end is kept for a few rounds before it is refused.
	 */
	struct loop_task decide;
	int second;			/* its socket, or -1 */
	int rounds;			/* that it still may wait */
	bool once;			/* the guest ends with the session */
	bool is_ending;
	int result;
	struct log_limit limit;
};

/* --- What the device asks of us ------------------------------------------------ */

static uint64_t env_now(void *context)
{
	return loop_now(((struct guest *)context)->loop);
}

static void env_rearm(void *context)
{
	struct guest *guest = context;
	uint64_t now = loop_now(guest->loop), deadline = UINT64_MAX;

	if (guest->device)	/* else it is being made */
		deadline = device_deadline(guest->device);
	if (deadline == UINT64_MAX)
		loop_timer_stop(&guest->tick);
	else if (loop_timer_start(&guest->tick, deadline > now ? deadline - now : 0))
		log_error("out of memory: time limits of channels are not kept");
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
	bool found = device_look(guest->device);

	if (found)
		session_check(guest->session);
	return found;
}

static bool rest_device(struct loop_poller *poller)
{
	struct guest *guest = container_of(poller, struct guest, poller);
	bool found = device_rest(guest->device);

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
	if (!guest->once)
		return;
	guest->result = why;
	guest_end(guest);
}

static int begin_session(struct guest *guest, int fd)
{
	guest->session = session_create(guest->loop, guest->device, fd, session_ended, guest);
	if (!guest->session)
		return errno ? -errno : -ENOMEM;
	log_info("%s: a front end is attached", guest->config->guest.name);
	return 0;
}

static void serve_front_end(struct guest *guest, int fd)
{
	int ret = begin_session(guest, fd);

	if (!ret)
		return;
	log_error("%s: cannot serve the front end: %s", guest->config->guest.name,
		  strerror(-ret));
	close(fd);
}

static void refuse_front_end(struct guest *guest, int fd)
{
	log_limited(&guest->limit, LOG_LEVEL_WARNING,
		    "%s: refused a second front end, one is attached",
		    guest->config->guest.name);
	close(fd);
}

static void decide_second(struct loop_task *task)
{
	struct guest *guest = container_of(task, struct guest, decide);
	int fd = guest->second;

	if (guest->session && guest->rounds--) {
		loop_task_queue(task);
		return;
	}
	guest->second = -1;
	if (guest->session)
		refuse_front_end(guest, fd);
	else
		serve_front_end(guest, fd);
}

static void take_front_end(struct guest *guest, int fd)
{
	if (guest->second >= 0) {
		refuse_front_end(guest, fd);
	} else if (guest->session) {
		guest->second = fd;
		guest->rounds = PATIENCE_ROUNDS;
		loop_task_queue(&guest->decide);
	} else {
		serve_front_end(guest, fd);
	}
}

static void front_end_waits(struct loop_watch *watch, uint32_t events)
{
	struct guest *guest = container_of(watch, struct guest, watch);
	int fd;

	(void)events;
	fd_limit_open_reserve();
	fd = accept4(guest->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	fd_limit_close_reserve();
	if (fd >= 0) {
		take_front_end(guest, fd);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		log_limited(&guest->limit, LOG_LEVEL_WARNING, "%s: accept: %s",
			    guest->config->guest.name, strerror(errno));
		/* The connection stays where it is: not a reason to spin. */
		loop_watch_remove(&guest->watch);
		loop_timer_start(&guest->pause, PAUSE_MS);
	}
}

static int watch_listener(struct guest *guest)
{
	return loop_watch_add(guest->loop, &guest->watch, guest->listener.fd, EPOLLIN,
			      front_end_waits);
}

static void pause_ends(struct loop_timer *timer)
{
	struct guest *guest = container_of(timer, struct guest, pause);

	if (watch_listener(guest))
		loop_timer_start(&guest->pause, PAUSE_MS);
}

int guest_listen(struct guest *guest, const char *path, const struct unix_access *access)
{
	int ret = unix_listener_open(&guest->listener, path, access);

	return ret ? ret : watch_listener(guest);
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
	/* Two connections, as a second one is looked at; a back channel; what one message carries. */
	return 3 + QUEUE_FDS * guest_queue_count(guest) + MESSAGE_MAX_FDS;
}

/* --- The end ----------------------------------------------------------------------- */

static void stop_serving(struct guest *guest)
{
	loop_timer_stop(&guest->pause);
	loop_watch_remove(&guest->watch);
	unix_listener_close(&guest->listener);
	loop_task_cancel(&guest->decide);
	if (guest->second >= 0)
		close(guest->second);
	guest->second = -1;
	/* The session's rings first, then the device's channels, which still ask the policy. */
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
		.guest = config->guest.name,
		.binding = (enum device_binding)config->guest.binding,
		.ports = ports,
		.max_channels = config->guest.max_channels,
		.max_io = config->guest.max_io,
		.connect_ms = config->guest.connect_ms,
		.linger_ms = config->guest.linger_ms,
	};
	const struct device_env env = {
		.context = guest, .now = env_now, .rearm = env_rearm, .wake = env_wake,
		.call = env_call, .admit = env_admit, .release = env_release,
	};

	for (int i = 0; i < config->port_count; i++) {
		const struct config_port *port = config->ports[i];
		struct device_port_config *entry = &ports[port->id];

		entry->name = port->item.title;
		entry->kind = (enum mp_port_kind)port->kind;
		entry->max_channels = port->max_channels;
		if (port->fixed) {
			entry->service = port->fixed->service;
			entry->service_name = port->fixed->name;
		}
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
	guest->watch.fd = guest->listener.fd = guest->second = -1;
	loop_task_init(loop, &guest->decide, decide_second);
	loop_task_init(loop, &guest->run, run_device);
	loop_timer_init(loop, &guest->tick, tick_device);
	loop_timer_init(loop, &guest->pause, pause_ends);
	guest->poller = (struct loop_poller){ look_at_device, rest_device, config->guest.poll_us };
	guest->policy = policy_create(config);
	guest->device = guest->policy ? make_device(guest) : NULL;
	if (!guest->device) {
		guest_destroy(guest);
		return NULL;
	}
	if (config->guest.poll_us) {
		device_set_polled(guest->device);
		loop_set_poller(loop, &guest->poller);
	}
	return guest;
}

void guest_destroy(struct guest *guest)
{
	if (!guest)
		return;
	loop_set_poller(guest->loop, NULL);
	stop_serving(guest);
	/* Their places are the device's. */
	leave_end(NULL);
	device_destroy(guest->device);
	loop_task_cancel(&guest->run);
	loop_timer_stop(&guest->tick);
	policy_destroy(guest->policy);
	free(guest);
}
