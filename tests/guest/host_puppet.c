// SPDX-License-Identifier: MIT
/* Puppets: connections that do only what they are told. See host_puppet.h. */
#include "host_puppet.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pattern.h"

#define CHUNK (256 * 1024)

static struct puppet *puppets[MAX_PUPPETS];
static unsigned int count;
static uint8_t chunk[CHUNK];

static bool may_read(const struct puppet *puppet)
{
	return (puppet->reads_all || puppet->budget) && !puppet->has_end && !puppet->has_failed;
}

bool puppet_is_sent(const struct puppet *puppet)
{
	return !puppet->send_len;
}

void puppet_close(struct puppet *puppet)
{
	if (puppet->watch.fd >= 0)
		close(puppet->watch.fd);
	puppet->watch.fd = -1;
}

/* The peer sees a reset: TCP by a zero linger, a unix socket by unread bytes. */
void puppet_abort(struct puppet *puppet)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (puppet->watch.fd >= 0)
		setsockopt(puppet->watch.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	puppet_close(puppet);
}

static void finish_sending(struct puppet *puppet)
{
	if (!puppet_is_sent(puppet))
		return;
	if (puppet->end_after)
		shutdown(puppet->watch.fd, SHUT_WR);
	puppet->end_after = false;
	if (puppet->close_after)
		puppet_close(puppet);
}

/* Events that the socket is to be watched for; a hang-up is seen without asking. */
void puppet_update(struct puppet *puppet)
{
	uint32_t wanted = puppet->hung_up ? 0 : EPOLLRDHUP;

	if (puppet->watch.fd < 0)
		return;
	finish_sending(puppet);
	if (puppet->watch.fd < 0)
		return;
	if (may_read(puppet))
		wanted |= EPOLLIN;
	if (puppet->send_len)
		wanted |= EPOLLOUT;
	/* A hang-up is reported for ever: with nothing left to do, look away. */
	if (puppet->hung_up && !wanted)
		wanted = EPOLLET;
	if (wanted != puppet->wanted)
		watch_set(&puppet->watch, wanted);
	puppet->wanted = wanted;
}

static void keep(struct puppet *puppet, size_t len)
{
	if (puppet->kept_len + len > puppet->kept_size) {
		puppet->kept_size = 2 * (puppet->kept_len + len);
		puppet->kept = realloc(puppet->kept, puppet->kept_size);
		if (!puppet->kept)
			abort();
	}
	memcpy(puppet->kept + puppet->kept_len, chunk, len);
	puppet->kept_len += len;
}

static void take(struct puppet *puppet, size_t len)
{
	size_t good;

	if (puppet->is_checked && !puppet->is_bad) {
		good = pattern_check(chunk, len, puppet->seed, puppet->received);
		puppet->is_bad = good < len;
		puppet->bad_at = puppet->received + good;
	}
	if (puppet->is_kept)
		keep(puppet, len);
	puppet->received += len;
	puppet->budget -= puppet->reads_all ? 0 : len;
}

static void receive(struct puppet *puppet)
{
	size_t max = CHUNK;
	ssize_t len;

	if (!puppet->reads_all && puppet->budget < max)
		max = puppet->budget;
	len = recv(puppet->watch.fd, chunk, max, MSG_DONTWAIT);
	if (len > 0)
		take(puppet, len);
	else if (!len)
		puppet->has_end = true;
	else if (errno != EAGAIN && errno != EINTR)
		puppet->has_failed = true;
}

static void send_some(struct puppet *puppet)
{
	size_t len = puppet->send_len < CHUNK ? puppet->send_len : CHUNK;
	const void *data = puppet->send_data;
	ssize_t ret;

	if (!data) {
		pattern_fill(chunk, len, puppet->send_seed, puppet->send_offset);
		data = chunk;
	}
	ret = send(puppet->watch.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (ret < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		puppet->send_failed = true;
		puppet->send_len = 0;
		return;
	}
	puppet->sent += ret;
	puppet->send_len -= ret;
	puppet->send_offset += ret;
	if (puppet->send_data)
		puppet->send_data += ret;
}

static void puppet_ready(struct watch *watch, uint32_t events)
{
	struct puppet *puppet = (struct puppet *)watch;

	if (watch->fd < 0)
		return;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		puppet->hung_up = true;
	if (may_read(puppet) && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		receive(puppet);
	if (puppet->send_len && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
		send_some(puppet);
	puppet_update(puppet);
}

struct puppet *puppet_create(int fd)
{
	struct puppet *puppet = count < MAX_PUPPETS ? calloc(1, sizeof(*puppet)) : NULL;

	if (!puppet) {
		close(fd);
		return NULL;
	}
	puppets[count++] = puppet;
	watch_add(&puppet->watch, fd, puppet_ready);
	puppet_update(puppet);
	return puppet;
}

struct puppet *puppet_get(long index)
{
	return index >= 0 && index < (long)count ? puppets[index] : NULL;
}

unsigned int puppet_count(void)
{
	return count;
}

/* Only between two rounds of events: an event may point at a puppet. */
void puppet_forget_all(void)
{
	for (unsigned int i = 0; i < count; i++) {
		puppet_close(puppets[i]);
		free(puppets[i]->kept);
		free(puppets[i]);
	}
	count = 0;
}
