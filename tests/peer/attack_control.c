// SPDX-License-Identifier: MIT
/* A driver that lies in control messages, and one without the extension. */

#include <linux/virtio_console.h>
#include <string.h>

#include "attack.h"

/* --- Control messages --------------------------------------------------- */

ATTACK(control_nonsense, AT_CHANNEL)
{
	static const uint8_t zeros[256];

	for (uint32_t event = 0; event < 20; event++) {
		if (event == VIRTIO_CONSOLE_DEVICE_READY)
			continue;
		driver_control(d, 0xfffffffe, event, 1, zeros, 256);
		driver_control(d, 30, event, 0xffff, NULL, 0);
	}
	driver_control(d, d->port, 0xffff, 1, zeros, 17);
	driver_control(d, d->port, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL, 0);
	driver_control(d, d->port, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL, 0);
	driver_control(d, d->port, MP_CONTROL_PORT_MODE, 0, zeros, 8);
	driver_control(d, 0, MP_CONTROL_HELLO, 0, zeros, 24);
	driver_expect_alive(d);
}

ATTACK(control_messages_of_every_size, AT_CHANNEL)
{
	struct peer_segment segment = { peer_gpa(d->control), 0 };

	for (uint32_t len = 1; len < 300; len += len < 40 ? 1 : 50) {
		segment.len = len;
		memset(d->peer->mem + d->control, 0xff, 512);
		peer_add(d->control_tx, &segment, 1, 0);
		peer_kick(d->control_tx);
		CHECK(peer_wait_used(d->peer, d->control_tx, NULL, PEER_WAIT_MS) >= 0);
	}
	/* One that the device should write into, and one of a megabyte. */
	segment.len = 8;
	peer_add(d->control_tx, &segment, 0, 1);
	peer_kick(d->control_tx);
	CHECK(peer_wait_used(d->peer, d->control_tx, NULL, PEER_WAIT_MS) >= 0);
	segment.len = 1 << 20;
	peer_add(d->control_tx, &segment, 1, 0);
	peer_kick(d->control_tx);
	CHECK(peer_wait_used(d->peer, d->control_tx, NULL, PEER_WAIT_MS) >= 0);
	driver_expect_alive(d);
}

ATTACK(control_buffers_too_small, AT_SESSION)
{
	struct peer_segment segment = { 0 };

	driver_step(d, 2);
	driver_step(d, 3);
	for (uint32_t len = 1; len < 60; len++) {
		segment = (struct peer_segment){ peer_gpa(d->in), len };
		peer_add(d->control_rx, &segment, 0, 1);
	}
	peer_kick(d->control_rx);
	driver_control(d, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

static void answer_hello(struct driver *d, const struct mp_hello *hello, uint32_t len)
{
	for (unsigned int step = 2; step < 5; step++)
		driver_step(d, step);
	driver_control(d, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	CHECK(peer_wait_used(d->peer, d->control_rx, NULL, PEER_WAIT_MS) >= 0);
	driver_control(d, UINT32_MAX, MP_CONTROL_HELLO, 0, hello, len);
	/* A wrong answer: no ports, and nothing in them is looked at. */
	driver_control(d, d->port, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	for (int i = 0; i < 10; i++) {
		peer_avail(d->tx, i);
		peer_avail(d->rx, i);
		peer_kick(d->tx);
		peer_kick(d->rx);
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
	CHECK(!peer_is_broken(d->peer));
}

ATTACK(hello_with_wrong_magic, AT_SESSION)
{
	const struct mp_hello hello = { .magic = htole32(MP_MAGIC + 1), .version = htole16(1) };

	answer_hello(d, &hello, sizeof(hello));
}

ATTACK(hello_with_later_version, AT_SESSION)
{
	const struct mp_hello hello = { .magic = htole32(MP_MAGIC),
					.version = htole16(MP_VERSION + 1) };

	answer_hello(d, &hello, sizeof(hello));
}

ATTACK(hello_too_short, AT_SESSION)
{
	const struct mp_hello hello = { .magic = htole32(MP_MAGIC), .version = htole16(1) };

	answer_hello(d, &hello, sizeof(hello) - 1);
}

/* New lives with channels open and reads parked; nothing of the old one answers. */
ATTACK(many_lives, AT_CHANNEL)
{
	for (int i = 0; i < 200; i++) {
		driver_park(d, 0, 0, 100);
		driver_control(d, UINT32_MAX,
			       i % 2 ? MP_CONTROL_BYE : VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
		if (d->rx->free_count < 4)
			break;
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

ATTACK(bye_and_on, AT_CHANNEL)
{
	driver_control(d, UINT32_MAX, MP_CONTROL_BYE, 0, NULL, 0);
	for (int i = 0; i < 20; i++)
		peer_kick(d->tx);
	driver_control(d, d->port, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	driver_control(d, d->port, VIRTIO_CONSOLE_PORT_READY, 0, NULL, 0);
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

/* Answers to a BYE that no daemon has said: the life goes on, with what is in the queues. */
ATTACK(bye_that_was_not_said, AT_SESSION)
{
	const struct mp_hello hello = { .magic = htole32(MP_MAGIC), .version = htole16(3),
					.size = htole16(sizeof(hello)) };

	for (unsigned int step = 2; step < 5; step++)
		driver_step(d, step);
	driver_control(d, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	CHECK(peer_wait_used(d->peer, d->control_rx, NULL, PEER_WAIT_MS) >= 0);
	for (int i = 0; i < 2; i++) {
		for (uint32_t number = 1; number < 300; number++)
			driver_control(d, number % 3 ? UINT32_MAX : d->port, MP_CONTROL_BYE,
				       number * 219, NULL, 0);
		driver_control(d, UINT32_MAX, MP_CONTROL_HELLO, 0, &hello, sizeof(hello));
		driver_control(d, d->port, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
		driver_park(d, 0, 0, 100);
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

/* --- Without the feature ------------------------------------------------ */

static void start_classic(struct driver *d)
{
	peer_negotiate(d->peer, UINT64_C(1) << MP_F_MULTI_OPEN);
	for (unsigned int step = 1; step < 5; step++)
		driver_step(d, step);
	driver_control(d, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1, NULL, 0);
	driver_control(d, d->port, VIRTIO_CONSOLE_PORT_READY, 1, NULL, 0);
	driver_control(d, d->port, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL, 0);
}

static void classic_write(struct driver *d, const char *text, uint32_t len)
{
	const struct peer_segment segment = { peer_gpa(d->out), len };

	memset(d->peer->mem + d->out, 'x', DRIVER_BUFFER);
	memcpy(d->peer->mem + d->out, text, strlen(text));
	peer_add(d->tx, &segment, 1, 0);
	peer_kick(d->tx);
}

ATTACK(classic_name_without_end, AT_SOCKET)
{
	start_classic(d);
	for (int i = 0; i < 100; i++)
		classic_write(d, "", DRIVER_BUFFER);
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

ATTACK(classic_nonsense, AT_SOCKET)
{
	static const char *const names[] = { "\n", "nothing\n", "pipe:\n", "a b\n", "echo\n" };
	const struct peer_segment segment = { peer_gpa(d->in), 4096 };

	start_classic(d);
	for (int i = 0; i < 30; i++) {
		peer_add(d->rx, &segment, 0, 1);
		peer_kick(d->rx);
		classic_write(d, names[i % 5], 100);
		driver_control(d, d->port, VIRTIO_CONSOLE_PORT_OPEN, i % 2, NULL, 0);
		driver_control(d, d->port, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL, 0);
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
	CHECK(!peer_is_broken(d->peer));
}

/* A stock driver's chains turned round. */
ATTACK(classic_wrong_way_round, AT_SOCKET)
{
	const struct peer_segment segment = { peer_gpa(d->out), 100 };

	start_classic(d);
	peer_add(d->rx, &segment, 1, 0);
	peer_add(d->tx, &segment, 0, 1);
	peer_kick(d->rx);
	peer_kick(d->tx);
	classic_write(d, "echo\n", 100);
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}
