// SPDX-License-Identifier: MIT
/*
 * The device as its owner sees it: made, given rings, kicked, run, reset; see
 * device.h and state.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_console.h>

#include "device/classic.h"
#include "device/control.h"
#include "device/device.h"
#include "device/life.h"
#include "device/message.h"
#include "device/port.h"

#define VERSION_1	(UINT64_C(1) << 32)
#define RING_FEATURES	(UINT64_C(1) << 28 | UINT64_C(1) << 29 | VERSION_1)
#define MULTIPORT	(UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT)
#define MULTI_OPEN	(UINT64_C(1) << MP_F_MULTI_OPEN)

/* --- The end of every entry ---------------------------------------------- */

/* Nothing will be served again: services and their clients are let go. */
static void take_down(struct device *device)
{
	if (!device->is_broken || device->is_down)
		return;
	device->is_down = true;
	life_end(device, MP_END_CUT);
	/* Its owner looks after core_run(), whatever entry this is. */
	device->env.core.wake(device->env.core.context);
}

/* Sends what is due, lets go of what is over. */
static void settle(struct core *core)
{
	struct device *device = container_of(core, struct device, core);

	take_down(device);
	if (control_is_due(device))
		queue_serve(&device->queues[MP_QUEUE_CONTROL_RX]);
	for (unsigned int id = 0; device->stats.owed && id < device->port_count; id++)
		if (device->ports[id])
			answer_events(device->ports[id]);
	/* Delivery maps what was held, and may find that the guest took it away. */
	take_down(device);
	queue_publish_all(device);
	/* Truncated memory that a stream's call met, or the kernel: no kick need follow. */
	if (mem_guard_is_tripped())
		device->env.core.wake(device->env.core.context);
	core_settle(core);
}

/* --- Chains ---------------------------------------------------------------- */

/*
 * What a queue is for changes with the life of the driver: requests of a file system, messages,
 * requests, bytes of a classic port. It is decided here, for each chain.
 */
static int handle(struct queue *queue, const struct ring_chain *chain)
{
	struct device *device = queue->device;

	if (device->kept->life == LIFE_MULTI && queue->kind < QUEUE_CONTROL_RX)
		return request_handle(queue, chain);
	if (fuse_is_request(queue, chain))
		return fuse_answer(queue, chain);
	if (queue->kind == QUEUE_CONTROL_TX)
		return control_receive(queue, chain);
	if (queue->kind == QUEUE_CONTROL_RX)
		return control_send(queue, chain);
	if (device_is_fuse(device) || (queue->kind == QUEUE_TX && queue->port->is_gone)) {
		queue_give(queue, chain->head, 0);	/* as taken */
		return 1;
	}
	return queue->kind == QUEUE_TX ? classic_ring_send(queue, chain) :
					 classic_ring_fill(queue, chain);
}

static void serve_queue(struct work *work)
{
	struct queue *queue = container_of(work, struct queue, work), *second = NULL;
	struct device *device = queue->device;
	struct port *port = queue->port;

	if (!queue->ring || device->is_broken)
		return;
	if (queue->kind < QUEUE_CONTROL_RX && !device_is_fuse(device)) {
		if (!port || !port_is_served(port))
			return;		/* left alone [protocol.md 3.3] */
		if (device->kept->life == LIFE_MULTI)
			second = queue->kind == QUEUE_TX ? port->rx : port->tx;
		else if (queue->kind == QUEUE_TX)
			classic_retire(port);
	}
	queue_take_all(queue, second, handle);
}

/* --- Life ---------------------------------------------------------------- */

/* Queues in the order of virtio-console [protocol.md 11.1]. */
static void create_queue(struct device *device, unsigned int index)
{
	struct queue *queue = &device->queues[index];
	unsigned int id = MP_QUEUE_PORT(index);

	queue_init(queue, device, index, serve_queue);
	if (queue->kind >= QUEUE_CONTROL_RX || !device->ports[id])
		return;
	queue->port = device->ports[id];
	if (queue->kind == QUEUE_RX)
		queue->port->rx = queue;
	else
		queue->port->tx = queue;
}

static bool is_configured(const struct device *device, unsigned int id)
{
	return id < device->config.port_count && device->config.ports[id].gate.name;
}

/*
 * Of the port @id, or NULL: there is none. A port that the driver has of a daemon before this one,
 * and that is not there any more, has a stand-in until the driver has let go of it.
 */
static const struct device_port_config *find_config(const struct device *device, unsigned int id)
{
	static const struct device_port_config gone = { .gate = { .name = "" }, .max_channels = 1 };

	if (is_configured(device, id))
		return &device->config.ports[id];
	return device->kept->ports[id].ready == PORT_ABSENT ? NULL : &gone;
}

static unsigned int count_queues(const struct device *device)
{
	unsigned int highest = 0;

	if (device->config.queue_count)
		return device->config.queue_count;
	for (unsigned int id = 0; id < device->config.port_count; id++)
		if (is_configured(device, id))
			highest = id;
	return MP_QUEUES(highest + 1);
}

static int create_ports(struct device *device)
{
	device->queue_count = count_queues(device);
	device->port_count = MP_QUEUE_PORT(device->queue_count - 1) + 1;
	if (device->port_count > DEVICE_KEPT_PORTS)
		return -EINVAL;
	device->ports = calloc(device->port_count, sizeof(*device->ports));
	if (!device->ports)
		return -ENOMEM;
	for (unsigned int id = 0; id < device->port_count; id++) {
		const struct device_port_config *config = find_config(device, id);

		if (!config)
			continue;
		device->ports[id] = port_create(device, id, config);
		if (!device->ports[id])
			return -ENOMEM;
		device->ports[id]->is_gone = !is_configured(device, id);
	}
	device->queues = calloc(device->queue_count, sizeof(*device->queues));
	if (!device->queues)
		return -ENOMEM;
	for (unsigned int i = 0; i < device->queue_count; i++)
		create_queue(device, i);
	return 0;
}

struct device *device_create(const struct device_config *config, const struct device_env *env)
{
	struct device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	device->config = *config;
	device->env = *env;
	device->kept = env->kept ? env->kept : &device->own_kept;
	list_init(&device->due);
	list_init(&device->dirty);
	list_init(&device->warm);
	core_init(&device->core, &device->config.core, &env->core, settle);
	if (create_ports(device) < 0) {
		device_destroy(device);
		return NULL;
	}
	return device;
}

void device_destroy(struct device *device)
{
	if (!device)
		return;
	for (unsigned int id = 0; device->ports && id < device->port_count; id++) {
		if (!device->ports[id])
			continue;
		life_reset_port(device->ports[id], MP_END_ABORT);
		port_destroy(device->ports[id]);
	}
	core_exit(&device->core);
	free(device->ports);
	free(device->queues);
	free(device);
}

/*
 * Does the start of @q say that the driver is another one, or begins again [protocol.md 10.4]? A
 * driver of file systems may leave the control queues alone; it has the first two.
 */
static bool starts_anew(const struct queue *q, const struct ring *ring)
{
	const struct device *device = q->device;
	const struct ring *first = device->queues[0].ring;

	if (ring->last_avail)
		return false;
	return q->kind == QUEUE_CONTROL_TX ||
	       (device->config.binding == DEVICE_FS && q->index == 1 &&
		(!first || !first->last_avail));
}

void device_reset(struct device *device)
{
	life_end(device, MP_END_CUT);
	device->is_broken = false;
	device->is_down = false;
	settle(&device->core);
}

/* --- A daemon before this one ---------------------------------------------- */

/* Could a daemon have left this? */
static bool kept_is_valid(const struct device *device)
{
	const struct device_kept *kept = device->kept;
	bool is_multi = device_has_feature(device, MP_F_MULTI_OPEN);

	for (unsigned int id = 0; id < DEVICE_KEPT_PORTS; id++)
		if (kept->ports[id].ready > PORT_REMOVED || kept->ports[id].guest_open > 1)
			return false;
	if (kept->resumed > (kept->life == LIFE_CLASSIC))
		return false;
	switch (kept->life) {
	case LIFE_NONE:
		return true;
	case LIFE_CLASSIC:
		return !is_multi && device_has_feature(device, VIRTIO_CONSOLE_F_MULTIPORT);
	case LIFE_HELLO_DUE:
	case LIFE_HELLO:
		return is_multi;
	case LIFE_MULTI:
		return is_multi && kept->version && kept->version <= MP_VERSION;
	default:
		return false;
	}
}

static void return_out(struct port *port)
{
	life_return_out(port->rx);
	life_return_out(port->tx);
}

/* What waits was sent before BYE, for channels that end by it. */
static void count_old(struct port *port)
{
	port->tx_old = queue_waiting(port->tx);
	port->is_tx_unseen = !port->tx->ring;
}

/* Until BYE is answered. */
static void lose_port(struct port *port)
{
	port->is_lost = true;
	count_old(port);
}

/* The driver may have it, or not have heard that it has to remove it, or have done so. */
static void adopt_gone_port(struct port *port)
{
	const struct device_kept *kept = port->device->kept;

	if (kept->life == LIFE_MULTI && kept->version >= 3)
		lose_port(port);
	else
		return_out(port);
	port->kept->ready = PORT_REMOVED;
	port_say(port, PORT_DUE_REMOVE);
}

static void adopt_multi_port(struct port *port)
{
	const struct device_kept *kept = port->device->kept;
	bool is_known = port->kept->ready != PORT_ABSENT;

	port->is_removed = is_known && kept->version < 3;
	if (kept->version >= 3) {
		lose_port(port);
	} else if (port->is_removed) {
		port->is_lost = true;
		port->kept->ready = PORT_REMOVED;
	}
	if (port->kept->ready == PORT_REMOVED)
		port_say(port, PORT_DUE_REMOVE | PORT_DUE_MODE | PORT_DUE_ADD);
	else
		port_say(port, is_known ? PORT_DUE_NAME : PORT_DUE_MODE | PORT_DUE_ADD);
}

static void adopt_classic_port(struct port *port)
{
	return_out(port);
	if (port->kept->ready == PORT_REMOVED) {
		port->kept->guest_open = false;
		port_say(port, PORT_DUE_REMOVE | PORT_DUE_ADD);
	} else {
		port_say(port, port_is_ready(port) ? PORT_DUE_NAME : PORT_DUE_ADD);
	}
	if (port_is_ready(port))
		classic_adopt(port);
}

/* A port in a life that goes on: the driver hears of it what it may not have heard. */
static void adopt_port(struct port *port)
{
	enum device_life life = port->device->kept->life;

	if (life != LIFE_MULTI && life != LIFE_CLASSIC)
		return;
	if (port->is_gone)
		adopt_gone_port(port);
	else if (life == LIFE_MULTI)
		adopt_multi_port(port);
	else
		adopt_classic_port(port);
}

/* What is out in @queue, which is no port's at this time, is acted on again. */
static void adopt_queue(struct queue *queue)
{
	/* No driver has such a port: what lay in the buffer before is not said again. */
	const struct virtio_console_control nothing = { .id = htole32(VIRTIO_CONSOLE_BAD_ID) };
	struct ring_chain *chain = &queue->scratch->chain;
	struct device *device = queue->device;
	int ret = 0;

	while (queue->ring && !device->is_broken && (ret = ring_next_out(queue->ring, chain)) > 0) {
		if (queue->kind != QUEUE_CONTROL_RX || fuse_is_request(queue, chain)) {
			ret = handle(queue, chain);
		} else {
			ret = map_write(queue->ring->mem, map_writable(chain), &nothing,
					sizeof(nothing));
			queue_give(queue, chain->head, ret < 0 ? 0 : ret);
		}
		if (ret < 0)
			break;
	}
	if (ret < 0)
		state_break(device, "a queue of another time breaks the rules");
}

void device_ring_adopt(struct device *device, unsigned int queue, struct ring *ring)
{
	if (queue < device->queue_count)
		queue_start(&device->queues[queue], ring);
}

/* Channels have ended with the process that had them. */
static void begin_again(struct device *device)
{
	struct device_kept *kept = device->kept;

	if (kept->life == LIFE_HELLO)
		device->say = MP_CONTROL_HELLO;
	if (kept->life == LIFE_MULTI && kept->version >= 3) {
		kept->bye = kept->bye % UINT16_MAX + 1;
		device->say = MP_CONTROL_BYE;
	}
	for (unsigned int id = 0; id < device->port_count; id++)
		if (device->ports[id])
			adopt_port(device->ports[id]);
	for (unsigned int i = 0; i < device->queue_count; i++)
		if (device->queues[i].kind >= QUEUE_CONTROL_RX || device_is_fuse(device))
			adopt_queue(&device->queues[i]);
}

void device_adopt(struct device *device)
{
	if (!kept_is_valid(device)) {
		log_limited_here(LOG_LEVEL_ERROR,
				 "%s: what the daemon before this one has left makes no sense: "
				 "the guest gets no ports until it resets the device",
				 device->config.core.guest);
		life_end(device, MP_END_CUT);
		memset(device->kept, 0, sizeof(*device->kept));
	} else if (!device->goes_on) {
		begin_again(device);
	}
	settle(&device->core);
}

/* --- Features and configuration ------------------------------------------ */

unsigned int device_queue_count(const struct device *device)
{
	return device->queue_count;
}

uint64_t device_features(const struct device *device)
{
	return device->config.binding == DEVICE_FS ? RING_FEATURES :
						     RING_FEATURES | MULTIPORT | MULTI_OPEN;
}

void device_set_features(struct device *device, uint64_t features)
{
	const uint64_t needed = VERSION_1 | MULTIPORT;

	features &= device_features(device);
	/* A front end of virtio-fs hides both: HELLO decides [protocol.md 2.6]. */
	if (device->config.binding == DEVICE_FS)
		features |= MULTIPORT | MULTI_OPEN;
	/* The extension stands on these two [protocol.md 2.2]. */
	if ((features & needed) != needed)
		features &= ~MULTI_OPEN;
	device->features = features;
}

bool device_has_config(const struct device *device)
{
	return device->config.binding == DEVICE_CONSOLE;
}

void device_read_config(const struct device *device, uint32_t offset, void *buf, size_t len)
{
	struct virtio_console_config config = {
		.max_nr_ports = htole32(device->queue_count / 2 - 1),
	};

	_Static_assert(sizeof(config) == DEVICE_CONFIG_SIZE, "the space has no more fields");
	memset(buf, 0, len);
	if (offset >= sizeof(config))
		return;
	if (len > sizeof(config) - offset)
		len = sizeof(config) - offset;
	memcpy(buf, (const char *)&config + offset, len);
}

/* --- Rings --------------------------------------------------------------- */

void device_ring_start(struct device *device, unsigned int queue, struct ring *ring)
{
	struct queue *q;

	if (queue >= device->queue_count)
		return;
	q = &device->queues[queue];
	if (q->ring)
		device_ring_stop(device, queue);
	if (starts_anew(q, ring))
		device_reset(device);
	queue_start(q, ring);
	/* BYE may have been said before, but to a guest whose queues stood. */
	if (q->kind == QUEUE_TX && q->port && q->port->is_tx_unseen)
		count_old(q->port);
	settle(&device->core);
}

void device_ring_stop(struct device *device, unsigned int queue)
{
	struct queue *q;

	if (queue >= device->queue_count)
		return;
	q = &device->queues[queue];
	if (q->ring && q->port && q->port->is_lost)
		life_return_out(q);
	if (q->ring && q->kind == QUEUE_RX && q->port && !device->is_broken)
		life_return_held(q->port);
	settle(&device->core);
	if (q->port)
		q->port->rx_first = 0;
	queue_stop(q);
}

void device_kick(struct device *device, unsigned int queue)
{
	if (queue >= device->queue_count)
		return;
	queue_serve(&device->queues[queue]);
	settle(&device->core);
}

/* --- Work and time ------------------------------------------------------- */

struct core *device_core(struct device *device)
{
	return &device->core;
}

/* May requests be taken from @queue, which is warm, now? */
static bool is_live(const struct queue *queue)
{
	const struct device *device = queue->device;

	return queue_is_served(queue) && port_is_served(queue->port) &&
	       device->kept->life == LIFE_MULTI && !device->is_broken;
}

/*
 * Warm queues are those that were served and want no kicks, because the owner looks at them before
 * it sleeps. They are no work: there may be nothing in them.
 */
bool device_look(struct device *device, bool rest)
{
	struct list *link, *next;

	list_for_each_safe(link, next, &device->warm) {
		struct queue *queue = list_entry(link, struct queue, warm);
		bool has_chains = rest ? ring_want_kick(queue->ring, true) :
					 ring_waiting(queue->ring) != 0;

		if (rest)
			list_del(link);
		if (!has_chains || !is_live(queue))
			continue;
		if (!rest) {
			list_del(link);		/* the others come first next time */
			list_add_tail(&device->warm, link);
		}
		queue_serve(queue);
		settle(&device->core);
		return true;		/* the list may be another one now */
	}
	return false;
}

bool device_is_broken(const struct device *device)
{
	return device->is_broken;
}

void device_get_stats(const struct device *device, struct device_stats *stats)
{
	*stats = device->stats;
	stats->core = device->core.stats;
}
