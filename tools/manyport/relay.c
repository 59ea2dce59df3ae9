// SPDX-License-Identifier: MIT
/*
 * One connection of manyport forward and its channel: two flows, which share nothing but the
 * end. It ends when both are done, or when one side has hung up and all that it said was
 * passed on.
 *
 * A cut stream never looks whole, and bytes that arrived are not thrown away:
 *
 * - A TCP client that resets without having ended its stream has cut it: the channel is
 *   aborted. A client that had ended its stream, and then resets because it reads no answers,
 *   has said all: that is passed on, and the answers are thrown away. The kernel tells the two
 *   apart (ECONNRESET and EPIPE).
 * - A unix socket knows no reset. ECONNRESET says there, after the last byte, that the client
 *   went with answers unread: an end. A client that was killed looks the same.
 * - When a service fails, its TCP client is reset, after all that the service had said (drain.c).
 *
 * Whatever happens in a callback only marks the relay; settle() is the last word of each, and
 * the only one that frees.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/client.h>

#include "flow.h"
#include "forwarder.h"
#include "tool.h"

/* How long the end of the process waits, at most, for bytes that are on their way. */
#define END_LIMIT_MS 1000
#define END_STEP_MS  10

/* So many connections make the relay give way to its clients; see count_relays(). */
#define BATCH_FROM 32

struct relay {
	struct list link;		/* in forward->relays */
	struct forward *forward;
	const char *service;
	struct side client, port;
	struct flow out, in;		/* client to port, port to client */
	struct loop_task more;		/* there is more to move at once */
	struct loop_timer retry;	/* no channel yet, and another try is due */
	uint64_t give_up;		/* when no other try is made, by the loop's clock */
	unsigned int retry_ms;
	struct ucred user;		/* whose channel it is to be, if that is not ours */
	bool is_others;
	bool is_connected;
	bool has_failed;		/* the service has: the client is to notice */
	bool is_over;			/* the next settle() ends it, as the rest says */
	bool cut, reset;
	int error;			/* why, or 0 */
};

/*
 * With many connections a relay that preempts the process which woke it relays one message for each
 * switch between the two, and a switch costs more than a message. A process of SCHED_BATCH does not
 * preempt: the client first writes on all of its connections, then the relay finds them all ready.
 * With few connections there is little to gain, and beside a process that computes each message
 * would wait for the end of that process's time slice. A policy that the user chose is kept.
 */
static void count_relays(struct forward *forward, int more)
{
	static const struct sched_param param = { 0 };
	bool is_many;

	forward->relay_count += more;
	is_many = forward->relay_count >= BATCH_FROM;
	if (is_many == forward->is_batch)
		return;
	if (sched_getscheduler(0) == (is_many ? SCHED_OTHER : SCHED_BATCH) &&
	    !sched_setscheduler(0, is_many ? SCHED_BATCH : SCHED_OTHER, &param))
		forward->is_batch = is_many;
}

/*
 * @cut: the service must not take what it got for the whole. @reset: nor must the client, where its
 * socket has a reset. Only the first call for a relay counts.
 */
static void end_relay(struct relay *relay, int error, bool cut, bool reset)
{
	if (relay->is_over)
		return;
	relay->is_over = true;
	relay->error = error;
	relay->cut = cut;
	relay->reset = reset;
}

static void close_port(struct relay *relay)
{
	int fd = side_take(&relay->port);

	if (fd >= 0)
		close(fd);
}

/* A TCP client learns of the refusal by a reset; a client of a unix socket sees a close. */
static void refuse_client(int client)
{
	static const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(client);
}

static void tell_end(const struct relay *relay)
{
	const char *how = relay->error ? strerror(-relay->error) :
			  relay->cut || relay->reset ? "cut" : "whole";

	log_info("'%s': connection ended: %s, %" PRIu64 " bytes out, %" PRIu64 " in",
		 relay->service, how, relay->out.bytes, relay->in.bytes);
}

static void relay_free(struct relay *relay)
{
	struct forward *forward = relay->forward;

	if (forward->is_verbose && relay->is_connected)
		tell_end(relay);
	loop_timer_stop(&relay->retry);
	loop_task_cancel(&relay->more);
	if (relay->cut && relay->port.fd >= 0)
		manyport_abort(relay->port.fd);
	close_port(relay);
	if (relay->client.kind == SIDE_TCP)
		drain_close(forward, side_take(&relay->client), relay->reset,
			    relay->out.from_ended);
	else
		close(side_take(&relay->client));
	flow_forget(&relay->out);
	flow_forget(&relay->in);
	list_del(&relay->link);
	count_relays(forward, -1);
	free(relay);
	loop_task_queue(&forward->accept_again);
}

static void settle(struct relay *relay)
{
	if (relay->is_over)
		relay_free(relay);
}

/* ---- refusals ---- */

static void refused(struct relay *relay, int error)
{
	char why[EXPLAIN_SIZE];

	explain_refused(why, relay->forward->port, relay->service, error);
	log_limited(&relay->forward->refused, LOG_LEVEL_WARNING, "%s", why);
	end_relay(relay, error, false, true);
}

/*
 * Has the client gone without having sent anything? The bytes of a client that hung up are to
 * arrive all the same. Of a TCP client only a reset shows that it has gone.
 */
static bool client_has_gone(const struct relay *relay)
{
	char byte;

	return relay->client.kind == SIDE_UNIX && relay->client.hung_up && !relay->out.held &&
	       !recv(relay->client.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
}

/* Another try, if --wait was given and it may help; until it succeeds the client waits. */
static void try_again(struct relay *relay, int error)
{
	uint64_t now = loop_now(relay->forward->loop);

	close_port(relay);
	if (!refusal_may_pass(error) || now >= relay->give_up) {
		refused(relay, error);
		return;
	}
	/* Without the client a try could only give the service an empty connection. */
	if (client_has_gone(relay)) {
		end_relay(relay, 0, false, false);
		return;
	}
	if (relay->retry_ms > relay->give_up - now)
		relay->retry_ms = relay->give_up - now;
	loop_timer_start(&relay->retry, relay->retry_ms);
	relay->retry_ms = next_try_ms(relay->retry_ms);
}

/* ---- moving ---- */

/* The service takes no more: what the client still says has nowhere to go. */
static void stop_out(struct relay *relay)
{
	flow_forget(&relay->out);
	relay->out.is_done = true;
	shutdown(relay->client.fd, SHUT_RD);
}

/*
 * The client takes no more. What the service says is read all the same and thrown away: if it
 * were not read, the service might wait or fail, and not take the rest of an upload.
 */
static void drop_in(struct relay *relay)
{
	flow_forget(&relay->in);
	relay->in.is_dropped = true;
}

static bool is_finished(const struct relay *relay)
{
	return (relay->out.is_done && relay->in.is_done) ||
	       (relay->client.hung_up && relay->out.is_done) ||
	       (relay->port.hung_up && relay->in.is_done);
}

/* A call on the client's socket failed; bytes from the client may still wait to be read. */
static void client_failed(struct relay *relay, int error)
{
	bool has_ended = error == -EPIPE ||
			 (error == -ECONNRESET && relay->client.kind == SIDE_UNIX);

	if (error == -EBADMSG)
		log_limited(&relay->forward->descriptors, LOG_LEVEL_WARNING,
			    "'%s': the client sent a descriptor, which cannot travel: its "
			    "connection is closed", relay->service);
	if (has_ended)
		drop_in(relay);
	else
		end_relay(relay, error, true, true);
}

/* A port with a fixed service has no naming to be refused: its first read or write tells. */
static bool is_late_refusal(const struct relay *relay, int error)
{
	return !*relay->service && error != -EPIPE && error != -ECONNRESET &&
	       !relay->out.bytes && !relay->in.bytes;
}

/* The client's bytes are held for the next channel, which must be told their end again, too. */
static void refused_late(struct relay *relay, int error)
{
	relay->is_connected = false;
	relay->out.is_done = false;
	try_again(relay, error);
}

/* A call on the channel failed. @in: a read did, so all that the service said has been read. */
static void port_failed(struct relay *relay, int error, bool in)
{
	if (is_late_refusal(relay, error)) {
		refused_late(relay, error);
		return;
	}
	if (in) {
		end_relay(relay, error, false, true);
		return;
	}
	/* A later read meets the failure itself, after the last byte. */
	relay->has_failed = error != -EPIPE;
	stop_out(relay);
}

/* Moves what can be moved. Returns true when there may be more. */
static bool move_both(struct relay *relay)
{
	struct flow *flows[] = { &relay->out, &relay->in };
	struct side *failed = NULL;
	bool more = false;
	int ret;

	for (int i = 0; i < 2 && relay->is_connected && !relay->is_over; i++) {
		ret = flow_move(flows[i], relay->forward->buf, &failed);
		if (ret == -ENOMEM)
			end_relay(relay, ret, true, true);
		else if (ret < 0 && failed == &relay->port)
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

	if (!relay->is_connected)
		return;
	if (is_finished(relay))
		end_relay(relay, 0, false, relay->has_failed);
	else if (more && !relay->is_over)
		loop_task_queue(&relay->more);
}

static void move_more(struct loop_task *task)
{
	struct relay *relay = container_of(task, struct relay, more);

	move_relay(relay);
	settle(relay);
}

/* ---- connecting ---- */

/* Begins the naming or collects its answer. Returns 1 connected, 0 wait, -errno. */
static int name_channel(struct relay *relay)
{
	int ret = 0;

	/* Without a name the port has a fixed service. */
	if (relay->is_others)
		ret = manyport_connect_as(relay->port.fd, relay->service, relay->user.uid,
					  relay->user.gid);
	else if (*relay->service)
		ret = manyport_connect(relay->port.fd, relay->service);
	if (ret == -EINPROGRESS)
		return 0;
	return !ret || ret == -EISCONN ? 1 : ret;
}

/* Until here the channel's events were about its name. From here on they are about the data. */
static void begin(struct relay *relay)
{
	relay->is_connected = true;
	relay->port.readable = relay->port.writable = true;
	relay->port.hung_up = false;
	relay->port.short_is_dry = true;
	side_watch_room(&relay->port, false);
	move_relay(relay);
}

static void collect_answer(struct relay *relay)
{
	int ret = name_channel(relay);

	if (ret < 0)
		try_again(relay, ret);
	else if (ret)
		begin(relay);
}

static void port_ready(struct loop_watch *watch, uint32_t events)
{
	struct relay *relay = container_of(watch, struct relay, port.watch);

	side_learn(&relay->port, events);
	if (relay->is_connected)
		move_relay(relay);
	else
		collect_answer(relay);
	settle(relay);
}

/* Asks for the error as soon as an event tells of it: a flow that stalls makes no call. */
static void look_for_reset(struct relay *relay)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (!getsockopt(relay->client.fd, SOL_SOCKET, SO_ERROR, &error, &len) && error)
		client_failed(relay, -error);
}

static void client_ready(struct loop_watch *watch, uint32_t events)
{
	struct relay *relay = container_of(watch, struct relay, client.watch);

	side_learn(&relay->client, events);
	if (events & EPOLLERR)
		look_for_reset(relay);
	if (relay->is_connected && !relay->is_over)
		move_relay(relay);
	else if (relay->port.fd < 0 && client_has_gone(relay))
		end_relay(relay, 0, false, false);
	settle(relay);
}

/*
 * The node that was found may have gone with its device: then finds the port again. On a road
 * without a node a channel is named as it is opened, and has no user but ours.
 */
static int open_port(const struct relay *relay)
{
	struct forward *forward = relay->forward;
	const char *service = *relay->service ? relay->service : NULL;
	int ret = -ENODEV;

	if (forward->path[0])
		ret = manyport_open(forward->path, NULL, O_NONBLOCK | O_CLOEXEC);
	if (ret != -ENODEV)
		return ret;
	ret = manyport_find(forward->port, forward->path, sizeof(forward->path));
	if (!ret)
		return manyport_open(forward->path, NULL, O_NONBLOCK | O_CLOEXEC);
	forward->path[0] = '\0';
	if (ret != -ENODEV || !service)
		return ret;
	ret = manyport_open(forward->port, service, O_NONBLOCK | O_CLOEXEC);
	if (ret < 0 || !relay->is_others)
		return ret;
	close(ret);
	return -ENOTTY;
}

/* A channel, its name, and the first events: an edge is sent for what is there. */
static void open_channel(struct relay *relay)
{
	int fd = open_port(relay), named = fd, ret = fd;

	if (fd >= 0) {
		side_init(&relay->port, SIDE_PORT, fd);
		ret = named = name_channel(relay);
		/* The answer to a name makes room. */
		relay->port.watches_room = !named;
	}
	if (ret >= 0)
		ret = side_watch(relay->forward->loop, &relay->port, port_ready);
	if (ret < 0)
		try_again(relay, ret);
	else if (named)
		begin(relay);
}

static void retry(struct loop_timer *timer)
{
	struct relay *relay = container_of(timer, struct relay, retry);

	open_channel(relay);
	settle(relay);
}

/* ---- beginning and end ---- */

static struct relay *alloc_relay(struct forward *forward, const struct spec *spec, int client)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	uint64_t now = loop_now(forward->loop);

	if (!relay)
		return NULL;
	relay->forward = forward;
	relay->service = spec->service;
	relay->give_up = forward->wait_ms < UINT64_MAX - now ? now + forward->wait_ms : UINT64_MAX;
	relay->retry_ms = next_try_ms(0);
	side_init(&relay->client, spec->is_unix ? SIDE_UNIX : SIDE_TCP, client);
	side_init(&relay->port, SIDE_PORT, -1);
	relay->out = (struct flow){ .from = &relay->client, .to = &relay->port };
	relay->in = (struct flow){ .from = &relay->port, .to = &relay->client };
	loop_task_init(forward->loop, &relay->more, move_more);
	loop_timer_init(forward->loop, &relay->retry, retry);
	list_add_tail(&forward->relays, &relay->link);
	count_relays(forward, 1);
	return relay;
}

/* Learns the client's user, with --as-client. After -errno no channel may be opened. */
static int learn_user(struct relay *relay)
{
	socklen_t len = sizeof(relay->user);

	if (!relay->forward->as_client)
		return 0;
	if (getsockopt(relay->client.fd, SOL_SOCKET, SO_PEERCRED, &relay->user, &len))
		return -errno;
	relay->is_others = relay->user.uid != geteuid() || relay->user.gid != getegid();
	return 0;
}

void relay_create(struct forward *forward, const struct spec *spec, int client)
{
	struct relay *relay = alloc_relay(forward, spec, client);
	int ret = -ENOMEM;

	if (relay)
		ret = learn_user(relay);
	else
		refuse_client(client);
	if (!ret)
		ret = side_watch(forward->loop, &relay->client, client_ready);
	if (ret)
		log_limited(&forward->refused, LOG_LEVEL_WARNING,
			    "'%s': a connection is refused: %s", spec->service, strerror(-ret));
	if (!relay)
		return;
	if (ret)
		end_relay(relay, ret, false, true);
	else
		open_channel(relay);
	settle(relay);
}

/* Has the driver bytes that the service has not taken? */
static bool is_sending(const struct forward *forward)
{
	struct list *link;
	int bytes;

	list_for_each(link, &forward->relays) {
		struct relay *relay = list_entry(link, struct relay, link);

		if (!ioctl(relay->port.fd, TIOCOUTQ, &bytes) && bytes)
			return true;
	}
	return false;
}

/* Streams that have not ended are cut, so that neither side takes its part for the whole. */
void relay_end_all(struct forward *forward)
{
	struct relay *relay;

	for (int waited = 0; waited < END_LIMIT_MS && is_sending(forward); waited += END_STEP_MS)
		poll(NULL, 0, END_STEP_MS);
	while ((relay = list_first(&forward->relays, struct relay, link))) {
		end_relay(relay, 0, !relay->out.is_done, !relay->in.is_done);
		settle(relay);
	}
	drain_end_all(forward, END_LIMIT_MS);
}
