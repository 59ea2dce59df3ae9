// SPDX-License-Identifier: MIT
/*
 * See connection.h. The guest's socket is a socket_stream, as the service's may be: it reports its
 * edges to this file by the same calls, in place of the core.
 *
 *	naming		reads exactly the name; a time limit
 *	connecting	waits for the core
 *	named		moves bytes both ways, until the channel is closed
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/connection.h>

#include "channel/channel.h"
#include "connection/connection.h"
#include "service/socket_stream.h"

#define NAMING_MS    5000
#define MAX_UNNAMED  64			/* connections that have not named */
#define MOVE_BYTES   65536		/* by one call */
#define MOVE_ROUNDS  16			/* before the others have their turn */

/* Bytes that one socket gave and the other has not taken. */
struct held {
	char *bytes;			/* NULL: none */
	size_t at, len;
};

struct connection {
	struct channel channel;		/* first: the core frees the record */
	struct socket_stream near;	/* the guest's socket */
	struct mp_peer peer;		/* what near calls */
	struct connections *all;
	struct list link;
	struct timer naming;
	struct work more;
	struct held out, in;		/* to the service, to the guest */
	bool is_named;			/* connect_begin() was called */
	bool is_answered;
	bool has_sent_end;		/* the guest sends no more, and all of it is read */
	bool has_got_end;		/* the guest was told that no more comes */
	bool is_deaf;			/* and was told that the service takes no more */
	bool is_gone;			/* the guest takes no more either */
	uint16_t got;			/* bytes of request */
	struct {
		struct mp_naming header;
		char name[MP_NAME_MAX];
	} request;
};

static char scratch[MOVE_BYTES];	/* of the one thread; valid in one call */

static struct connection *of_channel(struct channel *ch)
{
	return container_of(ch, struct connection, channel);
}

/* --- The end ---------------------------------------------------------------- */

/* The record is the core's to free. */
static void drop(struct connection *c, enum mp_end how)
{
	socket_stream_detach(&c->near, how);
	list_del(&c->link);
	core_stop_timer(&c->all->core, &c->naming);
	list_del(&c->more.link);
	if (!c->is_named)
		c->all->unnamed--;
	free(c->out.bytes);
	free(c->in.bytes);
	channel_drop(&c->channel);
}

/* The guest has reset its connection, or broke the rules of clause 16. */
static void give_up(struct connection *c)
{
	if (c->is_named && c->channel.phase != CHANNEL_CLOSED)
		close_abort(&c->channel);
	drop(c, MP_END_ABORT);
}

/*
 * The guest has closed: what it sent before still reaches the service, and what the service says
 * has no reader. The record stays until the core is done.
 */
static void leave(struct connection *c)
{
	if (c->is_gone)
		return;
	c->is_gone = true;
	free(c->in.bytes);
	c->in = (struct held){ 0 };
	close_begin(&c->channel, c->has_sent_end ? c->channel.out.offset : OFFSET_NONE);
}

/* --- Bytes ------------------------------------------------------------------ */

/* What was not taken of @len bytes at @bytes is kept. False without memory. */
static bool keep(struct held *held, const char *bytes, size_t len)
{
	held->at = 0;
	held->len = len;
	if (!len)
		return true;
	held->bytes = malloc(len);
	if (held->bytes)
		memcpy(held->bytes, bytes, len);
	return held->bytes;
}

static void took(struct held *held, size_t len)
{
	held->at += len;
	held->len -= len;
	if (held->len)
		return;
	free(held->bytes);
	held->bytes = NULL;
}

/*
 * How many of @len bytes the service took, 0: none now. What a service that has ended does not take
 * is lost, as to a socket; what it said before is still the guest's.
 */
static ssize_t give_service(struct connection *c, const char *bytes, size_t len)
{
	struct iovec iov = { .iov_base = (char *)bytes, .iov_len = len };
	struct bytes moving = { .iov = &iov, .count = 1 };
	enum moved result = transfer_write(&c->channel, &moving);

	return result == MOVED_END || result == MOVED_FAILED ? (ssize_t)len : (ssize_t)moving.moved;
}

static ssize_t give_guest(struct connection *c, const char *bytes, size_t len)
{
	struct iovec iov = { .iov_base = (char *)bytes, .iov_len = len };
	ssize_t n = socket_stream_writev(&c->near.stream, &iov, 1);

	return n == -EAGAIN ? 0 : n;
}

typedef ssize_t give_fn(struct connection *c, const char *bytes, size_t len);

/*
 * Gives @len bytes, or those that are held if it is 0. Returns 1 when some went, 0, or -errno. A
 * part is no sign that the socket is full: an edge follows only a call that moved nothing.
 */
static int pass_on(struct connection *c, struct held *held, size_t len, give_fn *give)
{
	ssize_t n;

	if (held->len) {
		n = give(c, held->bytes + held->at, held->len);
		if (n > 0)
			took(held, n);
	} else {
		n = give(c, scratch, len);
		if (n >= 0 && !keep(held, scratch + n, len - n))
			return -ENOMEM;
	}
	return n < 0 ? n : n > 0;
}

/* The guest sends no more. */
static void note_end(struct connection *c)
{
	c->has_sent_end = true;
	if (c->is_gone)
		close_at_offset(&c->channel, c->channel.out.offset);
	else
		close_shut(&c->channel, MP_SHUT_WRITE, c->channel.out.offset);
}

/* From the guest to the service. Returns 1 for more, 0: nothing now, -errno: the guest is lost. */
static int move_out(struct connection *c)
{
	struct iovec iov = { .iov_base = scratch, .iov_len = sizeof(scratch) };
	const struct half *out = &c->channel.out;
	ssize_t n;

	if (c->has_sent_end || out->is_armed || out->has_ended)
		return 0;
	if (c->out.len)
		return pass_on(c, &c->out, 0, give_service);
	n = socket_stream_readv(&c->near.stream, &iov, 1);
	/* A unix socket has no reset: so it says that the other end went with our bytes unread. */
	if (n == -ECONNRESET && c->near.local && !c->near.is_broken)
		n = 0;
	if (n > 0)
		return pass_on(c, &c->out, n, give_service);
	if (!n)
		note_end(c);
	return n == -EAGAIN ? 0 : n;
}

/* From the service to the guest. */
static int move_in(struct connection *c)
{
	struct iovec iov = { .iov_base = scratch, .iov_len = sizeof(scratch) };
	struct bytes bytes = { .iov = &iov, .count = 1, .is_once = true };

	if (c->is_gone || c->near.owes_writable)
		return 0;
	if (c->in.len)
		return pass_on(c, &c->in, 0, give_guest);
	if (c->channel.phase != CHANNEL_CONNECTED)
		return 0;
	transfer_read(&c->channel, &bytes);
	return bytes.moved ? pass_on(c, &c->in, bytes.moved, give_guest) : 0;
}

static bool is_live(const struct connection *c)
{
	return c->channel.phase == CHANNEL_CONNECTED || c->channel.phase == CHANNEL_CLOSING;
}

/* Some rounds, so that the others have their turn. False: the connection is gone. */
static bool move_bytes(struct connection *c)
{
	int out = 1, in = 1, rounds = MOVE_ROUNDS;

	while ((out > 0 || in > 0) && rounds--) {
		out = is_live(c) ? move_out(c) : 0;
		in = out < 0 ? 0 : move_in(c);
		if (out < 0 || in == -ENOMEM) {
			give_up(c);
			return false;
		}
		if (in < 0)
			leave(c);
	}
	if (out > 0 || in > 0)
		core_defer(&c->all->core, &c->more);
	return true;
}

/* --- Ends ------------------------------------------------------------------- */

/* What the guest is to be told of the channel's end, when all bytes before it are on their way. */
static void tell_end(struct connection *c)
{
	const struct channel *ch = &c->channel;

	if (c->in.len || c->is_gone)
		return;
	if (ch->phase == CHANNEL_FAILED) {
		drop(c, MP_END_CUT);
		return;
	}
	/* The guest's writes end, as they would on the service's own socket. */
	if (ch->out.has_ended && !c->has_sent_end && !c->is_deaf) {
		c->is_deaf = true;
		socket_stream_shutdown(&c->near.stream, MP_SHUT_READ);
	}
	if (ch->in.has_ended && !c->has_got_end) {
		c->has_got_end = true;
		socket_stream_shutdown(&c->near.stream, MP_SHUT_WRITE);
	}
	if (c->has_got_end && (c->has_sent_end || ch->out.has_ended))
		leave(c);
	if (ch->phase == CHANNEL_CLOSED)
		drop(c, MP_END_WHOLE);
}

static void move(struct connection *c)
{
	if (!move_bytes(c))
		return;
	if (c->is_gone && c->channel.phase == CHANNEL_CLOSED)
		drop(c, MP_END_WHOLE);
	else
		tell_end(c);
}

/* --- Naming ----------------------------------------------------------------- */

/* The outcome, once. A socket that is new has room for it. */
static bool answer(struct connection *c)
{
	struct channel *ch = &c->channel;
	const struct mp_named named = {
		.magic = htole32(MP_CONNECTION_MAGIC),
		.version = htole16(MP_CONNECTION_VERSION),
		.reason = htole16(ch->phase == CHANNEL_REFUSED ? ch->cause : MP_REASON_NONE),
	};
	const struct iovec iov = { .iov_base = (void *)&named, .iov_len = sizeof(named) };

	c->is_answered = true;
	return socket_stream_writev(&c->near.stream, &iov, 1) == sizeof(named);
}

static void look(struct connection *c)
{
	struct channel *ch = &c->channel;

	if (!c->is_named || ch->phase == CHANNEL_CONNECTING)
		return;
	if (!c->is_answered && !answer(c))
		give_up(c);
	else if (ch->phase == CHANNEL_REFUSED)
		drop(c, MP_END_WHOLE);
	else
		move(c);
}

/* Any version: a later one says what it has more behind this, and is answered with ours. */
static bool is_known(const struct mp_naming *header)
{
	return le32toh(header->magic) == MP_CONNECTION_MAGIC && header->version;
}

/* Reads exactly the request: what follows is the channel's. Returns 1: it is there, 0 or -errno. */
static int read_request(struct connection *c)
{
	size_t len = sizeof(c->request.header);
	struct iovec iov;
	ssize_t n;

	for (;;) {
		if (c->got >= sizeof(c->request.header))
			len = sizeof(c->request.header) + le16toh(c->request.header.name_len);
		if (len > sizeof(c->request) ||
		    (c->got >= sizeof(c->request.header) && !is_known(&c->request.header)))
			return -EPROTO;
		if (c->got == len && len > sizeof(c->request.header))
			return 1;
		if (c->got == len)
			return -EPROTO;		/* no name */
		iov.iov_base = (char *)&c->request + c->got;
		iov.iov_len = len - c->got;
		n = socket_stream_readv(&c->near.stream, &iov, 1);
		if (n <= 0)
			return n == -EAGAIN ? 0 : n ? n : -ECONNRESET;
		c->got += n;
	}
}

static void name(struct connection *c)
{
	int ret = read_request(c);

	if (ret < 0)
		give_up(c);
	if (ret <= 0)
		return;
	core_stop_timer(&c->all->core, &c->naming);
	c->is_named = true;
	c->all->unnamed--;
	connect_begin(&c->channel, c->request.name, c->got - sizeof(c->request.header));
	look(c);
}

/* --- What calls us ---------------------------------------------------------- */

static void changed(struct channel *ch)
{
	look(of_channel(ch));
}

static void go_on(struct work *work)
{
	look(container_of(work, struct connection, more));
}

static void naming_expired(struct timer *timer)
{
	struct connection *c = container_of(timer, struct connection, naming);

	log_limited_here(LOG_LEVEL_WARNING, "%s: port %s: a connection said no name for %d s",
			 c->all->core.config.guest, c->all->gate.name, NAMING_MS / 1000);
	give_up(c);
}

static void near_moves(struct mp_peer *peer)
{
	struct connection *c = container_of(peer, struct connection, peer);
	struct core *core = &c->all->core;

	if (c->is_named)
		look(c);
	else
		name(c);
	core_settle(core);
}

/* Does the guest still read? A vsock whose other end is closed does not say so by an event. */
static bool is_heard(const struct connection *c, uint16_t how)
{
	if (how & MP_SHUT_WRITE)
		return false;
	return c->near.local || send(c->near.fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
	       errno == EAGAIN;
}

/* The guest has ended one direction or both; with both no process holds the connection. */
static void near_hung_up(struct mp_peer *peer, uint16_t how)
{
	struct connection *c = container_of(peer, struct connection, peer);
	struct core *core = &c->all->core;

	if (!c->is_named || c->is_gone || c->is_deaf || is_heard(c, how))
		return;
	leave(c);
	look(c);
	core_settle(core);
}

static const struct mp_peer_ops peer_ops = {
	.readable = near_moves, .writable = near_moves, .hung_up = near_hung_up,
};

/* --- All of them ------------------------------------------------------------ */

bool connection_begin(struct connections *all, int fd)
{
	struct mp_opener opener = { .uid = UINT32_MAX, .gid = UINT32_MAX, .pid = UINT32_MAX };
	struct connection *c = NULL;

	if (all->unnamed < MAX_UNNAMED)
		c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return false;
	}
	opener.channel = all->made++;
	opener.generation = 1;
	all->unnamed++;
	c->all = all;
	c->peer.ops = &peer_ops;
	list_init(&c->link);
	work_init(&c->more, go_on);
	channel_init(&c->channel, &all->core, changed, &all->gate, &opener);
	socket_stream_init(&c->near, NULL, &c->peer, all->gate.name);
	list_add_tail(&all->all, &c->link);
	if (socket_stream_attach(&c->near, all->loop, fd)) {
		close(fd);
		drop(c, MP_END_ABORT);
		core_settle(&all->core);
		return false;
	}
	core_start_timer(&all->core, &c->naming, NAMING_MS, naming_expired);
	name(c);
	core_settle(&all->core);
	return true;
}

void connections_init(struct connections *all, struct loop *loop, const struct gate *gate,
		      const struct core_config *config, const struct core_env *env)
{
	memset(all, 0, sizeof(*all));
	all->loop = loop;
	all->gate = *gate;
	list_init(&all->all);
	core_init(&all->core, config, env, core_settle);
}

void connections_end(struct connections *all)
{
	struct list *link;

	while ((link = list_pop(&all->all))) {
		struct connection *c = list_entry(link, struct connection, link);

		socket_stream_detach(&c->near, MP_END_ABORT);
		core_stop_timer(&all->core, &c->naming);
		list_del(&c->more.link);
		free(c->out.bytes);
		free(c->in.bytes);
		channel_leave(&c->channel, MP_END_CUT);
	}
	all->unnamed = 0;
	core_settle(&all->core);
}

void connections_exit(struct connections *all)
{
	core_exit(&all->core);
}
