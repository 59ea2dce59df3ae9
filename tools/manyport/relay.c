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
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/client.h>

#include "forward.h"
#include "tool.h"

/* A relay moves at most this much per flow before the others have their turn. */
#define TURN_BYTES (8 * FORWARD_BUF_SIZE)

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
};

struct relay {
	struct forward *forward;
	const char *service;
	struct side client, port;
	struct flow out, in;		/* client to port, port to client */
	bool is_connected, is_busy, is_dead;
	struct relay *next, **prev;	/* forward->relays */
	struct relay *next_busy;	/* forward->busy or ->dead */
};

/* A client of TCP learns by a reset, one of a unix socket by the close. */
static void close_client(int fd, bool abort)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (abort)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void end_relay(struct relay *relay, bool abort)
{
	if (relay->is_dead)
		return;
	relay->is_dead = true;
	close(relay->port.source.fd);
	close_client(relay->client.source.fd, abort);
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

/* The receiver takes no more: what the sender still says has nowhere to go. */
static void stop_flow(struct flow *flow)
{
	free(flow->held);
	flow->held = NULL;
	flow->is_done = true;
	if (!flow->from->is_port)
		shutdown(flow->from->source.fd, SHUT_RD);
}

/* Returns bytes written, 0 when the receiver has no room now, or -errno. */
static ssize_t write_some(struct flow *flow, const char *data, size_t len)
{
	ssize_t ret;

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

/* Returns bytes read, 0 when there is nothing now or no more, or -errno. */
static ssize_t read_and_write(struct flow *flow, char *buf)
{
	ssize_t len, done = 0, ret = 0;

	if (!flow->from->readable)
		return 0;
	do {
		len = read(flow->from->source.fd, buf, FORWARD_BUF_SIZE);
	} while (len < 0 && errno == EINTR);
	if (len < 0 && errno != EAGAIN)
		return -errno;
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

/* Returns 1 when there may be more to move at once, 0, or -errno. */
static int move_flow(struct flow *flow, char *buf)
{
	ssize_t ret, moved = 0;

	while (!flow->is_done && moved < TURN_BYTES) {
		if (flow->held) {
			ret = write_held(flow);
		} else if (flow->from_ended) {
			pass_end(flow);
			return 0;
		} else {
			ret = read_and_write(flow, buf);
			if (!ret && flow->from_ended)
				continue;
		}
		if (ret == -EPIPE && flow->to->is_port) {
			stop_flow(flow);
			return 0;
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

static void move_relay(struct relay *relay)
{
	char *buf = relay->forward->buf;
	int out = move_flow(&relay->out, buf), in = out < 0 ? 0 : move_flow(&relay->in, buf);
	int error = out < 0 ? out : in < 0 ? in : 0;

	if (error) {
		if (relay->forward->is_verbose)
			complain("'%s': connection ended: %s", relay->service, strerror(-error));
		end_relay(relay, true);
	} else if (is_finished(relay)) {
		end_relay(relay, false);
	} else if (out || in) {
		make_busy(relay);
	}
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
	if (!relay->is_connected) {
		ret = side->is_port ? connect_relay(relay) : 0;
		if (ret < 0) {
			complain_refused(relay->forward->port, relay->service, ret);
			end_relay(relay, true);
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

static struct relay *alloc_relay(struct forward *forward, const char *service, int client, int port)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return NULL;
	relay->forward = forward;
	relay->service = service;
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

int relay_create(struct forward *forward, const struct listener *listener, int client)
{
	int ret, port = manyport_open(forward->path, NULL, O_NONBLOCK | O_CLOEXEC);
	struct relay *relay;

	if (port < 0) {
		complain_refused(forward->port, listener->service, port);
		close_client(client, true);
		return port;
	}
	relay = alloc_relay(forward, listener->service, client, port);
	if (!relay) {
		close(port);
		close_client(client, true);
		return -ENOMEM;
	}
	ret = start_relay(relay);
	if (ret < 0) {
		complain_refused(forward->port, listener->service, ret);
		end_relay(relay, true);
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
