// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "daemon/door.h"

#define PATIENCE_ROUNDS	4	/* of the loop, for the end of the attached front end to come */
#define SILENCE_MS	5000

char *door_who(char *who, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		snprintf(who, DOOR_WHO_SIZE, "unknown process");
	else
		snprintf(who, DOOR_WHO_SIZE, "pid %d, uid %u", (int)peer.pid, peer.uid);
	return who;
}

void door_take_over(struct door *door, int fd)
{
	door_who(door->who, fd);
	door->since_ms = loop_now(door->loop);
}

static void let_in(struct door *door, int fd)
{
	door_take_over(door, fd);
	door->ops->let_in(door->context, fd);
}

static void refuse(struct door *door, int fd)
{
	char who[DOOR_WHO_SIZE];

	log_limited_here(LOG_LEVEL_WARNING,
			 "%s: refused a second front end (%s): one is attached (%s)", door->name,
			 door_who(who, fd), door->who);
	close(fd);
}

/* --- A second front end ---------------------------------------------------------- */

/* For how many milliseconds more the attached front end may send nothing. */
static uint64_t silence_left(const struct door *door)
{
	uint64_t end = door->since_ms + SILENCE_MS, now = loop_now(door->loop);

	return now < end ? end - now : 0;
}

static void take_place(struct door *door)
{
	int fd = door->second;
	char who[DOOR_WHO_SIZE];

	log_limited_here(LOG_LEVEL_WARNING,
			 "%s: the front end (%s) has said nothing for %d s: another (%s) takes "
			 "its place", door->name, door->who, SILENCE_MS / 1000, door_who(who, fd));
	door->second = -1;
	door->ops->send_away(door->context);
	let_in(door, fd);
}

static void decide(struct door *door)
{
	bool is_attached = door->ops->is_attached(door->context);
	bool is_silent = is_attached && door->ops->is_silent(door->context);
	int fd = door->second;

	if (is_attached && door->rounds) {
		door->rounds--;
		loop_task_queue(&door->decide);
	} else if (is_silent && !silence_left(door)) {
		take_place(door);
	} else if (is_silent) {
		loop_timer_start(&door->silence, silence_left(door));
	} else {
		door->second = -1;
		if (is_attached)
			refuse(door, fd);
		else
			let_in(door, fd);
	}
}

static void decide_now(struct loop_task *task)
{
	decide(container_of(task, struct door, decide));
}

static void silence_ends(struct loop_timer *timer)
{
	decide(container_of(timer, struct door, silence));
}

void door_is_free(struct door *door)
{
	if (door->second < 0)
		return;
	loop_timer_stop(&door->silence);
	loop_task_queue(&door->decide);
}

/* --- Listening --------------------------------------------------------------------- */

static void come_in(struct door *door, int fd)
{
	if (door->second >= 0) {
		refuse(door, fd);
	} else if (door->ops->is_attached(door->context)) {
		door->second = fd;
		door->rounds = PATIENCE_ROUNDS;
		loop_task_queue(&door->decide);
	} else {
		let_in(door, fd);
	}
}

static void somebody_waits(struct acceptor *acceptor, int fd)
{
	come_in(container_of(acceptor, struct door, acceptor), fd);
}

int door_open(struct door *door, const char *path, const struct unix_access *access)
{
	int ret = unix_listener_open(&door->listener, path, access);

	return ret ? ret : acceptor_start(&door->acceptor, door->listener.fd);
}

void door_init(struct door *door, struct loop *loop, const char *name,
	       const struct door_ops *ops, void *context)
{
	memset(door, 0, sizeof(*door));
	door->loop = loop;
	door->name = name;
	door->ops = ops;
	door->context = context;
	door->listener.fd = door->second = -1;
	acceptor_init(&door->acceptor, loop, name, somebody_waits);
	door->acceptor.has_reserve = true;
	loop_task_init(loop, &door->decide, decide_now);
	loop_timer_init(loop, &door->silence, silence_ends);
}

void door_close(struct door *door)
{
	acceptor_stop(&door->acceptor);
	loop_timer_stop(&door->silence);
	unix_listener_close(&door->listener);
	loop_task_cancel(&door->decide);
	if (door->second >= 0)
		close(door->second);
	door->second = -1;
}
