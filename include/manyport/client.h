/* SPDX-License-Identifier: MIT */
/*
 * libmanyport: channels for programs in the guest.
 *
 * A channel is an ordinary file descriptor: read(), write(), poll(), splice()
 * and close() do what they do for a stream socket. This library only finds
 * the port and wraps the ioctls. It keeps no state, takes no locks, and may be
 * used from any thread.
 *
 * Every function returns 0 or more, or a negative errno.
 *
 *	int fd = manyport_open(NULL, "db", O_CLOEXEC);
 *	if (fd < 0)
 *		errx(1, "db: %s", manyport_explain(fd));
 *	write(fd, ...); read(fd, ...);
 *	manyport_shutdown(fd, SHUT_WR);
 */
#ifndef MANYPORT_CLIENT_H
#define MANYPORT_CLIENT_H

#include <manyport/ioctl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The environment variable that names the port when the caller does not. */
#define MANYPORT_PORT_ENV "MANYPORT_PORT"

/* The socket of manyport serve, where there is no node. */
#define MANYPORT_DOOR "/run/manyport/port"

enum manyport_port_kind {
	MANYPORT_PORT_CLASSIC	= 0,	/* the stock driver's: one open at a time */
	MANYPORT_PORT_MULTI	= 1,	/* every open is a channel; the first write names it */
	MANYPORT_PORT_FIXED	= 2,	/* every open is a channel of one fixed service */
	MANYPORT_PORT_UNKNOWN	= 3,	/* of a kind that this library does not know */
};

struct manyport_port {
	char node[64];			/* "/dev/vport0p1" */
	char name[128];			/* as the host calls it, or "" */
	enum manyport_port_kind kind;
	unsigned int device, port;	/* the numbers in the node's name */
};

/*
 * Fills up to @max entries of @ports, in order of device and port; @ports may
 * be NULL when @max is 0. Returns how many ports there are, which may be more
 * than @max, or -ENOMEM or what reading /sys gave. No port is opened for it.
 */
int manyport_list(struct manyport_port *ports, int max);

/*
 * Finds one port. @port is a port's name, a node's name ("vport0p1") or a path;
 * NULL means $MANYPORT_PORT, and without that the first multi-open port, or else the node of
 * manyport serve if the process may open it.
 * Writes the path of the node into @path of @size bytes. Returns 0, -ENODEV
 * (no such port), -ENAMETOOLONG. A road that is a socket has no node: -ENODEV.
 */
int manyport_find(const char *port, char *path, unsigned long size);

/*
 * Finds the road that manyport_open() would take: a node, or where there is none a socket. Writes
 * it into @road of @size bytes: the path of the node, "unix:PATH" or "vsock:PORT", each as
 * manyport_open() takes it. A socket is connected to for it, and closed. Returns what
 * manyport_find() does.
 */
int manyport_find_road(const char *port, char *road, unsigned long size);

/*
 * Opens a channel of @port (as in manyport_find()) and connects it to @service
 * unless that is NULL: a port with a fixed service needs none. @flags: O_NONBLOCK
 * and O_CLOEXEC. Returns the descriptor, or what manyport_find(), open() (EACCES,
 * EBUSY: a limit; -ENODEV where there is no such node) or manyport_connect() gave, -EINTR among
 * them. With O_NONBLOCK the naming may only be begun: manyport_connect() with the same name says
 * how it stands, at once and again whenever poll() says POLLOUT: -EISCONN or 0 when connected,
 * -EINPROGRESS, or the refusal.
 */
int manyport_open(const char *port, const char *service, int flags);

/*
 * Connects the channel @fd to @service ("name" or "name+argument", with or
 * without "pipe:" in front). Returns 0; -ENOENT, -EACCES, -EBUSY, -ECONNREFUSED,
 * -ETIMEDOUT: the host's answer; -EINVAL, -ENAMETOOLONG: no name; -EINPROGRESS:
 * non-blocking, the same call after POLLOUT gives the answer; -EALREADY: another
 * name is being connected; -EISCONN; -EOPNOTSUPP: the port's service is fixed;
 * -ENODEV. After a refusal it may be called again.
 *
 * How long it waits is up to the host (ConnectTimeoutSec= in manyportd(8), 10 seconds unless said
 * otherwise). -EINTR: a signal whose handler does not restart calls (no SA_RESTART) came first;
 * the naming goes on, and the same call waits for its answer. So alarm() can set a shorter limit.
 *
 * Under the stock driver, which knows no such call, the name is written as
 * the first bytes and 0 returned; a refusal then looks like an end. -EAGAIN: non-blocking, and
 * nothing is written yet: the same call after POLLOUT.
 */
int manyport_connect(int fd, const char *service);

/*
 * As manyport_connect(), on behalf of the user @uid of group @gid: for the host's policy and log
 * the channel is that user's. So what the host allows or limits by user applies to the client of
 * a relay rather than to the relay. Returns also -EPERM (takes CAP_SETUID and CAP_SETGID) and
 * -ENOTTY (a driver that knows no such call); no name has been given then.
 */
int manyport_connect_as(int fd, const char *service, unsigned int uid, unsigned int gid);

/*
 * Shuts down reading, writing or both: @how is SHUT_RD, SHUT_WR, SHUT_RDWR.
 * What was written before still arrives. Returns 0, -ENOTCONN, -EINVAL, -ENOTTY
 * (the stock driver).
 */
int manyport_shutdown(int fd, int how);

/*
 * Ends the channel at once, for every process that holds it, and drops what the service has
 * not taken: for an upload that must not look whole. The service sees a reset where its
 * socket has one (TCP). Calls on the channel give ECONNRESET from then on; @fd must still be
 * closed. On a road that is a socket the service sees an end. Returns 0, -ENODEV, -ENOTTY (the
 * stock driver).
 */
int manyport_abort(int fd);

/*
 * What the channel is and has done; what the driver does not know is 0. Returns 0, -ENOTTY (the
 * stock driver).
 */
int manyport_info(int fd, struct manyport_info *info);

/*
 * How the program behind the service ended, for a process that has met the end, by a read() that
 * gave 0 or ECONNRESET: its exit status, 0 to 255, or 128 + n after signal n, as a shell says it.
 * 0 is a good end, also of a service that is no program, and of a status that the host takes
 * for a good one. Returns -EINPROGRESS before the end; -ECONNRESET: failed, and in another way
 * or in one that the host or the driver is too old to tell; what a call on the channel would
 * give when it was refused, aborted or unplugged; -ENOTTY (the stock driver: it is never known).
 */
int manyport_exit_status(int fd);

/*
 * What an error of manyport_open() or manyport_connect(), negative or
 * positive, means and who can help, as one sentence without a full stop.
 */
const char *manyport_explain(int error);

#ifdef __cplusplus
}
#endif

#endif
