// SPDX-License-Identifier: MIT
/*
 * See serve_open.h.
 *
 * An open that names a service gets a socket pair: one end is a client's (serve_client), which is
 * told the opener; the other is ours. So the pair holds the bytes, and the client does what it
 * does for a process that connects to the door. What a socket cannot carry, a failure and an
 * abort, goes by struct serve_holder.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <manyport/connection.h>
#include <manyport/wire_check.h>

#include "base/list.h"
#include "road.h"
#include "serve_naming.h"
#include "serve_open.h"

/* --- The pair ----------------------------------------------------------------------------- */

static bool has_pair(const struct serve_open *o)
{
	return o->watch.loop;
}

static void drop_pair(struct serve_open *o)
{
	int fd = o->watch.fd;

	serve_client_let_go(&o->holder);
	if (!has_pair(o))
		return;
	loop_watch_remove(&o->watch);
	close(fd);
}

static void socket_ready(struct loop_watch *watch, uint32_t events)
{
	struct serve_open *o = container_of(watch, struct serve_open, watch);

	(void)events;
	o->changed(o);
}

static void holder_changed(struct serve_holder *holder)
{
	loop_task_queue(&container_of(holder, struct serve_open, holder)->look);
}

static void look(struct loop_task *task)
{
	struct serve_open *o = container_of(task, struct serve_open, look);

	o->changed(o);
}

/* --- Naming ------------------------------------------------------------------------------- */

static int send_name(int fd, const char *name, size_t len)
{
	struct {
		struct mp_naming header;
		char name[MP_NAME_MAX];
	} naming = {
		.header.magic = htole32(MP_CONNECTION_MAGIC),
		.header.version = htole16(MP_CONNECTION_VERSION),
		.header.name_len = htole16(len),
	};

	memcpy(naming.name, name, len);
	len += sizeof(naming.header);
	return send(fd, &naming, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -ENOBUFS;
}

/* A pair, of which our end is watched; *theirs is the other. */
static int make_pair(struct serve_open *o, int *theirs)
{
	int fds[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		return errno == EMFILE || errno == ENFILE ? -EBUSY : -errno;
	ret = loop_watch_add(o->serve->loop, &o->watch, fds[0],
			     EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, socket_ready);
	*theirs = fds[1];
	if (!ret)
		return 0;
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static int begin_naming(struct serve_open *o, const char *name, size_t len)
{
	char *copy = malloc(len);
	int theirs = -1, ret = copy ? make_pair(o, &theirs) : -ENOMEM;

	if (!ret && send_name(o->watch.fd, name, len)) {
		close(theirs);
		drop_pair(o);
		ret = -ENOBUFS;
	}
	if (ret) {
		free(copy);
		return ret;
	}
	memcpy(copy, name, len);
	free(o->name);
	o->name = copy;
	o->name_len = len;
	o->phase = OPEN_NAMING;
	o->is_collected = false;
	o->holder.has_failed = false;
	serve_client_begin_held(o->serve, theirs, &o->opener, &o->holder);
	return 0;
}

/* The client's answer, if it is there. It lies in the pair as a whole. */
void serve_open_take_answer(struct serve_open *o)
{
	struct mp_named named;
	ssize_t len;

	if (o->phase != OPEN_NAMING)
		return;
	len = recv(o->watch.fd, &named, sizeof(named), MSG_DONTWAIT);
	if (len < 0 && errno == EAGAIN)
		return;
	o->outcome = len == sizeof(named) ? road_reason_errno(mp_le16(named.reason)) : -ECONNRESET;
	o->phase = o->outcome ? OPEN_REFUSED : OPEN_CONNECTED;
	if (o->outcome)
		drop_pair(o);
}

/* What a naming call gets now, or OPEN_WAITS. @same: it says the name that was said last. */
int serve_open_outcome(struct serve_open *o, bool same)
{
	switch (o->phase) {
	case OPEN_NAMING:
		return same ? OPEN_WAITS : -EALREADY;
	case OPEN_CONNECTED:
		if (o->is_collected)
			return -EISCONN;
		if (!same)
			return -EALREADY;
		o->is_collected = true;
		return 0;
	case OPEN_REFUSED:
		o->is_collected = true;
		return o->outcome;
	default:
		return o->phase == OPEN_ABORTED ? -ECONNRESET : -ENOTCONN;
	}
}

/* @may_retry: a refused open may name again. */
int serve_open_name(struct serve_open *o, const char *name, size_t len, bool may_retry)
{
	bool same = o->name && o->name_len == len && !memcmp(o->name, name, len);
	int ret;

	if (o->phase == OPEN_UNNAMED ||
	    (o->phase == OPEN_REFUSED && may_retry && (o->is_collected || !same))) {
		ret = begin_naming(o, name, len);
		if (ret)
			return ret;
		same = true;
		serve_open_take_answer(o);
	}
	return serve_open_outcome(o, same);
}

/* How many bytes of a first write its name takes, or -errno. */
int serve_open_find_name(const char *buf, size_t size, const char **name, size_t *len)
{
	const size_t prefix = strlen(MP_NAME_PREFIX);
	const char *nul = memchr(buf, 0, size);

	*name = buf;
	*len = nul ? (size_t)(nul - buf) : size;
	if (!nul && *len && buf[*len - 1] == '\n') {
		--*len;
		if (*len && buf[*len - 1] == '\r')
			--*len;
	}
	if (*len >= prefix && !memcmp(buf, MP_NAME_PREFIX, prefix)) {
		*name += prefix;
		*len -= prefix;
	}
	if (*len > MP_NAME_MAX)
		return -ENAMETOOLONG;
	if (!mp_name_is_valid(*name, *len))
		return -EINVAL;
	return nul ? (size_t)(nul - buf + 1) : size;
}

/* --- Bytes ------------------------------------------------------------------------------- */

static int failure(const struct serve_open *o, int error)
{
	return o->holder.has_failed ? -ECONNRESET : error;
}

int serve_open_write(struct serve_open *o, const char *buf, size_t len)
{
	ssize_t sent;

	if (o->phase == OPEN_ABORTED)
		return -ECONNRESET;
	sent = send(o->watch.fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return errno == EAGAIN ? -EAGAIN : failure(o, -errno);
	o->bytes_out += sent;
	return sent;
}

int serve_open_read(struct serve_open *o, char *buf, size_t size)
{
	ssize_t len;

	if (o->phase == OPEN_ABORTED)
		return -ECONNRESET;
	if (o->phase == OPEN_REFUSED)
		return o->outcome;
	if (!serve_open_is_connected(o))
		return -ENOTCONN;
	if (o->is_shut_in)
		return 0;
	len = recv(o->watch.fd, buf, size, MSG_DONTWAIT);
	if (len < 0)
		return -errno;
	o->bytes_in += len;
	if (len)
		return len;
	o->has_met_end = true;
	return failure(o, 0);
}

/* --- Poll --------------------------------------------------------------------------------- */

#define POLL_IN	 (POLLIN | POLLRDNORM)
#define POLL_OUT (POLLOUT | POLLWRNORM)

/* A socket whose other end takes no more is not writable while it is full. */
static bool has_out_end(const struct serve_open *o)
{
	return o->is_shut_out || (send(o->watch.fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
				  errno != EAGAIN);
}

static uint32_t connected_mask(const struct serve_open *o)
{
	struct pollfd pair = { .fd = o->watch.fd, .events = POLLIN | POLLOUT | POLLRDHUP };
	bool out_end = has_out_end(o), in_end;
	uint32_t mask = 0;

	poll(&pair, 1, 0);
	in_end = o->is_shut_in || (pair.revents & (POLLRDHUP | POLLHUP));
	if (in_end || (pair.revents & POLLIN))
		mask |= POLL_IN;
	if (in_end)
		mask |= POLLRDHUP;
	if (out_end || (pair.revents & POLLOUT))
		mask |= POLL_OUT;
	if (in_end && out_end)
		mask |= POLLHUP;
	if (o->holder.has_failed)
		mask |= POLL_IN | POLL_OUT | POLLRDHUP | POLLHUP | POLLERR;
	return mask;
}

/* The table of protocol.md 7.5. */
uint32_t serve_open_poll(const struct serve_open *o)
{
	switch (o->phase) {
	case OPEN_UNNAMED:
		return POLL_OUT;
	case OPEN_NAMING:
		return 0;
	case OPEN_CONNECTED:
		return o->is_collected ? connected_mask(o) : POLL_OUT;
	case OPEN_REFUSED:
		return POLL_OUT | POLLERR;
	default:
		return POLL_IN | POLL_OUT | POLLRDHUP | POLLHUP | POLLERR;
	}
}

/* --- Ends, and what is known ------------------------------------------------------------ */

int serve_open_shut(struct serve_open *o, uint64_t how)
{
	if (how > SHUT_RDWR)
		return -EINVAL;
	if (o->phase == OPEN_ABORTED)
		return -ECONNRESET;
	if (o->phase != OPEN_CONNECTED)
		return -ENOTCONN;
	if (how != SHUT_WR)
		o->is_shut_in = true;
	if (how != SHUT_RD)
		o->is_shut_out = true;
	shutdown(o->watch.fd, how);
	return 0;
}

void serve_open_abort(struct serve_open *o)
{
	serve_client_abort(&o->holder);
	drop_pair(o);
	o->phase = OPEN_ABORTED;
}

static uint32_t state_of(const struct serve_open *o)
{
	switch (o->phase) {
	case OPEN_UNNAMED:
		return MANYPORT_UNNAMED;
	case OPEN_NAMING:
		return MANYPORT_CONNECTING;
	case OPEN_REFUSED:
		return MANYPORT_REFUSED;
	case OPEN_ABORTED:
		return MANYPORT_ABORTED;
	default:
		break;
	}
	if (!o->is_collected)
		return MANYPORT_CONNECTING;
	if (o->holder.has_failed)
		return MANYPORT_FAILED;
	return (o->is_shut_in || o->has_met_end) && has_out_end(o) ? MANYPORT_ENDED :
								      MANYPORT_CONNECTED;
}

void serve_open_fill_info(const struct serve_open *o, struct manyport_info *info)
{
	int readable = 0;

	info->state = state_of(o);
	info->bytes_in = o->bytes_in;
	info->bytes_out = o->bytes_out;
	if (o->name)
		memcpy(info->service, o->name, o->name_len);
	if (info->state == MANYPORT_REFUSED)
		info->error = -o->outcome;
	else if (info->state == MANYPORT_FAILED || info->state == MANYPORT_ABORTED)
		info->error = ECONNRESET;
	if (!serve_open_is_connected(o))
		return;
	if (!o->is_shut_in && !ioctl(o->watch.fd, FIONREAD, &readable))
		info->readable = readable;
	info->flags = (o->is_shut_in || o->has_met_end ? MANYPORT_INFO_IN_ENDED : 0) |
		      (has_out_end(o) ? MANYPORT_INFO_OUT_ENDED : 0);
}

/* --- Begin and end -------------------------------------------------------------------- */

void serve_open_init(struct serve_open *o, struct serve *serve, const struct ucred *who,
		     void (*changed)(struct serve_open *open))
{
	o->serve = serve;
	naming_find_opener(&o->opener, who);
	o->changed = changed;
	o->holder.changed = holder_changed;
	loop_task_init(serve->loop, &o->look, look);
}

void serve_open_end(struct serve_open *o)
{
	drop_pair(o);
	loop_task_cancel(&o->look);
	free(o->name);
}
