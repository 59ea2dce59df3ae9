// SPDX-License-Identifier: MIT
/* How an honest driver starts: control messages, and the steps to a port that works. */

#include <linux/virtio_console.h>
#include <string.h>
#include <unistd.h>

#include <manyport/wire_check.h>

#include "driver.h"

#define CONTROL_BUFFERS 32

/* --- Control ------------------------------------------------------------ */

void driver_control(struct driver *driver, uint32_t id, uint16_t event, uint16_t value,
		    const void *payload, uint32_t len)
{
	struct virtio_console_control header = { htole32(id), htole16(event), htole16(value) };
	const struct peer_segment segment = { peer_gpa(driver->control), sizeof(header) + len };
	uint8_t *at = driver->peer->mem + driver->control;

	CHECK(sizeof(header) + len <= DRIVER_CONTROL_SIZE);
	memcpy(at, &header, sizeof(header));
	if (len)
		memcpy(at + sizeof(header), payload, len);
	peer_add(driver->control_tx, &segment, 1, 0);
	peer_kick(driver->control_tx);
	/* [protocol.md 3.6] */
	if (peer_wait_used(driver->peer, driver->control_tx, NULL, PEER_WAIT_MS) < 0)
		driver_lost(driver, "a control message was not returned");
}

static void add_control_buffer(struct driver *driver, uint32_t offset)
{
	const struct peer_segment segment = { peer_gpa(offset), DRIVER_CONTROL_SIZE };
	uint16_t head = peer_add(driver->control_rx, &segment, 0, 1);

	driver->control_buffers[head] = offset;
}

/* Another daemon has taken the device over [protocol.md 10.9]. */
static void handle_new_daemon(struct driver *driver, const struct virtio_console_control *header)
{
	uint16_t event = le16toh(header->event);

	if (event == MP_CONTROL_BYE) {
		CHECK(driver->version >= 3 && header->value);
		driver_control(driver, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_BYE,
			       le16toh(header->value), NULL, 0);
		driver->lives++;
	} else if (event == VIRTIO_CONSOLE_PORT_REMOVE) {
		CHECK(driver->version < 3);
		driver->was_removed = true;
	} else if (event == VIRTIO_CONSOLE_PORT_ADD && driver->was_removed) {
		driver->was_removed = false;
		driver_control(driver, driver->port, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
		driver->lives++;
	}
}

static void handle_control(struct driver *driver, const uint8_t *at, uint32_t len)
{
	struct virtio_console_control header;
	struct mp_port_mode mode;
	struct mp_hello hello;

	CHECK(len >= sizeof(header));
	memcpy(&header, at, sizeof(header));
	at += sizeof(header);
	len -= sizeof(header);
	if (le16toh(header.event) == MP_CONTROL_HELLO) {
		CHECK(len >= sizeof(hello));
		memcpy(&hello, at, sizeof(hello));
		CHECK(mp_hello_is_valid(&hello, len));
		driver->max_io = le32toh(hello.max_io);
	}
	if (driver->survives && (le32toh(header.id) == driver->port ||
				 le16toh(header.event) == MP_CONTROL_BYE))
		handle_new_daemon(driver, &header);
	if (le32toh(header.id) != driver->port)
		return;
	if (le16toh(header.event) == MP_CONTROL_PORT_MODE) {
		CHECK(len >= sizeof(mode));
		memcpy(&mode, at, sizeof(mode));
		driver->max_channels = le32toh(mode.max_channels);
	}
	driver->has_port |= le16toh(header.event) == VIRTIO_CONSOLE_PORT_ADD;
	driver->has_name |= le16toh(header.event) == VIRTIO_CONSOLE_PORT_NAME;
}

static void take_one(struct driver *driver, int head, uint32_t len)
{
	uint32_t offset = driver->control_buffers[head];

	handle_control(driver, driver->peer->mem + offset, len);
	add_control_buffer(driver, offset);
	peer_kick(driver->control_rx);
}

void driver_take_control(struct driver *driver)
{
	uint32_t len;
	int head;

	while ((head = peer_take_used(driver->control_rx, &len)) >= 0)
		take_one(driver, head, len);
}

/* Takes control messages until @what is true. */
static void wait_control(struct driver *driver, const bool *what, const uint32_t *number)
{
	uint32_t len;
	int head;

	while (what ? !*what : !*number) {
		head = peer_wait_used(driver->peer, driver->control_rx, &len, PEER_WAIT_MS);
		if (head < 0)
			driver_lost(driver, "a control message is missing");
		take_one(driver, head, len);
	}
}

/* --- Steps -------------------------------------------------------------- */

static void step_queues(struct driver *driver)
{
	struct peer *peer = driver->peer;
	unsigned int rx = driver->port ? 4 + 2 * (driver->port - 1) : 0;

	CHECK(rx + 1 < peer->queue_count);
	for (unsigned int i = 0; i < peer->queue_count; i++)
		peer_init_queue(peer, i, PEER_RING_SIZE);
	driver->rx = &peer->queues[rx];
	driver->tx = &peer->queues[rx + 1];
	driver->control_rx = &peer->queues[2];
	driver->control_tx = &peer->queues[3];
}

static void step_start_queues(struct driver *driver)
{
	for (unsigned int i = 0; i < driver->peer->queue_count; i++)
		peer_start_queue(driver->peer, i);
}

static void step_fill(struct driver *driver)
{
	for (int i = 0; i < CONTROL_BUFFERS; i++)
		add_control_buffer(driver, peer_alloc(driver->peer, DRIVER_CONTROL_SIZE));
	peer_kick(driver->control_rx);
}

static void step_hello(struct driver *driver)
{
	struct mp_hello hello = {
		.magic = htole32(MP_MAGIC), .version = htole16(driver->version ?: 1),
		.size = htole16(sizeof(hello)),
	};

	driver_control(driver, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	wait_control(driver, NULL, &driver->max_io);
	driver_control(driver, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
	wait_control(driver, &driver->has_port, NULL);
}

static void step_port(struct driver *driver)
{
	CHECK(driver->max_channels >= 4);
	driver_add_events(driver, DRIVER_EVENTS);
	driver_control(driver, driver->port, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	wait_control(driver, &driver->has_name, NULL);
}

static void step_negotiate(struct driver *driver)
{
	peer_negotiate(driver->peer, 0);
}

static void step_memory(struct driver *driver)
{
	peer_share_memory(driver->peer);
}

static void step_connect(struct driver *driver)
{
	driver_open_channel(driver, 0, "echo");
}

static void step_write(struct driver *driver)
{
	CHECK(driver_write(driver, 0, 0, "hello", 5) == MP_OK);
}

static void step_read(struct driver *driver)
{
	driver_wait(driver, 0, MP_ST_IN);
	CHECK(driver_read(driver, 0, 0, 100) == MP_OK);
	CHECK(!memcmp(driver_in(driver), "hello", 5));
}

static void step_park(struct driver *driver)
{
	driver_park(driver, 0, 5, 100);
}

static void step_close(struct driver *driver)
{
	CHECK(driver_simple(driver, MP_OP_CLOSE, 0, 0, 5) == MP_OK);
	driver_wait(driver, 0, MP_ST_CLOSED);
}

static void (*const steps[])(struct driver *driver) = {
	step_negotiate, step_memory, step_queues, step_start_queues, step_fill, step_hello,
	step_port,
	/* A whole life; an attack starts in front of these. */
	step_connect, step_write, step_read, step_park, step_close,
};
#define START_STEPS 7

bool driver_step(struct driver *driver, unsigned int step)
{
	if (step >= sizeof(steps) / sizeof(steps[0]))
		return false;
	steps[step](driver);
	return true;
}

void driver_start(struct driver *driver)
{
	for (unsigned int step = 0; step < START_STEPS; step++)
		driver_step(driver, step);
}

void driver_start_classic(struct driver *driver)
{
	peer_negotiate(driver->peer, UINT64_C(1) << MP_F_MULTI_OPEN);
	step_memory(driver);
	step_queues(driver);
	step_start_queues(driver);
	step_fill(driver);
	driver_control(driver, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	wait_control(driver, &driver->has_port, NULL);
	driver_control(driver, driver->port, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	wait_control(driver, &driver->has_name, NULL);
	driver_control(driver, driver->port, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL, 0);
}

void driver_stop(struct driver *driver)
{
	struct peer *peer = driver->peer;

	for (unsigned int i = 0; i < peer->queue_count; i++) {
		CHECK(peer_stop_queue(peer, i) >= 0);
		close(peer->queues[i].kick);
		close(peer->queues[i].call);
		close(peer->queues[i].error);
	}
	step_queues(driver);
}

void driver_restart(struct driver *driver)
{
	driver_stop(driver);
	driver->has_port = driver->has_name = false;
	driver->max_io = driver->max_channels = 0;
	driver->parked = -1;
	memset(driver->channels, 0, sizeof(driver->channels));
	memset(driver->event_buffers, 0, sizeof(driver->event_buffers));
	for (unsigned int step = 3; step < START_STEPS; step++)
		driver_step(driver, step);
}
