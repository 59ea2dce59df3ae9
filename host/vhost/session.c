// SPDX-License-Identifier: MIT
/*
 * The life of a vhost-user session; see session.h.
 *
 * Everything happens in callbacks of the loop: a message came, a ring was
 * kicked, the task runs. Each ends with session_check(). A session that ends,
 * ends there and then (end_session()), since no caller further up holds
 * anything of it; only its owner is told later, from the task, so that it can
 * free the session without pulling it away from under a callback.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd_limit.h"
#include "base/list.h"
#include "base/log.h"
#include "device/device.h"
#include "vhost/request.h"
#include "vhost/session.h"
#include "vhost/state.h"

/* A front end that floods the socket waits for the others after so many. */
#define MESSAGES_PER_EVENT 16

uint64_t session_protocol_features(const struct device *device)
{
	return request_protocol_features(device);
}

/* --- The end ------------------------------------------------------------ */

/*
 * Rings first, while their memory is there; the device, which now holds
 * nothing of the guest; then the memory. What is closed before is never used
 * again: virtqueue_fini() and the rest leave -1 behind.
 */
static void close_everything(struct session *s)
{
	loop_watch_remove(&s->watch);
	request_pause_rings(s);
	device_reset(s->device);
	for (unsigned int i = 0; i < s->queue_count; i++)
		virtqueue_fini(&s->vqs[i]);
	backend_channel_close(&s->backend);
	mem_clear(&s->mem);
	message_reset(&s->message);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	/* A hole that stopping the rings met was in this session's memory: forget it. */
	mem_guard_tripped();
}

static void end_session(struct session *s, int why)
{
	if (s->over)
		return;
	s->over = true;
	s->why = why;
	close_everything(s);
	loop_task_queue(&s->task);
}

void session_check(struct session *s)
{
	if (!s || s->over)
		return;
	if (mem_guard_tripped()) {
		log_limited_here(LOG_LEVEL_WARNING,
			    "front end: guest memory was truncated; the session ends");
		end_session(s, -EFAULT);
		return;
	}
	if (s->broken || !device_is_broken(s->device))
		return;
	log_limited_here(LOG_LEVEL_WARNING,
		    "guest: broke the rules of its rings; the device stops until it is reset");
	s->broken = true;
	request_pause_rings(s);
	for (unsigned int i = 0; i < s->queue_count; i++)
		virtqueue_signal_error(&s->vqs[i]);
}

/* --- Messages ----------------------------------------------------------- */

static void send_reply(struct session *s, uint32_t request, const void *payload, uint32_t size)
{
	struct vhost_user_header header = {
		.request = request, .flags = VHOST_USER_VERSION | VHOST_USER_REPLY, .size = size,
	};
	int ret = message_send(s->fd, &header, payload);

	if (ret == 0)
		return;
	log_limited_here(LOG_LEVEL_WARNING,
		    "front end: takes no answers (%s); the session ends", strerror(-ret));
	end_session(s, ret);
}

/*
 * Answers a message that was acted on or, with @ret, refused. A refusal that cannot be
 * told ends the session, else the front end would believe that it was accepted.
 */
static void respond(struct session *s, const struct message *m, int ret,
		    const struct request_reply *reply)
{
	uint32_t request = m->header.request;
	uint64_t ack = ret ? 1 : 0;

	if (ret)
		log_limited_here(LOG_LEVEL_WARNING,
			    "front end: %s (%u, %u bytes, %u descriptors) refused: %s",
			    message_name(m), request, m->header.size, m->fd_count, strerror(-ret));
	if (message_has_reply(m)) {
		/* An empty answer is how GET_CONFIG fails [vhost-user]. */
		if (ret == 0 || request == VHOST_USER_GET_CONFIG)
			send_reply(s, request, &reply->payload, ret ? 0 : reply->size);
		else
			end_session(s, ret);
	} else if ((m->header.flags & VHOST_USER_NEED_REPLY) &&
		   (s->protocol_features >> VHOST_USER_PROTOCOL_REPLY_ACK & 1)) {
		/* Asked after acting: SET_PROTOCOL_FEATURES itself may want an answer. */
		send_reply(s, request, &ack, sizeof(ack));
	} else if (ret) {
		end_session(s, ret);
	}
}

static void handle_message(struct session *s)
{
	struct message *m = &s->message;
	struct request_reply reply = { .size = 0 };
	int ret = message_check(m, s->queue_count, s->protocol_features);

	if (ret == 0)
		ret = request_act(s, m, &reply);
	respond(s, m, ret, &reply);
	message_reset(m);
	session_check(s);
}

static void log_lost_front_end(int why)
{
	if (why == -ENOTCONN)
		log_limited_here(LOG_LEVEL_INFO, "front end: disconnected");
	else if (why == -EPROTO)
		log_limited_here(LOG_LEVEL_WARNING,
			    "front end: does not speak vhost-user; the session ends");
	else if (why == -EMFILE)
		log_limited_here(LOG_LEVEL_ERROR, "front end: a descriptor did not arrive: too "
				 "many are open (LimitNOFILE=, ulimit -n), or a security module "
				 "forbids it; the session ends");
	else
		log_limited_here(LOG_LEVEL_WARNING, "front end: %s; the session ends",
			    why == -EPIPE ? "disconnected within a message" : strerror(-why));
}

static void on_socket(struct loop_watch *watch, uint32_t events)
{
	struct session *s = container_of(watch, struct session, watch);
	int ret;

	(void)events;
	for (int i = 0; i < MESSAGES_PER_EVENT && !s->over; i++) {
		fd_limit_open_reserve();
		ret = message_receive(&s->message, s->fd);
		fd_limit_close_reserve();
		if (ret == 0)
			return;
		if (ret < 0) {
			log_lost_front_end(ret);
			end_session(s, ret == -ENOTCONN ? 0 : ret);
			return;
		}
		s->has_spoken = true;
		handle_message(s);
	}
}

/* --- Rings -------------------------------------------------------------- */

static void on_kicked(struct virtqueue *vq)
{
	session_check(vq->context);
}

static void on_task(struct loop_task *task)
{
	struct session *s = container_of(task, struct session, task);

	if (s->over) {
		s->ended(s->context, s->why);
		return;
	}
	for (unsigned int i = 0; i < s->queue_count && !s->over; i++) {
		virtqueue_look(&s->vqs[i]);
		session_check(s);
	}
	/* If the session ended in the loop, end_session() has queued this task once more. */
}

void session_call(struct session *s, unsigned int queue)
{
	if (s && queue < s->queue_count)
		virtqueue_call(&s->vqs[queue]);
}

void session_config_changed(struct session *s)
{
	int ret;

	if (!s || s->over)
		return;
	ret = backend_channel_config_changed(&s->backend);
	if (ret < 0 && ret != -ENOTCONN)
		log_limited_here(LOG_LEVEL_WARNING,
			    "front end: was not told of a change of configuration: %s",
			    strerror(-ret));
}

bool session_is_silent(const struct session *s)
{
	return !s->has_spoken;
}

/* --- Life --------------------------------------------------------------- */

static void init_virtqueues(struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++) {
		struct virtqueue *vq = &s->vqs[i];

		vq->loop = s->loop;
		vq->device = s->device;
		vq->mem = &s->mem;
		vq->queue = i;
		vq->kicked = on_kicked;
		vq->context = s;
		virtqueue_init(vq);
	}
}

struct session *session_create(struct loop *loop, struct device *device, int fd,
			       void (*ended)(void *context, int why), void *context)
{
	struct session *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return NULL;
	s->loop = loop;
	s->device = device;
	s->ended = ended;
	s->context = context;
	s->queue_count = device_queue_count(device);
	s->vqs = calloc(s->queue_count, sizeof(*s->vqs));
	if (!s->vqs)
		goto free_session;
	message_init(&s->message);
	backend_channel_init(&s->backend);
	mem_init(&s->mem);
	init_virtqueues(s);
	loop_task_init(loop, &s->task, on_task);
	ret = loop_watch_add(loop, &s->watch, fd, EPOLLIN | EPOLLRDHUP, on_socket);
	if (ret < 0)
		goto free_virtqueues;
	s->fd = fd;
	return s;

free_virtqueues:
	free(s->vqs);
	errno = -ret;
free_session:
	free(s);
	return NULL;
}

void session_destroy(struct session *s)
{
	if (!s)
		return;
	if (!s->over)
		close_everything(s);
	s->over = true;
	loop_task_cancel(&s->task);
	free(s->vqs);
	free(s);
}
