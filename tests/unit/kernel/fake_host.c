// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "fake_host.h"
#include "kernel.h"
#include "kmod/batch.h"
#include "kmod/calls.h"
#include "kmod/work.h"

#define FILES_MAX 8U

struct fake_host host;

static struct file files[FILES_MAX];

/* Calls that no test makes. */
ssize_t mp_splice_read(struct mp_channel *ch, struct pipe_inode_info *pipe, size_t len,
		       bool nonblock)
{
	return -EINVAL;
}

ssize_t iter_file_splice_write(struct pipe_inode_info *pipe, struct file *file, loff_t *pos,
			       size_t len, unsigned int flags)
{
	return -EINVAL;
}

int fasync_helper(int fd, struct file *file, int on, struct fasync_struct **fasync)
{
	return -EINVAL;
}

u32 mp_port_next_generation(struct mp_port *port)
{
	return atomic_inc_return(&port->generation);
}

static void on_event(struct mp_queue *queue, const struct mp_event *event, u32 used)
{
	(void)queue;
	mp_link_event(&host.port, event, used);
}

static void on_interrupt(struct fake_vq *fake)
{
	(void)fake;
	mp_pair_interrupt(&host.pair);
}

static void on_broken(struct work_struct *work)
{
	(void)work;
	WRITE_ONCE(host.port.is_silent, host.pair.tx.silence.is_silent);
	if (host.pair.tx.silence.is_silent)
		mp_channel_fail_all(&host.port, -ETIMEDOUT);
	if (!host.pair.tx.is_broken && !host.pair.rx.is_broken)
		return;
	WRITE_ONCE(host.port.is_broken, true);
	mp_channel_fail_all(&host.port, -EIO);
}

static void port_init(struct mp_port *port, bool is_fixed)
{
	port->dev.name = "vport0p1";
	port->pair = &host.pair;
	port->rx = &host.pair.rx;
	port->tx = &host.pair.tx;
	port->is_fixed = is_fixed;
	port->max_channels = XARRAY_SLOTS;
	port->max_io = MP_MAX_IO;
	port->max_pages = FAKE_VQ_MAX - MP_RESERVED_DESCS - 2;
	port->max_entry = 65536;
	port->version = MP_VERSION;
	mp_ledger_init(&port->ledger);
	mp_pool_init(&port->pool);
}

static int begin(bool is_fixed)
{
	kernel_reset();
	memset(&host, 0, sizeof(host));
	memset(files, 0, sizeof(files));
	assert_int_equal(mp_channel_init_cache(), 0);
	host.room = UINT64_MAX;
	mp_answer_timeout = 0;		/* but for a test that wants it */
	fake_vq_init(&host.rx, FAKE_VQ_MAX, true);
	fake_vq_init(&host.tx, FAKE_VQ_MAX, true);
	host.rx.interrupt = on_interrupt;
	host.tx.interrupt = on_interrupt;
	INIT_WORK(&host.broken_work, on_broken);
	mp_pair_init(&host.pair, on_event, &host.broken_work);
	mp_pair_attach(&host.pair, &host.rx.vq, &host.tx.vq);
	port_init(&host.port, is_fixed);
	assert_int_equal(mp_queue_post_events(&host.pair.rx), 0);
	return 0;
}

int host_begin(void **state)
{
	(void)state;
	return begin(false);
}

int host_begin_fixed(void **state)
{
	(void)state;
	return begin(true);
}

/* As a device that is unplugged goes (ports.c). */
/* Each kick that was prepared has been made: no request waits for a device that was not told. */
void host_expect_kicks(void)
{
	assert_false(host.tx.is_kick_due || host.rx.is_kick_due);
}

int host_end(void **state)
{
	unsigned int i;

	(void)state;
	host_expect_kicks();
	WRITE_ONCE(host.port.is_gone, true);
	mp_channel_fail_all(&host.port, -ENODEV);
	mp_pair_kill(&host.pair);
	mp_pair_detach(&host.pair);
	mp_pair_flush(&host.pair);
	for (i = 0; i < FILES_MAX; i++)
		host_close(&files[i]);
	while (kernel_run_work())
		;
	mp_pool_kill(&host.port.pool);
	mp_channel_destroy_cache();
	assert_int_equal(atomic_long_read(&host.port.ledger.bytes), 0);
	assert_int_equal(host.port.ledger.channels, 0);
	assert_true(list_empty(&host.port.ledger.accounts));
	assert_int_equal(host.port.dev.refs, 0);
	assert_int_equal(kernel_refs(), 0);
	assert_int_equal(kernel_pinned(), 0);
	if (kernel_warnings() != host.warnings)
		fail_msg("unexpected: %s", kernel_last_warning());
	return 0;
}

void host_expect_warning(const char *what)
{
	assert_int_equal(kernel_warnings(), ++host.warnings);
	assert_non_null(strstr(kernel_last_warning(), what));
}

/* --- The process ---------------------------------------------------------- */

struct file *host_open(void)
{
	struct inode inode = { .i_cdev = &host.port.cdev };
	unsigned int i = 0;

	while (files[i].f_op)
		i++;
	assert_true(i < FILES_MAX);
	files[i].f_mode = FMODE_READ;
	assert_int_equal(mp_file_operations.open(&inode, &files[i]), 0);
	files[i].f_op = &mp_file_operations;
	return &files[i];
}

struct file *host_connect(void)
{
	struct file *file = host_open();

	kernel_play(host_step);
	if (!host.port.is_fixed)
		assert_int_equal(host_call(file, false, (char *)"echo", 4, 4, false), 4);
	host_serve();
	kernel_play(NULL);
	assert_int_equal(host_channel(file)->link.phase, MP_PHASE_CONNECTED);
	return file;
}

void host_close(struct file *file)
{
	if (file->f_op)
		mp_file_operations.release(NULL, file);
	file->f_op = NULL;
}

struct mp_channel *host_channel(struct file *file)
{
	return file->private_data;
}

u8 host_byte(u64 offset)
{
	return offset * 7 + (offset >> 8) * 3 + (offset >> 16);
}

ssize_t host_call(struct file *file, bool is_read, void *data, size_t len, size_t reachable,
		  bool nonblock)
{
	static struct bio_vec registered;
	struct kiocb iocb = { .ki_filp = file, .ki_flags = nonblock ? IOCB_NOWAIT : 0 };
	struct iov_iter iter = {
		.ubuf = data, .count = len, .fault_at = reachable, .is_user = !host.is_registered,
		.bvec = host.is_registered ? &registered : NULL,
	};

	registered.bv_offset = offset_in_page(data);

	return is_read ? file->f_op->read_iter(&iocb, &iter) :
			 file->f_op->write_iter(&iocb, &iter);
}

ssize_t host_write(struct file *file, u64 offset, size_t len, bool nonblock)
{
	u8 *data = malloc(len);
	ssize_t ret;
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = host_byte(offset + i);
	ret = host_call(file, false, data, len, len, nonblock);
	free(data);
	return ret;
}

ssize_t host_read(struct file *file, u64 offset, size_t len, bool nonblock)
{
	u8 *data = malloc(len);
	ssize_t ret = host_call(file, true, data, len, len, nonblock), i;

	for (i = 0; i < ret; i++)
		assert_int_equal(data[i], host_byte(offset + i));
	free(data);
	return ret;
}

__poll_t host_poll(struct file *file, __poll_t events)
{
	poll_table table = { .events = events };

	return file->f_op->poll(file, &table);
}
