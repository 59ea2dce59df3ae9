/* SPDX-License-Identifier: MIT */
/*
 * A holder of descriptors for tests: keep/keep.h in memory that a forked process shares, and a
 * socket pair, in whose queue lies what a process that is no more has sent.
 *
 * fake_point() is called before and after each call: a test may end the process there.
 */
#ifndef TESTS_FAKE_KEEP_H
#define TESTS_FAKE_KEEP_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "keep/keep.h"

#define FAKE_HELD 64

static void fake_point(void);

/* What this process knows. */
struct keep {
	struct {
		uint32_t number;
		unsigned int users;
		bool is_state;
		int fd;
	} held[FAKE_HELD];
	unsigned int count;
	uint32_t next;
	unsigned int room;		/* with the holder, if not 0 */
	bool is_alone;
	bool is_full;			/* nothing more can be held, with a holder or without */
	int told;			/* to hold, less those to drop */
	int pair[2];			/* to and from the next process */
};

struct fake_order {
	uint32_t number;
	bool is_state, is_drop;
};

static inline void fake_keep_init(struct keep *keep)
{
	memset(keep, 0, sizeof(*keep));
	keep->next = 1;
	/* Unlike datagrams these are bounded by their bytes alone. */
	socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, keep->pair);
}

static inline void fake_keep_tell(struct keep *keep, const struct fake_order *order, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)order, sizeof(*order) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (keep->is_alone)
		return;
	keep->told += order->is_drop ? -1 : 1;
	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	fake_point();
	while (sendmsg(keep->pair[0], &msg, MSG_DONTWAIT) < 0 && errno == EINTR)
		;
	fake_point();
}

static inline unsigned int fake_keep_find(const struct keep *keep, uint32_t number)
{
	unsigned int i = 0;

	while (i < keep->count && keep->held[i].number != number)
		i++;
	return i;
}

static inline void fake_keep_forget(struct keep *keep, unsigned int i)
{
	close(keep->held[i].fd);
	keep->count--;
	memmove(&keep->held[i], &keep->held[i + 1], (keep->count - i) * sizeof(keep->held[0]));
}

/* The next process begins: what the one before has sent is held. */
static inline void fake_keep_begin(struct keep *keep)
{
	for (;;) {
		union {
			char bytes[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} control;
		struct fake_order order;
		struct iovec iov = { &order, sizeof(order) };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
				      .msg_control = control.bytes,
				      .msg_controllen = sizeof(control.bytes) };
		unsigned int i;

		if (recvmsg(keep->pair[1], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		i = fake_keep_find(keep, order.number);
		if (order.is_drop && i < keep->count) {
			fake_keep_forget(keep, i);
		} else if (!order.is_drop) {
			keep->held[i].number = order.number;
			keep->held[i].users = 0;
			keep->held[i].is_state = order.is_state;
			memcpy(&keep->held[i].fd, CMSG_DATA(&control.align), sizeof(int));
			keep->count++;
			if (keep->next <= order.number)
				keep->next = order.number + 1;
		}
	}
}

static inline void fake_keep_fini(struct keep *keep)
{
	fake_keep_begin(keep);
	while (keep->count)
		fake_keep_forget(keep, 0);
	close(keep->pair[0]);
	close(keep->pair[1]);
}

static inline uint32_t fake_hold(struct keep *keep, int fd, bool is_state)
{
	for (unsigned int i = 0; i < keep->count; i++)
		if (!syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, keep->held[i].fd)) {
			keep->held[i].users++;
			return keep->held[i].number;
		}
	if (keep->count == FAKE_HELD || keep->is_full ||
	    (keep->room && !keep->is_alone && keep->count == keep->room)) {
		errno = ENOSPC;
		return 0;
	}
	fake_keep_tell(keep, &(struct fake_order){ .number = keep->next, .is_state = is_state },
		       fd);
	keep->held[keep->count].number = keep->next;
	keep->held[keep->count].users = 1;
	keep->held[keep->count].is_state = is_state;
	keep->held[keep->count].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	keep->count++;
	return keep->next++;
}

uint32_t keep_hold(struct keep *keep, int fd)
{
	return fake_hold(keep, fd, false);
}

uint32_t keep_hold_state(struct keep *keep, int fd)
{
	return fake_hold(keep, fd, true);
}

bool keep_is_alone(const struct keep *keep)
{
	return keep->is_alone;
}

void keep_be_alone(struct keep *keep)
{
	for (unsigned int i = 0; i < keep->count; i++) {
		const struct fake_order order = { keep->held[i].number, .is_drop = true };

		fake_keep_tell(keep, &order, -1);
	}
	keep->is_alone = true;
}

void keep_drop(struct keep *keep, uint32_t number)
{
	unsigned int i = fake_keep_find(keep, number);

	if (i == keep->count || (keep->held[i].users > 1 && keep->held[i].users--))
		return;
	fake_keep_tell(keep, &(struct fake_order){ .number = number, .is_drop = true }, -1);
	fake_keep_forget(keep, i);
}

int keep_take(struct keep *keep, uint32_t number)
{
	unsigned int i = fake_keep_find(keep, number);

	if (i == keep->count)
		return -1;
	keep->held[i].users++;
	return fcntl(keep->held[i].fd, F_DUPFD_CLOEXEC, 0);
}

bool keep_is_own(struct keep *keep, uint32_t number)
{
	unsigned int i = fake_keep_find(keep, number);
	int listens = 0;
	socklen_t len = sizeof(listens);

	return i < keep->count && (keep->held[i].is_state ||
	       (!getsockopt(keep->held[i].fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) &&
		listens));
}

uint32_t keep_find(struct keep *keep, const char *magic)
{
	char begin[8];

	for (unsigned int i = keep->count; i-- > 0;)
		if (keep->held[i].is_state && pread(keep->held[i].fd, begin, 8, 0) == 8 &&
		    !memcmp(begin, magic, 8))
			return keep->held[i].number;
	return 0;
}

void keep_drop_rest(struct keep *keep)
{
	for (unsigned int i = keep->count; i-- > 0;)
		if (!keep->held[i].users)
			keep_drop(keep, keep->held[i].number);
}

#endif
