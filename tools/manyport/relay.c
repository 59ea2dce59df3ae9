// SPDX-License-Identifier: MIT
/*
 * One connection of manyport forward and its channel.
 *
 * Two flows share nothing but the relay's end. A flow reads only when
 * it holds nothing, so a side that does not take its bytes stops the flow and no more
 * than one buffer is held: back pressure reaches whoever sends.
 *
 * A flow is done when the end was passed on (or nobody takes its bytes). The
 * relay ends when both are done, or when one side has hung up and all that it
 * said was passed on.
 *
 * A cut stream never looks whole, and bytes that arrived are not thrown away:
 *
 * - A TCP client that resets without having ended its stream has cut it: the channel is
 *   aborted. One that had ended it, and then resets because nobody listens for answers, has
 *   said all: that is passed on, and the answers are thrown away. The kernel tells the two
 *   apart (ECONNRESET and EPIPE).
 * - A unix socket knows no reset. ECONNRESET says there that the client went with answers
 *   unread, behind all that it had sent: an end. A client that was killed looks the same.
 * - A service that failed resets a TCP client, behind what it had said (drain.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/client.h>

#include "forward.h"
#include "tool.h"

/* A relay moves at most this much per flow before the others have their turn. */
#define TURN_BYTES (8 * FORWARD_BUF_SIZE)
/* How long the end of the process waits, at most, for bytes that are on their way. */
#define END_LIMIT_MS 1000
#define END_STEP_MS  10

struct side {
	struct source source;
	struct relay *relay;
	bool is_port;
	bool readable, writable, hung_up;
};

struct flow {
	struct side *from, *to;
	char *held;			/* read and not yet written, or NULL */
	size_t held_len, held_done;
	bool from_ended, is_done;
	bool is_dropped;		/* nobody takes its bytes, yet they must be read */
};

struct relay {
	struct forward *forward;
	const char *service;
	bool is_tcp;
	struct side client, port;
	struct flow out, in;		/* client to port, port to client */
	bool is_connected, is_busy, is_dead;
	bool has_failed;		/* the service has: the client is to notice */
	struct relay *next, **prev;	/* forward->relays */
	struct relay *next_busy;	/* forward->busy or ->dead */
};

/*
 * @cut: the service is not to take what it got for the whole. @reset: nor is the client,
 * where its socket has a way to say so.
 */
static void end_relay(struct relay *relay, bool cut, bool reset)
{
	if (relay->is_dead)
		return;
	relay->is_dead = true;
	if (cut)
		manyport_abort(relay->port.source.fd);
	close(relay->port.source.fd);
	if (relay->is_tcp)
		drain_close(relay->forward, relay->client.source.fd, reset,
			    relay->out.from_ended);
	else
		close(relay->client.source.fd);
	free(relay->out.held);
	free(relay->in.held);
	*relay->prev = relay->next;
	if (relay->next)
		relay->next->prev = relay->prev;
	relay->forward->relay_count--;
	/* On the busy list it is found dead, and moved then. */
	if (!relay->is_busy) {
		relay->next_busy = relay->forward->dead;
		relay->forward->dead = relay;
	}
}

static void pass_end(struct flow *flow)
{
	flow->is_done = true;
	if (flow->to->is_port)
		manyport_shutdown(flow->to->source.fd, SHUT_WR);
	else
		shutdown(flow->to->source.fd, SHUT_WR);
}

static void drop_held(struct flow *flow)
{
	free(flow->held);
	flow->held = NULL;
}

/* The service takes no more: what the client still says has nowhere to go. */
static void stop_out(struct relay *relay)
{
	drop_held(&relay->out);
	relay->out.is_done = true;
	shutdown(relay->client.source.fd, SHUT_RD);
}

/*
 * The client takes no more. What the service says is read all the same and thrown away: a
 * service that waits for somebody to take it, or that fails because nobody does, would not
 * take the rest of an upload.
 */
static void drop_in(struct relay *relay)
{
	drop_held(&relay->in);
	relay->in.is_dropped = true;
}

/* Returns bytes written, 0 when the receiver has no room now, or -errno. */
static ssize_t write_some(struct flow *flow, const char *data, size_t len)
{
	ssize_t ret;

	if (flow->is_dropped)
		return len;
	if (!flow->to->writable)
		return 0;
	do {
		if (flow->to->is_port)
			ret = write(flow->to->source.fd, data, len);
		else
			ret = send(flow->to->source.fd, data, len, MSG_NOSIGNAL);
	} while (ret < 0 && errno == EINTR);
	if (ret >= 0)
		return ret;
	if (errno != EAGAIN)
		return -errno;
	flow->to->writable = false;
	return 0;
}

/* Returns bytes moved, 0 when the receiver has no room now, or -errno. */
static ssize_t write_held(struct flow *flow)
{
	ssize_t ret = write_some(flow, flow->held + flow->held_done,
				 flow->held_len - flow->held_done);

	if (ret <= 0)
		return ret;
	flow->held_done += ret;
	if (flow->held_done == flow->held_len) {
		free(flow->held);
		flow->held = NULL;
	}
	return ret;
}

static int hold(struct flow *flow, const char *data, size_t len)
{
	flow->held = malloc(len);
	if (!flow->held)
		return -ENOMEM;
	memcpy(flow->held, data, len);
	flow->held_len = len;
	flow->held_done = 0;
	return 0;
}

/*
 * Returns bytes read, 0 when there is nothing now or no more, or -errno; *failed becomes
 * @from where that is the side which failed.
 */
static ssize_t read_and_write(struct flow *flow, char *buf, struct side **failed)
{
	ssize_t len, done = 0, ret = 0;

	if (!flow->from->readable)
		return 0;
	do {
		len = read(flow->from->source.fd, buf, FORWARD_BUF_SIZE);
	} while (len < 0 && errno == EINTR);
	if (len < 0 && errno != EAGAIN) {
		*failed = flow->from;
		return -errno;
	}
	if (len <= 0) {
		flow->from->readable = false;
		flow->from_ended = !len;
		return 0;
	}
	do {
		ret = write_some(flow, buf + done, len - done);
		if (ret > 0)
			done += ret;
	} while (ret > 0 && done < len);
	if (ret < 0)
		return ret;
	ret = done < len ? hold(flow, buf + done, len - done) : 0;
	return ret < 0 ? ret : len;
}

/*
 * Returns 1 when there may be more to move at once, 0, or -errno; *failed is then the side
 * whose call gave it.
 */
static int move_flow(struct flow *flow, char *buf, struct side **failed)
{
	ssize_t ret, moved = 0;

	while (!flow->is_done && moved < TURN_BYTES) {
		*failed = flow->to;
		if (flow->held) {
			ret = write_held(flow);
		} else if (flow->from_ended) {
			pass_end(flow);
			return 0;
		} else {
			ret = read_and_write(flow, buf, failed);
			if (!ret && flow->from_ended)
				continue;
		}
		if (ret <= 0)
			return ret;
		moved += ret;
	}
	return !flow->is_done;
}

static bool is_finished(const struct relay *relay)
{
	return (relay->out.is_done && relay->in.is_done) ||
	       (relay->client.hung_up && relay->out.is_done) ||
	       (relay->port.hung_up && relay->in.is_done);
}

static void make_busy(struct relay *relay)
{
	if (relay->is_busy)
		return;
	relay->is_busy = true;
	relay->next_busy = relay->forward->busy;
	relay->forward->busy = relay;
}

static void fail_relay(struct relay *relay, int error, bool cut, bool reset)
{
	if (relay->forward->is_verbose)
		complain("'%s': connection ended: %s", relay->service, strerror(-error));
	end_relay(relay, cut, reset);
}

/* Something is wrong with the client; more of what it said may wait to be read. */
static void client_failed(struct relay *relay, int error)
{
	bool has_ended = error == -EPIPE || (error == -ECONNRESET && !relay->is_tcp);

	if (has_ended)
		drop_in(relay);
	else
		fail_relay(relay, error, true, true);
}

/* The same of the port. @in: by a read, so all that the service said has been read. */
static void port_failed(struct relay *relay, int error, bool in)
{
	if (!in) {
		/* Reading meets a failure itself, behind the last byte. */
		relay->has_failed = error != -EPIPE;
		stop_out(relay);
	} else {
		fail_relay(relay, error, false, true);
	}
}

/* Moves what can be moved. Returns true when there may be more. */
static bool move_both(struct relay *relay)
{
	struct flow *flows[] = { &relay->out, &relay->in };
	struct side *failed = NULL;
	bool more = false;
	int ret;

	for (int i = 0; i < 2 && !relay->is_dead; i++) {
		ret = move_flow(flows[i], relay->forward->buf, &failed);
		if (ret == -ENOMEM)
			fail_relay(relay, ret, true, true);
		else if (ret < 0 && failed->is_port)
			port_failed(relay, ret, flows[i] == &relay->in);
		else if (ret < 0)
			client_failed(relay, ret);
		/* After a failure the other flow may have something to do. */
		more |= ret;
	}
	return more;
}

static void move_relay(struct relay *relay)
{
	bool more = move_both(relay);

	if (relay->is_dead)
		return;
	if (is_finished(relay))
		end_relay(relay, false, relay->has_failed);
	else if (more)
		make_busy(relay);
}

/* Asked for as soon as it is told: a stalled flow would not meet it. */
static void look_for_reset(struct relay *relay)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (!getsockopt(relay->client.source.fd, SOL_SOCKET, SO_ERROR, &error, &len) && error)
		client_failed(relay, -error);
}

/* Begins the naming or collects its answer. Returns 1 connected, 0 wait, -errno. */
static int connect_relay(struct relay *relay)
{
	int ret = 0;

	/* Without a name the port has a fixed service. */
	if (*relay->service)
		ret = manyport_connect(relay->port.source.fd, relay->service);
	if (ret == -EINPROGRESS)
		return 0;
	relay->is_connected = !ret || ret == -EISCONN;
	return relay->is_connected ? 1 : ret;
}

static void side_ready(struct source *source, uint32_t events)
{
	struct side *side = (struct side *)source;
	struct relay *relay = side->relay;
	int ret;

	if (relay->is_dead)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		side->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		side->writable = true;
	if (events & EPOLLHUP)
		side->hung_up = true;
	if ((events & EPOLLERR) && !side->is_port)
		look_for_reset(relay);
	if (relay->is_dead)
		return;
	if (!relay->is_connected) {
		ret = side->is_port ? connect_relay(relay) : 0;
		if (ret < 0) {
			complain_refused(relay->forward->port, relay->service, ret);
			end_relay(relay, false, true);
		}
		if (ret <= 0)
			return;
		/* What was said while connecting was about that, not about the data. */
		relay->port.hung_up = false;
		relay->port.readable = relay->port.writable = true;
	}
	move_relay(relay);
}

static void init_side(struct side *side, struct relay *relay, int fd, bool is_port)
{
	side->source.fd = fd;
	side->source.ready = side_ready;
	side->relay = relay;
	side->is_port = is_port;
}

static void init_flow(struct flow *flow, struct side *from, struct side *to)
{
	flow->from = from;
	flow->to = to;
}

static struct relay *alloc_relay(struct forward *forward, const struct listener *listener,
				 int client, int port)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return NULL;
	relay->forward = forward;
	relay->service = listener->service;
	relay->is_tcp = !listener->is_unix;
	init_side(&relay->client, relay, client, false);
	init_side(&relay->port, relay, port, true);
	init_flow(&relay->out, &relay->client, &relay->port);
	init_flow(&relay->in, &relay->port, &relay->client);
	relay->next = forward->relays;
	relay->prev = &forward->relays;
	if (relay->next)
		relay->next->prev = &relay->next;
	forward->relays = relay;
	forward->relay_count++;
	return relay;
}

/* The naming, and the first events of both sides: an edge is sent for what is there. */
static int start_relay(struct relay *relay)
{
	int ret = connect_relay(relay);

	if (ret >= 0)
		ret = forward_watch(relay->forward, &relay->port.source);
	if (ret >= 0)
		ret = forward_watch(relay->forward, &relay->client.source);
	return ret;
}

/* A client of TCP learns by a reset, one of a unix socket by the close. */
static void refuse(int client)
{
	static const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(client);
}

int relay_create(struct forward *forward, const struct listener *listener, int client)
{
	int ret, port = manyport_open(forward->path, NULL, O_NONBLOCK | O_CLOEXEC);
	struct relay *relay;

	if (port < 0) {
		complain_refused(forward->port, listener->service, port);
		refuse(client);
		return port;
	}
	relay = alloc_relay(forward, listener, client, port);
	if (!relay) {
		close(port);
		refuse(client);
		return -ENOMEM;
	}
	ret = start_relay(relay);
	if (ret < 0) {
		complain_refused(forward->port, listener->service, ret);
		end_relay(relay, false, true);
	}
	return ret;
}

void relay_run_busy(struct forward *forward)
{
	struct relay *relay, *list = forward->busy;

	forward->busy = NULL;
	while ((relay = list)) {
		list = relay->next_busy;
		relay->is_busy = false;
		if (!relay->is_dead) {
			move_relay(relay);
			continue;
		}
		relay->next_busy = forward->dead;
		forward->dead = relay;
	}
}

void relay_free_dead(struct forward *forward)
{
	struct relay *relay, *list = forward->dead;
	bool freed = list;

	forward->dead = NULL;
	while ((relay = list)) {
		list = relay->next_busy;
		free(relay);
	}
	if (freed)
		listener_accept_starved(forward);
}

/* Has the driver bytes that the service has not taken? */
static bool is_sending(const struct forward *forward)
{
	int bytes;

	for (struct relay *relay = forward->relays; relay; relay = relay->next)
		if (!ioctl(relay->port.source.fd, TIOCOUTQ, &bytes) && bytes)
			return true;
	return false;
}

/* A stream that has not ended is cut here, and neither side is to take it for the whole. */
void relay_end_all(struct forward *forward)
{
	struct relay *relay;

	for (int waited = 0; waited < END_LIMIT_MS && is_sending(forward); waited += END_STEP_MS)
		poll(NULL, 0, END_STEP_MS);
	while ((relay = forward->relays))
		end_relay(relay, !relay->out.is_done, !relay->in.is_done);
	drain_end_all(forward, END_LIMIT_MS);
}
