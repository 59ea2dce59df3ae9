// SPDX-License-Identifier: MIT
/* A driver that lies in its rings: indices, places, sizes, and while they are read. */

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "attack.h"

/* --- Avail and used ----------------------------------------------------- */

ATTACK(head_out_of_range, AT_CHANNEL) { attack_show_and_break(d, PEER_RING_SIZE); }
ATTACK(head_far_out_of_range, AT_CHANNEL) { attack_show_and_break(d, UINT16_MAX); }

ATTACK(avail_idx_jumps, AT_CHANNEL)
{
	d->tx->avail->idx += d->tx->size + 1;
	peer_kick(d->tx);
	peer_expect_broken(d->peer);
}

ATTACK(avail_idx_goes_back, AT_CHANNEL)
{
	d->tx->avail->idx--;
	peer_kick(d->tx);
	peer_expect_broken(d->peer);
}

/* The same read twice: the second while the first is parked. */
ATTACK(head_that_is_out, AT_CHANNEL)
{
	driver_park(d, 0, 0, 100);
	peer_avail(d->rx, d->parked);
	peer_kick(d->rx);
	peer_expect_broken(d->peer);
}

ATTACK(an_event_buffer_twice, AT_CHANNEL)
{
	for (uint16_t head = 0; head < PEER_RING_SIZE; head++) {
		if (!d->event_buffers[head])
			continue;
		peer_avail(d->rx, head);
		break;
	}
	peer_kick(d->rx);
	peer_expect_broken(d->peer);
}

/* A ring full of one chain: all are answered, each once. */
ATTACK(one_chain_everywhere, AT_CHANNEL)
{
	attack_put_write(d);
	for (unsigned int i = 0; i < d->tx->size; i++)
		d->tx->avail->ring[(d->tx->avail->idx + i) % d->tx->size] = FIRST;
	__atomic_fetch_add(&d->tx->avail->idx, d->tx->size, __ATOMIC_SEQ_CST);
	peer_kick(d->tx);
	for (unsigned int i = 0; i < d->tx->size; i++)
		if (peer_wait_used(d->peer, d->tx, NULL, PEER_WAIT_MS) < 0)
			break;
}

ATTACK(used_ring_scribbled_on, AT_CHANNEL)
{
	memset(d->tx->used, 0xff, 4 + 8 * d->tx->size);
	memset(d->rx->used, 0xff, 4 + 8 * d->rx->size);
	attack_put_write(d);
	attack_show(d, FIRST);
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

ATTACK(avail_flags_and_events, AT_CHANNEL)
{
	for (unsigned int i = 0; i < 64; i++) {
		attack_put_write(d);
		d->tx->avail->flags = 0xffff >> i % 16;
		d->tx->avail->ring[d->tx->size] = i * 1021;
		attack_show(d, FIRST);
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

/* --- Rings that overlap ------------------------------------------------- */

static void use_addr(struct driver *d, struct vhost_user_vring_addr addr)
{
	CHECK(peer_ask(d->peer, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) >= 0);
	for (int i = 0; i < 40; i++) {
		attack_put_write(d);
		attack_show(d, FIRST);
		peer_kick(d->rx);
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

ATTACK(used_is_avail, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, d->tx->index);

	addr.used = addr.avail;
	use_addr(d, addr);
}

ATTACK(used_is_desc, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, d->tx->index);

	addr.used = addr.desc + FIRST * 16;
	use_addr(d, addr);
}

ATTACK(all_three_are_one, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, d->tx->index);

	addr.used = addr.avail = addr.desc;
	use_addr(d, addr);
}

ATTACK(two_queues_in_one_ring, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, d->rx->index);

	addr.index = d->tx->index;
	use_addr(d, addr);
}

ATTACK(rings_of_the_control_queues, AT_CHANNEL)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, 2);

	addr.index = d->tx->index;
	addr.used = peer_ring_addr(d->peer, 3).used;
	use_addr(d, addr);
}

/* What the device writes goes into the rings that it reads. */
static void write_into(struct driver *d, const void *where)
{
	uint64_t gpa = peer_gpa((const uint8_t *)where - d->peer->mem);

	for (int i = 0; i < 40; i++) {
		attack_put_write(d);
		d->tx->desc[FIRST + 2].addr = gpa;
		attack_show(d, FIRST);
		peer_wait_used(d->peer, d->tx, NULL, 20);
	}
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

ATTACK(result_into_desc, AT_CHANNEL) { write_into(d, &d->tx->desc[FIRST]); }
ATTACK(result_into_avail, AT_CHANNEL) { write_into(d, d->tx->avail); }
ATTACK(result_into_used, AT_CHANNEL) { write_into(d, d->tx->used); }
ATTACK(result_into_its_request, AT_CHANNEL) { write_into(d, d->peer->mem + d->request); }
ATTACK(result_into_other_queue, AT_CHANNEL) { write_into(d, d->control_rx->avail); }

/* Bytes that a service sends, into the rings of the queue that asks for them. */
ATTACK(payload_into_rings, AT_PORT)
{
	uint64_t offset = 0;

	driver_open_channel(d, 0, "zero");
	d->may_end = true;
	for (int i = 0; i < 20; i++) {
		d->in = (uint8_t *)d->rx->desc - d->peer->mem + i * 2048;
		if (driver_read(d, 0, offset, 2048) != MP_OK)
			break;
		offset = le64toh(driver_result(d)->offset);
		peer_kick(d->rx);
	}
	d->in = (uint8_t *)d->tx->desc - d->peer->mem;
	driver_read(d, 0, offset, 0x9000);
}

ATTACK(events_into_rings, AT_CHANNEL)
{
	const struct peer_segment segment = {
		peer_gpa((uint8_t *)d->rx->used - d->peer->mem), sizeof(struct mp_event),
	};

	d->may_end = true;
	d->keep_events = false;
	for (int i = 0; i < 50; i++)
		peer_add(d->rx, &segment, 0, 1);
	peer_kick(d->rx);
	for (uint32_t slot = 1; slot < 60; slot++) {
		CHECK(driver_connect(d, slot, "echo") == MP_OK);
		driver_write(d, slot, 0, "event", 5);
	}
}

/* --- After a break ------------------------------------------------------ */

/* Nothing but a new life makes the device serve again; that does. */
ATTACK(broken_and_set_up_anew, AT_CHANNEL)
{
	for (int life = 0; life < 20; life++) {
		uint16_t used;

		attack_show_and_break(d, UINT16_MAX);
		d->tx->avail->idx--;
		attack_put_write(d);
		used = d->tx->used->idx;
		for (unsigned int i = 0; i < d->peer->queue_count; i++) {
			CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, i, 0) == 0);
			CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, i, 1) == 0);
		}
		attack_show(d, FIRST);
		CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
		CHECK(d->tx->used->idx == used);
		driver_restart(d);
		driver_open_channel(d, 0, "echo");
		driver_echo(d, 1, 5000);
	}
}

/* A guest that reboots with channels open and reads parked. */
ATTACK(reboots, AT_CHANNEL)
{
	for (int life = 0; life < 20; life++) {
		for (uint32_t slot = 1; slot < 20; slot++)
			driver_open_channel(d, slot, slot % 2 ? "zero" : "cat");
		driver_park(d, 2, 0, 4096);
		driver_restart(d);
		driver_expect_alive(d);
		driver_open_channel(d, 0, "echo");
	}
}

/* --- Sizes -------------------------------------------------------------- */

ATTACK(ring_of_one, AT_SESSION)
{
	driver_step(d, 2);
	for (unsigned int i = 0; i < d->peer->queue_count; i++) {
		d->peer->queues[i].size = 1;
		peer_start_queue(d->peer, i);
	}
	peer_desc(d->control_tx, 0, peer_gpa(d->control), 8, 0, 0);
	for (int i = 0; i < 10; i++) {
		peer_avail(d->control_tx, 0);
		peer_kick(d->control_tx);
		CHECK(peer_wait_used(d->peer, d->control_tx, NULL, PEER_WAIT_MS) == 0);
	}
}

ATTACK(ring_of_32768, AT_SESSION)
{
	struct vhost_user_vring_addr addr = {
		.index = 3, .desc = PEER_USER, .avail = PEER_USER + (1 << 20),
		.used = PEER_USER + (2 << 20),
	};
	struct vring_avail *avail = (void *)(d->peer->mem + (1 << 20));
	struct vring_desc *desc = (void *)d->peer->mem;
	int kick = eventfd(0, 0);

	/* All of it visible at once, each a control message, all in one place. */
	for (int i = 0; i < 32768; i++) {
		desc[i] = (struct vring_desc){ peer_gpa(d->out), 8, 0, 0 };
		avail->ring[i] = i;
	}
	avail->idx = 32768;
	CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_NUM, 3, 32768) == 0);
	CHECK(peer_ask(d->peer, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) == 0);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_KICK, 3, kick) == 0);
	CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, 3, 1) == 0);
	for (int i = 0; i < 1000; i++)
		CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

/* --- Changing what is being read ---------------------------------------- */

static void *scribble(void *context)
{
	struct driver *d = context;
	struct random random = { 42 };

	for (;;) {
		volatile struct vring_desc *desc = &d->tx->desc[FIRST + random_below(&random, 3)];
		volatile uint8_t *request = d->peer->mem + d->request;

		switch (random_below(&random, 4)) {
		case 0:
			desc->len = random_below(&random, 2) ? UINT32_MAX : 5;
			break;
		case 1:
			desc->addr = random_below(&random, 2) ? UINT64_MAX - 4 : peer_gpa(d->out);
			break;
		case 2:
			desc->next = random_below(&random, 2) ? UINT16_MAX : FIRST + 1;
			break;
		default:
			request[random_below(&random, 32)] = random_next(&random);
		}
	}
	return NULL;
}

/* A processor that changes descriptors and headers while the daemon reads them. */
ATTACK(a_race_for_descriptors, AT_SESSION)
{
	uint64_t end = peer_now_ms() + 1000;
	pthread_t thread;

	for (unsigned int step = 2; step < 7; step++)
		driver_step(d, step);
	driver_open_channel(d, 0, "echo");
	pthread_create(&thread, NULL, scribble, d);
	while (peer_now_ms() < end) {
		attack_put_write(d);
		attack_show(d, FIRST);
		peer_wait_used(d->peer, d->tx, NULL, 1);
		if (!peer_is_broken(d->peer))
			continue;
		driver_stop(d);
		driver_step(d, 3);
		peer_kick(d->tx);
	}
}
