// SPDX-License-Identifier: MIT
/*
 * device/device.h for the bad host: lives, control messages, and what the guest's
 * program says on port 0 by naming a service:
 *
 *	attack+NAME	this attack from now on (AT_START: in the next life)
 *	attack+none	be honest; give what was withheld
 *	hits		connected when the attack was made often enough, else refused (EBUSY)
 *	die		this process ends after some more answers
 *
 * An attack that is under way ends with the life in which it was made.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bad_host_serve.h"
#include "bad_host_table.h"

#define FEATURES (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX |		\
		  1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_CONSOLE_F_MULTIPORT |	\
		  1ULL << MP_F_MULTI_OPEN)

/* --- Attacks ----------------------------------------------------------------- */

static const struct entry {
	const char *name;
	unsigned int hits;
	int how;
} entries[] = {
#define ENTRY(entry_name, entry_hits, entry_how) { #entry_name, entry_hits, entry_how },
	BAD_HOST_ATTACKS(ENTRY)
};

const struct attack *attack_find(const char *name, unsigned int *hits, int *how)
{
	const struct attack *const tables[] = {
		attacks_results, attacks_states, attacks_rings, attacks_control,
		attacks_answers, attacks_fault,
	};

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		if (strcmp(entries[i].name, name))
			continue;
		*hits = entries[i].hits;
		*how = entries[i].how;
	}
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct attack *attack = tables[i]; attack->name; attack++)
			if (!strcmp(attack->name, name))
				return attack;
	return NULL;
}

/* What is true from now on is newer than any lie: else the driver would keep the lie. */
static void tell_the_truth(struct device *device)
{
	for (int i = 0; i < USED_PORTS; i++)
		for (int slot = 0; slot < SLOTS; slot++)
			device->ports[i].channels[slot].state.seq++;
	device_give_held(device);
	if (device->unheard)
		device_kick(device, device->unheard);
	device->unheard = 0;
}

static enum mp_reason begin_attack(struct device *device, const char *name)
{
	const struct attack *attack;
	int how = 0;

	device->attack = NULL;
	if (!strcmp(name, "none")) {
		tell_the_truth(device);
		return MP_REASON_NONE;
	}
	device->hits = 0;
	device->step = 0;
	attack = attack_find(name, &device->wanted, &how);
	if (!attack)
		return MP_REASON_NO_SERVICE;
	if (how & AT_START) {
		device->next_life = attack;
		device->lie_about_ports = !strncmp(name, "ports_", 6);
		device->max_ports = strtoul(name + 6, NULL, 10);
		if (!strcmp(name, "ports_huge"))
			device->max_ports = UINT32_MAX;
	} else {
		device->attack = attack;
	}
	device->env.core.rearm(device->env.core.context);
	return MP_REASON_NONE;
}

static void die(struct answer *answer)
{
	if (answer->device->step++ > 50)
		_exit(0);
}

static const struct attack death = { .name = "die", .answer = die };

enum mp_reason serve_command(struct device *device, const char *command)
{
	if (!strncmp(command, "attack+", 7))
		return begin_attack(device, command + 7);
	if (!strcmp(command, "die"))
		device->attack = &death;
	if (!strcmp(command, "hits"))
		return device->hits >= device->wanted ? MP_REASON_NONE : MP_REASON_BUSY;
	return MP_REASON_NONE;
}

uint32_t device_random(struct device *device)
{
	device->random ^= device->random << 13;
	device->random ^= device->random >> 7;
	device->random ^= device->random << 17;
	return device->random >> 16;
}

/* --- Rings ------------------------------------------------------------------- */

struct ring *device_rx(struct device *device, const struct port *port)
{
	return device->rings[port->id ? 2 * port->id + 2 : 0];
}

struct ring *device_tx(struct device *device, const struct port *port)
{
	return device->rings[port->id ? 2 * port->id + 3 : 1];
}

void device_publish(struct device *device, unsigned int queue)
{
	if (device->rings[queue] && ring_publish(device->rings[queue]))
		device->env.call(device->env.core.context, queue);
}

void ring_give_raw(struct ring *ring, uint32_t id, uint32_t len)
{
	struct vring_used_elem *elem = &ring->used->ring[ring->used_idx & (ring->size - 1)];

	elem->id = htole32(id);
	elem->len = htole32(len);
	ring->used_idx++;
	ring->unpublished = true;
}

/* --- Messages to the driver -------------------------------------------------- */

static void put_messages(struct device *device)
{
	struct ring *ring = device->rings[CONTROL_RX];
	static struct ring_chain chain;

	while (ring && device->message_count && ring_take(ring, &chain) == 1) {
		struct bad_message *message = &device->messages[device->message_first];
		size_t len = message->len < chain.writable_len ? message->len : chain.writable_len;
		uint8_t *to = mem_at(ring->mem, chain.segments[0].addr, len ? len : 1);

		if (to)
			memcpy(to, message->data, len);
		ring_give(ring, chain.head, len);
		device->message_first = (device->message_first + 1) % MESSAGES;
		device->message_count--;
	}
	device_publish(device, CONTROL_RX);
}

/* What finds no buffer now wants a kick when there is one. */
static void send_messages(struct device *device)
{
	do {
		put_messages(device);
	} while (device->message_count && device->rings[CONTROL_RX] &&
		 ring_want_kick(device->rings[CONTROL_RX], true));
}

bool device_send(struct device *device, uint32_t id, uint16_t event, uint16_t value,
		 const void *payload, size_t len)
{
	struct virtio_console_control header = { htole32(id), htole16(event), htole16(value) };
	struct bad_message *message;

	if (device->message_count == MESSAGES || sizeof(header) + len > sizeof(message->data))
		return false;
	message = &device->messages[(device->message_first + device->message_count++) % MESSAGES];
	memcpy(message->data, &header, sizeof(header));
	if (len)
		memcpy(message->data + sizeof(header), payload, len);
	message->len = sizeof(header) + len;
	send_messages(device);
	return true;
}

void device_send_bye(struct device *device)
{
	device->bye = device->bye % UINT16_MAX + 1;
	device->bye_is_out = device_send(device, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_BYE, device->bye,
					 NULL, 0);
}

void device_send_hello(struct device *device, uint32_t max_channels, uint32_t max_io,
		       uint32_t max_segments)
{
	struct mp_hello hello = {
		.magic = htole32(MP_MAGIC), .version = htole16(MP_VERSION),
		.size = htole16(sizeof(hello)), .max_channels = htole32(max_channels),
		.max_io = htole32(max_io), .max_segments = htole32(max_segments),
		.linger_ms = htole32(1000),
	};

	device_send(device, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
}

void device_send_mode(struct device *device, uint32_t id, uint16_t kind, uint32_t max_channels)
{
	struct mp_port_mode mode = { .max_channels = htole32(max_channels) };

	device_send(device, id, MP_CONTROL_PORT_MODE, kind, &mode, sizeof(mode));
}

void device_send_ports(struct device *device)
{
	for (uint32_t id = 0; id < USED_PORTS; id++) {
		device_send_mode(device, id, id == FIXED ? MP_PORT_FIXED : MP_PORT_MULTI_OPEN,
				 SLOTS);
		device_send(device, id, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
	}
}

/* --- Messages from the driver ------------------------------------------------ */

static void forget_channels(struct device *device)
{
	for (int i = 0; i < USED_PORTS; i++)
		for (int slot = 0; slot < SLOTS; slot++)
			device->ports[i].channels[slot].generation = 0;
	device->held_count = 0;
}

/* BYE was answered: what the driver has out comes back, and no channel is known. */
static void take_over(struct device *device, uint16_t number)
{
	if (!device->bye_is_out || number != device->bye)
		return;
	device->bye_is_out = false;
	device->hits++;
	for (int i = 0; i < USED_PORTS; i++)
		for (int slot = 0; slot < SLOTS; slot++) {
			struct channel *ch = &device->ports[i].channels[slot];

			serve_unpark(device, &device->ports[i], ch);
			ch->generation = 0;
		}
}

static void start_life(struct device *device)
{
	forget_channels(device);
	for (int i = 0; i < USED_PORTS; i++)
		device->ports[i].is_ready = false;
	device->message_count = 0;
	device->bye_is_out = false;	/* the driver that it was for is gone */
	if (device->attack && device->attack->start)
		device->attack->start(device);
	else
		device_send_hello(device, 3 * SLOTS, 65536, 64);
}

static void handle_message(struct device *device, const struct virtio_console_control *message)
{
	static const char *const names[USED_PORTS] = { "control", "victim", "fixed" };
	uint32_t id = le32toh(message->id);

	switch (le16toh(message->event)) {
	case VIRTIO_CONSOLE_DEVICE_READY:
		start_life(device);
		break;
	case MP_CONTROL_HELLO:
		if (device->attack && device->attack->hello)
			device->attack->hello(device);
		else
			device_send_ports(device);
		break;
	case VIRTIO_CONSOLE_PORT_READY:
		if (id >= USED_PORTS || device->ports[id].is_ready)
			break;
		device->ports[id].is_ready = message->value;
		device_send(device, id, VIRTIO_CONSOLE_PORT_NAME, 1, names[id],
			    strlen(names[id]));
		break;
	case MP_CONTROL_BYE:
		if (message->value)
			take_over(device, le16toh(message->value));
		else
			forget_channels(device);
		break;
	}
}

static void take_messages(struct device *device)
{
	struct ring *ring = device->rings[CONTROL_TX];
	struct virtio_console_control message;
	static struct ring_chain chain;

	while (ring_take(ring, &chain) == 1) {
		bool is_kept = device->attack && device->attack->message &&
			       device->attack->message(device, chain.head);

		if (is_kept)
			continue;
		if (chain.readable && chain.segments[0].len >= sizeof(message)) {
			memcpy(&message, mem_at(ring->mem, chain.segments[0].addr,
						sizeof(message)), sizeof(message));
			handle_message(device, &message);
		}
		ring_give(ring, chain.head, 0);
	}
	device_publish(device, CONTROL_TX);
}

/* --- device/device.h --------------------------------------------------------- */

struct device *device_create(const struct device_config *config, const struct device_env *env)
{
	struct device *device = calloc(1, sizeof(*device));

	(void)config;
	if (!device)
		return NULL;
	device->env = *env;
	device->random = 88172645463325252ULL;
	for (uint32_t i = 0; i < USED_PORTS; i++)
		device->ports[i].id = i;
	return device;
}

void device_destroy(struct device *device)
{
	free(device);
}

unsigned int device_queue_count(const struct device *device)
{
	(void)device;
	return QUEUES;
}

uint64_t device_features(const struct device *device)
{
	(void)device;
	return FEATURES;
}

void device_set_features(struct device *device, uint64_t features)
{
	(void)device;
	(void)features;
}

bool device_has_config(const struct device *device)
{
	(void)device;
	return true;
}

/* The lie about the number of ports is told once: the next start finds the truth again. */
void device_read_config(const struct device *device, uint32_t offset, void *buf, size_t len)
{
	struct device *liar = (struct device *)device;
	struct virtio_console_config config = { .max_nr_ports = htole32(USED_PORTS + 1) };
	uint8_t bytes[sizeof(config) + DEVICE_CONFIG_SIZE] = { 0 };

	if (device->lie_about_ports && offset <= 4 && offset + len > 4) {
		config.max_nr_ports = htole32(device->max_ports);
		liar->lie_about_ports = false;
		if (device->max_ports != PORTS)
			liar->next_life = NULL;
	}
	memcpy(bytes, &config, sizeof(config));
	memset(buf, 0, len);
	if (offset < sizeof(bytes))
		memcpy(buf, bytes + offset,
		       len < sizeof(bytes) - offset ? len : sizeof(bytes) - offset);
}

void device_ring_start(struct device *device, unsigned int queue, struct ring *ring)
{
	device->rings[queue] = ring;
	/* The first control queue of a life starts before the second: no lie in between. */
	if (queue == CONTROL_RX)
		device->attack = NULL;
	if (queue != CONTROL_TX)
		return;
	device->attack = device->next_life;
	device->next_life = NULL;
	device->env.core.rearm(device->env.core.context);
}

/* No daemon takes over from this one. */
void device_ring_adopt(struct device *device, unsigned int queue, struct ring *ring)
{
	device_ring_start(device, queue, ring);
}

void device_adopt(struct device *device)
{
	(void)device;
}

void device_ring_stop(struct device *device, unsigned int queue)
{
	device->rings[queue] = NULL;
	for (int i = 0; i < USED_PORTS; i++) {
		if (queue != (unsigned int)(i ? 2 * i + 2 : 0))
			continue;
		device->ports[i].event_count = 0;
		for (int slot = 0; slot < SLOTS; slot++)
			device->ports[i].channels[slot].is_parked = false;
	}
}

void device_kick(struct device *device, unsigned int queue)
{
	unsigned int id = queue < 2 ? 0 : queue / 2 - 1;

	if (!device->rings[queue])
		return;
	if (device->attack && device->attack->kick && device->attack->kick(device, queue))
		return;
	do {
		ring_want_kick(device->rings[queue], false);
		if (queue == CONTROL_TX)
			take_messages(device);
		else if (queue == CONTROL_RX)
			send_messages(device);
		else if (id < USED_PORTS)
			serve_queue(device, &device->ports[id], queue);
		device_publish(device, queue);
	} while (ring_want_kick(device->rings[queue], true) && queue != CONTROL_RX &&
		 id < USED_PORTS);
}

uint64_t device_deadline(const struct device *device)
{
	return device->attack && device->attack->tick ?
	       device->env.core.now(device->env.core.context) + 1 : UINT64_MAX;
}

void device_tick(struct device *device)
{
	if (device->attack && device->attack->tick)
		device->attack->tick(device);
}

void device_reset(struct device *device)
{
	forget_channels(device);
}

bool device_is_broken(const struct device *device)
{
	(void)device;
	return false;
}
