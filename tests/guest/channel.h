/* SPDX-License-Identifier: MIT */
/*
 * What the guest tests do with channels. Every call ends the test when it fails.
 *
 * Ports and services are those of manyportd.conf; puppets and the commands that
 * move them are explained in host_control.c.
 */
#ifndef GUEST_CHANNEL_H
#define GUEST_CHANNEL_H

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <manyport/client.h>

#include "harness.h"
#include "pattern.h"

#define PORT_MULTI	"multi"		/* the port of all tests that name no other */
#define PORT_TINY	"tiny"		/* at most TINY_CHANNELS */
#define PORT_SHARED	"shared"	/* the limits that driver and daemon ship with */
#define PORT_AGENT	"agent"		/* fixed: a host socket to which host tools connect */
#define PORT_FIXED	"fixed"		/* fixed: echo */
#define PORT_TIED	"tied"		/* fixed: puppets */
#define TINY_CHANNELS	4
#define SOME		4096		/* a small amount of data */
#define MUCH		(8 << 20)	/* more than all buffers of one channel together */

const char *port_path(const char *name);	/* skips the test when there is no such port */
int port_open(const char *name, int flags);

/* A channel of the port "multi", blocking while it is named. @flags: O_NONBLOCK. */
int channel_open(const char *service, int flags);
void channel_name(int fd, const char *service);
void set_nonblock(int fd, bool on);

struct puppet {
	int fd;
	unsigned int index;		/* the host's number for it */
};

struct puppet puppet_open(int flags);
struct puppet puppet_open_at(const char *service, int flags);
/* The puppet that becomes the next one: for channels that a test opens its own way. */
unsigned int puppet_next(void);
void puppet_await(unsigned int index);
/* Those of earlier tests go, and the channels that wait for them; no control channel stays. */
void puppets_forget(void);

/*
 * Tells the host's side something and waits for the answer: what follows "ok ". The text is
 * valid until the next call. ctl_try() gives NULL after "error".
 */
const char *ctl(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *ctl_try(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Makes the host read all, and checks that exactly @len bytes of @seed came, then an end. */
void expect_arrived(const struct puppet *puppet, uint64_t len, uint64_t seed);
/* As expect_arrived(), but more may follow. */
void expect_got(const struct puppet *puppet, uint64_t len, uint64_t seed);

/*
 * Makes the host read all, and checks that only bytes of @seed came and then @how: "end" or
 * "reset". Returns how many bytes.
 */
uint64_t expect_over(const struct puppet *puppet, uint64_t seed, const char *how);

void write_all(int fd, const void *buf, size_t len);
void read_all(int fd, void *buf, size_t len);
void write_pattern(int fd, uint64_t len, uint64_t seed, uint64_t offset);
void read_pattern(int fd, uint64_t len, uint64_t seed, uint64_t offset);
void expect_end(int fd);
void echo_once(int fd, const char *text);	/* of a channel to "echo" */

/*
 * Writes the pattern of @seed into a channel whose service does not read, until no
 * buffer on the way takes more. The file becomes non-blocking. Returns how much went in.
 */
uint64_t fill(int fd, uint64_t seed, uint64_t offset);
/*
 * The same until more than the service's own buffers hold waits in the driver, @unsent bytes. TCP
 * may make room once more at any time, when an acknowledgement comes late, and a witness when it
 * gets to run: even for all that waits. A unix socket makes room only when it is read.
 */
uint64_t fill_until_it_waits(int fd, uint32_t *unsent);

/* An answer from the host, after all that was sent to it before. */
void barrier(void);

#define POLL_ALL (POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR)
const char *poll_text(short events);
short poll_now(int fd);
void await_poll_at(const char *file, int line, int fd, short mask);
/* Waits until poll() says exactly this, and checks that epoll says the same. */
#define AWAIT_POLL(fd, mask) await_poll_at(__FILE__, __LINE__, fd, mask)
/* poll() and epoll say exactly this now. */
void check_poll_at(const char *file, int line, int fd, short mask);
#define CHECK_POLL(fd, mask) check_poll_at(__FILE__, __LINE__, fd, mask)
void wait_poll(int fd, short events);	/* for any of them */

struct manyport_info channel_info(int fd);
/* Waits until the channel is in this state (enum manyport_channel_state). */
void await_state(int fd, uint32_t state);
/* A number of the port in sysfs. */
long port_attribute(const char *name, const char *attribute);
/* How many channels the port has: those of its files, and those that still drain. */
int port_channels(const char *name);
/* Waits until it has no more than that: the channels of an earlier test are gone. */
void await_port(const char *name, int channels);

/*
 * A parameter of a debug build of the module. debug_set() says whether it is one; of any other
 * build debug_get() is 0.
 */
bool debug_set(const char *name, uint64_t value);
uint64_t debug_get(const char *name);

/* Memory shared with processes that are spawned later. */
void *shared_alloc(size_t size);

/* @size bytes of memory, and after them none. no_memory() has none at all. */
char *edge_alloc(size_t size);
void *no_memory(void);

/* Does nothing at SIGUSR1: calls end with EINTR, or continue where @restart. */
void catch_usr1(bool restart);
/* Sends SIGUSR1 to @pid again and again until *@flag. */
void nag(pid_t pid, volatile int *flag);

#endif
