// SPDX-License-Identifier: MIT
/* Linux AIO (io_submit) on a channel. Raw system calls. */
#include <linux/aio_abi.h>
#include <sys/syscall.h>

#include "channel.h"

static aio_context_t aio_create(void)
{
	aio_context_t context = 0;

	if (syscall(SYS_io_setup, 16, &context))
		test_skip("io_setup: %s", strerror(errno));
	return context;
}

static void submit(aio_context_t context, int op, int fd, void *buf, size_t len)
{
	struct iocb request = {
		.aio_lio_opcode = op,
		.aio_fildes = fd,
		.aio_buf = (uintptr_t)buf,
		.aio_nbytes = len,
	};
	struct iocb *list[] = { &request };

	CHECK_EQ(syscall(SYS_io_submit, context, 1, list), 1);
}

static long await(aio_context_t context)
{
	struct io_event event;

	CHECK_EQ(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
	return event.res;
}

TEST(write_and_read)
{
	aio_context_t context = aio_create();
	int fd = channel_open("echo", 0);
	char out[3000], in[3000];

	pattern_fill(out, sizeof(out), 1, 0);
	submit(context, IOCB_CMD_PWRITE, fd, out, sizeof(out));
	CHECK_EQ(await(context), sizeof(out));
	for (long done = 0; done < (long)sizeof(in);) {
		submit(context, IOCB_CMD_PREAD, fd, in + done, sizeof(in) - done);
		long ret = await(context);

		CHECK_GT(ret, 0);
		done += ret;
	}
	CHECK_EQ(pattern_check(in, sizeof(in), 1, 0), sizeof(in));
}

TEST(poll)
{
	aio_context_t context = aio_create();
	struct puppet p = puppet_open(0);

	submit(context, IOCB_CMD_POLL, p.fd, (void *)POLLIN, 0);
	ctl("send %u 10 1", p.index);
	CHECK(await(context) & POLLIN);
	read_pattern(p.fd, 10, 1, 0);
}

TEST(error)
{
	aio_context_t context = aio_create();
	char buf[10];

	submit(context, IOCB_CMD_PREAD, port_open(PORT_MULTI, 0), buf, sizeof(buf));
	CHECK_EQ(await(context), -ENOTCONN);
}
