// SPDX-License-Identifier: MIT
/* One virtqueue of a front end; see virtqueue.h. */

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "device/device.h"
#include "vhost/virtqueue.h"

void virtqueue_init(struct virtqueue *vq)
{
	vq->ring = (struct ring){ .size = 0 };
	vq->kick = (struct loop_watch){ .fd = -1 };
	vq->kick_fd = -1;
	vq->call = (struct virtqueue_signal){ .fd = -1 };
	vq->error = (struct virtqueue_signal){ .fd = -1 };
	vq->look = false;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void virtqueue_fini(struct virtqueue *vq)
{
	virtqueue_stop(vq);
	close_fd(&vq->kick_fd);
	close_fd(&vq->call.fd);
	close_fd(&vq->error.fd);
	virtqueue_init(vq);
	kept_put(vq->kept, &vq->said->kick, 0);
	kept_put(vq->kept, &vq->said->call, 0);
	kept_put(vq->kept, &vq->said->error, 0);
	memset(vq->said, 0, sizeof(*vq->said));
}

/* --- Signals ------------------------------------------------------------ */

/* The type bits of @fd: 0 for an eventfd and others of its kind, S_IFSOCK, ... */
static int fd_type(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -errno : (int)(st.st_mode & S_IFMT);
}

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/*
 * Takes @fd over. An eventfd whose counter is full would make write() wait; the
 * flag that prevents it belongs to the open file. A front end that clears the flag again makes
 * its own daemon wait, and no other guest's: a daemon serves one guest.
 */
static int signal_set(struct virtqueue_signal *signal, int fd)
{
	int type, ret;

	close_fd(&signal->fd);
	if (fd < 0)
		return 0;
	type = fd_type(fd);
	ret = type < 0 ? type : type && type != S_IFSOCK ? -EINVAL : set_nonblocking(fd);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	signal->fd = fd;
	signal->is_socket = type == S_IFSOCK;
	return 0;
}

/*
 * Eight bytes either way: User Mode Linux gives a stream socket in place of an
 * eventfd, and reads exactly so many. EAGAIN: a signal is pending already. Any
 * other error is the front end's own loss.
 */
static void signal_send(const struct virtqueue_signal *signal)
{
	const uint64_t one = 1;
	ssize_t n;

	if (signal->fd < 0)
		return;
	do {
		if (signal->is_socket)
			n = send(signal->fd, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			n = write(signal->fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}

void virtqueue_call(struct virtqueue *vq)
{
	signal_send(&vq->call);
}

void virtqueue_signal_error(struct virtqueue *vq)
{
	signal_send(&vq->error);
}

/* --- Kicks -------------------------------------------------------------- */

/*
 * The counter is not read: the watch is edge-triggered, every write to an
 * eventfd is an edge, and a counter that is never read overflows after 2^64 of them.
 */
static void on_kick(struct loop_watch *watch, uint32_t events)
{
	struct virtqueue *vq = container_of(watch, struct virtqueue, kick);

	(void)events;
	device_kick(vq->device, vq->queue);
	vq->kicked(vq);
}

static int watch_kick(struct virtqueue *vq)
{
	return loop_watch_add(vq->loop, &vq->kick, vq->kick_fd, EPOLLIN | EPOLLET,
			      on_kick);
}

/* --- Start and stop ----------------------------------------------------- */

static bool can_run(const struct virtqueue *vq)
{
	const struct kept_ring *said = vq->said;

	return vq->kick_fd >= 0 && said->enabled && said->has_addr && said->size;
}

static void describe(struct virtqueue *vq, uint64_t features)
{
	vq->ring.size = vq->said->size;
	vq->ring.desc_addr = vq->said->desc;
	vq->ring.avail_addr = vq->said->avail;
	vq->ring.used_addr = vq->said->used;
	vq->ring.event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1;
	vq->ring.indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1;
	vq->ring.inflight = kept_inflight(vq->kept, vq->queue);
}

/* The ring has started: the device gets it by @give. */
static int run(struct virtqueue *vq, void (*give)(struct device *, unsigned int, struct ring *))
{
	int ret = watch_kick(vq);

	if (ret < 0) {
		ring_stop(&vq->ring);
		return ret;
	}
	vq->said->running = true;
	vq->look = true;
	give(vq->device, vq->queue, &vq->ring);
	return 0;
}

int virtqueue_start(struct virtqueue *vq, uint64_t features)
{
	int ret;

	if (vq->ring.running || vq->said->held || !can_run(vq))
		return 0;
	describe(vq, features);
	ret = ring_start(&vq->ring, vq->mem, vq->said->base);
	return ret < 0 ? ret : run(vq, device_ring_start);
}

int virtqueue_start_again(struct virtqueue *vq, uint64_t features)
{
	int ret;

	/* One that was about to be held is: the message is acted on again. */
	if (!can_run(vq))
		return -EINVAL;
	describe(vq, features);
	ret = ring_start_again(&vq->ring, vq->mem);
	return ret ? ret : run(vq, device_ring_adopt);
}

/* The device first: it gives parked chains back while the ring still runs [protocol.md 10.3]. */
void virtqueue_stop(struct virtqueue *vq)
{
	if (!vq->ring.running)
		return;
	loop_watch_remove(&vq->kick);
	device_ring_stop(vq->device, vq->queue);
	vq->said->base = ring_stop(&vq->ring);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	vq->said->running = false;
	vq->look = false;
}

void virtqueue_pause(struct virtqueue *vq)
{
	bool was_running = vq->ring.running;

	virtqueue_stop(vq);
	vq->said->running = was_running;
}

void virtqueue_look(struct virtqueue *vq)
{
	if (!vq->look)
		return;
	vq->look = false;
	device_kick(vq->device, vq->queue);
}

int virtqueue_adopt(struct virtqueue *vq, int kick, int call, int error)
{
	int ret, ret_error;

	vq->kick_fd = kick;
	ret = signal_set(&vq->call, call);
	ret_error = signal_set(&vq->error, error);
	if (kick >= 0 && fd_type(kick))
		return -EINVAL;
	return ret < 0 ? ret : ret_error;
}

/* --- What the front end says -------------------------------------------- */

/* The ring waits for the rest of its new description. */
static void hold(struct virtqueue *vq)
{
	if (!vq->ring.running)
		return;
	vq->said->held = true;
	virtqueue_stop(vq);
}

void virtqueue_set_num(struct virtqueue *vq, uint32_t num)
{
	hold(vq);
	vq->said->size = num;
}

void virtqueue_set_base(struct virtqueue *vq, uint16_t base)
{
	hold(vq);
	vq->said->base = base;
}

void virtqueue_set_addr(struct virtqueue *vq, const struct vhost_user_vring_addr *addr)
{
	virtqueue_stop(vq);
	vq->said->desc = addr->desc;
	vq->said->avail = addr->avail;
	vq->said->used = addr->used;
	vq->said->has_addr = true;
	vq->said->held = false;
}

void virtqueue_set_enabled(struct virtqueue *vq, bool enabled)
{
	if (!enabled)
		virtqueue_stop(vq);
	else
		vq->said->held = false;
	vq->said->enabled = enabled;
}

/* A ring that runs continues, and is looked at: a kick may have gone to the old descriptor. */
int virtqueue_set_kick(struct virtqueue *vq, int fd, uint32_t number)
{
	int type = fd_type(fd), ret = 0;

	if (type) {
		close(fd);
		return type < 0 ? type : -EINVAL;
	}
	loop_watch_remove(&vq->kick);
	close_fd(&vq->kick_fd);
	vq->kick_fd = fd;
	kept_put(vq->kept, &vq->said->kick, number);
	vq->said->held = false;
	if (vq->ring.running) {
		vq->look = true;
		ret = watch_kick(vq);
		if (ret < 0)
			virtqueue_stop(vq);
	}
	return ret;
}

/* A descriptor that cannot be used is none. */
static int set_signal(struct virtqueue *vq, struct virtqueue_signal *signal, uint32_t *slot, int fd,
		      uint32_t number)
{
	int ret = signal_set(signal, fd);

	kept_put(vq->kept, slot, signal->fd < 0 ? 0 : number);
	return ret;
}

/* Calls once: the last call may have gone to the old descriptor, after the front end left it. */
int virtqueue_set_call(struct virtqueue *vq, int fd, uint32_t number)
{
	int ret = set_signal(vq, &vq->call, &vq->said->call, fd, number);

	if (ret == 0 && vq->ring.running)
		virtqueue_call(vq);
	return ret;
}

int virtqueue_set_error(struct virtqueue *vq, int fd, uint32_t number)
{
	return set_signal(vq, &vq->error, &vq->said->error, fd, number);
}

/* The call descriptor stays: User Mode Linux warns when it is closed. */
void virtqueue_end(struct virtqueue *vq)
{
	virtqueue_stop(vq);
	vq->said->held = false;
	close_fd(&vq->kick_fd);
	kept_put(vq->kept, &vq->said->kick, 0);
}

uint16_t virtqueue_get_base(struct virtqueue *vq)
{
	virtqueue_end(vq);
	return vq->said->base;
}
