/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * What a process may ask of an open port beyond read, write and poll.
 *
 * All arguments have the same layout for 32-bit callers. Beside these, the
 * usual FIONREAD (bytes that a read would return now, int) and TIOCOUTQ
 * (bytes written and not yet taken by the service, int) work.
 */
#ifndef MANYPORT_IOCTL_H
#define MANYPORT_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MANYPORT_NAME_SIZE 256

/*
 * Connects the channel to the service @name (NUL-terminated). Waits for the
 * answer unless the file is non-blocking: then EINPROGRESS, POLLOUT when
 * answered, and the same call again gives the answer. Unlike a first write it
 * may be tried again, with another name, after a refusal.
 * Errors: ENOENT, EACCES, EBUSY, ECONNREFUSED, ETIMEDOUT, EINVAL,
 * ENAMETOOLONG; EISCONN when connected; EALREADY when another name is being
 * connected; EOPNOTSUPP on a port with a fixed service.
 */
struct manyport_connect {
	char name[MANYPORT_NAME_SIZE];
};

#define MANYPORT_IOC_CONNECT	_IOW('M', 0x50, struct manyport_connect)

/*
 * CONNECT on behalf of a client of the caller, as a forwarder does: the host is told @uid and @gid
 * instead of the opener's; pid and command stay the opener's. The numbers are those of the
 * caller's user namespace, as SO_PEERCRED gives them. Errors beside those of CONNECT: EPERM
 * without CAP_SETUID and CAP_SETGID in that namespace, with which the caller could become that
 * user; EINVAL for a number that is no user or group there; EALREADY also when the same name is
 * being connected for another user.
 */
struct manyport_connect_as {
	__u32 uid, gid;
	char name[MANYPORT_NAME_SIZE];
};

#define MANYPORT_IOC_CONNECT_AS	_IOW('M', 0x54, struct manyport_connect_as)

/*
 * Shuts one direction down; the argument is SHUT_RD, SHUT_WR or SHUT_RDWR
 * (0, 1, 2) by value. Bytes written before still arrive. ENOTCONN, EINVAL.
 */
#define MANYPORT_IOC_SHUTDOWN	_IO('M', 0x51)

/*
 * Ends the channel at once, for every process that holds it, in whatever state it is; no
 * argument. Bytes that the service has not taken are dropped, where close() has them
 * arrive, and bytes that were not read are dropped too. The service sees a reset where its
 * socket has one (TCP), so it can tell an upload that was cut from a whole one; on a unix
 * socket it sees an end. Calls that sleep on the channel wake, and every call gets
 * ECONNRESET from then on. What is left to do with the file is close(). The same on a port
 * with a fixed service: the next session begins with the next open. Never waits. 0, also
 * when the channel had ended; ENODEV.
 */
#define MANYPORT_IOC_ABORT	_IO('M', 0x53)

/*
 * What send() and recv() have beyond write() and read(): one call that need not wait, though the
 * file may, and a look at bytes that leaves them where they are (MSG_DONTWAIT, MSG_PEEK). Apart
 * from that SEND is a write and RECV a read of @size bytes at @data: they return how many were
 * moved, and their errors, and the name may be in the first SEND. PEEK waits for the first byte,
 * and gives what the driver has then; the same call later may give more. On any other file these
 * are ENOTTY, so a caller that is not sure what a descriptor is may begin with them.
 */
struct manyport_transfer {
	__u64 data;			/* a pointer */
	__u32 size;			/* up to 2^31 - 1 */
	__u32 flags;			/* MANYPORT_TRANSFER_*; others are EINVAL */
};

#define MANYPORT_TRANSFER_NOWAIT 0x1
#define MANYPORT_TRANSFER_PEEK	0x2	/* RECV only */

#define MANYPORT_IOC_RECV	_IOW('M', 0x55, struct manyport_transfer)
#define MANYPORT_IOC_SEND	_IOW('M', 0x56, struct manyport_transfer)

enum manyport_channel_state {
	MANYPORT_UNNAMED	= 0,
	MANYPORT_CONNECTING	= 1,
	MANYPORT_CONNECTED	= 2,
	MANYPORT_REFUSED	= 3,
	MANYPORT_ENDED		= 4,	/* both directions ended */
	MANYPORT_FAILED		= 5,
	MANYPORT_GONE		= 6,	/* the port was unplugged or reset */
	MANYPORT_ABORTED	= 7,	/* a holder ended it: MANYPORT_IOC_ABORT */
};

#define MANYPORT_INFO_IN_ENDED	0x1
#define MANYPORT_INFO_OUT_ENDED	0x2
#define MANYPORT_INFO_FIXED	0x4

struct manyport_info {
	__u32 size;			/* of this structure */
	__u32 state;			/* enum manyport_channel_state */
	__u32 channel;			/* slot and generation on the wire */
	__u32 generation;
	__u32 error;			/* errno of the refusal or failure, or 0 */
	__u32 readable;			/* bytes in driver memory */
	__u32 unsent;			/* bytes taken and not yet with the service */
	__u32 flags;			/* MANYPORT_INFO_* */
	__u64 bytes_in, bytes_out;	/* moved by the device since connect */
	__u64 zero_copy_in, zero_copy_out; /* of these, without a copy */
	__u64 requests, kicks, events;	/* sent; notifications given; received */
	__u64 waits, polled;		/* times a caller slept; times spinning sufficed */
	char service[MANYPORT_NAME_SIZE]; /* name[+argument], "" when unnamed or fixed */
	/* With FAILED: how the service's program ended, as below; 0: not known, or no program. */
	__u32 exit;
	__u32 reserved;			/* 0 */
};

/* Values of manyport_info.exit, as on the wire [protocol.md 4.8]. */
#define MANYPORT_EXITED		0x100	/* | exit status, 1 to 255 */
#define MANYPORT_KILLED		0x200	/* | signal, 1 to 127 */

#define MANYPORT_IOC_INFO	_IOR('M', 0x52, struct manyport_info)
/*
 * The call as it was first, up to and with @service: its number differs by the size. A later
 * driver answers both, with @size saying which; an earlier one gives ENOTTY for the longer.
 */
#define MANYPORT_INFO_SIZE_1	360
#define MANYPORT_IOC_INFO_1	_IOC(_IOC_READ, 'M', 0x52, MANYPORT_INFO_SIZE_1)

#endif
