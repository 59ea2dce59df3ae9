// SPDX-License-Identifier: MIT
/*
 * The node's requests. See serve_node.h.
 *
 * A call that must wait is kept, in order, with the bytes of a write, 128 KiB at most, and tried
 * again when something changed. An open may have several of them, one for each thread that waits;
 * the kernel takes back that of a thread that gets a signal, by INTERRUPT. What all of them hold
 * together is bounded: a write that finds no room waits with its first 4 KiB, and is short. So no
 * user's writes make those of others fail.
 *
 * A call of more than 128 KiB comes in parts, and those behind the first have an offset. Such a
 * READ never waits, since its call has bytes already.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <manyport/wire_check.h>

#include "base/log.h"
#include "serve_cuse.h"
#include "serve_node.h"
#include "serve_open.h"

#define OPENS_MAX  SERVE_SLOTS
#define CALL_LISTS 1024U
#define HELD_MAX   (16U << 20)		/* bytes of writes that wait, of all opens, but */
#define HELD_EACH  4096U			/* that each may hold: more than a name */

struct node {
	struct cuse cuse;
	struct serve *serve;
	struct list opens;
	struct list calls[CALL_LISTS];	/* struct call that wait, by their numbers */
	uint32_t open_count;
	uint32_t held;
	char buf[CUSE_IO_MAX];		/* of a READ's answer */
};

enum call_kind { CALL_CONNECT, CALL_WRITE, CALL_READ, CALL_KINDS };

struct open {
	struct serve_open channel;
	struct list link;		/* in node->opens */
	struct node *node;
	struct list waiting[CALL_KINDS];	/* struct call, in order */
	bool is_nonblocking;		/* when last heard: an ioctl does not tell */
	bool is_polled;
	uint32_t poll_events;		/* for which, since they were woken last */
	uint64_t poll_handle;
};

struct call {
	struct list link;		/* in open->waiting */
	struct list alike;		/* in node->calls */
	struct open *open;
	uint64_t unique;
	enum call_kind kind;
	bool is_nonblocking;
	bool is_part;			/* behind the first part of a call */
	uint32_t size, done;
	uint32_t naming;		/* how many bytes of it name, once that was asked */
	const char *data;
};

/* The kernel counts by two. */
static struct list *calls_like(struct node *node, uint64_t unique)
{
	return &node->calls[unique / 2 % CALL_LISTS];
}

/* --- Calls: each try gives 0 or -errno, or OPEN_WAITS ------------------------------------- */

static int outcome_of(struct open *o)
{
	int ret = serve_open_outcome(&o->channel, true);

	/* Another call has collected it: it is this one's as well. */
	return ret == -EISCONN ? 0 : ret;
}

static int try_naming(struct open *o, struct call *call)
{
	const char *name;
	size_t len;
	int taken;

	/* A payload never becomes a name. */
	if (call->naming || o->channel.phase == OPEN_REFUSED || o->channel.phase == OPEN_ABORTED)
		return outcome_of(o);
	taken = serve_open_find_name(call->data, call->size, &name, &len);
	if (taken < 0)
		return taken;
	call->naming = taken;
	return serve_open_name(&o->channel, name, len, false);
}

static int try_write(struct open *o, struct call *call)
{
	int ret;

	if (!serve_open_is_connected(&o->channel) || (call->naming && !call->done)) {
		ret = try_naming(o, call);
		if (ret)
			return ret;
		call->done = call->naming;
	}
	while (call->done < call->size) {
		ret = serve_open_write(&o->channel, call->data + call->done,
				       call->size - call->done);
		if (ret < 0)
			return ret == -EAGAIN ? OPEN_WAITS : ret;
		call->done += ret;
	}
	return 0;
}

static int try_connect(struct open *o, struct call *call)
{
	if (call->naming)
		return outcome_of(o);
	call->naming = call->size;
	return serve_open_name(&o->channel, call->data, call->size, true);
}

/* Its bytes are in node->buf. */
static int try_read(struct open *o, struct call *call)
{
	int ret = serve_open_read(&o->channel, o->node->buf, call->size);

	if (ret > 0)
		call->done = ret;
	if (ret >= 0 || call->is_part)
		return 0;
	return ret == -EAGAIN ? OPEN_WAITS : ret;
}

static int try_call(struct open *o, struct call *call)
{
	if (call->kind == CALL_READ)
		return try_read(o, call);
	return call->kind == CALL_CONNECT ? try_connect(o, call) : try_write(o, call);
}

/*
 * The bytes of writes that wait come first. Names are no bytes: each call that says one has its own
 * answer.
 */
static bool is_behind(const struct open *o, const struct call *call)
{
	return call->kind == CALL_WRITE && serve_open_is_connected(&o->channel) &&
	       !list_is_empty(&o->waiting[CALL_WRITE]);
}

static void answer(struct open *o, struct call *call, int ret)
{
	const struct fuse_write_out written = { .size = call->done };
	const struct fuse_ioctl_out connected = { 0 };
	struct cuse *cuse = &o->node->cuse;

	/* What was moved comes before what stopped it. */
	if (ret && call->done)
		ret = 0;
	if (call->kind == CALL_READ)
		cuse_answer(cuse, call->unique, ret, NULL, 0, o->node->buf, call->done);
	else if (call->kind == CALL_WRITE)
		cuse_answer(cuse, call->unique, ret, &written, sizeof(written), NULL, 0);
	else
		cuse_answer(cuse, call->unique, ret, &connected, sizeof(connected), NULL, 0);
}

static void forget(struct open *o, struct call *call)
{
	if (call->kind != CALL_READ)
		o->node->held -= call->size;
	list_del(&call->link);
	list_del(&call->alike);
	free(call);
}

/* Returns 0, or why it cannot wait. */
static int keep(struct open *o, const struct call *call)
{
	uint32_t size = call->kind == CALL_READ ? 0 : call->size;
	struct call *kept;

	if (call->is_nonblocking)
		return call->kind == CALL_CONNECT ? -EINPROGRESS : -EAGAIN;
	if (size > HELD_EACH && size + o->node->held > HELD_MAX) {
		if (call->done)
			return -ENOBUFS;	/* what was moved is the answer */
		size = HELD_EACH;
	}
	kept = malloc(sizeof(*kept) + size);
	if (!kept)
		return -ENOMEM;
	*kept = *call;
	if (call->kind != CALL_READ)
		kept->size = size;
	if (size)
		kept->data = memcpy(kept + 1, call->data, size);
	o->node->held += size;
	kept->open = o;
	list_add_tail(&o->waiting[kept->kind], &kept->link);
	list_add_tail(calls_like(o->node, kept->unique), &kept->alike);
	return 0;
}

/* Where one has to wait those behind it have to, too: thousands may. */
static void go_on(struct open *o)
{
	struct list *link, *save;

	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		list_for_each_safe(link, save, &o->waiting[kind]) {
			struct call *call = list_entry(link, struct call, link);
			int ret = try_call(o, call);

			if (ret == OPEN_WAITS)
				break;
			answer(o, call, ret);
			forget(o, call);
		}
	}
}

/* --- What changed ------------------------------------------------------------------------- */

/* Pollers look again for themselves, and ask to be woken again. */
static void wake_pollers(struct open *o)
{
	if (!o->is_polled || !(serve_open_poll(&o->channel) & o->poll_events))
		return;
	o->is_polled = false;
	o->poll_events = 0;
	cuse_wake_pollers(&o->node->cuse, o->poll_handle);
}

static void changed(struct serve_open *channel)
{
	struct open *o = container_of(channel, struct open, channel);

	serve_open_take_answer(channel);
	go_on(o);
	wake_pollers(o);
}

static void begin_call(struct open *o, struct call *call)
{
	int ret = is_behind(o, call) ? OPEN_WAITS : try_call(o, call);

	if (ret == OPEN_WAITS) {
		ret = keep(o, call);
		if (!ret)
			return;
	}
	answer(o, call, ret);
	/* A naming call that gave its outcome: until then a poll said no IN. */
	if (call->naming)
		changed(&o->channel);
}

/* --- Ioctls: what restricted ones can carry ---------------------------------------------- */

static void connect_open(struct open *o, uint64_t unique, const char *name)
{
	struct call call = {
		.unique = unique, .kind = CALL_CONNECT, .is_nonblocking = o->is_nonblocking,
		.data = name, .size = strnlen(name, MANYPORT_NAME_SIZE),
	};

	if (call.size > MP_NAME_MAX)
		answer(o, &call, -ENAMETOOLONG);
	else if (!mp_name_is_valid(name, call.size))
		answer(o, &call, -EINVAL);
	else
		begin_call(o, &call);
}

static void do_ioctl(struct open *o, uint64_t unique, const struct fuse_ioctl_in *in, size_t len)
{
	const struct fuse_ioctl_out out = { 0 };
	struct manyport_info info = { .size = in->out_size };
	size_t back = 0;
	int ret = 0;

	switch (in->cmd) {
	case MANYPORT_IOC_CONNECT:
		if (len - sizeof(*in) < sizeof(struct manyport_connect)) {
			ret = -EINVAL;
			break;
		}
		connect_open(o, unique, (const char *)(in + 1));
		return;
	case MANYPORT_IOC_SHUTDOWN:
		ret = serve_open_shut(&o->channel, in->arg);
		break;
	case MANYPORT_IOC_ABORT:
		serve_open_abort(&o->channel);
		break;
	case MANYPORT_IOC_INFO:
	case MANYPORT_IOC_INFO_1:
		back = in->out_size < sizeof(info) ? in->out_size : sizeof(info);
		serve_open_fill_info(&o->channel, &info);
		break;
	default:
		ret = -ENOTTY;
	}
	cuse_answer(&o->node->cuse, unique, ret, &out, sizeof(out), &info, back);
	changed(&o->channel);
}

/* --- Requests ------------------------------------------------------------------------- */

static void free_open(struct open *o)
{
	serve_open_end(&o->channel);
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++)
		while (!list_is_empty(&o->waiting[kind]))
			forget(o, list_first(&o->waiting[kind], struct call, link));
	list_del(&o->link);
	o->node->open_count--;
	free(o);
}

static void do_open(struct node *node, const struct fuse_in_header *header,
		    const struct fuse_open_in *in)
{
	const struct ucred who = { .pid = header->pid, .uid = header->uid, .gid = header->gid };
	struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO | FOPEN_NONSEEKABLE };
	struct open *o = node->open_count < OPENS_MAX ? calloc(1, sizeof(*o)) : NULL;

	if (!o) {
		cuse_answer(&node->cuse, header->unique, -EBUSY, NULL, 0, NULL, 0);
		return;
	}
	o->node = node;
	serve_open_init(&o->channel, node->serve, &who, changed);
	o->is_nonblocking = in->flags & O_NONBLOCK;
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++)
		list_init(&o->waiting[kind]);
	list_add_tail(&node->opens, &o->link);
	node->open_count++;
	out.fh = (uintptr_t)o;
	/* Where no one waits for it there will be no RELEASE. */
	if (cuse_answer(&node->cuse, header->unique, 0, &out, sizeof(out), NULL, 0))
		free_open(o);
}

static void do_read(struct open *o, uint64_t unique, const struct fuse_read_in *in)
{
	struct call call = {
		.unique = unique, .kind = CALL_READ, .is_part = in->offset,
		.is_nonblocking = in->flags & O_NONBLOCK,
		.size = in->size < CUSE_IO_MAX ? in->size : CUSE_IO_MAX,
	};

	o->is_nonblocking = call.is_nonblocking;
	begin_call(o, &call);
}

static void do_write(struct open *o, uint64_t unique, const struct fuse_write_in *in, size_t len)
{
	struct call call = {
		.unique = unique, .kind = CALL_WRITE, .is_nonblocking = in->flags & O_NONBLOCK,
		.data = (const char *)(in + 1), .size = len - sizeof(*in),
	};

	o->is_nonblocking = call.is_nonblocking;
	begin_call(o, &call);
}

static void do_poll(struct open *o, uint64_t unique, const struct fuse_poll_in *in)
{
	const struct fuse_poll_out out = { .revents = serve_open_poll(&o->channel) };

	if (in->flags & FUSE_POLL_SCHEDULE_NOTIFY) {
		o->poll_handle = in->kh;
		o->poll_events |= in->events | POLLERR | POLLHUP;
		o->is_polled = true;
	}
	cuse_answer(&o->node->cuse, unique, 0, &out, sizeof(out), NULL, 0);
}

static void do_interrupt(struct node *node, const struct fuse_interrupt_in *in)
{
	struct list *link;

	list_for_each(link, calls_like(node, in->unique)) {
		struct call *call = list_entry(link, struct call, alike);
		struct open *o = call->open;

		if (call->unique != in->unique)
			continue;
		answer(o, call, -EINTR);
		forget(o, call);
		changed(&o->channel);		/* what was behind it */
		return;
	}
	/* The call has had its answer in the meantime. */
}

/* The open of a request: its handle is the first field of each. */
static struct open *open_of(const void *body)
{
	uint64_t handle;

	memcpy(&handle, body, sizeof(handle));
	return (struct open *)(uintptr_t)handle;
}

static void request(struct cuse *cuse, const struct fuse_in_header *header, const void *body)
{
	struct node *node = container_of(cuse, struct node, cuse);
	size_t len = header->len - sizeof(*header);
	struct open *o;

	switch (header->opcode) {
	case FUSE_OPEN:
		do_open(node, header, body);
		return;
	case FUSE_INTERRUPT:
		do_interrupt(node, body);
		return;
	case FUSE_READ:
		do_read(open_of(body), header->unique, body);
		return;
	case FUSE_WRITE:
		do_write(open_of(body), header->unique, body, len);
		return;
	case FUSE_POLL:
		do_poll(open_of(body), header->unique, body);
		return;
	case FUSE_IOCTL:
		do_ioctl(open_of(body), header->unique, body, len);
		return;
	case FUSE_RELEASE:
		o = open_of(body);
		free_open(o);
		cuse_answer(cuse, header->unique, 0, NULL, 0, NULL, 0);
		return;
	default:
		cuse_answer(cuse, header->unique, -ENOSYS, NULL, 0, NULL, 0);
	}
}

/* --- Begin and end -------------------------------------------------------------------- */

static void end_all(struct node *node)
{
	while (!list_is_empty(&node->opens))
		free_open(list_first(&node->opens, struct open, link));
	cuse_close(&node->cuse);
}

static void gone(struct cuse *cuse)
{
	log_error("the kernel has ended the node: clients have the sockets only");
	end_all(container_of(cuse, struct node, cuse));
}

static const char *explain(int error)
{
	if (error == -ENODEV)
		return "the kernel has no CUSE (modprobe cuse)";
	if (error == -EINVAL)
		return "not a name for a node: letters, digits, '.', '_' and '-'";
	return strerror(-error);
}

int serve_node_open(struct serve *serve, const char *name, struct node **ret_node)
{
	struct node *node = calloc(1, sizeof(*node));
	int ret = -ENOMEM;

	if (node) {
		node->serve = serve;
		list_init(&node->opens);
		for (unsigned int i = 0; i < CALL_LISTS; i++)
			list_init(&node->calls[i]);
		node->cuse.request = request;
		node->cuse.gone = gone;
		ret = cuse_open(&node->cuse, serve->loop, name);
	}
	if (!ret) {
		log_info("/dev/%s: each open is a channel", name);
		*ret_node = node;
		return 0;
	}
	log_error("cannot make /dev/%s: %s", name, explain(ret));
	free(node);
	return ret;
}

void serve_node_close(struct node *node)
{
	if (!node)
		return;
	end_all(node);
	free(node);
}
