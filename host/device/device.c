// SPDX-License-Identifier: MIT
/*
 * The device as its owner sees it: made, given rings, kicked, run, reset; see
 * device.h and internal.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/internal.h"

#define VERSION_1	(UINT64_C(1) << 32)
#define RING_FEATURES	(UINT64_C(1) << 28 | UINT64_C(1) << 29 | VERSION_1)
#define MULTIPORT	(UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT)
#define MULTI_OPEN	(UINT64_C(1) << MP_F_MULTI_OPEN)

#define MIN_IO 4096U	/* what mp_hello_is_valid() asks for */

/* --- Life ---------------------------------------------------------------- */

static uint32_t clamp(uint32_t value, uint32_t min, uint32_t max)
{
	return value < min ? min : value > max ? max : value;
}

/* Queues in the order of virtio-console [protocol.md 11.1]. */
static void queue_init(struct device *device, unsigned int index)
{
	struct queue *queue = &device->queues[index];
	unsigned int id = MP_QUEUE_PORT(index);
	bool is_control = index == MP_QUEUE_CONTROL_RX || index == MP_QUEUE_CONTROL_TX;

	queue->device = device;
	queue->index = index;
	list_init(&queue->pending);
	list_init(&queue->dirty);
	list_init(&queue->warm);
	if (is_control) {
		queue->kind = index == MP_QUEUE_CONTROL_RX ? QUEUE_CONTROL_RX :
							     QUEUE_CONTROL_TX;
		return;
	}
	queue->kind = index & 1 ? QUEUE_TX : QUEUE_RX;
	queue->port = id < device->port_count ? device->ports[id] : NULL;
	if (!queue->port)
		return;
	if (queue->kind == QUEUE_RX)
		queue->port->rx = queue;
	else
		queue->port->tx = queue;
}

static int create_ports(struct device *device)
{
	unsigned int highest = 0;

	device->ports = calloc(device->port_count + 1, sizeof(*device->ports));
	if (!device->ports)
		return -ENOMEM;
	for (unsigned int id = 0; id < device->port_count; id++) {
		const struct device_port_config *config = &device->config.ports[id];

		if (!config->name)
			continue;
		device->ports[id] = port_create(device, id, config);
		if (!device->ports[id])
			return -ENOMEM;
		highest = id;
	}
	device->queue_count = MP_QUEUES(highest + 1);
	device->queues = calloc(device->queue_count, sizeof(*device->queues));
	if (!device->queues)
		return -ENOMEM;
	for (unsigned int i = 0; i < device->queue_count; i++)
		queue_init(device, i);
	return 0;
}

struct device *device_create(const struct device_config *config, const struct device_env *env)
{
	struct device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	device->config = *config;
	device->config.max_channels = clamp(config->max_channels, 1, MP_MAX_CHANNELS);
	device->config.max_io = clamp(config->max_io, MIN_IO, MP_MAX_IO);
	device->env = *env;
	device->port_count = config->port_count;
	list_init(&device->due);
	list_init(&device->owing);
	list_init(&device->pending);
	list_init(&device->dirty);
	list_init(&device->warm);
	list_init(&device->draining);
	list_init(&device->dead);
	list_init(&device->timers);
	if (!device_timers(device, config->connect_ms) || !device_timers(device, RETRY_MS) ||
	    create_ports(device) < 0) {
		device_destroy(device);
		return NULL;
	}
	return device;
}

void device_destroy(struct device *device)
{
	struct list *link;

	if (!device)
		return;
	for (unsigned int id = 0; device->ports && id < device->port_count; id++) {
		if (device->ports[id])
			port_reset(device->ports[id], MP_END_ABORT);
		port_destroy(device->ports[id]);
	}
	while ((link = list_pop(&device->timers)))
		free(list_entry(link, struct timer_list, link));
	log_limits_free(&device->channel_lines);
	free(device->ports);
	free(device->queues);
	free(device);
}

void device_end_life(struct device *device, enum mp_end how)
{
	for (unsigned int id = 0; id < device->port_count; id++)
		if (device->ports[id])
			port_reset(device->ports[id], how);
	device->life = LIFE_NONE;
	device->hello_due = false;
	/* What came when they were a manyport's, and nobody looked [protocol.md 11.7]. */
	for (unsigned int i = 0; device_is_fuse(device) && i < device->queue_count; i++)
		queue_defer(&device->queues[i]);
}

/*
 * Does the start of @q say that the driver is another one, or begins anew [protocol.md 10.4]? A
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
	device_end_life(device, MP_END_CUT);
	device->is_broken = false;
	device->is_down = false;
	device_settle(device);
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
	q->ring = ring;
	/* The driver may have filled it, and kicked, before. */
	queue_defer(q);
	device_settle(device);
}

void device_ring_stop(struct device *device, unsigned int queue)
{
	struct queue *q;

	if (queue >= device->queue_count)
		return;
	q = &device->queues[queue];
	if (q->ring && q->kind == QUEUE_RX && q->port && !device->is_broken)
		port_return_held(q->port);
	device_settle(device);
	if (q->port)
		q->port->rx_first = 0;
	list_del(&q->pending);
	list_del(&q->dirty);
	list_del(&q->warm);
	q->ring = NULL;
}

void device_kick(struct device *device, unsigned int queue)
{
	if (queue >= device->queue_count)
		return;
	device->stats.kicks++;
	queue_serve(&device->queues[queue]);
	device_settle(device);
}

/* --- Work and time ------------------------------------------------------- */

void device_run(struct device *device)
{
	struct list queues, channels, *link;

	list_init(&queues);
	list_init(&channels);
	list_splice_tail(&device->pending, &queues);
	list_splice_tail(&device->draining, &channels);
	while (!turn_is_over(device) && (link = list_pop(&queues)))
		queue_serve(list_entry(link, struct queue, pending));
	while (close_may_discard(device) && (link = list_pop(&channels)))
		close_advance(list_entry(link, struct channel, drain));
	/* Whoever was not reached comes before those that were and have more. */
	list_splice_tail(&device->pending, &queues);
	list_splice_tail(&queues, &device->pending);
	list_splice_tail(&device->draining, &channels);
	list_splice_tail(&channels, &device->draining);
	device_settle(device);
}

void device_set_polled(struct device *device)
{
	device->is_polled = true;
}

bool device_look(struct device *device)
{
	struct list *link, *next;
	bool found = false;

	if (device->is_broken)
		return false;
	for (link = device->warm.next; link != &device->warm; link = next) {
		struct queue *queue = list_entry(link, struct queue, warm);

		next = link->next;
		if (!queue_is_live(queue) || !ring_waiting(queue->ring))
			continue;
		found = true;
		list_del(link);		/* the others come first next time */
		list_add_tail(&device->warm, link);
		queue_serve(queue);
		break;			/* the list may be another one now */
	}
	if (found)
		device_settle(device);
	return found;
}

bool device_rest(struct device *device)
{
	bool found = false;
	struct list *link;

	while ((link = list_pop(&device->warm))) {
		struct queue *queue = list_entry(link, struct queue, warm);

		if (!queue_cool(queue) || device->is_broken)
			continue;
		found = true;
		queue_serve(queue);
		break;		/* it is warm again: the others' turn comes at the next rest */
	}
	if (found)
		device_settle(device);
	return found;
}

/* There are as many lists as the configuration has lengths: a few. */
struct timer_list *device_timers(struct device *device, uint32_t ms)
{
	struct timer_list *timers;
	struct list *link;

	list_for_each(link, &device->timers) {
		timers = list_entry(link, struct timer_list, link);
		if (timers->ms == ms)
			return timers;
	}
	timers = calloc(1, sizeof(*timers));
	if (!timers)
		return NULL;
	timers->ms = ms;
	list_init(&timers->channels);
	list_add_tail(&device->timers, &timers->link);
	return timers;
}

static struct channel *first_due(const struct list *link)
{
	struct timer_list *timers = list_entry((struct list *)link, struct timer_list, link);

	return list_first(&timers->channels, struct channel, timer);
}

uint64_t device_deadline(const struct device *device)
{
	uint64_t first = UINT64_MAX;
	const struct list *link;

	list_for_each(link, &device->timers) {
		struct channel *ch = first_due(link);

		if (ch && ch->deadline < first)
			first = ch->deadline;
	}
	if (!list_is_empty(&device->draining) && device->discard_ms < first)
		first = device->discard_ms + 1;
	return first;
}

/*
 * A channel whose limit has passed, or NULL. Its list goes behind the others, so that one whose
 * channels are due again and again (fixed ports that try again) does not keep them waiting.
 */
static struct channel *take_expired(struct device *device, uint64_t now)
{
	struct list *link;

	list_for_each(link, &device->timers) {
		struct channel *ch = first_due(link);

		if (!ch || ch->deadline > now)
			continue;
		list_del(link);
		list_add_tail(&device->timers, link);
		list_del(&ch->timer);
		return ch;
	}
	return NULL;
}

/* What does not fit into the turn is due still: the owner comes back. */
void device_tick(struct device *device)
{
	uint64_t now = device_now(device);
	struct channel *ch;

	/* One that is started again comes due later than now. */
	while (!turn_is_over(device) && (ch = take_expired(device, now)))
		channel_expired(ch);
	device_settle(device);
}

/* --- The end of every entry ---------------------------------------------- */

void device_break(struct device *device, const char *why)
{
	if (device->is_broken)
		return;
	device->is_broken = true;
	log_limited_here(LOG_LEVEL_WARNING,
		    "%s: the device stops until its guest resets it: %s", device->config.guest,
		    why);
}

void device_report_missing(struct device *device, gpa_t addr, const char *cost)
{
	log_limited(&device->missing, LOG_LEVEL_WARNING,
		    "%s: guest memory at 0x%llx is not shared with the daemon: %s; "
		    "give each memory backend of the VMM share=on",
		    device->config.guest, (unsigned long long)addr.value, cost);
}

void device_report_segments(struct device *device, const struct mem *mem,
			    const struct ring_segment *segments, unsigned int count,
			    const char *cost)
{
	for (unsigned int i = 0; i < count; i++) {
		uint64_t reach = mem_reach(mem, segments[i].addr, segments[i].len);

		if (reach == segments[i].len)
			continue;
		device_report_missing(device, gpa(segments[i].addr.value + reach), cost);
		return;
	}
}

bool device_is_broken(const struct device *device)
{
	return device->is_broken;
}

/* Nothing will be served again: let services and their clients go. */
static void take_down(struct device *device)
{
	device->is_down = true;
	device_end_life(device, MP_END_CUT);
	/* Its owner looks after device_run(), whatever entry this is. */
	device->env.wake(device->env.context);
}

void device_settle(struct device *device)
{
	struct list *link;

	if (device->is_broken && !device->is_down)
		take_down(device);
	control_send(device);
	while ((link = list_pop(&device->owing)))
		port_deliver(list_entry(link, struct port, owing));
	/* Delivery maps what was held, and may find that the guest took it away. */
	if (device->is_broken && !device->is_down)
		take_down(device);
	while ((link = list_pop(&device->dead)))
		channel_free(list_entry(link, struct channel, member));
	queue_publish_all(device);
	/* So does truncated memory that a stream's call met, or the kernel: no kick need follow. */
	if (!list_is_empty(&device->pending) || mem_guard_is_tripped() ||
	    (!list_is_empty(&device->draining) && close_may_discard(device)))
		device->env.wake(device->env.context);
	else if (!list_is_empty(&device->draining))
		device->env.rearm(device->env.context);
	turn_begin(device);
}

void device_get_stats(const struct device *device, struct device_stats *stats)
{
	*stats = device->stats;
}
