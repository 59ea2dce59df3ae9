// SPDX-License-Identifier: MIT
/*
 * The control queues [protocol.md 3].
 *
 * What the device has to say is kept as level state (HELLO is due, these
 * messages are due for that port, PORT_OPEN should say this), not as a list of
 * messages, so a driver that asks much and offers no buffers costs no memory.
 */
#include <errno.h>
#include <string.h>

#include <linux/virtio_console.h>

#include "device/classic.h"
#include "device/control.h"
#include "device/life.h"
#include "device/map.h"

/* A header and the longest payload, a name: as the driver gets them. */
struct message {
	struct virtio_console_control header;
	uint8_t payload[256];		/* right behind the header */
	size_t len;		/* of the payload */
};

/* --- To the driver ------------------------------------------------------- */

void control_get_hello(const struct device *device, struct mp_hello *hello)
{
	const struct device_config *config = &device->config;

	_Static_assert(MP_MAX_SEGMENTS <= RING_MAX_SEGMENTS, "what is offered must be taken");
	*hello = (struct mp_hello){
		.magic = htole32(MP_MAGIC),
		.version = htole16(MP_VERSION),
		.size = htole16(sizeof(*hello)),
		.max_channels = htole32(config->core.max_channels),
		.max_io = htole32(config->max_io),
		.max_segments = htole32(MP_MAX_SEGMENTS),
		.linger_ms = htole32(config->linger_ms),
	};
}

static void fill(struct message *message, uint32_t id, uint16_t event, uint16_t value,
		 const void *payload, size_t len)
{
	message->header = (struct virtio_console_control){
		.id = htole32(id), .event = htole16(event), .value = htole16(value),
	};
	message->len = len < sizeof(message->payload) ? len : sizeof(message->payload);
	memcpy(message->payload, payload, message->len);
}

static void make_hello(struct device *device, struct message *message)
{
	struct mp_hello hello;

	device->kept->life = LIFE_HELLO;
	device->say = 0;
	control_get_hello(device, &hello);
	fill(message, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
}

static void make_bye(struct device *device, struct message *message)
{
	device->say = 0;
	fill(message, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_BYE, device->kept->bye, "", 0);
}

/* The next message that is due for @port, which has one. */
static void make_port_message(struct port *port, struct message *message)
{
	const struct device_port_config *config = &port->config;
	const struct mp_port_mode mode = { .max_channels = htole32(config->max_channels) };
	unsigned int due = port->due & -port->due;

	port->due &= ~due;
	if (!port->due)
		list_del(&port->due_link);
	switch ((enum port_due)due) {
	case PORT_DUE_REMOVE:
		fill(message, port->id, VIRTIO_CONSOLE_PORT_REMOVE, 1, "", 0);
		break;
	case PORT_DUE_MODE:
		fill(message, port->id, MP_CONTROL_PORT_MODE,
		     config->gate.is_fixed ? MP_PORT_FIXED : MP_PORT_MULTI_OPEN, &mode,
		     sizeof(mode));
		break;
	case PORT_DUE_ADD:
		fill(message, port->id, VIRTIO_CONSOLE_PORT_ADD, 1, "", 0);
		break;
	case PORT_DUE_NAME:	/* without the NUL [virtio-1.2 5.3.6.2] */
		fill(message, port->id, VIRTIO_CONSOLE_PORT_NAME, 1, config->gate.name,
		     strlen(config->gate.name));
		break;
	case PORT_DUE_OPEN:
		fill(message, port->id, VIRTIO_CONSOLE_PORT_OPEN, port->classic.host_open, "", 0);
		break;
	case PORT_DUE_ALL:
		break;
	}
}

bool control_is_due(const struct device *device)
{
	return device->kept->life == LIFE_HELLO_DUE || device->say || !list_is_empty(&device->due);
}

int control_send(struct queue *queue, const struct ring_chain *chain)
{
	struct device *device = queue->device;
	struct message message;
	size_t len = 0;

	if (!control_is_due(device))
		return -EAGAIN;
	if (chain->writable_len >= sizeof(message.header)) {
		if (device->kept->life == LIFE_HELLO_DUE || device->say == MP_CONTROL_HELLO)
			make_hello(device, &message);
		else if (device->say)
			make_bye(device, &message);
		else
			make_port_message(list_first(&device->due, struct port, due_link),
					  &message);
		len = sizeof(message.header) + message.len;
		if (len > chain->writable_len)
			len = chain->writable_len;
	}
	if (map_write(queue->ring->mem, map_writable(chain), &message, len) < 0)
		return queue_report_missing(queue, map_writable(chain),
					    "a control message cannot be written");
	queue_give(queue, chain->head, len);
	return 1;
}

/* --- From the driver ----------------------------------------------------- */

static void announce_ports(struct device *device)
{
	for (unsigned int id = 0; id < device->port_count; id++)
		if (device->ports[id] && !device->ports[id]->is_gone)
			port_say(device->ports[id], device->kept->life == LIFE_MULTI ?
				    PORT_DUE_MODE | PORT_DUE_ADD : PORT_DUE_ADD);
}

static void receive_device_ready(struct device *device, uint16_t value)
{
	life_end(device, MP_END_CUT);	/* [protocol.md 3.5] */
	if (!value || !device_has_feature(device, VIRTIO_CONSOLE_F_MULTIPORT))
		return;
	if (device_has_feature(device, MP_F_MULTI_OPEN)) {
		device->kept->life = LIFE_HELLO_DUE;
		return;
	}
	device->kept->life = LIFE_CLASSIC;
	announce_ports(device);
}

static void receive_hello(struct device *device, const struct mp_hello *hello, size_t len)
{
	if (device->kept->life != LIFE_HELLO)
		return;		/* none was asked for, or it is not the first */
	if (!mp_hello_answer_is_valid(hello, len)) {
		life_end(device, MP_END_CUT);
		log_limited_here(LOG_LEVEL_WARNING,
			    "%s: the guest's driver answers HELLO wrongly: it gets no ports",
			    device->config.core.guest);
		return;
	}
	device->kept->version = le16toh(hello->version);
	device->kept->life = LIFE_MULTI;
	device->say = 0;	/* a HELLO that was to be said again */
	announce_ports(device);
}

/*
 * PORT_READY for a port of the daemon before this one, which the driver was told to remove and add.
 * Returns false when it was said before that. What lies in the transmit queue may be of the port
 * that was, too: its CONNECT would make a channel without end.
 */
static bool begin_again(struct port *port)
{
	if (port->due & PORT_DUE_ADD)
		return false;
	life_return_held(port);
	life_return_out(port->rx);
	life_return_out(port->tx);
	life_reset_port(port, MP_END_CUT);
	port->tx_old = queue_waiting(port->tx);
	return true;
}

static void receive_port_ready(struct port *port, uint16_t value)
{
	struct device *device = port->device;
	bool was_ready = port_is_ready(port);

	/*
	 * A driver that comes back from suspend says only PORT_READY; then the start of
	 * its queues began a new life, and without the feature that is enough.
	 */
	if (device->kept->life == LIFE_NONE &&
	    device_has_feature(device, VIRTIO_CONSOLE_F_MULTIPORT) &&
	    !device_has_feature(device, MP_F_MULTI_OPEN)) {
		device->kept->life = LIFE_CLASSIC;
		__atomic_signal_fence(__ATOMIC_RELEASE);	/* as in life_end() */
		device->kept->resumed = true;
	}
	if (device->kept->life != LIFE_MULTI && device->kept->life != LIFE_CLASSIC)
		return;
	if (port->is_removed && !begin_again(port))
		return;
	if (!value) {
		life_found(port);
		life_return_held(port);
		life_reset_port(port, MP_END_CUT);
		log_limited_here(LOG_LEVEL_WARNING,
			    "%s: port %s: the guest's driver cannot use it",
			    device->config.core.guest, port->config.gate.name);
		return;
	}
	port->kept->ready = PORT_READY;
	if (*port->config.gate.name)
		port_say(port, PORT_DUE_NAME);
	if (device->kept->life == LIFE_CLASSIC && !was_ready)
		classic_start(port);
	/*
	 * A process of the guest that slept in a read did not hear that its session has ended,
	 * and since Linux 6.7 a thaw does not make it look [protocol.md 13.3].
	 */
	if (device->kept->resumed && port->config.gate.is_fixed)
		port_say(port, PORT_DUE_OPEN);
	queue_defer(port->rx);
	queue_defer(port->tx);
}

/* The driver goes, or has heard that this daemon is another one [protocol.md 3.4, 3.7]. */
static void receive_bye(struct device *device, uint16_t number)
{
	if (!number || device->kept->life != LIFE_MULTI || device->kept->version < 3) {
		log_limited_here(LOG_LEVEL_DEBUG, "%s: the guest's driver says goodbye",
				 device->config.core.guest);
		life_end(device, MP_END_CUT);
		return;
	}
	for (unsigned int id = 0; number == device->kept->bye && id < device->port_count; id++)
		if (device->ports[id])
			life_found(device->ports[id]);
}

static void receive_port_message(struct device *device, uint32_t id, uint16_t event,
				 uint16_t value)
{
	struct port *port = id < device->port_count ? device->ports[id] : NULL;

	if (!port || port->is_gone)
		return;
	if (event == VIRTIO_CONSOLE_PORT_READY)
		receive_port_ready(port, value);
	if (event == VIRTIO_CONSOLE_PORT_OPEN && device->kept->life == LIFE_CLASSIC &&
	    port_is_ready(port))
		classic_set_guest_open(port, value);
}

int control_receive(struct queue *queue, const struct ring_chain *chain)
{
	struct device *device = queue->device;
	struct {
		struct virtio_console_control header;
		struct mp_hello hello;
	} message;
	ssize_t len = map_read(queue->ring->mem, map_readable(chain), &message, sizeof(message));
	uint16_t event;

	if (len < 0)
		return queue_report_missing(queue, map_readable(chain),
					    "a control message cannot be read");
	/* At once, whatever it holds: a driver may be spinning on it [protocol.md 3.6]. */
	queue_give(queue, chain->head, 0);
	if (len < (ssize_t)sizeof(message.header))
		return 1;
	event = le16toh(message.header.event);
	switch (event) {
	case VIRTIO_CONSOLE_DEVICE_READY:
		receive_device_ready(device, le16toh(message.header.value));
		break;
	case MP_CONTROL_HELLO:
		receive_hello(device, &message.hello, len - sizeof(message.header));
		break;
	case MP_CONTROL_BYE:
		receive_bye(device, le16toh(message.header.value));
		break;
	default:
		receive_port_message(device, le32toh(message.header.id), event,
				     le16toh(message.header.value));
	}
	return 1;
}
