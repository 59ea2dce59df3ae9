// SPDX-License-Identifier: MIT
/* Control messages out of order, out of range, out of measure [protocol.md 3]. */
#include <string.h>

#include "bad_host.h"

/* --- In the middle of everything --------------------------------------------- */

static void port_added_again(struct device *device)
{
	device->hits++;
	device_send_mode(device, VICTIM, MP_PORT_FIXED, 1);
	device_send(device, VICTIM, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
}

static void port_out_of_range(struct device *device)
{
	static const uint32_t ids[] = { USED_PORTS + 1, PORTS, 0x7fffffff, 0x80000000, UINT32_MAX };
	uint32_t id = ids[device->hits++ % 5];

	device_send_mode(device, id, MP_PORT_MULTI_OPEN, SLOTS);
	device_send(device, id, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
	device_send(device, id, VIRTIO_CONSOLE_PORT_NAME, 1, "x", 1);
	device_send(device, id, VIRTIO_CONSOLE_PORT_REMOVE, 1, NULL, 0);
}

/* For a port that could be, and is not. */
static void port_mode_wild(struct device *device)
{
	static const uint32_t limits[] = { 0, UINT32_MAX, MP_MAX_CHANNELS + 1, MP_MAX_CHANNELS };

	device_send_mode(device, USED_PORTS, device->hits % 5, limits[device->hits % 4]);
	device_send(device, USED_PORTS, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
	device_send(device, USED_PORTS, VIRTIO_CONSOLE_PORT_REMOVE, 1, NULL, 0);
	device->hits++;
}

/* We forget the channels as well: a parked READ stays where it is. */
static void remove_port(struct device *device, unsigned int id)
{
	struct port *port = &device->ports[id];

	for (int slot = 0; slot < SLOTS; slot++)
		port->channels[slot].generation = 0;
	device_send(device, id, VIRTIO_CONSOLE_PORT_REMOVE, 1, NULL, 0);
}

static void port_removed(struct device *device)
{
	device->hits++;
	remove_port(device, VICTIM);
	remove_port(device, FIXED);
}

static void port_comes_and_goes(struct device *device)
{
	unsigned int id = device->step & 1 ? VICTIM : FIXED;

	if (device->message_count)
		return;	/* the driver is slower than we are */
	device->hits++;
	if (device->step++ & 2)
		remove_port(device, id);
	device_send_mode(device, id, id == FIXED ? MP_PORT_FIXED : MP_PORT_MULTI_OPEN, SLOTS);
	device_send(device, id, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
}

static void port_names(struct device *device)
{
	static char lengthy[504];
	static const struct { const char *text; size_t len; } names[] = {
		{ "no end mark", 11 }, { "", 0 }, { "a/b", 4 }, { "../../../etc/passwd", 20 },
		{ "\x01\x7f\xff\n\t\x1b[2J", 9 }, { "a\nb", 4 }, { "%s%n", 5 }, { "\0hidden", 8 },
		{ ".", 2 }, { "..", 3 }, { "/", 2 }, { lengthy, sizeof(lengthy) },
	};
	unsigned int i = device->step++ % (sizeof(names) / sizeof(names[0]));

	if (device->message_count)
		return;
	memset(lengthy, 'x', sizeof(lengthy));
	device->hits++;
	remove_port(device, VICTIM);
	device_send_mode(device, VICTIM, MP_PORT_MULTI_OPEN, SLOTS);
	device_send(device, VICTIM, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
	device_send(device, VICTIM, VIRTIO_CONSOLE_PORT_NAME, 1, names[i].text, names[i].len);
	device_send(device, VICTIM, VIRTIO_CONSOLE_PORT_NAME, 1, "second", 7);
}

static void message_flood(struct device *device)
{
	char payload[500];

	memset(payload, 0xee, sizeof(payload));
	for (int i = 0; i < 100; i++)
		device->hits += device_send(device, device_random(device) % (USED_PORTS + 2),
					    0x4d03 + i, i, payload, sizeof(payload));
}

static void message_short(struct device *device)
{
	static const uint16_t events[] = {
		MP_CONTROL_PORT_MODE, VIRTIO_CONSOLE_PORT_NAME, MP_CONTROL_HELLO,
	};

	device_send(device, USED_PORTS, events[device->hits % 3], 1, "abcdefgh",
		    device->hits % 8);
	device->hits++;
}

/* What classic ports are told. */
static void message_classic(struct device *device)
{
	uint16_t event = device->hits % 8;

	if (event == VIRTIO_CONSOLE_PORT_REMOVE)
		event = VIRTIO_CONSOLE_RESIZE;
	device_send(device, device->hits % USED_PORTS, event, device->hits & 1, "abcd", 4);
	device->hits++;
}

static void hello_again(struct device *device)
{
	device->hits++;
	device_send_hello(device, 1, 4096, 4);
}

/* --- BYE [protocol.md 3.7] ---------------------------------------------------- */

/* The program is to hear that the attack is made, and when it is over: by channels, too. */
static bool may_say_bye(struct device *device)
{
	return device->step++ > 100 && device->hits < device->wanted && !device->message_count;
}

/*
 * Again as soon as it is answered. The queues are served in the meantime, which is not honest: so
 * the driver also hears that a channel is not known which it has begun since.
 */
static void bye(struct device *device)
{
	if (may_say_bye(device) && !device->bye_is_out)
		device_send_bye(device);
}

/* Many in a row, of which only the answer to the last one counts. */
static void bye_storm(struct device *device)
{
	if (!may_say_bye(device) || device->bye_is_out)
		return;
	for (int i = 0; i < 8; i++)
		device_send_bye(device);
}

/* With any number, for any port: only some are what the protocol has; these end the channels. */
static void bye_wild(struct device *device)
{
	static const uint16_t numbers[] = { 0, 1, 0xffff, 1 };

	if (!may_say_bye(device))
		return;
	device->hits++;
	device_send(device, device->step % 3 ? device->step % 5 : VIRTIO_CONSOLE_BAD_ID,
		    MP_CONTROL_BYE, numbers[device->step % 4], "payload", device->step % 8);
}

static void bye_before_hello(struct device *device)
{
	device->hits++;
	device_send_bye(device);
	device_send_hello(device, 3 * SLOTS, 65536, 64);
	device_send_bye(device);
}

/* Before the driver has a port; then all goes on. */
static void bye_with_hello(struct device *device)
{
	device->hits++;
	for (int i = 0; i < 3; i++)
		device_send_bye(device);
	device_send_ports(device);
	device_send_bye(device);
}

/* --- At the start of a life --------------------------------------------------- */

static void send_raw_hello(struct device *device, struct mp_hello hello, size_t len)
{
	device->hits++;
	device_send(device, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_HELLO, 0, &hello, len);
	device_send_ports(device);
}

static const struct mp_hello good_hello = {
	.magic = MP_MAGIC, .version = MP_VERSION, .size = sizeof(struct mp_hello),
	.max_channels = 512, .max_io = 65536, .max_segments = 64, .linger_ms = 1000,
};

static void hello_absent(struct device *device)
{
	device->hits++;
	device_send_ports(device);
}

static void hello_short(struct device *device)
{
	send_raw_hello(device, good_hello, sizeof(good_hello) - 1);
}

static void hello_magic(struct device *device)
{
	struct mp_hello hello = good_hello;

	hello.magic++;
	send_raw_hello(device, hello, sizeof(hello));
}

static void hello_version_0(struct device *device)
{
	struct mp_hello hello = good_hello;

	hello.version = 0;
	send_raw_hello(device, hello, sizeof(hello));
}

static void hello_version_high(struct device *device)
{
	struct mp_hello hello = good_hello;

	device->hits++;
	hello.version = 0xffff;
	hello.size = 0xffff;
	device_send(device, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
}

/* A driver that chose version 2 does not know it: no channel ends. */
static void bye_to_version_2(struct device *device)
{
	struct mp_hello hello = good_hello;

	device->hits++;
	hello.version = 2;
	device_send(device, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
}

static void bye_each_moment(struct device *device)
{
	if (!device->message_count)
		device_send_bye(device);
}

static void hello_twice(struct device *device)
{
	device->hits++;
	device_send_hello(device, 3 * SLOTS, 65536, 64);
	device_send_hello(device, 1, 4096, 4);
}

#define HELLO(name, max_channels, max_io, max_segments)					\
	static void name(struct device *device)						\
	{										\
		device->hits++;								\
		device_send_hello(device, max_channels, max_io, max_segments);		\
	}

HELLO(hello_small, 3 * SLOTS, 4096, 4)
HELLO(hello_small_5, 3 * SLOTS, 4096, 5)
HELLO(hello_large, MP_MAX_CHANNELS, MP_MAX_IO, MP_MAX_SEGMENTS)
HELLO(hello_too_large, UINT32_MAX, UINT32_MAX, UINT32_MAX)
HELLO(hello_one_channel, 1, 65536, 64)
HELLO(hello_no_channel, 0, 65536, 64)

static void mode_absent(struct device *device)
{
	device->hits++;
	for (uint32_t id = 0; id < USED_PORTS; id++)
		device_send(device, id, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
}

static void mode_short(struct device *device)
{
	static const struct mp_port_mode mode;

	device->hits++;
	for (uint32_t id = 0; id < USED_PORTS; id++) {
		device_send(device, id, MP_CONTROL_PORT_MODE, MP_PORT_MULTI_OPEN, &mode,
			    sizeof(mode) - 1);
		device_send(device, id, MP_CONTROL_PORT_MODE, MP_PORT_MULTI_OPEN, &mode,
			    sizeof(mode));
		device_send(device, id, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
	}
}

static void mode_late(struct device *device)
{
	mode_absent(device);
	device_send_ports(device);
	for (uint32_t id = 0; id < USED_PORTS; id++)
		device_send_mode(device, id, MP_PORT_FIXED, 1);
}

static void add_before_hello(struct device *device)
{
	device->hits++;
	device_send_ports(device);
	device_send_hello(device, 3 * SLOTS, 65536, 64);
}

const struct attack attacks_control[] = {
	{ .name = "port_added_again", .tick = port_added_again },
	{ .name = "port_out_of_range", .tick = port_out_of_range },
	{ .name = "port_mode_wild", .tick = port_mode_wild },
	{ .name = "port_removed", .tick = port_removed },
	{ .name = "port_comes_and_goes", .tick = port_comes_and_goes },
	{ .name = "port_names", .tick = port_names },
	{ .name = "message_flood", .tick = message_flood },
	{ .name = "message_short", .tick = message_short },
	{ .name = "message_classic", .tick = message_classic },
	{ .name = "hello_again", .tick = hello_again },
	{ .name = "bye", .tick = bye },
	{ .name = "bye_storm", .tick = bye_storm },
	{ .name = "bye_wild", .tick = bye_wild },
	{ .name = "bye_unbind", .tick = bye },
	{ .name = "bye_before_hello", .start = bye_before_hello },
	{ .name = "bye_with_hello", .hello = bye_with_hello },
	{ .name = "bye_to_version_2", .start = bye_to_version_2, .tick = bye_each_moment },
	{ .name = "hello_absent", .start = hello_absent },
	{ .name = "hello_short", .start = hello_short },
	{ .name = "hello_magic", .start = hello_magic },
	{ .name = "hello_version_0", .start = hello_version_0 },
	{ .name = "hello_version_high", .start = hello_version_high },
	{ .name = "hello_twice", .start = hello_twice },
	{ .name = "hello_small", .start = hello_small },
	{ .name = "hello_small_5", .start = hello_small_5 },
	{ .name = "hello_large", .start = hello_large },
	{ .name = "hello_too_large", .start = hello_too_large },
	{ .name = "hello_one_channel", .start = hello_one_channel },
	{ .name = "hello_no_channel", .start = hello_no_channel },
	{ .name = "mode_absent", .hello = mode_absent },
	{ .name = "mode_short", .hello = mode_short },
	{ .name = "mode_late", .hello = mode_late },
	{ .name = "add_before_hello", .start = add_before_hello },
	{ .name = "ports_0" },
	{ .name = "ports_31" },
	{ .name = "ports_huge" },
	{ .name = NULL },
};
