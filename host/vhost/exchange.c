// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>

#include "base/fd_limit.h"
#include "base/log.h"
#include "vhost/exchange.h"
#include "vhost/request.h"
#include "vhost/state.h"

static void record(struct session *s)
{
	struct message *m = &s->said->message;

	/* The holder's side of them may want descriptors, too. */
	fd_limit_open_reserve();
	for (unsigned int i = 0; i < m->fd_count; i++)
		m->numbers[i] = kept_hold(s->kept, m->fds[i]);
	fd_limit_close_reserve();
	s->said->has_spoken = true;
	kept_set_step(s->said, KEPT_RECORDED);
}

static void record_reply(struct session *s, uint32_t size)
{
	s->said->reply.header = (struct vhost_user_header){
		.request = s->said->message.header.request,
		.flags = VHOST_USER_VERSION | VHOST_USER_REPLY,
		.size = size,
	};
	kept_set_step(s->said, KEPT_ANSWERED);
}

/*
 * Decides about the answer to a message that was acted on or, with @ret, refused. A refusal that
 * cannot be told ends the session, else the front end would believe that it was accepted.
 */
static int answer(struct session *s, int ret)
{
	const struct message *m = &s->said->message;
	struct kept_reply *reply = &s->said->reply;

	if (ret)
		log_limited_here(LOG_LEVEL_WARNING,
			    "front end: %s (%u, %u bytes, %u descriptors) refused: %s",
			    message_name(m), m->header.request, m->header.size, m->fd_count,
			    strerror(-ret));
	if (message_has_reply(m)) {
		/* An empty answer is how GET_CONFIG fails [vhost-user]. */
		if (ret && m->header.request != VHOST_USER_GET_CONFIG)
			return ret;
		record_reply(s, ret ? 0 : reply->header.size);
		return 0;
	}
	/* Asked after acting: SET_PROTOCOL_FEATURES itself may want an answer. */
	if ((m->header.flags & VHOST_USER_NEED_REPLY) &&
	    (s->said->protocol_features >> VHOST_USER_PROTOCOL_REPLY_ACK & 1)) {
		reply->payload.u64 = ret ? 1 : 0;
		record_reply(s, sizeof(reply->payload.u64));
		return 0;
	}
	return ret;
}

/* The successor of a process that ended in here begins it again. */
static int act(struct session *s)
{
	struct message *m = &s->said->message;
	int ret = message_take(m, s->fd);

	if (ret < 0)
		return ret;
	ret = message_check(m, s->queue_count, s->said->protocol_features);
	if (ret == 0)
		ret = request_act(s, m, &s->said->reply);
	return answer(s, ret);
}

static int send_reply(struct session *s)
{
	const struct kept_reply *reply = &s->said->reply;
	int ret;

	kept_set_step(s->said, KEPT_SENDING);
	ret = message_send(s->fd, &reply->header, &reply->payload);
	if (ret < 0)
		log_limited_here(LOG_LEVEL_WARNING,
			    "front end: takes no answers (%s); the session ends", strerror(-ret));
	return ret;
}

/* What the message brought and nothing took is let go. */
static void finish(struct session *s)
{
	struct message *m = &s->said->message;

	kept_set_step(s->said, KEPT_IDLE);
	message_reset(m);
	for (unsigned int i = 0; i < MESSAGE_MAX_FDS; i++)
		kept_put(s->kept, &m->numbers[i], 0);
}

int exchange_run(struct session *s)
{
	int ret = 0;

	if (s->said->step == KEPT_SENDING)
		return -EPIPE;
	s->is_repeat = s->said->step != KEPT_IDLE;
	if (s->said->step == KEPT_IDLE)
		record(s);
	if (s->said->step == KEPT_RECORDED)
		ret = act(s);
	if (ret == 0 && s->said->step == KEPT_ANSWERED)
		ret = send_reply(s);
	finish(s);
	return ret;
}
