// SPDX-License-Identifier: MIT
/* See serve_cuse.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "serve_cuse.h"

#define CUSE_PATH    "/dev/cuse"
#define NAME_LEN_MAX 63
#define ROUND	     32			/* requests, before others have a turn */

int cuse_answer(struct cuse *cuse, uint64_t unique, int error, const void *head, size_t head_len,
		const void *data, size_t len)
{
	struct fuse_out_header header = { .error = error, .unique = unique };
	struct iovec parts[] = {
		{ &header, sizeof(header) },
		{ (void *)head, error ? 0 : head_len },
		{ (void *)data, error ? 0 : len },
	};

	header.len = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;
	return writev(cuse->watch.fd, parts, 3) < 0 ? -errno : 0;
}

void cuse_wake_pollers(struct cuse *cuse, uint64_t kh)
{
	const struct fuse_notify_poll_wakeup_out wakeup = { .kh = kh };

	/* A notification is an answer to request 0 whose error is its number. */
	const struct fuse_out_header header = {
		.len = sizeof(header) + sizeof(wakeup), .error = FUSE_NOTIFY_POLL,
	};
	const struct iovec parts[] = {
		{ (void *)&header, sizeof(header) }, { (void *)&wakeup, sizeof(wakeup) },
	};

	/* A file that is gone has no pollers. */
	if (writev(cuse->watch.fd, parts, 2) < 0 && errno != ENOENT)
		log_limited_here(LOG_LEVEL_WARNING, "pollers of the node were not woken: %s",
				 strerror(errno));
}

/* --- Requests --------------------------------------------------------------------------- */

/* Returns 1: a request is in the buffer; 0: there is none now; or -errno. */
static int read_request(struct cuse *cuse, int fd)
{
	const struct fuse_in_header *header = (const void *)cuse->buf;
	ssize_t len = read(fd, cuse->buf, CUSE_BUF_SIZE);

	/* ENOENT: the request was taken back in the meantime. */
	if (len < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENOENT ? 0 : -errno;
	return (size_t)len < sizeof(*header) || header->len != (size_t)len ? -EPROTO : 1;
}

static void ready(struct loop_watch *watch, uint32_t events)
{
	struct cuse *cuse = container_of(watch, struct cuse, watch);
	int ret = 1;

	(void)events;
	for (int i = 0; i < ROUND && ret > 0 && cuse->watch.fd >= 0; i++) {
		ret = read_request(cuse, watch->fd);
		if (ret > 0)
			cuse->request(cuse, (const void *)cuse->buf,
				      cuse->buf + sizeof(struct fuse_in_header));
	}
	if (ret < 0)
		cuse->gone(cuse);
}

/* --- Begin and end ------------------------------------------------------------------ */

static bool is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = strlen(name);

	return len && len <= NAME_LEN_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

/* The kernel's first request is there as soon as the file is open; the answer makes the node. */
static int init(struct cuse *cuse, int fd, const char *name)
{
	const struct fuse_in_header *header = (const void *)cuse->buf;
	const struct cuse_init_in *in = (const void *)(cuse->buf + sizeof(*header));
	struct pollfd broken = { .fd = fd };
	char info[sizeof("DEVNAME=") + NAME_LEN_MAX];
	struct cuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .max_read = CUSE_IO_MAX, .max_write = CUSE_IO_MAX,
	};
	int ret = read_request(cuse, fd);

	if (ret <= 0 || header->opcode != CUSE_INIT || header->len < sizeof(*header) + sizeof(*in))
		return ret < 0 ? ret : -EPROTO;
	out.minor = in->minor < FUSE_KERNEL_MINOR_VERSION ? in->minor : FUSE_KERNEL_MINOR_VERSION;
	snprintf(info, sizeof(info), "DEVNAME=%s", name);
	cuse->watch.fd = fd;
	ret = cuse_answer(cuse, header->unique, 0, &out, sizeof(out), info, strlen(info) + 1);
	cuse->watch.fd = -1;
	if (ret)
		return ret;
	/* The kernel breaks the connection where it cannot make the device. */
	poll(&broken, 1, 0);
	return broken.revents & POLLERR ? -EEXIST : 0;
}

int cuse_open(struct cuse *cuse, struct loop *loop, const char *name)
{
	char node[sizeof("/dev/") + NAME_LEN_MAX];
	int fd, ret;

	if (!is_name(name))
		return -EINVAL;
	snprintf(node, sizeof(node), "/dev/%s", name);
	if (!access(node, F_OK))
		return -EEXIST;
	cuse->buf = malloc(CUSE_BUF_SIZE);
	if (!cuse->buf)
		return -ENOMEM;
	fd = open(CUSE_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		ret = errno == ENOENT ? -ENODEV : -errno;
	else
		ret = init(cuse, fd, name);
	if (!ret)
		ret = loop_watch_add(loop, &cuse->watch, fd, EPOLLIN, ready);
	if (!ret)
		return 0;
	if (fd >= 0)
		close(fd);
	free(cuse->buf);
	cuse->buf = NULL;
	return ret;
}

void cuse_close(struct cuse *cuse)
{
	int fd = cuse->watch.fd;

	if (!cuse->buf)
		return;
	loop_watch_remove(&cuse->watch);
	close(fd);
	free(cuse->buf);
	cuse->buf = NULL;
}
