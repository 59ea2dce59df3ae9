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
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd_limit.h"
#include "base/list.h"
#include "base/log.h"
#include "device/device.h"
#include "keep/keep.h"
#include "vhost/adopt.h"
#include "vhost/exchange.h"
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
 * No successor takes over what has begun to end. Rings first, while their memory is there; the
 * device, which now holds nothing of the guest; then the memory. What is closed before is never
 * used again: virtqueue_fini() and the rest leave -1 behind.
 */
static void close_everything(struct session *s)
{
	loop_watch_remove(&s->watch);
	kept_put(s->kept, &s->said->socket, 0);
	request_pause_rings(s);
	device_reset(s->device);
	for (unsigned int i = 0; i < s->queue_count; i++)
		virtqueue_fini(&s->vqs[i]);
	backend_channel_close(&s->backend);
	mem_clear(&s->mem);
	message_reset(&s->said->message);
	kept_clear(s->kept);
	/* Another process may have the socket, too: the holder, or the one that gave it. */
	if (s->fd >= 0 && !s->is_left)
		shutdown(s->fd, SHUT_RDWR);
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
	if (s->said->broken || !device_is_broken(s->device))
		return;
	log_limited_here(LOG_LEVEL_WARNING,
		    "guest: broke the rules of its rings; the device stops until it is reset");
	s->said->broken = true;
	request_pause_rings(s);
	for (unsigned int i = 0; i < s->queue_count; i++)
		virtqueue_signal_error(&s->vqs[i]);
}

/* --- Messages ----------------------------------------------------------- */

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

/* Edges of the socket: a message of which a part has come stays there (message.h). */
static void receive(struct session *s)
{
	int ret;

	for (int i = 0; i < MESSAGES_PER_EVENT && !s->over; i++) {
		fd_limit_open_reserve();
		ret = message_receive(&s->said->message, s->fd);
		fd_limit_close_reserve();
		if (ret == 0)
			return;
		if (ret < 0) {
			log_lost_front_end(ret);
			end_session(s, ret == -ENOTCONN ? 0 : ret);
			return;
		}
		ret = exchange_run(s);
		if (ret < 0)
			end_session(s, ret);
		session_check(s);
	}
	s->has_more = true;
	loop_task_queue(&s->task);
}

static void on_socket(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	receive(container_of(watch, struct session, watch));
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
	if (s->has_more && !s->over) {
		s->has_more = false;
		receive(s);
	}
	/* If the session ended here, end_session() has queued this task once more. */
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

int session_fd(const struct session *s)
{
	return s->fd;
}

bool session_is_silent(const struct session *s)
{
	return !s->said->has_spoken;
}

/* --- Life --------------------------------------------------------------- */

static void init_virtqueues(struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++) {
		struct virtqueue *vq = &s->vqs[i];

		vq->loop = s->loop;
		vq->device = s->device;
		vq->mem = &s->mem;
		vq->kept = s->kept;
		vq->said = &s->said->rings[i];
		vq->queue = i;
		vq->kicked = on_kicked;
		vq->context = s;
		virtqueue_init(vq);
	}
}

static struct session *make(struct loop *loop, struct device *device, struct kept *kept,
			    void (*ended)(void *context, int why), void *context)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->loop = loop;
	s->device = device;
	s->kept = kept;
	s->said = kept->state;
	s->ended = ended;
	s->context = context;
	s->fd = -1;
	s->queue_count = device_queue_count(device);
	s->vqs = calloc(s->queue_count, sizeof(*s->vqs));
	if (!s->vqs) {
		free(s);
		return NULL;
	}
	backend_channel_init(&s->backend);
	mem_init(&s->mem);
	init_virtqueues(s);
	loop_task_init(loop, &s->task, on_task);
	return s;
}

static int watch(struct session *s, int fd)
{
	return loop_watch_add(s->loop, &s->watch, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, on_socket);
}

struct session *session_create(struct loop *loop, struct device *device, struct kept *kept, int fd,
			       void (*ended)(void *context, int why), void *context)
{
	struct session *s = make(loop, device, kept, ended, context);
	int ret;

	if (!s)
		return NULL;
	kept_clear(kept);
	s->said->queue_count = s->queue_count;
	message_init(&s->said->message);
	ret = message_begin(fd);
	if (ret == 0)
		ret = watch(s, fd);
	if (ret < 0) {
		session_destroy(s);
		errno = -ret;
		return NULL;
	}
	s->fd = fd;
	/* From now on there is a session that a successor can go on with. */
	kept_put(kept, &s->said->socket, kept_hold(kept, fd));
	return s;
}

/* What ran before the message that is half done; then that; then what waited for its memory. */
static int go_on(struct session *s)
{
	int ret = adopt_front_end(s);

	if (ret < 0)
		return ret;
	request_set_device_features(s);
	ret = adopt_rings(s);
	if (ret == 0)
		device_adopt(s->device);
	if (ret == 0 && s->said->step != KEPT_IDLE)
		ret = exchange_run(s);
	if (ret < 0)
		return ret;
	request_resume_rings(s);
	/*
	 * What came back since the rings run, and what the process that died may not have told of.
	 * Our owner does not know the session yet, so that the device could call for none of it.
	 */
	for (unsigned int i = 0; i < s->queue_count; i++)
		if (s->vqs[i].ring.running)
			virtqueue_call(&s->vqs[i]);
	return watch(s, s->fd);
}

struct session *session_adopt(struct loop *loop, struct device *device, struct kept *kept,
			      void (*ended)(void *context, int why), void *context)
{
	struct session *s = make(loop, device, kept, ended, context);
	int ret;

	if (!s)
		return NULL;
	ret = go_on(s);
	if (ret == 0) {
		loop_task_queue(&s->task);
		session_check(s);
		return s;
	}
	log_warning("front end: cannot be taken over (%s); its session ends", strerror(-ret));
	session_destroy(s);
	errno = -ret;
	return NULL;
}

void session_leave(struct session *s)
{
	int ret = 0;

	if (!s || s->over || !kept_has_front_end(s->kept) || keep_is_alone(s->kept->keep))
		return;
	for (unsigned int i = 0; i < s->queue_count && !ret; i++)
		ret = ring_leave(&s->vqs[i].ring);
	/* Last: until now it is an end like any other. */
	if (!ret)
		ret = kept_leave(s->kept);
	s->is_left = !ret;
	if (ret)
		log_warning("front end: cannot be left to another daemon: %s", strerror(-ret));
}

/* --- A planned restart --------------------------------------------------- */

bool session_pause(struct session *s)
{
	if (s->over || s->said->step != KEPT_IDLE || !kept_has_front_end(s->kept))
		return false;
	for (unsigned int i = 0; i < s->queue_count; i++)
		virtqueue_pause(&s->vqs[i]);
	return true;
}

void session_resume(struct session *s)
{
	int ret;

	if (s->over)
		return;
	ret = adopt_rings(s);
	request_resume_rings(s);
	if (ret < 0) {
		log_limited_here(LOG_LEVEL_WARNING, "front end: its rings cannot go on (%s); the "
				 "session ends", strerror(-ret));
		end_session(s, ret);
		return;
	}
	loop_task_queue(&s->task);
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
