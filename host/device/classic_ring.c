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
#include "device/map.h"

#define CHAIN_BYTES (1U << 20)	/* of one chain in one go */

/* --- Naming -------------------------------------------------------------- */

static void refuse_open(struct classic_open *open, const char *why)
{
	struct port *port = open->port;

	log_limited_here(LOG_LEVEL_WARNING, "%s: port %s: refused: %s",
		    port->device->config.core.guest, port->config.gate.name, why);
	port->device->core.stats.refused++;
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
	struct classic_channel *channel;

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
	channel = classic_create_channel(open);
	if (!channel) {
		refuse_open(open, "out of memory");
		return;
	}
	connect_begin(&channel->channel, name, len);
	classic_look(channel);
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
	const struct channel *ch;

	if (open->is_discarding || !open->channel)
		return true;
	ch = &open->channel->channel;
	return (ch->phase == CHANNEL_CONNECTED || ch->phase == CHANNEL_CLOSING) &&
	       !ch->out.is_armed;
}

/* Bytes for the service are lost: it sees a failure in place of them. */
static void fail(struct classic_channel *channel)
{
	if (!channel_is_over(&channel->channel))
		close_fail(&channel->channel);
	classic_look(channel);
}

/* Returns how many bytes of @iov are done with. */
static size_t send_bytes(struct classic_open *open, struct iovec *iov, int count)
{
	size_t size = iov_size(iov, count);
	struct classic_channel *channel = open->channel;
	/* A chain may describe more bytes than a driver has: some at a time. */
	struct bytes bytes = { .iov = iov, .count = iov_clip(iov, count, CHAIN_BYTES) };
	enum moved result = transfer_write(&channel->channel, &bytes);

	if (result == MOVED_FAULT) {
		mem_guard_probe(bytes.iov, bytes.count);
		fail(channel);
	} else {
		classic_look(channel);
	}
	/* Gone with an error, also while closing; or the service takes no more. */
	if (!open->channel || channel->channel.out.has_ended) {
		open->is_discarding = true;
		return size;
	}
	return bytes.moved;
}

/*
 * The chain's bytes cannot be read, and a classic driver cannot be told to send them again. A
 * stream with a hole in it would look whole, so the service sees a failure in place of them.
 */
static void lose_bytes(struct queue *queue, struct classic_open *open,
		       const struct ring_chain *chain)
{
	if (open->is_discarding)
		return;
	queue_report_missing(queue, map_readable(chain),
			     "the open that wrote there ends with an error");
	if (open->channel)
		fail(open->channel);
	else
		refuse_open(open, "its name cannot be read");
}

int classic_ring_send(struct queue *queue, const struct ring_chain *chain)
{
	struct classic *classic = &queue->port->classic;
	struct classic_open *open = list_first(&classic->opens, struct classic_open, link);
	struct iovec *iov = queue->scratch->iov;
	size_t done = 0, size;
	bool is_counted;		/* else its end, if now, does not see this chain */
	int count;

	if (!open || !may_take(open))
		return -EAGAIN;
	is_counted = open->is_ended;
	count = map_range(queue->ring->mem, map_readable(chain), classic->tx_skip, UINT64_MAX,
			  iov, CHAIN_IOVS);
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
		classic->tx_skip += done;
		ring_untake(queue->ring, chain->head);
		return 1;
	}
	classic->tx_skip = 0;
	queue_give(queue, chain->head, 0);
	if (is_counted)
		open->chains_left--;
	classic_retire(queue->port);
	return 1;
}

/* --- Receive: to the guest ------------------------------------------------- */

/* The channel whose bytes the guest may read now, or NULL. */
static struct classic_channel *reading_channel(const struct port *port)
{
	const struct classic *classic = &port->classic;
	struct classic_channel *channel = classic->current ? classic->current->channel : NULL;
	const struct channel *ch;

	if (!port->kept->guest_open || !channel)
		return NULL;
	ch = &channel->channel;
	if (ch->phase != CHANNEL_CONNECTED || ch->in.is_armed || ch->in.has_ended)
		return NULL;
	return channel;
}

/* Reads once into the chain, which comes back only with bytes. */
int classic_ring_fill(struct queue *queue, const struct ring_chain *chain)
{
	struct bytes bytes = { .iov = queue->scratch->iov, .is_once = true };
	struct classic_channel *channel = reading_channel(queue->port);
	enum moved result;
	int count;

	if (!channel)
		return -EAGAIN;
	count = map_range(queue->ring->mem, map_writable(chain), 0, UINT64_MAX, bytes.iov,
			  CHAIN_IOVS);
	if (count <= 0)
		return queue_report_missing(queue, map_writable(chain),
					    "a receive buffer cannot be written");
	/* A chain may name the same memory again and again: more bytes than a u32 can count. */
	bytes.count = iov_clip(bytes.iov, count, CHAIN_BYTES);
	result = transfer_read(&channel->channel, &bytes);
	if (result == MOVED_ALL) {
		queue_give(queue, chain->head, bytes.moved);
		return 1;
	}
	if (result == MOVED_FAULT) {
		mem_guard_probe(bytes.iov, bytes.count);
		return -EPROTO;		/* the driver's own memory, and it cannot be told */
	}
	if (result == MOVED_END)
		classic_lose_service(channel->port);
	classic_look(channel);
	return -EAGAIN;
}
