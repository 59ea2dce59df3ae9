// SPDX-License-Identifier: MIT
/* A small honest driver; see driver.h. */

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <manyport/wire_check.h>

#include "driver.h"

/* Between two looks at the control queue. */
#define SLICE_MS 10

struct driver *driver_open(const char *path, uint32_t port)
{
	struct driver *driver = calloc(1, sizeof(*driver));

	driver->peer = peer_open(path);
	driver->port = port;
	driver->keep_events = true;
	driver->parked = -1;
	driver->control = peer_alloc(driver->peer, DRIVER_CONTROL_SIZE);
	driver->request = peer_alloc(driver->peer, sizeof(struct mp_request));
	driver->result = peer_alloc(driver->peer, sizeof(struct mp_result));
	driver->parked_result = peer_alloc(driver->peer, sizeof(struct mp_result));
	driver->out = peer_alloc(driver->peer, DRIVER_BUFFER);
	driver->in = peer_alloc(driver->peer, DRIVER_BUFFER);
	driver->parked_in = peer_alloc(driver->peer, DRIVER_BUFFER);
	return driver;
}

/* The device does not answer. Where that was to be expected, the attack is over. */
void driver_lost(struct driver *driver, const char *what)
{
	struct pollfd fd = { .fd = driver->peer->sock, .events = POLLRDHUP };

	if (driver->may_end && (peer_is_broken(driver->peer) || poll(&fd, 1, 0) == 1))
		exit(0);
	FAIL("%s", what);
}

/* --- State and events --------------------------------------------------- */

static void take_state(struct driver *driver, uint32_t slot, uint32_t generation,
		       const struct mp_state *state)
{
	struct driver_channel *channel;

	CHECK(mp_state_is_valid(state, 1));
	if (slot >= DRIVER_MAX_SLOTS)
		return;
	channel = &driver->channels[slot];
	if (channel->generation != generation ||
	    (le32toh(state->seq) != channel->seq &&
	     !mp_seq_is_newer(le32toh(state->seq), channel->seq)))
		return;
	channel->seq = le32toh(state->seq);
	channel->bits = le16toh(state->bits);
	channel->reason = le16toh(state->reason);
}

static void add_event_buffer(struct driver *driver, uint32_t offset)
{
	const struct peer_segment segment = { peer_gpa(offset), sizeof(struct mp_event) };
	uint16_t head = peer_add(driver->rx, &segment, 0, 1);

	driver->event_buffers[head] = offset;
}

void driver_add_events(struct driver *driver, unsigned int count)
{
	while (count--)
		add_event_buffer(driver, peer_alloc(driver->peer, sizeof(struct mp_event)));
	peer_kick(driver->rx);
}

static void take_event(struct driver *driver, int head, uint32_t len)
{
	uint32_t offset = driver->event_buffers[head];
	struct mp_event event;

	driver->event_buffers[head] = 0;
	memcpy(&event, driver->peer->mem + offset, sizeof(event));
	CHECK(mp_event_is_valid(&event, len, 1));
	take_state(driver, le32toh(event.channel), le32toh(event.generation), &event.state);
	if (driver->keep_events) {
		add_event_buffer(driver, offset);
		peer_kick(driver->rx);
	}
}

int driver_take_events(struct driver *driver)
{
	uint32_t len;
	int head, n = 0;

	while ((head = peer_take_used(driver->rx, &len)) >= 0) {
		n++;
		if (head == driver->parked) {
			driver->parked = -1;
			driver->parked_is_back = true;
		} else if (driver->event_buffers[head]) {
			take_event(driver, head, len);
		}
	}
	return n;
}

void driver_wait(struct driver *driver, uint32_t slot, uint16_t bits)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	unsigned int lives = driver->lives;
	eventfd_t value;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = driver->rx->call, .events = POLLIN },
			{ .fd = driver->peer->sock, .events = POLLRDHUP },
		};

		driver_take_events(driver);
		if (driver->survives)
			driver_take_control(driver);
		if (driver->channels[slot].bits & bits || lives != driver->lives)
			return;
		if (peer_now_ms() >= limit)
			driver_lost(driver, "a state did not come");
		poll(fds, 2, driver->survives ? SLICE_MS : 1000);
		if (fds[1].revents)
			driver_lost(driver, "the daemon has ended the session");
		eventfd_read(driver->rx->call, &value);
	}
}

/* --- Requests ----------------------------------------------------------- */

const struct mp_result *driver_result(const struct driver *driver)
{
	return (const void *)(driver->peer->mem + driver->result);
}

const uint8_t *driver_in(const struct driver *driver)
{
	return driver->peer->mem + driver->in;
}

/* Returns its head or -1. */
static int wait_answer(struct driver *driver, uint32_t *len)
{
	uint64_t limit = peer_now_ms() + PEER_WAIT_MS;
	int head;

	if (!driver->survives)
		return peer_wait_used(driver->peer, driver->tx, len, PEER_WAIT_MS);
	do {
		head = peer_wait_used(driver->peer, driver->tx, len, SLICE_MS);
		driver_take_control(driver);
	} while (head < 0 && peer_now_ms() < limit);
	return head;
}

uint32_t driver_submit(struct driver *driver, const struct driver_request *request)
{
	struct peer *peer = driver->peer;
	struct peer_segment segments[4] = {
		{ peer_gpa(driver->request), sizeof(request->header) },
	};
	unsigned int readable = 1, writable = 1;
	uint32_t slot = le32toh(request->header.channel), len;
	struct mp_result result;
	int head;

	CHECK(request->out_len <= DRIVER_BUFFER && request->in_len <= DRIVER_BUFFER);
	memcpy(peer->mem + driver->request, &request->header, sizeof(request->header));
	memset(peer->mem + driver->result, 0xee, sizeof(result));
	if (request->out_len) {
		memcpy(peer->mem + driver->out, request->out, request->out_len);
		segments[readable++] = (struct peer_segment){ peer_gpa(driver->out),
							      request->out_len };
	}
	segments[readable] = (struct peer_segment){ peer_gpa(driver->result), sizeof(result) };
	if (request->in_len)
		segments[readable + writable++] =
			(struct peer_segment){ peer_gpa(driver->in), request->in_len };
	head = peer_add(driver->tx, segments, readable, writable);
	peer_kick(driver->tx);
	if (wait_answer(driver, &len) != head)
		driver_lost(driver, "a request was not answered");
	memcpy(&result, peer->mem + driver->result, sizeof(result));
	CHECK(mp_result_is_valid(&result, request->out_len + request->in_len, len,
				 request->in_len, 1));
	if (le32toh(result.status) != MP_STALE)
		take_state(driver, slot, le32toh(request->header.generation), &result.state);
	return le32toh(result.status);
}

static struct mp_request header_of(const struct driver *driver, enum mp_op op, uint32_t slot,
				   uint64_t offset, uint32_t len)
{
	return (struct mp_request){
		.op = htole16(op), .length = htole32(len), .channel = htole32(slot),
		.generation = htole32(driver->channels[slot].generation),
		.offset = htole64(offset),
	};
}

uint32_t driver_connect(struct driver *driver, uint32_t slot, const char *name)
{
	struct {
		struct mp_connect fixed;
		char name[MP_NAME_MAX];
	} connect = { .fixed = { .uid = htole32(1000), .gid = htole32(1000),
				 .pid = htole32(getpid()), .comm = "bad\nguest" } };
	struct driver_request request = { .out = &connect };
	size_t len = strlen(name);

	CHECK(len <= MP_NAME_MAX);
	memcpy(connect.name, name, len);
	connect.fixed.name_len = htole32(len);
	driver->channels[slot] = (struct driver_channel){ .generation = ++driver->generation };
	request.out_len = sizeof(connect.fixed) + len;
	request.header = header_of(driver, MP_OP_CONNECT, slot, 0, request.out_len);
	return driver_submit(driver, &request);
}

uint32_t driver_write(struct driver *driver, uint32_t slot, uint64_t offset, const void *buf,
		      uint32_t len)
{
	const struct driver_request request = {
		.header = header_of(driver, MP_OP_WRITE, slot, offset, len),
		.out = buf, .out_len = len,
	};

	return driver_submit(driver, &request);
}

uint32_t driver_read(struct driver *driver, uint32_t slot, uint64_t offset, uint32_t len)
{
	const struct driver_request request = {
		.header = header_of(driver, MP_OP_READ, slot, offset, len), .in_len = len,
	};

	return driver_submit(driver, &request);
}

uint32_t driver_simple(struct driver *driver, enum mp_op op, uint32_t slot, uint16_t flags,
		       uint64_t offset)
{
	struct driver_request request = { .header = header_of(driver, op, slot, offset, 0) };

	request.header.flags = htole16(flags);
	return driver_submit(driver, &request);
}

void driver_park(struct driver *driver, uint32_t slot, uint64_t offset, uint32_t len)
{
	struct mp_request header = header_of(driver, MP_OP_READ, slot, offset, len);
	uint32_t request = peer_alloc(driver->peer, sizeof(header));
	const struct peer_segment segments[] = {
		{ peer_gpa(request), sizeof(header) },
		{ peer_gpa(driver->parked_result), sizeof(struct mp_result) },
		{ peer_gpa(driver->parked_in), len },
	};

	header.flags = htole16(driver->park_flags);
	memcpy(driver->peer->mem + request, &header, sizeof(header));
	driver->parked_is_back = false;
	driver->parked = peer_add(driver->rx, segments, 1, 2);
	driver->event_buffers[driver->parked] = 0;
	peer_kick(driver->rx);
}

/* --- A whole channel ---------------------------------------------------- */

void driver_open_channel(struct driver *driver, uint32_t slot, const char *name)
{
	CHECK(driver_connect(driver, slot, name) == MP_OK);
	driver_wait(driver, slot, MP_ST_CONNECTED | MP_ST_REFUSED);
	CHECK(driver->channels[slot].bits & MP_ST_CONNECTED);
}

static uint8_t pattern(uint64_t offset)
{
	return offset * 31 + (offset >> 8) * 7;
}

static uint32_t write_some(struct driver *driver, uint32_t slot, uint64_t offset, uint32_t len)
{
	static uint8_t buf[DRIVER_BUFFER];
	uint32_t status;

	for (uint32_t i = 0; i < len; i++)
		buf[i] = pattern(offset + i);
	status = driver_write(driver, slot, offset, buf, len);
	CHECK(status == MP_OK || status == MP_AGAIN);
	return status == MP_OK ? le32toh(driver_result(driver)->count) : 0;
}

static uint32_t read_some(struct driver *driver, uint32_t slot, uint64_t offset)
{
	uint32_t status = driver_read(driver, slot, offset, 10000), count;

	CHECK(status == MP_OK || status == MP_AGAIN);
	count = status == MP_OK ? le32toh(driver_result(driver)->count) : 0;
	for (uint32_t i = 0; i < count; i++)
		if (driver_in(driver)[i] != pattern(offset + i))
			FAIL("byte %llu is wrong", (unsigned long long)(offset + i));
	return count;
}

void driver_echo(struct driver *driver, uint32_t slot, uint32_t len)
{
	struct driver_channel *channel = &driver->channels[slot];
	uint32_t written = 0, read = 0, n;

	driver_open_channel(driver, slot, "echo");
	while (read < len) {
		if (written < len && channel->bits & MP_ST_OUT) {
			n = len - written < 30000 ? len - written : 30000;
			written += write_some(driver, slot, written, n);
		}
		if (channel->bits & MP_ST_IN)
			read += read_some(driver, slot, read);
		else if (written == len || !(channel->bits & MP_ST_OUT))
			driver_wait(driver, slot, MP_ST_IN | (written < len ? MP_ST_OUT : 0));
	}
	CHECK(driver_simple(driver, MP_OP_SHUTDOWN, slot, MP_SHUT_WRITE, len) == MP_OK);
	driver_wait(driver, slot, MP_ST_IN | MP_ST_IN_END);
	CHECK(driver_read(driver, slot, len, 100) == MP_OK);
	CHECK(channel->bits & MP_ST_IN_END);
	CHECK(driver_simple(driver, MP_OP_CLOSE, slot, 0, len) == MP_OK);
	driver_wait(driver, slot, MP_ST_CLOSED);
}

void driver_expect_alive(struct driver *driver)
{
	CHECK(!peer_is_broken(driver->peer));
	driver_echo(driver, driver->max_channels - 1, 100000);
}
