// SPDX-License-Identifier: MIT
/* A front end that lies in messages, and one that comes and goes. */

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"

/* --- Not the protocol --------------------------------------------------- */

ATTACK(nothing_at_all, AT_SOCKET)
{
	peer_close(d->peer);
}

ATTACK(http, AT_SOCKET)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

	peer_send_raw(d->peer, request, sizeof(request), NULL, 0);
	peer_expect_closed(d->peer);
}

static void send_header(struct driver *d, uint32_t request, uint32_t flags, uint32_t size)
{
	const struct vhost_user_header header = { request, flags, size };

	peer_send_raw(d->peer, &header, sizeof(header), NULL, 0);
}

ATTACK(version_0, AT_SOCKET)
{
	send_header(d, VHOST_USER_GET_FEATURES, 0, 0);
	peer_expect_closed(d->peer);
}

ATTACK(a_reply, AT_SOCKET)
{
	send_header(d, VHOST_USER_GET_FEATURES, 5, 0);
	peer_expect_closed(d->peer);
}

ATTACK(payload_of_4_gib, AT_SOCKET)
{
	send_header(d, VHOST_USER_SET_MEM_TABLE, 1, UINT32_MAX);
	peer_expect_closed(d->peer);
}

ATTACK(half_a_header, AT_SESSION)
{
	peer_send_raw(d->peer, "\1\0\0\0\1", 5, &d->peer->memfd, 1);
}

ATTACK(half_a_payload, AT_SESSION)
{
	struct { struct vhost_user_header header; uint8_t part[20]; } raw = {
		{ VHOST_USER_SET_MEM_TABLE, 1, 40 }, { 1 },
	};

	peer_send_raw(d->peer, &raw, sizeof(raw), &d->peer->memfd, 1);
}

ATTACK(byte_by_byte, AT_SESSION)
{
	static const uint8_t ask[12] = { VHOST_USER_GET_FEATURES, 0, 0, 0, 1 };
	struct peer_reply reply;

	for (size_t i = 0; i < sizeof(ask); i++)
		CHECK(peer_send_raw(d->peer, ask + i, 1, NULL, 0));
	CHECK(peer_receive(d->peer, &reply));
}

/* --- Wrong sizes, numbers of descriptors, indices ----------------------- */

ATTACK(every_size_of_every_message, AT_SESSION)
{
	static const uint8_t payload[4096];

	/* Each of these may end the session: it is opened again then. */
	for (uint32_t request = 0; request < 48; request++) {
		for (uint32_t size = 0; size <= 300; size += size < 80 ? 4 : 73) {
			/* A right one, after which nothing is acknowledged any more. */
			if (request == VHOST_USER_SET_PROTOCOL_FEATURES && size == 8)
				continue;
			if (peer_ask(d->peer, request, payload, size, NULL, 0) >= 0)
				continue;
			peer_close(d->peer);
			d->peer->sock = peer_connect(d->peer->path);
			peer_negotiate(d->peer, 0);
		}
	}
}

ATTACK(every_message_with_fds, AT_SESSION)
{
	static const uint8_t payload[264] = { 1 };
	static const uint16_t sizes[] = { 0, 8, 40, 264 };
	int fds[16];

	for (int i = 0; i < 16; i++)
		fds[i] = d->peer->memfd;
	for (uint32_t request = 0; request < 48; request++) {
		for (int count = 1; count <= 16; count *= 2) {
			uint16_t size = sizes[(request + count) % 4];

			if (peer_ask(d->peer, request, payload, size, fds, count) >= 0)
				continue;
			peer_close(d->peer);
			d->peer->sock = peer_connect(d->peer->path);
			peer_negotiate(d->peer, 0);
		}
	}
}

ATTACK(a_thousand_fds, AT_SESSION)
{
	static const uint8_t bytes[sizeof(struct vhost_user_header)];
	int fds[250];

	for (int i = 0; i < 250; i++)
		fds[i] = d->peer->memfd;
	/* In four pieces of one header, which stay in the socket until it is whole. */
	for (int i = 0; i < 4; i++)
		if (!peer_send_raw(d->peer, bytes, 1, fds, 250))
			break;
	peer_send_raw(d->peer, bytes, sizeof(bytes) - 4, NULL, 0);
	peer_expect_closed(d->peer);
}

ATTACK(queues_that_do_not_exist, AT_SESSION)
{
	unsigned int n = d->peer->queue_count;
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, n);
	int fd = eventfd(0, 0);

	for (uint32_t i = n; i < 256; i += 17) {
		CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_NUM, i, 16) == 1);
		CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, i, 1) == 1);
		CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_KICK, i, fd) == 1);
		CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, i | 0x100, -1) == 1);
	}
	CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_BASE, UINT32_MAX, 0) == 1);
	CHECK(peer_ask(d->peer, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) == 1);
	CHECK(peer_stop_queue(d->peer, n) == -1);
}

ATTACK(fds_of_every_kind, AT_SESSION)
{
	int kinds[8], pair[2], pipes[2], count = 0;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pipes) == 0);
	kinds[count++] = open("/dev/null", O_RDWR);
	kinds[count++] = open("/proc/self/maps", O_RDONLY);
	kinds[count++] = open("/", O_RDONLY | O_DIRECTORY);
	kinds[count++] = open("/", O_PATH);
	kinds[count++] = pipes[0];
	kinds[count++] = epoll_create1(0);
	kinds[count++] = pair[0];
	for (int i = 0; i < count; i++) {
		struct vhost_user_mem_table table = {
			.count = 1, .regions = { { 0, 4096, 0, 0 } },
		};

		CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_KICK, 0, kinds[i]) >= 0);
		CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_ERR, 0, kinds[i]) >= 0);
		CHECK(peer_ask(d->peer, VHOST_USER_SET_MEM_TABLE, &table, 40, &kinds[i], 1) == 1);
		CHECK(peer_ask(d->peer, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &kinds[i], 1) >= 0);
	}
}

/* --- Wrong order, wrong time -------------------------------------------- */

ATTACK(rings_without_memory, AT_SOCKET)
{
	peer_negotiate(d->peer, 0);
	driver_step(d, 2);
	for (unsigned int i = 0; i < d->peer->queue_count; i++) {
		struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, i);
		int kick = d->peer->queues[i].kick;

		peer_kick(&d->peer->queues[i]);
		CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_KICK, i, kick) == 0);
		CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, i, 1) == 0);
		CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_NUM, i, 256) == 0);
		CHECK(peer_ask(d->peer, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) ==
		      1);
		peer_kick(&d->peer->queues[i]);
	}
	/* With the memory they start, as they are. */
	peer_share_memory(d->peer);
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_FEATURES));
}

ATTACK(rings_without_addresses, AT_SESSION)
{
	driver_step(d, 2);
	for (unsigned int i = 0; i < d->peer->queue_count; i++) {
		int kick = d->peer->queues[i].kick;

		CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, i, 1) == 0);
		CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_KICK, i, kick) == 0);
		peer_kick(&d->peer->queues[i]);
	}
	for (unsigned int i = 0; i < d->peer->queue_count; i++)
		CHECK(peer_stop_queue(d->peer, i) >= 0);
}

ATTACK(rings_outside_memory, AT_SESSION)
{
	static const uint64_t bad[] = { 0, PEER_GUEST, PEER_USER + PEER_MEM_SIZE,
					PEER_USER + PEER_MEM_SIZE - 16, UINT64_MAX & ~15ULL,
					PEER_USER - 16, 1ULL << 63 };
	struct vhost_user_vring_addr addr;

	driver_step(d, 2);
	peer_start_queue(d->peer, 0);
	for (size_t i = 0; i < 3 * sizeof(bad) / sizeof(bad[0]); i++) {
		addr = peer_ring_addr(d->peer, 0);
		*(i % 3 == 0 ? &addr.desc : i % 3 == 1 ? &addr.avail : &addr.used) = bad[i / 3];
		CHECK(peer_ask(d->peer, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) ==
		      1);
	}
}

ATTACK(features_that_were_not_offered, AT_SESSION)
{
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_FEATURES, UINT64_MAX, -1) == 1);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_PROTOCOL_FEATURES, UINT64_MAX, -1) == 1);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_FEATURES, 0, -1) == 0);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_PROTOCOL_FEATURES, 1 << 3, -1) == 0);
	CHECK(peer_ask(d->peer, VHOST_USER_GET_CONFIG, "\0\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0", 16,
		       NULL, 0) == 1);
}

ATTACK(everything_while_running, AT_CHANNEL)
{
	struct peer_queue *tx = d->tx;
	struct vhost_user_vring_addr addr = peer_ring_addr(d->peer, tx->index);

	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_FEATURES, d->peer->features, -1) == 0);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_FEATURES, 1 << 30, -1) == 1);
	peer_share_memory(d->peer);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_KICK, tx->index, tx->kick) == 0);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, tx->index, tx->call) == 0);
	CHECK(peer_ask(d->peer, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) == 0);
	driver_expect_alive(d);
	CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, tx->index, 0) == 0);
	CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, tx->index, 1) == 0);
	driver_expect_alive(d);
	/* A ring that is another size from now on, and begins somewhere else. */
	peer_ask_state(d->peer, VHOST_USER_SET_VRING_NUM, tx->index, 8);
	peer_ask_state(d->peer, VHOST_USER_SET_VRING_BASE, tx->index, 40000);
	peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, tx->index, 1);
	peer_kick(tx);
	CHECK(peer_ask(d->peer, VHOST_USER_RESET_OWNER, NULL, 0, NULL, 0) == 0);
}

ATTACK(status_0_while_running, AT_CHANNEL)
{
	if (!(d->peer->protocol_features >> VHOST_USER_PROTOCOL_STATUS & 1))
		return;
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_STATUS, 0, -1) == 0);
	peer_kick(d->tx);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_STATUS, 256, -1) == 1);
	CHECK(peer_get_u64(d->peer, VHOST_USER_GET_STATUS) == 0);
}

ATTACK(on_and_off, AT_CHANNEL)
{
	for (int i = 0; i < 300; i++) {
		unsigned int queue = i % d->peer->queue_count;

		peer_kick(&d->peer->queues[queue]);
		CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, queue, i / 7 % 2) == 0);
	}
	for (unsigned int i = 0; i < d->peer->queue_count; i++)
		CHECK(peer_ask_state(d->peer, VHOST_USER_SET_VRING_ENABLE, i, 1) == 0);
	driver_expect_alive(d);
}

/* --- Descriptors that do not take --------------------------------------- */

ATTACK(call_that_would_wait, AT_CHANNEL)
{
	int full = eventfd(0, 0), pair[2];

	/* A full counter in blocking mode, then a socket that is never read. */
	CHECK(eventfd_write(full, UINT64_MAX - 1) == 0);
	for (unsigned int i = 0; i < d->peer->queue_count; i++)
		CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, i, full) == 0);
	for (int i = 0; i < 50; i++)
		peer_kick(d->tx);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	for (int i = 0; i < 2000; i++)
		CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, d->tx->index, pair[1]) == 0);
	close(pair[0]);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, d->tx->index, pair[1]) == 0);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, d->tx->index | 0x100, -1) == 0);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, d->tx->index, d->tx->call) == 0);
	CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, d->rx->index, d->rx->call) == 0);
	for (unsigned int i = 2; i < 4; i++)
		CHECK(peer_ask_u64(d->peer, VHOST_USER_SET_VRING_CALL, i,
				   d->peer->queues[i].call) == 0);
	driver_expect_alive(d);
}

ATTACK(a_hundred_request_channels, AT_CHANNEL)
{
	int pair[2];

	for (int i = 0; i < 100; i++) {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
		CHECK(peer_ask(d->peer, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[0], 1) == 0);
		close(pair[0]);
		close(pair[1]);
	}
	driver_expect_alive(d);
}

ATTACK(answers_nobody_reads, AT_SESSION)
{
	const struct vhost_user_header ask = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };

	while (peer_send_raw(d->peer, &ask, sizeof(ask), NULL, 0))
		;
}

ATTACK(kicks_without_end, AT_CHANNEL)
{
	for (int i = 0; i < 20000; i++)
		peer_kick(&d->peer->queues[i % d->peer->queue_count]);
	driver_expect_alive(d);
}

/* --- Coming and going --------------------------------------------------- */

ATTACK(second_front_end, AT_CHANNEL)
{
	struct peer second = { .sock = peer_connect(d->peer->path) };

	peer_send(&second, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0);
	peer_expect_closed(&second);
	driver_expect_alive(d);
}

ATTACK(slow_loris, AT_SOCKET)
{
	struct peer second;

	/* This front end keeps its place, and does not wait for an answer. */
	peer_send_raw(d->peer, "\1\0", 2, NULL, 0);
	for (int i = 0; i < 20; i++) {
		second.sock = peer_connect(d->peer->path);
		peer_expect_closed(&second);
	}
}

/* An honest driver up to each step, which then is gone. */
ATTACK(gone_after_each_step, AT_SOCKET)
{
	const char *path = d->peer->path;
	bool more = true;

	peer_close(d->peer);
	for (unsigned int last = 0; more; last++) {
		const struct vhost_user_header ask = { VHOST_USER_GET_FEATURES, 1, 0 };
		struct peer_reply reply;

		do {
			d = driver_open(path, d->port);
		} while (!peer_send_raw(d->peer, &ask, sizeof(ask), NULL, 0) ||
			 !peer_receive(d->peer, &reply));
		for (unsigned int step = 0; step <= last && more; step++)
			more = driver_step(d, step);
		peer_close(d->peer);
	}
}

ATTACK(gone_with_requests_under_way, AT_CHANNEL)
{
	static const uint8_t zeros[4096];

	for (uint32_t slot = 1; slot < 50; slot++)
		driver_open_channel(d, slot, slot % 2 ? "zero" : "echo");
	for (uint32_t slot = 1; slot < 50; slot++)
		driver_write(d, slot, 0, zeros, sizeof(zeros));
	driver_park(d, 0, 0, 4096);
	for (int i = 0; i < 20; i++) {
		peer_avail(d->tx, i % 4);
		peer_kick(d->tx);
	}
	peer_close(d->peer);
}

ATTACK(a_hundred_front_ends, AT_SOCKET)
{
	const char *path = d->peer->path;

	peer_close(d->peer);
	for (int i = 0; i < 100; i++) {
		int sock = peer_connect(path);

		if (i % 3)
			send(sock, "\1\0\0\0\1\0\0\0\0\0\0\0", i % 13, MSG_NOSIGNAL);
		close(sock);
	}
}
