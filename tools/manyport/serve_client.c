// SPDX-License-Identifier: MIT
/*
 * A client of manyport serve: a connection, and its lane of the link. See server.h.
 *
 * What a client sends is read into the frame that carries it, in its turn; what comes for it goes
 * out of the frame into its socket, and only what the socket does not take stays with the lane. So
 * each side's flow control is the other's.
 *
 * A client that closes is not over yet: what it sent before is read and carried to the end, and
 * what comes for it is dropped. Its slot is free when the device says CLOSED.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "server.h"
#include "serve_naming.h"

#define NAMING_MS   5000
#define WAITING_MS  5000		/* for a session */
#define MAX_UNNAMED 256			/* at the door, who have not named */
#define MAX_UNNAMED_OF_USER 64

/*
 * CLIENT_NAMES:	reads exactly the name; a time limit. No lane.
 * CLIENT_WAITS:	has named; there is no session, for a limited time. No lane.
 * CLIENT_CONNECTS:	the device was asked. From here on there is a lane.
 * CLIENT_OPEN:		bytes move.
 * CLIENT_CLOSES:	the socket is closed; CLOSE is owed or sent, and CLOSED frees the record.
 */
enum client_phase { CLIENT_NAMES, CLIENT_WAITS, CLIENT_CONNECTS, CLIENT_OPEN, CLIENT_CLOSES };

struct client {
	struct lane lane;
	struct socket_stream near;	/* the client's socket */
	struct mp_peer peer;		/* what near calls */
	struct serve *serve;
	struct list link;		/* in serve->clients */
	struct opening *opening;	/* until the device has answered */
	struct serve_holder *holder;	/* of the socket's other end, or NULL */
	enum client_phase phase;
	uint16_t told;			/* the state that the device told last */
	uint16_t owed_shut;		/* MP_SHUT_*: of a SHUTDOWN that is owed */
	bool has_sent_end;		/* the client sends no more, and all of it was carried */
	bool has_got_end;		/* the client was told that no more comes */
	bool is_refused;		/* the client was told that the service takes no more */
	bool is_deaf;			/* the client takes no more */
	bool is_gone;			/* and its process has closed the socket */
	bool aborts;
	bool has_left;			/* a CLOSE is owed, or was sent, whose offset comes later */
	bool has_closed;		/* the last CLOSE was sent */
};

/* What only the begin needs. */
struct opening {
	struct client *client;
	struct list waits;		/* in serve->naming or serve->waiting */
	struct loop_timer limit;
	struct naming naming;
};

static struct client *of_lane(struct lane *lane)
{
	return container_of(lane, struct client, lane);
}

static bool has_lane(const struct client *c)
{
	return c->phase >= CLIENT_CONNECTS;
}

/* --- The end -------------------------------------------------------------------- */

static void forget_opening(struct client *c)
{
	struct opening *opening = c->opening;

	if (!opening)
		return;
	c->opening = NULL;
	loop_timer_stop(&opening->limit);
	list_del(&opening->waits);
	free(opening);
}

void serve_client_let_go(struct serve_holder *holder)
{
	if (holder->client)
		holder->client->holder = NULL;
	holder->client = NULL;
}

static void tell_holder(struct client *c, enum mp_end how)
{
	struct serve_holder *holder = c->holder;

	if (!holder)
		return;
	serve_client_let_go(holder);
	holder->has_failed = how == MP_END_ABORT;
	holder->changed(holder);
}

/* There is no lane, or it is detached. */
static void client_free(struct client *c, enum mp_end how)
{
	forget_opening(c);
	tell_holder(c, how);
	socket_stream_detach(&c->near, how);
	list_del(&c->link);
	free(c);
}

static void slot_is_free(struct serve *serve, uint32_t slot)
{
	serve->free_slots[serve->free_count++] = slot;
}

/* The client is done, or is done with; the device is still to be told. */
static void leave(struct client *c, enum mp_end how)
{
	forget_opening(c);
	c->phase = CLIENT_CLOSES;
	tell_holder(c, how);
	socket_stream_detach(&c->near, how);
	link_set_takes(c->serve->link, &c->lane, LANE_DROPS);
	if (c->aborts)
		link_end_data(c->serve->link, &c->lane);
	link_owe(c->serve->link, &c->lane, LANE_CLOSE);
}

static void give_up(struct client *c)
{
	c->aborts = true;
	if (has_lane(c))
		leave(c, MP_END_ABORT);
	else
		client_free(c, MP_END_ABORT);
}

/* The outcome of the name, which ends it. */
static void refuse(struct client *c, enum mp_reason reason)
{
	const struct naming *naming = &c->opening->naming;
	char name[64];

	log_limited_here(LOG_LEVEL_WARNING, "user %u, process %u: '%s' was refused (reason %u)",
			 naming->opener.uid, naming->opener.pid,
			 log_escape(name, sizeof(name), naming->opener.name,
				    naming->opener.name_len), reason);
	naming_answer(naming, &c->near, reason);
	if (has_lane(c))
		leave(c, MP_END_WHOLE);
	else
		client_free(c, MP_END_WHOLE);
}

/* --- Bytes ---------------------------------------------------------------------- */

/* What is to become of a client for which nothing is held. */
static void look_at_ends(struct client *c)
{
	bool is_failed = c->told & MP_ST_FAILED;

	if (c->phase != CLIENT_OPEN || c->lane.held_len)
		return;
	if (is_failed) {
		leave(c, MP_END_ABORT);
		return;
	}
	/* The client's writes end, as they would on the service's own socket. */
	if ((c->told & MP_ST_OUT_END) && !c->has_sent_end && !c->is_refused) {
		c->is_refused = true;
		socket_stream_shutdown(&c->near.stream, MP_SHUT_READ);
		/* A socket with full buffers does not say so. */
		if (c->holder)
			c->holder->changed(c->holder);
	}
	if ((c->told & MP_ST_IN_END) && !c->has_got_end) {
		c->has_got_end = true;
		socket_stream_shutdown(&c->near.stream, MP_SHUT_WRITE);
	}
	if ((c->has_got_end || c->is_gone) && (c->has_sent_end || c->is_refused))
		leave(c, MP_END_WHOLE);
}

/* The client sends no more, and what it sent is carried. */
static void note_end(struct client *c)
{
	c->has_sent_end = true;
	if (!c->is_gone) {
		c->owed_shut |= MP_SHUT_WRITE;
		link_owe(c->serve->link, &c->lane, LANE_SHUTDOWN);
	}
	look_at_ends(c);
}

/* A device whose service takes nothing is to know that no process waits for it. Once. */
static void say_gone(struct client *c)
{
	if (c->has_left)
		return;
	c->has_left = true;
	link_owe(c->serve->link, &c->lane, LANE_LEAVE);
}

static uint32_t produce(void *context, struct lane *lane, void *buf, uint32_t max)
{
	struct client *c = of_lane(lane);
	struct iovec iov = { .iov_base = buf, .iov_len = max };
	ssize_t n;

	(void)context;
	if (c->phase != CLIENT_OPEN || c->has_sent_end || c->is_refused)
		return 0;
	n = socket_stream_readv(&c->near.stream, &iov, 1);
	if (n == (ssize_t)max && c->is_gone)
		say_gone(c);
	if (n > 0)
		return n;
	/* A unix socket has no reset: so it says that the client went with bytes unread. */
	if (!n || (n == -ECONNRESET && !c->near.is_broken))
		note_end(c);
	else if (n != -EAGAIN)
		give_up(c);
	return 0;
}

/* The client's socket takes no more: what is held, and what comes, is dropped. */
static void note_deaf(struct client *c)
{
	c->is_deaf = true;
	link_set_takes(c->serve->link, &c->lane, LANE_DROPS);
	if (c->is_gone)
		return;
	c->owed_shut |= MP_SHUT_READ;
	link_owe(c->serve->link, &c->lane, LANE_SHUTDOWN);
}

static uint32_t consume(void *context, struct lane *lane, const void *buf, uint32_t len)
{
	struct client *c = of_lane(lane);
	uint32_t taken = 0;
	ssize_t n = 0;

	(void)context;
	if (c->phase != CLIENT_OPEN || c->is_deaf)
		return len;
	if (c->near.owes_writable)
		return 0;
	/* A part is no sign that the socket is full: an edge follows EAGAIN only. */
	while (n >= 0 && taken < len) {
		struct iovec iov = { (char *)buf + taken, len - taken };

		n = socket_stream_writev(&c->near.stream, &iov, 1);
		if (n > 0)
			taken += n;
	}
	if (n >= 0 || n == -EAGAIN)
		return taken;
	note_deaf(c);
	return len;
}

/* No memory for bytes that were granted. */
static void lost(void *context, struct lane *lane)
{
	(void)context;
	if (of_lane(lane)->phase != CLIENT_CLOSES)
		give_up(of_lane(lane));
}

/* --- To the device ---------------------------------------------------------------- */

static void fill(void *context, struct lane *lane, struct frame *frame, void *body)
{
	struct client *c = of_lane(lane);

	(void)context;
	frame->offset = lane->out.offset;
	if (frame->type == MP_FRAME_CONNECT) {
		frame->length = frame_put_connect(body, &c->opening->naming.opener);
		frame->offset = 0;
	} else if (frame->type == MP_FRAME_SHUTDOWN) {
		frame->flags = c->owed_shut;
		c->owed_shut = 0;
	} else {
		frame->flags = c->aborts ? MP_CLOSE_ABORT : 0;
		c->has_closed = true;
	}
}

static void connect_client(struct client *c)
{
	struct serve *serve = c->serve;
	uint32_t slot = serve->free_slots[--serve->free_count];

	if (!++serve->generations[slot])
		serve->generations[slot] = 1;
	loop_timer_stop(&c->opening->limit);
	link_attach(serve->link, &c->lane, slot, serve->generations[slot], loop_now(serve->loop));
	c->phase = CLIENT_CONNECTS;
	link_owe(serve->link, &c->lane, LANE_CONNECT);
}

static void connect_or_refuse(struct client *c)
{
	if (c->serve->free_count)
		connect_client(c);
	else
		refuse(c, MP_REASON_BUSY);
}

/* --- From the device ---------------------------------------------------------------- */

/* Every state that a device may tell [protocol.md 7.1, 15.4]. False: it may not tell this. */
static bool is_possible(const struct client *c, uint16_t state)
{
	uint16_t answer = state & (MP_ST_REFUSED | MP_ST_CONNECTED);

	if (c->lane.owed & LANE_CONNECT)
		return false;		/* the device cannot know of it */
	if (state & MP_ST_CLOSED)
		return c->has_closed || c->has_left;
	return answer == MP_ST_CONNECTED ||
	       (answer == MP_ST_REFUSED && c->phase != CLIENT_OPEN);
}

static void connected(struct client *c)
{
	bool is_taken = naming_answer(&c->opening->naming, &c->near, MP_REASON_NONE);

	forget_opening(c);
	c->phase = CLIENT_OPEN;
	if (!is_taken) {
		give_up(c);
		return;
	}
	link_set_takes(c->serve->link, &c->lane, c->is_gone ? LANE_DROPS : LANE_BYTES);
	link_owe(c->serve->link, &c->lane, LANE_DATA);
}

/* A client takes NONE for being let in. */
static enum mp_reason refusal_of(const struct frame *frame)
{
	bool is_one = frame->offset != MP_REASON_NONE && frame->offset <= MP_REASON_MAX;

	return is_one ? frame->offset : MP_REASON_RESET;
}

static bool message(void *context, struct lane *lane, const struct frame *frame)
{
	struct client *c = of_lane(lane);
	struct serve *serve = context;

	if (!is_possible(c, frame->flags))
		return false;
	c->told = frame->flags;
	if ((c->told & MP_ST_IN_END) && lane->takes == LANE_BYTES)
		link_set_takes(serve->link, lane, LANE_NOTHING);
	if (c->told & MP_ST_CLOSED) {
		slot_is_free(serve, lane->slot);
		link_detach(serve->link, lane);
		client_free(c, MP_END_WHOLE);
		return true;
	}
	if (c->phase == CLIENT_CONNECTS && (c->told & MP_ST_REFUSED))
		refuse(c, refusal_of(frame));
	else if (c->phase == CLIENT_CONNECTS)
		connected(c);
	look_at_ends(c);
	return true;
}

/* The session is gone. A client whose name was not answered yet is told so. */
static void cut(void *context, struct lane *lane)
{
	struct client *c = of_lane(lane);

	(void)context;
	if (c->phase == CLIENT_CONNECTS)
		naming_answer(&c->opening->naming, &c->near, MP_REASON_RESET);
	client_free(c, MP_END_ABORT);
}

/* --- Sessions ----------------------------------------------------------------------- */

static void nonce(void *context, uint8_t *bytes)
{
	(void)context;
	while (getrandom(bytes, MP_NONCE_SIZE, 0) != MP_NONCE_SIZE)
		;
}

static void begin(void *context, const struct link_session_peer *peer)
{
	struct serve *serve = context;
	struct list *link;

	serve->slots = peer->max_channels < SERVE_SLOTS ? peer->max_channels : SERVE_SLOTS;
	serve->free_count = 0;
	for (uint32_t slot = serve->slots; slot--; ) {
		serve->generations[slot] = 0;
		slot_is_free(serve, slot);
	}
	log_limited_here(LOG_LEVEL_INFO, "the host is there: up to %u channels", serve->slots);
	while ((link = list_pop(&serve->waiting)))
		connect_or_refuse(list_entry(link, struct opening, waits)->client);
}

static void end(void *context, enum link_session_why why)
{
	static const char *const text[] = {
		[SESSION_STOPPED] = "the stream has ended, or the host has closed it",
		[SESSION_RESTARTED] = "the host's daemon started anew",
		[SESSION_LOST] = "bytes were lost on the stream",
		[SESSION_BROKEN] = "the host broke a rule of the protocol",
		[SESSION_SILENT] = "the host does not answer",
	};
	struct serve *serve = context;

	serve->slots = 0;
	log_limited_here(LOG_LEVEL_WARNING, "all channels are cut: %s", text[why]);
}

/* --- Naming ------------------------------------------------------------------------- */

/* A name, or a session, has not come in time. */
static void limit_passed(struct loop_timer *timer)
{
	struct client *c = container_of(timer, struct opening, limit)->client;

	if (c->phase == CLIENT_WAITS) {
		refuse(c, MP_REASON_TIMED_OUT);
		return;
	}
	log_limited_here(LOG_LEVEL_WARNING, "a client said no name for %d s", NAMING_MS / 1000);
	client_free(c, MP_END_ABORT);
}

/* Its name is known. */
static void named(struct client *c)
{
	struct serve *serve = c->serve;

	c->phase = CLIENT_WAITS;
	list_del(&c->opening->waits);
	if (serve->slots) {
		connect_or_refuse(c);
	} else {
		list_add_tail(&serve->waiting, &c->opening->waits);
		loop_timer_start(&c->opening->limit, WAITING_MS);
	}
}

static void read_name(struct client *c)
{
	int ret = naming_read(&c->opening->naming, &c->near);

	if (ret > 0) {
		named(c);
	} else if (ret < 0) {
		if (ret != -ECONNRESET)
			log_limited_here(LOG_LEVEL_WARNING, "user %u, process %u: what it said is "
					 "no name", c->opening->naming.opener.uid,
					 c->opening->naming.opener.pid);
		client_free(c, MP_END_WHOLE);
	}
}

/* --- What the client's socket reports -------------------------------------------------- */

static void readable(struct mp_peer *peer)
{
	struct client *c = container_of(peer, struct client, peer);
	struct serve *serve = c->serve;

	if (c->phase == CLIENT_NAMES)
		read_name(c);
	else if (c->phase == CLIENT_OPEN)
		link_owe(serve->link, &c->lane, LANE_DATA);
	pump_flush(&serve->pump);
}

static void writable(struct mp_peer *peer)
{
	struct client *c = container_of(peer, struct client, peer);
	struct serve *serve = c->serve;

	if (c->phase != CLIENT_OPEN)
		return;
	link_taken(serve->link, &c->lane);
	look_at_ends(c);
	pump_flush(&serve->pump);
}

/*
 * With both directions no process holds the other end, or it can do nothing with it. What it sent
 * is still to be carried.
 */
static void hung_up(struct mp_peer *peer, uint16_t how)
{
	struct client *c = container_of(peer, struct client, peer);
	struct serve *serve = c->serve;

	if (!(how & MP_SHUT_WRITE) || c->is_gone)
		return;
	c->is_gone = true;
	if (c->phase != CLIENT_OPEN)
		return;
	link_set_takes(serve->link, &c->lane, LANE_DROPS);
	link_owe(serve->link, &c->lane, LANE_DATA);
	look_at_ends(c);
	if (c->phase == CLIENT_OPEN && !lane_room(&c->lane))
		say_gone(c);
	pump_flush(&serve->pump);
}

static const struct mp_peer_ops peer_ops = {
	.readable = readable, .writable = writable, .hung_up = hung_up,
};

/* --- All of them ------------------------------------------------------------------------ */

const struct link_ops serve_link_ops = {
	.nonce = nonce, .begin = begin, .end = end, .message = message, .produce = produce,
	.consume = consume, .fill = fill, .cut = cut, .lost = lost,
};

static struct client *make(struct serve *serve)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->opening = calloc(1, sizeof(*c->opening));
	if (!c->opening) {
		free(c);
		return NULL;
	}
	c->serve = serve;
	c->peer.ops = &peer_ops;
	c->opening->client = c;
	list_init(&c->opening->waits);
	loop_timer_init(serve->loop, &c->opening->limit, limit_passed);
	socket_stream_init(&c->near, NULL, &c->peer, "client");
	list_add_tail(&serve->clients, &c->link);
	return c;
}

/* May @c wait for a name beside those that do? So no user keeps the others out. */
static bool may_name(const struct client *c)
{
	unsigned int all = 0, own = 0;
	struct list *link;

	list_for_each(link, &c->serve->naming) {
		all++;
		own += list_entry(link, struct opening, waits)->naming.opener.uid ==
		       c->opening->naming.opener.uid;
	}
	return all < MAX_UNNAMED && own < MAX_UNNAMED_OF_USER;
}

static void begin_naming(struct client *c)
{
	if (!may_name(c)) {
		log_limited_here(LOG_LEVEL_WARNING, "refused a client of user %u: too many have "
				 "not said a name yet", c->opening->naming.opener.uid);
		client_free(c, MP_END_ABORT);
		return;
	}
	list_add_tail(&c->serve->naming, &c->opening->waits);
	loop_timer_start(&c->opening->limit, NAMING_MS);
	read_name(c);
}

/* Returns a client that has said nothing yet, or NULL. */
static struct client *take(struct serve *serve, int fd)
{
	struct client *c = make(serve);

	if (c && !socket_stream_attach(&c->near, serve->loop, fd))
		return c;
	log_limited_here(LOG_LEVEL_WARNING, "refused a client: no memory");
	close(fd);
	if (c)
		client_free(c, MP_END_ABORT);
	return NULL;
}

void serve_client_begin_held(struct serve *serve, int fd, const struct frame_connect *opener,
			     struct serve_holder *holder)
{
	struct client *c = take(serve, fd);

	if (!c)
		return;
	c->holder = holder;
	holder->client = c;
	c->opening->naming.opener = *opener;
	read_name(c);
	pump_flush(&serve->pump);
}

void serve_client_abort(struct serve_holder *holder)
{
	struct client *c = holder->client;
	struct serve *serve;

	/* While the device is asked its answer finds the socket closed: an abort as well. */
	if (!c || c->phase == CLIENT_CONNECTS)
		return;
	serve = c->serve;
	give_up(c);
	pump_flush(&serve->pump);
}

void serve_client_begin(struct serve *serve, int fd, const char *service)
{
	struct client *c = take(serve, fd);

	if (!c)
		return;
	naming_who_connected(&c->opening->naming, fd);
	if (service) {
		naming_set(&c->opening->naming, service);
		named(c);
	} else {
		begin_naming(c);
	}
	pump_flush(&serve->pump);
}

void serve_client_end_all(struct serve *serve)
{
	struct list *link;

	while ((link = list_pop(&serve->clients)))
		client_free(list_entry(link, struct client, link), MP_END_ABORT);
}
