// SPDX-License-Identifier: MIT
/* A vhost-user front end without manners; see peer.h. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

uint64_t peer_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- Connection --------------------------------------------------------- */

int peer_connect(const char *path)
{
	const struct timeval limit = { .tv_sec = PEER_WAIT_MS / 1000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(strlen(path) < sizeof(addr.sun_path));
	strcpy(addr.sun_path, path);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		FAIL("cannot connect to %s: %s", path, strerror(errno));
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return sock;
}

struct peer *peer_open(const char *path)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	peer->path = path;
	peer->sock = peer_connect(path);
	peer->memfd = memfd_create("bad-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(ftruncate(peer->memfd, PEER_MEM_SIZE) == 0);
	peer->mem = mmap(NULL, PEER_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, peer->memfd, 0);
	CHECK(peer->mem != MAP_FAILED);
	peer->brk = PEER_DATA;
	return peer;
}

void peer_close(struct peer *peer)
{
	if (peer->sock >= 0)
		close(peer->sock);
	peer->sock = -1;
}

/* --- Messages ----------------------------------------------------------- */

bool peer_send_raw(struct peer *peer, const void *buf, size_t len, const int *fds, int count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (count) {
		struct cmsghdr *cmsg = &control.align;

		CHECK(count <= 253);
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * count);
	}
	n = sendmsg(peer->sock, &msg, MSG_NOSIGNAL);
	if (n < 0 && errno != EPIPE && errno != ECONNRESET)
		FAIL("sendmsg: %s", strerror(errno));
	return n >= 0;
}

bool peer_send(struct peer *peer, uint32_t request, uint32_t flags, const void *payload,
	       uint32_t size, const int *fds, int count)
{
	struct vhost_user_header header = { request, VHOST_USER_VERSION | flags, size };
	uint8_t buf[sizeof(header) + 4096];

	CHECK(size <= 4096);
	memcpy(buf, &header, sizeof(header));
	if (size)
		memcpy(buf + sizeof(header), payload, size);
	return peer_send_raw(peer, buf, sizeof(header) + size, fds, count);
}

/* Returns false at the end of the connection. */
static bool receive_all(struct peer *peer, void *buf, size_t len)
{
	ssize_t n;

	for (size_t at = 0; at < len; at += n) {
		n = recv(peer->sock, (char *)buf + at, len - at, 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return false;
		/* A process that was stopped and goes on gets EINTR. */
		if (n < 0 && errno != EINTR)
			FAIL("no answer: %s", strerror(errno));
		n = n < 0 ? 0 : n;
	}
	return true;
}

bool peer_receive(struct peer *peer, struct peer_reply *reply)
{
	if (!receive_all(peer, &reply->header, sizeof(reply->header)))
		return false;
	CHECK(reply->header.size <= sizeof(reply->payload));
	return receive_all(peer, reply->payload, reply->header.size);
}

int peer_ask(struct peer *peer, uint32_t request, const void *payload, uint32_t size,
	     const int *fds, int count)
{
	struct peer_reply reply;
	uint64_t ack;

	if (!peer_send(peer, request, VHOST_USER_NEED_REPLY, payload, size, fds, count) ||
	    !peer_receive(peer, &reply))
		return -1;
	CHECK(reply.header.request == request);
	if (reply.header.size != sizeof(ack))
		return 1;
	memcpy(&ack, reply.payload, sizeof(ack));
	return ack ? 1 : 0;
}

int peer_ask_u64(struct peer *peer, uint32_t request, uint64_t value, int fd)
{
	return peer_ask(peer, request, &value, sizeof(value), &fd, fd >= 0);
}

int peer_ask_state(struct peer *peer, uint32_t request, uint32_t index, uint32_t num)
{
	const struct vhost_user_vring_state state = { index, num };

	return peer_ask(peer, request, &state, sizeof(state), NULL, 0);
}

int peer_stop_queue(struct peer *peer, uint32_t index)
{
	struct vhost_user_vring_state state = { index, 0 };
	struct peer_reply reply;

	if (!peer_send(peer, VHOST_USER_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0) ||
	    !peer_receive(peer, &reply))
		return -1;
	CHECK(reply.header.size == sizeof(state));
	memcpy(&state, reply.payload, sizeof(state));
	CHECK(state.index == index && state.num <= UINT16_MAX);
	return state.num;
}

uint64_t peer_get_u64(struct peer *peer, uint32_t request)
{
	struct peer_reply reply;
	uint64_t value;

	CHECK(peer_send(peer, request, 0, NULL, 0, NULL, 0));
	CHECK(peer_receive(peer, &reply));
	CHECK(reply.header.request == request && reply.header.size == sizeof(value));
	memcpy(&value, reply.payload, sizeof(value));
	return value;
}

void peer_expect_closed(struct peer *peer)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	char sink[4096];
	ssize_t n;

	do {
		n = recv(peer->sock, sink, sizeof(sink), 0);
		if (n < 0 && errno == EAGAIN)
			FAIL("the connection is still open");
		CHECK(peer_now_ms() < limit);
	} while (n > 0);
	peer_close(peer);
}

/* --- Setting up --------------------------------------------------------- */

void peer_negotiate(struct peer *peer, uint64_t without)
{
	uint64_t features = peer_get_u64(peer, VHOST_USER_GET_FEATURES);

	peer->features = features & ~without;
	peer->protocol_features = peer_get_u64(peer, VHOST_USER_GET_PROTOCOL_FEATURES);
	CHECK(peer->protocol_features >> VHOST_USER_PROTOCOL_REPLY_ACK & 1);
	CHECK(peer_ask_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, peer->protocol_features, -1) ==
	      0);
	CHECK(peer_ask(peer, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0) == 0);
	CHECK(peer_ask_u64(peer, VHOST_USER_SET_FEATURES, peer->features, -1) == 0);
	peer->queue_count = peer_get_u64(peer, VHOST_USER_GET_QUEUE_NUM);
	CHECK(peer->queue_count >= 4 && peer->queue_count <= PEER_MAX_QUEUES);
}

void peer_share_memory(struct peer *peer)
{
	const struct vhost_user_mem_table table = {
		.count = 1, .regions = { { PEER_GUEST, PEER_MEM_SIZE, PEER_USER, 0 } },
	};

	CHECK(peer_ask(peer, VHOST_USER_SET_MEM_TABLE, &table, 40, &peer->memfd, 1) == 0);
}

void peer_init_queue(struct peer *peer, unsigned int index, uint16_t size)
{
	struct peer_queue *queue = &peer->queues[index];
	uint8_t *at = peer->mem + index * PEER_RING_STRIDE;

	CHECK(size <= PEER_RING_SIZE);
	memset(at, 0, PEER_RING_STRIDE);
	queue->index = index;
	queue->size = size;
	queue->desc = (void *)at;
	queue->avail = (void *)(at + 0x4000);
	queue->used = (void *)(at + 0x8000);
	queue->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	queue->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	queue->error = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	queue->last_used = 0;
	memset(queue->added, 0, sizeof(queue->added));
	queue->free_count = 0;
	while (queue->free_count < size) {
		queue->free[queue->free_count] = size - 1 - queue->free_count;
		queue->free_count++;
	}
}

struct vhost_user_vring_addr peer_ring_addr(const struct peer *peer, unsigned int index)
{
	uint64_t at = PEER_USER + index * PEER_RING_STRIDE;

	(void)peer;
	return (struct vhost_user_vring_addr){
		.index = index, .desc = at, .avail = at + 0x4000, .used = at + 0x8000,
	};
}

void peer_start_queue(struct peer *peer, unsigned int index)
{
	struct vhost_user_vring_addr addr = peer_ring_addr(peer, index);
	struct peer_queue *queue = &peer->queues[index];

	CHECK(peer_ask_state(peer, VHOST_USER_SET_VRING_NUM, index, queue->size) == 0);
	CHECK(peer_ask_state(peer, VHOST_USER_SET_VRING_BASE, index, 0) == 0);
	CHECK(peer_ask(peer, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) == 0);
	CHECK(peer_ask_u64(peer, VHOST_USER_SET_VRING_KICK, index, queue->kick) == 0);
	CHECK(peer_ask_u64(peer, VHOST_USER_SET_VRING_CALL, index, queue->call) == 0);
	CHECK(peer_ask_u64(peer, VHOST_USER_SET_VRING_ERR, index, queue->error) == 0);
	CHECK(peer_ask_state(peer, VHOST_USER_SET_VRING_ENABLE, index, 1) == 0);
}

/* --- Memory and rings --------------------------------------------------- */

uint32_t peer_alloc(struct peer *peer, uint32_t len)
{
	uint32_t at = peer->brk;

	len = (len + 15) & ~15u;
	CHECK(len <= PEER_MEM_SIZE - at);
	peer->brk += len;
	memset(peer->mem + at, 0, len);
	return at;
}

void peer_desc(struct peer_queue *queue, uint16_t index, uint64_t addr, uint32_t len,
	       uint16_t flags, uint16_t next)
{
	queue->desc[index % queue->size] = (struct vring_desc){
		.addr = addr, .len = len, .flags = flags, .next = next,
	};
}

void peer_avail(struct peer_queue *queue, uint16_t head)
{
	uint16_t idx = queue->avail->idx;

	queue->avail->ring[idx % queue->size] = head;
	__atomic_store_n(&queue->avail->idx, idx + 1, __ATOMIC_SEQ_CST);
}

/* Always: a kick that was not asked for is a device's to bear. */
void peer_kick(struct peer_queue *queue)
{
	eventfd_write(queue->kick, 1);
}

uint16_t peer_add(struct peer_queue *queue, const struct peer_segment *segments,
		  unsigned int readable, unsigned int writable)
{
	unsigned int count = readable + writable;
	uint16_t head = 0, index, next = 0;

	CHECK(count && count <= queue->free_count);
	/* From the end, so that each knows what follows it. */
	for (unsigned int i = count; i-- > 0;) {
		uint16_t flags = i >= readable ? VRING_DESC_F_WRITE : 0;

		index = queue->free[--queue->free_count];
		if (i + 1 < count)
			flags |= VRING_DESC_F_NEXT;
		peer_desc(queue, index, segments[i].gpa, segments[i].len, flags, next);
		queue->next[index] = i + 1 < count ? next : UINT16_MAX;
		next = index;
		head = index;
	}
	queue->added[head] = true;
	peer_avail(queue, head);
	return head;
}

int peer_take_used(struct peer_queue *queue, uint32_t *len)
{
	const volatile struct vring_used_elem *elem;
	uint16_t idx = __atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE);
	uint32_t head;

	if (idx == queue->last_used)
		return -1;
	elem = &queue->used->ring[queue->last_used % queue->size];
	head = elem->id;
	CHECK(head < queue->size);
	if (len)
		*len = elem->len;
	queue->last_used++;
	/* used_event: a call for the next one, please. */
	__atomic_store_n(&queue->avail->ring[queue->size], queue->last_used, __ATOMIC_SEQ_CST);
	if (!queue->added[head])
		return head;
	queue->added[head] = false;
	for (uint16_t i = head; i != UINT16_MAX; i = queue->next[i]) {
		CHECK(queue->free_count < queue->size);
		queue->free[queue->free_count++] = i;
	}
	return head;
}

int peer_wait_used(struct peer *peer, struct peer_queue *queue, uint32_t *len, int ms)
{
	uint64_t limit = peer_now_ms() + ms, now;
	eventfd_t value;
	int head;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = queue->call, .events = POLLIN },
			{ .fd = peer->sock, .events = POLLRDHUP },
			{ .fd = queue->error, .events = POLLIN },
		};

		head = peer_take_used(queue, len);
		if (head >= 0)
			return head;
		now = peer_now_ms();
		if (now >= limit)
			return -1;
		poll(fds, 3, limit - now);
		if (fds[1].revents || fds[2].revents)
			return peer_take_used(queue, len);
		eventfd_read(queue->call, &value);
	}
}

bool peer_is_broken(struct peer *peer)
{
	eventfd_t value;
	bool broken = false;

	for (unsigned int i = 0; i < peer->queue_count; i++)
		broken |= eventfd_read(peer->queues[i].error, &value) == 0;
	return broken;
}

void peer_expect_broken(struct peer *peer)
{
	struct pollfd fds[PEER_MAX_QUEUES];

	for (unsigned int i = 0; i < peer->queue_count; i++)
		fds[i] = (struct pollfd){ .fd = peer->queues[i].error, .events = POLLIN };
	if (poll(fds, peer->queue_count, PEER_WAIT_MS) <= 0)
		FAIL("the device is not broken");
	/* The session itself continues. */
	CHECK(peer_get_u64(peer, VHOST_USER_GET_FEATURES));
	if (peer->protocol_features >> VHOST_USER_PROTOCOL_STATUS & 1)
		CHECK(peer_get_u64(peer, VHOST_USER_GET_STATUS) & 0x40);
}
