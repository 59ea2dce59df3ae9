/* SPDX-License-Identifier: MIT */
/*
 * A port whose device the test plays, with one channel of a service; and a process that opens it.
 *
 * The port's two queues are real (kmod/pair.c) over fake virtqueues. The device answers either as
 * the test says, request by request (host_answer()), or by itself, as an honest one does
 * (host_step()). Bytes of each direction are those of host_byte(), so that the far end can tell
 * each one's place: the device checks what it is given, host_read() what came.
 */
#ifndef TESTS_UNIT_KERNEL_FAKE_HOST_H
#define TESTS_UNIT_KERNEL_FAKE_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/fs.h>
#include <linux/types.h>

#include "fake_vq.h"
#include "kmod/channel.h"
#include "kmod/chunk.h"
#include "kmod/pair.h"
#include "kmod/port.h"

struct fake_host {
	struct fake_vq rx, tx;
	struct mp_pair pair;
	struct mp_port port;
	struct work_struct broken_work;
	bool is_registered;		/* what calls are given are pages that io_uring has */
	unsigned int warnings;		/* that the test has seen */

	/* The channel, as the device has it. */
	u32 slot, generation, seq;
	u16 bits, reason;
	u64 out_next, in_next;		/* expected offsets: taken, and given */
	u64 room;			/* how many bytes the service will have taken in all */
	u64 said;			/* how many it has said in all */
};

extern struct fake_host host;

/* For a test's setup and teardown. The end finds every byte, page and reference given back. */
int host_begin(void **state);
int host_begin_fixed(void **state);
int host_end(void **state);

/* --- The process ---------------------------------------------------------- */

/* A new open; connected to a service, which takes all bytes and has said none. */
struct file *host_open(void);
struct file *host_connect(void);
void host_close(struct file *file);
struct mp_channel *host_channel(struct file *file);

u8 host_byte(u64 offset);
/* Writes @len bytes whose first is byte @offset of the stream; reads some that must be so. */
ssize_t host_write(struct file *file, u64 offset, size_t len, bool nonblock);
ssize_t host_read(struct file *file, u64 offset, size_t len, bool nonblock);
/* Likewise with any bytes, of which the process has @reachable. */
ssize_t host_call(struct file *file, bool is_read, void *data, size_t len, size_t reachable,
		  bool nonblock);
__poll_t host_poll(struct file *file, __poll_t events);

/* --- The device ----------------------------------------------------------- */

/* How many requests of kind @op the device has, and the header of the @nth, in order. */
unsigned int host_count(u16 op);
const struct mp_request *host_request(u16 op, unsigned int nth);

/* Answers the @nth: the offset is what an honest device says, or @offset. */
void host_answer(u16 op, unsigned int nth, u32 status, u32 count);
void host_answer_at(u16 op, unsigned int nth, u32 status, u32 count, u64 offset);

/* Answers the first READ as if it had written @count bytes, and writes none. */
void host_lie(u32 count);

/* The state changes, and is told with the next answer or event. */
void host_change(u16 set, u16 clear);
/* An event with that state, of @generation. */
void host_event(u32 generation);
/* The service says @bytes more; the device tells it when no READ waits for them. */
void host_say(u64 bytes);

/* Does one thing, as an honest device does. Returns false when there is none. */
bool host_step(void);
void host_expect_kicks(void);
void host_serve(void);			/* all of them */

/* The driver has complained, once more, of a rule that was broken. */
void host_expect_warning(const char *what);

#endif
