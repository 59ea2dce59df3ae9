/* SPDX-License-Identifier: MIT */
/*
 * A character device of this kernel whose calls are requests to this process: CUSE, by /dev/cuse
 * itself. The structures are those of <linux/fuse.h>. The kernel, at the other end, is trusted.
 */
#ifndef SERVE_CUSE_H
#define SERVE_CUSE_H

#include <stddef.h>
#include <stdint.h>
#include <linux/fuse.h>

#include "loop/loop.h"

#define CUSE_IO_MAX  131072U		/* bytes of a READ or WRITE: 32 pages, the kernel's limit */
#define CUSE_BUF_SIZE (CUSE_IO_MAX + 8192)

struct cuse {
	struct loop_watch watch;	/* of /dev/cuse; its fd is -1: there is no device */
	/* @body: what follows @header, header->len - sizeof(*header) bytes; valid for the call. */
	void (*request)(struct cuse *cuse, const struct fuse_in_header *header, const void *body);
	void (*gone)(struct cuse *cuse);	/* the kernel has ended the device */
	char *buf;
};

/*
 * Makes /dev/NAME, which only root may open unless udev says otherwise. Returns 0; -EEXIST: there
 * is such a node; -EINVAL: no name for one; -ENODEV: the kernel has no CUSE; or what opening
 * /dev/cuse gave.
 */
int cuse_open(struct cuse *cuse, struct loop *loop, const char *name);
/* Accepts one that is not open. Open files of the device give ECONNABORTED from then on. */
void cuse_close(struct cuse *cuse);

/*
 * Answers a request: 0 or -errno, and what goes back, in two parts. Returns 0, or -errno: no one
 * waits for it any more.
 */
int cuse_answer(struct cuse *cuse, uint64_t unique, int error, const void *head, size_t head_len,
		const void *data, size_t len);
/* Pollers of the file, as FUSE_POLL called it, look again. */
void cuse_wake_pollers(struct cuse *cuse, uint64_t kh);

#endif
