/* SPDX-License-Identifier: MIT */
/*
 * One vhost-user front end: its socket, its memory, its rings.
 *
 * The device outlives the session. The daemon creates it once, accepts a front
 * end, and gives both to session_create(). What the session asks of the daemon:
 *
 * - device_env.call(context, queue) is session_call(session, queue) while there is
 *   a session, and nothing otherwise;
 * - device_env.wake and rearm are a loop_task that calls core_run() and a
 *   loop_timer that calls core_tick(), each followed by session_check() while
 *   there is a session. Task and timer may run on without a session.
 * - mem_guard_install() has been called.
 *
 * When the session ends by itself (the front end is gone, broke the protocol, took its
 * memory away), its rings have been stopped, the device was reset, and
 * everything that the front end gave is unmapped and closed; then, from a task of the
 * loop, ended() is called, once. Until session_destroy() the session is a shell.
 */
#ifndef HOST_VHOST_SESSION_H
#define HOST_VHOST_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct kept;
struct loop;
struct session;

/*
 * Serves the front end that is connected to the stream socket @fd. @kept is the session's, to be
 * cleared, and outlives it. @ended may call
 * session_destroy(); @why is 0 when the front end closed its connection between two messages,
 * else a negative errno. The session has logged the reason in both cases. Returns NULL with
 * errno set; @fd is then still the caller's, otherwise the session closes it.
 */
struct session *session_create(struct loop *loop, struct device *device, struct kept *kept, int fd,
			       void (*ended)(void *context, int why), void *context);

/*
 * Serves the front end that an earlier process, or an earlier program in this one, has left in
 * @kept. The device either has read what that program wrote (device_hand_over()), or only channels
 * have ended with that process. Where that is not possible the front end's connection ends, which
 * is logged, and NULL is returned with errno set.
 */
struct session *session_adopt(struct loop *loop, struct device *device, struct kept *kept,
			      void (*ended)(void *context, int why), void *context);

/*
 * A planned restart. session_pause(): rings stop, the device holds nothing of the guest; returns
 * false where that cannot be: not now, or the front end cannot be held. Then the next program
 * takes it over, or session_resume() goes on.
 */
bool session_pause(struct session *session);
void session_resume(struct session *session);

/*
 * Ends the session if it has not ended, without calling ended(). Accepts NULL. Not from inside
 * device_*() or session_check().
 */
void session_destroy(struct session *session);

/* Its socket: to ask who it is. */
int session_fd(const struct session *session);

/*
 * Before session_destroy(): leaves the front end to a successor of this process, if there can be
 * one. Its connection, memory and rings stay as they are now. Accepts NULL.
 */
void session_leave(struct session *session);

/* Has the front end not sent a whole message yet? */
bool session_is_silent(const struct session *session);

/* Tells the front end that @queue has used entries. Accepts NULL. Never waits. */
void session_call(struct session *session, unsigned int queue);

/*
 * To be called after core_run() and core_tick(): ends the session when guest memory was
 * truncated, and stops the rings when the device is broken. Accepts NULL.
 */
void session_check(struct session *session);

/* The configuration space has changed: tells the front end if it wants to know. Accepts NULL. */
void session_config_changed(struct session *session);

/* What the back end offers with @device: for tests. */
uint64_t session_protocol_features(const struct device *device);

#endif
