// SPDX-License-Identifier: MIT
/*
 * The queues of a classic port; see classic.c.
 *
 * Guest to service: the oldest open's chains, of which the first bytes are the name.
 * Service to guest: one read for each buffer, which goes back when it got something.
 */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "device/classic.h"

#define CHAIN_BYTES (1U << 20)	/* of one chain in one go */

/* --- Naming -------------------------------------------------------------- */

static void refuse_open(struct classic_open *open, const char *why)
{
	struct port *port = open->port;

	log_limited_here(LOG_LEVEL_WARNING, "%s: port %s: refused: %s",
		    port->device->config.guest, port->config.name, why);
	port->device->stats.refused++;
	open->is_discarding = true;
	if (open == port->classic.current)
		classic_lose_service(port);
}

static void connect_open(struct classic_open *open)
{
	struct classic *classic = &open->port->classic;
	const char *name = open->name;
	size_t len = open->name_len;
	const size_t prefix = sizeof(MP_NAME_PREFIX) - 1;
	struct channel *ch;

	if (len >= prefix && !memcmp(name, MP_NAME_PREFIX, prefix)) {
		name += prefix;
		len -= prefix;
	}
	if (len > MP_NAME_MAX) {
		refuse_open(open, "the name is too long");
		return;
	}
	if (classic->channel_count >= open->port->config.max_channels) {
		refuse_open(open, "too many channels still close");
		return;
	}
	ch = classic_create_channel(open);
	if (ch)
		connect_begin(ch, name, len);
	else
		refuse_open(open, "out of memory");
}

/* The name ends @len bytes behind what came before, with @mark. */
static void end_name(struct classic_open *open, size_t len, char mark)
{
	open->name_len += len;
	/* A newline may be CR LF: Windows guests have this driver only. */
	if (mark == '\n' && open->name_len && open->name[open->name_len - 1] == '\r')
		open->name_len--;
	connect_open(open);
}

/* Takes what belongs to the name out of @iov; returns how many bytes those were. */
static size_t take_name(struct classic_open *open, const struct iovec *iov, int count)
{
	char *name = open->name + open->name_len;
	size_t len = iov_copy_out(iov, count, 0, name, CLASSIC_NAME_SPACE - open->name_len);

	for (size_t i = 0; i < len; i++) {
		if (name[i] != '\0' && name[i] != '\n')
			continue;
		end_name(open, i, name[i]);
		return i + 1;
	}
	open->name_len += len;
	if (open->name_len == CLASSIC_NAME_SPACE)
		refuse_open(open, "the name is too long");
	return len;
}

/* --- Transmit: from the guest --------------------------------------------- */

static bool may_take(const struct classic_open *open)
{
	const struct channel *ch = open->channel;

	if (open->is_discarding || !ch)
		return true;
	return (ch->phase == CHANNEL_CONNECTED || ch->phase == CHANNEL_CLOSING) && !ch->out_wait;
}

/* Returns how many bytes of @iov are done with. */
static size_t send_bytes(struct classic_open *open, struct iovec *iov, int count)
{
	size_t size = iov_size(iov, count);
	struct channel *ch = open->channel;
	bool fault = false;
	size_t moved;

	/* A chain may describe more bytes than anybody has: some at a time. */
	moved = transfer_push(ch, iov, iov_clip(iov, count, CHAIN_BYTES), &fault);
	if (fault)
		channel_fail(ch);	/* as in lose_bytes() */
	if (ch->phase == CHANNEL_FAILED)
		classic_gone(ch);
	/* Gone with an error, also while closing; or the service takes no more. */
	if (!open->channel || ch->out_end) {
		open->is_discarding = true;
		return size;
	}
	return moved;
}

/*
 * The chain's bytes cannot be read, and a classic driver cannot be told to send them again. A
 * stream with a hole in it would look whole, so the service sees a failure in place of them.
 */
static void lose_bytes(struct queue *queue, struct classic_open *open,
		       const struct ring_chain *chain)
{
	struct channel *ch = open->channel;

	if (open->is_discarding)
		return;
	device_report_segments(queue->device, queue->ring->mem, chain->segments, chain->readable,
			       "the open that wrote there ends with an error");
	if (!ch) {
		refuse_open(open, "its name cannot be read");
		return;
	}
	channel_fail(ch);
	if (ch->phase == CHANNEL_FAILED)
		classic_gone(ch);
}

/* The chain is the oldest open's. */
static void handle_chain(struct queue *queue, struct classic_open *open,
			 const struct ring_chain *chain)
{
	struct device *device = queue->device;
	uint64_t *skip = &open->port->classic.tx_skip;
	struct iovec *iov = device->tx_request.iov;
	bool is_counted = open->is_ended;	/* else its end, if now, does not see this chain */
	size_t done = 0, size;
	int count = map_range(queue->ring->mem, chain->segments, chain->readable, *skip,
			      UINT64_MAX, iov, REQUEST_IOVS);

	if (count < 0) {
		lose_bytes(queue, open, chain);
		count = 0;
	}
	size = iov_size(iov, count);
	if (open->is_discarding)
		done = size;
	else if (open->channel)
		done = count ? send_bytes(open, iov, count) : 0;
	else
		done = take_name(open, iov, count);
	if (done < size) {
		*skip += done;
		ring_untake(queue->ring, chain->head);
		return;
	}
	*skip = 0;
	queue_give(queue, chain->head, 0);
	if (is_counted)
		open->chains_left--;
}

static void serve_tx(struct queue *queue)
{
	struct ring_chain *chain = &queue->device->tx_request.chain;
	struct list *opens = &queue->port->classic.opens;
	unsigned int chains = 0;
	int ret = 0;

	ring_want_kick(queue->ring, false);
	while (ret >= 0 && queue_has_budget(queue, &chains)) {
		struct classic_open *open = list_first(opens, struct classic_open, link);

		if (open && open->is_ended && !open->chains_left) {
			classic_retire(open);
			continue;
		}
		if (!open || !may_take(open))
			return;
		ret = ring_take(queue->ring, chain);
		if (ret > 0)
			handle_chain(queue, open, chain);
		else if (ret == 0 && open->is_ended)
			open->chains_left = 0;	/* the ring began anew */
		else if (ret == 0 && !ring_want_kick(queue->ring, true))
			return;
	}
	if (ret < 0)
		device_break(queue->device, "a transmit queue breaks the rules");
}

/* --- Receive: to the guest ------------------------------------------------- */

/* Reads once into the chain, which comes back only with bytes. Returns 0 or -errno. */
static int fill_chain(struct queue *queue, struct channel *ch, const struct ring_chain *chain)
{
	struct device *device = queue->device;
	struct iovec *iov = device->rx_request.iov;
	const struct ring_segment *writable = chain->segments + chain->readable;
	int count = map_range(queue->ring->mem, writable, chain->writable, 0, UINT64_MAX, iov,
			      REQUEST_IOVS);
	ssize_t n;

	if (count < 0)
		device_report_segments(device, queue->ring->mem, writable, chain->writable,
				       "a receive buffer cannot be written");
	if (count <= 0)
		return -EPROTO;
	/* A chain may name the same memory again and again: more bytes than a u32 can count. */
	count = iov_clip(iov, count, CHAIN_BYTES);
	n = ch->stream->ops->readv(ch->stream, iov, count < RING_MAX_SEGMENTS ? count :
				   RING_MAX_SEGMENTS);
	if (n > 0 && (uint64_t)n <= chain->writable_len) {
		queue_give(queue, chain->head, n);
		device->moved += n;
		device->stats.bytes_in += n;
		return 0;
	}
	ring_untake(queue->ring, chain->head);
	if (n == -EAGAIN) {
		ch->in_wait = true;
	} else if (n == 0) {
		ch->in_end = ch->is_drained = true;
		classic_lose_service(ch->port);
	} else if (n == -EFAULT) {
		mem_guard_probe(iov, count);
		return -EPROTO;		/* the driver's own memory, and it cannot be told */
	} else {
		channel_fail(ch);
		classic_gone(ch);
	}
	return 0;
}

/* The channel whose bytes the guest may read now, or NULL. */
static struct channel *reading_channel(const struct port *port)
{
	const struct classic *classic = &port->classic;
	struct channel *ch = classic->current ? classic->current->channel : NULL;

	if (!classic->guest_open || !ch || ch->phase != CHANNEL_CONNECTED || ch->in_wait ||
	    ch->in_end)
		return NULL;
	return ch;
}

static void serve_rx(struct queue *queue)
{
	struct ring_chain *chain = &queue->device->rx_request.chain;
	unsigned int chains = 0;
	struct channel *ch;
	int ret = 0;

	ring_want_kick(queue->ring, false);
	while (ret >= 0 && (ch = reading_channel(queue->port)) &&
	       queue_has_budget(queue, &chains)) {
		ret = ring_take(queue->ring, chain);
		if (ret > 0)
			ret = fill_chain(queue, ch, chain);
		else if (ret == 0 && !ring_want_kick(queue->ring, true))
			return;
	}
	if (ret < 0)
		device_break(queue->device, "a receive queue breaks the rules");
}

void classic_serve(struct queue *queue)
{
	if (queue->kind == QUEUE_RX)
		serve_rx(queue);
	else
		serve_tx(queue);
}

void classic_readable(struct channel *ch)
{
	queue_serve(ch->port->rx);
}

void classic_writable(struct channel *ch)
{
	queue_serve(ch->port->tx);
}

