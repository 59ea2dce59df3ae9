/* SPDX-License-Identifier: MIT */
/*
 * A scripted vhost-user front end at the other end of a socket pair, in the
 * same thread as the session that it talks to. A unix socket delivers at once, so
 * after some rounds of the loop everything that was sent has been handled.
 */
#ifndef TESTS_FRONT_END_H
#define TESTS_FRONT_END_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "fake_device.h"
#include "loop/loop.h"
#include "vhost/kept.h"
#include "vhost/session.h"
#include "vhost/wire.h"

#define FE_MEM_SIZE	(1 << 20)
#define FE_GUEST	0x40000000ULL		/* guest address of the memory */
#define FE_USER		0x7f0000000000ULL	/* the front end's address of it */
#define FE_RING_SIZE	16
#define FE_RING_STRIDE	0x4000

#define FE __attribute__((unused)) static

struct front_end {
	struct loop *loop;
	struct loop_task quit;
	struct device device;
	struct kept *kept;
	struct session *session;
	int fd;				/* our end */
	bool ended;
	int why;
	int memfd;
	uint8_t *mem;
	int kicks[FAKE_QUEUES], calls[FAKE_QUEUES], errors[FAKE_QUEUES];
};

struct fe_reply {
	struct vhost_user_header header;
	union {
		uint64_t u64;
		struct vhost_user_vring_state state;
		struct vhost_user_config config;
		uint8_t bytes[512];
	} payload;
};

FE void fe_quit(struct loop_task *task)
{
	loop_quit(task->loop);
}

/* Lets the session handle whatever there is. */
FE void fe_run(struct front_end *fe)
{
	for (int i = 0; i < 4; i++) {
		loop_task_queue(&fe->quit);
		assert_int_equal(loop_run(fe->loop), 0);
	}
}

FE void fe_on_end(void *context, int why)
{
	struct front_end *fe = context;

	assert_false(fe->ended);
	fe->ended = true;
	fe->why = why;
	session_destroy(fe->session);
	fe->session = NULL;
}

FE void fe_connect(struct front_end *fe)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fe->session = session_create(fe->loop, &fe->device, fe->kept, pair[1], fe_on_end, fe);
	assert_non_null(fe->session);
	fe->fd = pair[0];
	fe->ended = false;
}

/* Everything but the session. */
FE void fe_prepare(struct front_end *fe)
{
	memset(fe, 0, sizeof(*fe));
	fe->loop = loop_create();
	assert_non_null(fe->loop);
	loop_task_init(fe->loop, &fe->quit, fe_quit);
	fe->memfd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fe->memfd, FE_MEM_SIZE), 0);
	fe->mem = mmap(NULL, FE_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fe->memfd, 0);
	assert_ptr_not_equal(fe->mem, MAP_FAILED);
	for (int i = 0; i < FAKE_QUEUES; i++) {
		fe->kicks[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		fe->calls[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		fe->errors[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
}

FE void fe_start(struct front_end *fe)
{
	fe_prepare(fe);
	fe->kept = kept_create(NULL);
	assert_non_null(fe->kept);
	fe_connect(fe);
}

FE void fe_stop(struct front_end *fe)
{
	session_destroy(fe->session);
	kept_destroy(fe->kept);
	if (fe->fd >= 0)
		close(fe->fd);
	for (int i = 0; i < FAKE_QUEUES; i++) {
		close(fe->kicks[i]);
		close(fe->calls[i]);
		close(fe->errors[i]);
	}
	munmap(fe->mem, FE_MEM_SIZE);
	close(fe->memfd);
	loop_destroy(fe->loop);
}

/* Raw bytes with descriptors beside them; the session is not run. */
FE void fe_send_raw(struct front_end *fe, const void *buf, size_t len, const int *fds, int count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count) {
		struct cmsghdr *cmsg = &control.align;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * count);
	}
	assert_int_equal(sendmsg(fe->fd, &msg, MSG_NOSIGNAL), len);
}

FE void fe_send_flags(struct front_end *fe, uint32_t request, uint32_t flags,
		      const void *payload, uint32_t size, const int *fds, int count)
{
	uint8_t buf[sizeof(struct vhost_user_header) + 5000];
	struct vhost_user_header header = { request, VHOST_USER_VERSION | flags, size };

	memcpy(buf, &header, sizeof(header));
	if (size)
		memcpy(buf + sizeof(header), payload, size);
	fe_send_raw(fe, buf, sizeof(header) + size, fds, count);
	fe_run(fe);
}

FE void fe_send(struct front_end *fe, uint32_t request, const void *payload, uint32_t size)
{
	fe_send_flags(fe, request, 0, payload, size, NULL, 0);
}

/* Is there a reply? */
FE bool fe_receive(struct front_end *fe, struct fe_reply *reply)
{
	ssize_t n = recv(fe->fd, &reply->header, sizeof(reply->header), MSG_DONTWAIT);

	if (n < 0)
		return false;
	if (n == 0)
		return false;
	assert_int_equal(n, sizeof(reply->header));
	assert_int_equal(reply->header.flags, VHOST_USER_VERSION | VHOST_USER_REPLY);
	assert_in_range(reply->header.size, 0, sizeof(reply->payload));
	if (reply->header.size)
		assert_int_equal(recv(fe->fd, &reply->payload, reply->header.size, MSG_DONTWAIT),
				 reply->header.size);
	return true;
}

/* A message with NEED_REPLY. Returns the acknowledgement: 0 is good. */
FE uint64_t fe_ask(struct front_end *fe, uint32_t request, const void *payload, uint32_t size,
		   const int *fds, int count)
{
	struct fe_reply reply;

	fe_send_flags(fe, request, VHOST_USER_NEED_REPLY, payload, size, fds, count);
	assert_true(fe_receive(fe, &reply));
	assert_int_equal(reply.header.request, request);
	assert_int_equal(reply.header.size, 8);
	return reply.payload.u64;
}

FE uint64_t fe_get_u64(struct front_end *fe, uint32_t request)
{
	struct fe_reply reply;

	fe_send(fe, request, NULL, 0);
	assert_true(fe_receive(fe, &reply));
	assert_int_equal(reply.header.request, request);
	assert_int_equal(reply.header.size, 8);
	return reply.payload.u64;
}

FE void fe_set_u64(struct front_end *fe, uint32_t request, uint64_t value)
{
	fe_send(fe, request, &value, sizeof(value));
}

FE void fe_set_state(struct front_end *fe, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_vring_state state = { index, num };

	fe_send(fe, request, &state, sizeof(state));
}

FE void fe_set_fd(struct front_end *fe, uint32_t request, uint64_t index, int fd)
{
	fe_send_flags(fe, request, 0, &index, sizeof(index), &fd, fd >= 0);
}

FE uint32_t fe_get_base(struct front_end *fe, uint32_t index)
{
	struct vhost_user_vring_state state = { index, 0 };
	struct fe_reply reply;

	fe_send(fe, VHOST_USER_GET_VRING_BASE, &state, sizeof(state));
	assert_true(fe_receive(fe, &reply));
	assert_int_equal(reply.header.size, sizeof(state));
	assert_int_equal(reply.payload.state.index, index);
	return reply.payload.state.num;
}

/* --- Rings in the front end's memory ------------------------------------ */

FE struct vhost_user_vring_addr fe_addr(unsigned int queue)
{
	uint64_t at = FE_USER + queue * FE_RING_STRIDE;

	return (struct vhost_user_vring_addr){
		.index = queue, .desc = at, .avail = at + 0x1000, .used = at + 0x2000,
		.log = UINT64_MAX,
	};
}

FE struct vring_desc *fe_desc(struct front_end *fe, unsigned int queue)
{
	return (void *)(fe->mem + queue * FE_RING_STRIDE);
}

FE struct vring_avail *fe_avail(struct front_end *fe, unsigned int queue)
{
	return (void *)(fe->mem + queue * FE_RING_STRIDE + 0x1000);
}

FE struct vring_used *fe_used(struct front_end *fe, unsigned int queue)
{
	return (void *)(fe->mem + queue * FE_RING_STRIDE + 0x2000);
}

FE struct vhost_user_mem_table fe_table(void)
{
	return (struct vhost_user_mem_table){
		.count = 1, .regions = { { FE_GUEST, FE_MEM_SIZE, FE_USER, 0 } },
	};
}

FE void fe_set_table(struct front_end *fe)
{
	struct vhost_user_mem_table table = fe_table();

	fe_send_flags(fe, VHOST_USER_SET_MEM_TABLE, 0, &table, 40, &fe->memfd, 1);
}

/* Makes one chain of 64 writable bytes visible in @queue, without a kick. */
FE void fe_put(struct front_end *fe, unsigned int queue)
{
	struct vring_avail *avail = fe_avail(fe, queue);

	fe_desc(fe, queue)[avail->idx % FE_RING_SIZE] = (struct vring_desc){
		.addr = FE_GUEST + 0x80000, .len = 64, .flags = VRING_DESC_F_WRITE,
	};
	avail->ring[avail->idx % FE_RING_SIZE] = avail->idx % FE_RING_SIZE;
	avail->idx++;
}

FE void fe_kick(struct front_end *fe, unsigned int queue)
{
	assert_int_equal(eventfd_write(fe->kicks[queue], 1), 0);
	fe_run(fe);
}

FE bool fe_was_signalled(int fd)
{
	eventfd_t value;

	return eventfd_read(fd, &value) == 0;
}

/* What virtio needs before rings, in QEMU's order. */
FE void fe_negotiate(struct front_end *fe)
{
	uint64_t features = fe_get_u64(fe, VHOST_USER_GET_FEATURES);
	uint64_t protocol = fe_get_u64(fe, VHOST_USER_GET_PROTOCOL_FEATURES);

	fe_set_u64(fe, VHOST_USER_SET_PROTOCOL_FEATURES, protocol);
	fe_send(fe, VHOST_USER_SET_OWNER, NULL, 0);
	fe_set_u64(fe, VHOST_USER_SET_FEATURES, features);
}

FE void fe_setup_ring(struct front_end *fe, unsigned int queue)
{
	struct vhost_user_vring_addr addr = fe_addr(queue);

	fe_set_state(fe, VHOST_USER_SET_VRING_NUM, queue, FE_RING_SIZE);
	fe_set_state(fe, VHOST_USER_SET_VRING_BASE, queue, 0);
	fe_send(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr));
	fe_set_fd(fe, VHOST_USER_SET_VRING_KICK, queue, fe->kicks[queue]);
	fe_set_fd(fe, VHOST_USER_SET_VRING_CALL, queue, fe->calls[queue]);
	fe_set_fd(fe, VHOST_USER_SET_VRING_ERR, queue, fe->errors[queue]);
}

FE void fe_start_ring(struct front_end *fe, unsigned int queue)
{
	fe_setup_ring(fe, queue);
	fe_set_state(fe, VHOST_USER_SET_VRING_ENABLE, queue, 1);
}

/* --- Leaks -------------------------------------------------------------- */

FE int fe_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -1;			/* the directory itself */

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Mappings of guest memory in this process; the front end has one itself. */
FE int fe_count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "/memfd:guest"))
			n++;
	fclose(maps);
	return n;
}

#endif
