// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/record.h"
#include "base/unix_address.h"
#include "daemon/config.h"
#include "daemon/device_setup.h"
#include "daemon/door.h"
#include "daemon/former.h"
#include "daemon/guest.h"
#include "daemon/left.h"
#include "daemon/listeners.h"
#include "daemon/owner.h"
#include "daemon/road.h"
#include "device/device.h"
#include "keep/keep.h"
#include "loop/loop.h"
#include "service/leave.h"
#include "vhost/kept.h"
#include "vhost/message.h"
#include "vhost/session.h"

#define QUEUE_FDS	3	/* kick, call, error */

struct guest {
	struct loop *loop;
	const struct config *config;
	struct policy *policy;
	struct keep *keep;		/* what outlives this program, or this process */
	struct kept *kept;		/* what is known of the front end, and of the driver */
	struct device *device;
	struct session *session;	/* NULL: no front end */
	struct owner owner;		/* of the device's core */
	struct former *former;		/* services of the program before this one */
	struct left left;
	struct loop_poller poller;
	struct door door;		/* where front ends come in */
	struct road **roads;
	int road_count;
	struct listeners listeners;	/* of the door and of roads */
	bool once;			/* the guest ends with the session */
	bool is_ending;
	int result;
};

/* --- Between the device and the loop --------------------------------------------- */

static void call(void *context, unsigned int queue)
{
	session_call(container_of(context, struct guest, owner)->session, queue);
}

static void entered(struct owner *owner)
{
	session_check(container_of(owner, struct guest, owner)->session);
}

static bool look(struct loop_poller *poller, bool rest)
{
	struct guest *guest = container_of(poller, struct guest, poller);
	bool found = device_look(guest->device, rest);

	if (found)
		session_check(guest->session);
	return found;
}

static bool look_at_device(struct loop_poller *poller)
{
	return look(poller, false);
}

static bool rest_device(struct loop_poller *poller)
{
	return look(poller, true);
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

	guest->session = session_create(guest->loop, guest->device, guest->kept, fd, session_ended,
					guest);
	if (!guest->session)
		return errno ? -errno : -ENOMEM;
	log_limited_here(LOG_LEVEL_INFO, "%s: a front end is attached (%s)",
			 guest->config->guest.name, door_who(who, fd));
	return 0;
}

void guest_keep_listeners(struct guest *guest)
{
	struct listeners before = guest->listeners;

	/* What listens still is held twice for a moment, and keeps its number. */
	guest->listeners = (struct listeners){ .keep = guest->keep };
	listeners_hold(&guest->listeners, guest->door.listener.fd);
	for (int i = 0; i < guest->road_count; i++)
		listeners_hold(&guest->listeners, guest->roads[i]->listener);
	listeners_drop(&before);
}

bool guest_take_over(struct guest *guest, bool once)
{
	/* So that a client that comes in between finds a socket that listens. */
	listeners_take_over(&guest->listeners);
	if (kept_has_front_end(guest->kept)) {
		guest->session = session_adopt(guest->loop, guest->device, guest->kept,
					       session_ended, guest);
		guest->once = once && guest->session;
	}
	if (guest->session) {
		door_take_over(&guest->door, session_fd(guest->session));
		log_info("%s: a front end is taken over (%s)", guest->config->guest.name,
			 guest->door.who);
	}
	/* Channels that a planned restart has left need the driver behind a front end. */
	if (!guest->session)
		device_reset(guest->device);
	keep_drop_rest(guest->keep);
	return guest->session;
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
	if (guest->session) {
		close(fd);		/* it is the one that was taken over */
		return 0;
	}
	guest->once = true;
	return begin_session(guest, fd);
}

/* --- What is asked of a guest ---------------------------------------------------- */

bool guest_is_ending(const struct guest *guest)
{
	return guest->is_ending;
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
	unsigned int count = 3 + QUEUE_FDS * guest_queue_count(guest) + MESSAGE_MAX_FDS;

	/* And copies of what is held: the same, the regions, the state, and the door's listener. */
	return 2 * count + MEM_MAX_REGIONS + 2;
}

/* --- The end ----------------------------------------------------------------------- */

static void stop_serving(struct guest *guest)
{
	door_close(&guest->door);
	for (int i = 0; i < guest->road_count; i++)
		road_end(guest->roads[i]);
	guest_keep_listeners(guest);
	/* Where the daemon is started again, the guest goes on. */
	session_leave(guest->session);
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

/* --- Roads beside the device --------------------------------------------------- */

static const struct config_port *gate_of(const struct config *config, const char *name)
{
	for (int i = 0; i < config->port_count; i++) {
		const struct config_port *port = config->ports[i];

		if (port->kind == MP_PORT_MULTI_OPEN && (!name || !strcmp(port->item.title, name)))
			return port;
	}
	return NULL;
}

/* Our own input and output have ended: the guest is gone. */
static void only_road_ended(void *context, int result)
{
	struct guest *guest = context;

	guest->result = result;
	guest_end(guest);
}

int guest_open_road(struct guest *guest, const struct road_config *config)
{
	const struct config_port *port = gate_of(guest->config, config->gate);
	const struct core_config core = device_setup_core(guest->config);
	struct road_env env = {
		.loop = guest->loop, .policy = guest->policy, .core = &core,
		.held_max = guest->config->guest.held_max, .ended = only_road_ended,
		.context = guest,
	};
	struct road **roads, *road;
	struct gate gate;

	if (!port)
		return -ENODEV;
	gate = device_setup_gate(port);
	env.gate = &gate;
	roads = reallocarray(guest->roads, guest->road_count + 1, sizeof(*roads));
	if (!roads)
		return -ENOMEM;
	guest->roads = roads;
	road = road_open(config, &env);
	if (!road)
		return -errno;
	roads[guest->road_count++] = road;
	return 0;
}

/* --- A planned restart ----------------------------------------------------------- */

#define FRAME_SERVICES	0x5356
#define FRAME_DEVICE	0x4456
#define FRAME_LEFT	0x4c45

bool guest_pause(struct guest *guest)
{
	if (guest->is_ending || (guest->session && !session_pause(guest->session)))
		return false;
	for (int i = 0; i < guest->road_count; i++)
		road_end(guest->roads[i]);
	return true;
}

int guest_pass(struct guest *guest, bool pass)
{
	return keep_pass(guest->keep, pass);
}

void guest_resume(struct guest *guest)
{
	if (guest->session)
		session_resume(guest->session);
}

void guest_hand_over(struct guest *guest, struct record *record)
{
	if (record_begin(record, FRAME_SERVICES)) {
		former_hand_over(guest->former, record);
		record_end(record);
	}
	if (record_begin(record, FRAME_DEVICE)) {
		device_hand_over(guest->device, record);
		record_end(record);
	}
	if (record_begin(record, FRAME_LEFT)) {
		left_hand_over(&guest->left, record);
		record_end(record);
	}
}

/* --- Life -------------------------------------------------------------------------- */

static struct device *make_device(struct guest *guest)
{
	const struct device_env env = { .core = owner_env(&guest->owner), .call = call,
					.kept = &guest->kept->state->device };
	struct device *made = device_setup(guest->config, &env, kept_queues(guest->kept));

	guest->owner.core = made ? device_core(made) : NULL;
	guest->left = (struct left){ guest->policy, guest->former, guest->owner.core };
	return made;
}

/* As after a crash: what the driver knows stays, and channels are gone. Returns 0 or -ENOMEM. */
static int begin_again(struct guest *guest, const struct device_kept *left)
{
	leave_end(NULL);
	device_destroy(guest->device);
	guest->kept->state->device = *left;
	guest->device = make_device(guest);
	return guest->device ? 0 : -ENOMEM;
}

int guest_restore(struct guest *guest, struct record *record)
{
	const struct device_kept left = guest->kept->state->device;
	struct device_stats stats;

	guest_hand_over(guest, record);
	if (!record_is_good(record)) {
		log_error("%s: what the program before this one has left makes no sense: channels "
			  "end", guest->config->guest.name);
		return begin_again(guest, &left);
	}
	device_get_stats(guest->device, &stats);
	log_info("restart: goes on with %u channels", stats.core.channels);
	return 0;
}

struct guest *guest_create(struct loop *loop, const struct config *config)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	if (!guest)
		return NULL;
	guest->loop = loop;
	guest->config = config;
	door_init(&guest->door, loop, config->guest.name, &door_ops, guest);
	guest->poller = (struct loop_poller){ look_at_device, rest_device, config->guest.poll_us };
	guest->policy = policy_create(config);
	guest->former = former_create(loop, config);
	owner_init(&guest->owner, loop, guest->policy, config->guest.name);
	guest->owner.entered = entered;
	guest->owner.former = guest->former;
	guest->keep = guest->listeners.keep = keep_create();
	guest->kept = guest->keep ? kept_create(guest->keep) : NULL;
	guest->device = guest->policy && guest->former && guest->kept ? make_device(guest) : NULL;
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
	for (int i = 0; i < guest->road_count; i++)
		road_destroy(guest->roads[i]);
	free(guest->roads);
	device_destroy(guest->device);
	kept_destroy(guest->kept);
	keep_destroy(guest->keep);
	owner_stop(&guest->owner);
	former_destroy(guest->former);
	policy_destroy(guest->policy);
	free(guest);
}
