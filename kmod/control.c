// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control queues: HELLO, and ports that come and go [protocol.md 3].
 *
 * Messages from the device are handled in order by one work item. Messages to the
 * device are sent and forgotten; they are freed when the device has returned
 * them, at the next message or at the end. Where an addition to a control queue finds no
 * memory it is tried again: a message by its sender, for a bounded time, a receive buffer by the
 * work item for ever.
 */
#include <linux/delay.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>

#include <manyport/wire_check.h>

#include "channel.h"
#include "debug.h"
#include "device.h"
#include "dma.h"
#include "work.h"

#define MP_CONTROL_BUFS	16
#define MP_CONTROL_SIZE	512	/* a header and the longest payload: a name */
#define MP_BYE_MS	500
#define MP_CONTROL_TRIES 10	/* of one message, after 1, 2, 4 ... ms */
#define MP_CONTROL_RETRY_MS 100	/* of a receive buffer */

/* A message in either direction; on device->control_bufs until it is freed. */
struct control_buf {
	struct list_head node;
	u8 data[] mp_dma_aligned;	/* the device writes, of those that it fills */
};
MP_ASSERT_ALONE(struct control_buf, data, sizeof(struct control_buf) + MP_CONTROL_SIZE);

static struct control_buf *control_buf_alloc(struct mp_device *device, size_t len)
{
	struct control_buf *buf = kzalloc(sizeof(*buf) + ALIGN(len, MP_DMA_ALIGN), GFP_KERNEL);

	if (!buf)
		return NULL;
	spin_lock_irq(&device->control_lock);
	list_add(&buf->node, &device->control_bufs);
	spin_unlock_irq(&device->control_lock);
	return buf;
}

static void control_buf_free_locked(struct control_buf *buf)
{
	list_del(&buf->node);
	kfree(buf);
}

static void control_buf_free(struct mp_device *device, struct control_buf *buf)
{
	spin_lock_irq(&device->control_lock);
	control_buf_free_locked(buf);
	spin_unlock_irq(&device->control_lock);
}

static void control_reap_locked(struct mp_device *device)
{
	struct control_buf *buf;
	unsigned int len;

	lockdep_assert_held(&device->control_lock);
	while ((buf = virtqueue_get_buf(device->control_out, &len)))
		control_buf_free_locked(buf);
}

/*
 * Gives the device @buf on @vq, to write @len bytes or to read them. Returns 0 or -errno; then
 * @buf is the caller's.
 */
static int control_add(struct mp_device *device, struct virtqueue *vq, struct control_buf *buf,
		       size_t len)
{
	bool is_in = vq == device->control_in;
	struct scatterlist sg;
	int ret;

	sg_init_one(&sg, buf->data, len);
	spin_lock_irq(&device->control_lock);
	if (!is_in)
		control_reap_locked(device);
	ret = mp_debug_fail_add();
	if (!ret && is_in)
		ret = virtqueue_add_inbuf(vq, &sg, 1, buf, GFP_ATOMIC);
	else if (!ret)
		ret = virtqueue_add_outbuf(vq, &sg, 1, buf, GFP_ATOMIC);
	if (!ret) {
		virtqueue_kick(vq);
		device->control_posted += is_in;
	}
	spin_unlock_irq(&device->control_lock);
	return ret;
}

/*
 * Gives the device as many receive buffers as it should have. What there is no memory for now it
 * is given later. Returns 0, or -errno: the queue is broken.
 */
static int control_fill(struct mp_device *device)
{
	struct control_buf *buf;
	int ret = 0;

	while (!ret && device->control_posted < MP_CONTROL_BUFS) {
		buf = control_buf_alloc(device, MP_CONTROL_SIZE);
		ret = buf ? control_add(device, device->control_in, buf, MP_CONTROL_SIZE) :
			    -ENOMEM;
		if (ret && buf)
			control_buf_free(device, buf);
	}
	if (ret == -ENOSPC)
		return 0;	/* a short ring: it has what it holds */
	if (ret != -ENOMEM)
		return ret;
	queue_delayed_work(mp_workqueue, &device->control_work,
			   msecs_to_jiffies(MP_CONTROL_RETRY_MS));
	return 0;
}

/* Sends a message with a payload. Waits for nothing but memory. Returns 0 or -errno. */
static int control_send_with(struct mp_device *device, u32 id, u16 event, u16 value,
			     const void *payload, size_t len)
{
	struct virtio_console_control *message;
	struct control_buf *buf = control_buf_alloc(device, sizeof(*message) + len);
	unsigned int tries;
	int ret;

	if (!buf)
		return -ENOMEM;
	message = (struct virtio_console_control *)buf->data;
	message->id = cpu_to_virtio32(device->vdev, id);
	message->event = cpu_to_virtio16(device->vdev, event);
	message->value = cpu_to_virtio16(device->vdev, value);
	memcpy(message + 1, payload, len);
	for (tries = 0; ; tries++) {
		ret = control_add(device, device->control_out, buf, sizeof(*message) + len);
		if (!ret)
			return 0;
		if (ret != -ENOMEM || tries == MP_CONTROL_TRIES)
			break;
		msleep(1U << tries);
	}
	control_buf_free(device, buf);
	dev_warn_ratelimited(&device->vdev->dev, "control message %u was not sent: error %d\n",
			     event, ret);
	return ret;
}

static int control_send(struct mp_device *device, u32 id, u16 event, u16 value)
{
	return control_send_with(device, id, event, value, NULL, 0);
}

int mp_control_start(struct mp_device *device)
{
	int ret;

	device->control_posted = 0;
	device->bye = 0;
	ret = control_fill(device);
	if (ret)
		return ret;
	ret = control_send(device, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	return ret ? ret : mp_debug_fail_after_open("ready");
}

static void handle_hello(struct mp_device *device, const void *payload, size_t len)
{
	struct mp_hello hello;

	if (device->is_confirmed)
		return;
	if (len < sizeof(hello))
		goto invalid;
	memcpy(&hello, payload, sizeof(hello));
	if (!mp_hello_is_valid(&hello, len))
		goto invalid;
	device->max_channels = le32_to_cpu(hello.max_channels);
	device->max_io = le32_to_cpu(hello.max_io);
	device->max_segments = le32_to_cpu(hello.max_segments);
	device->version = mp_hello_version(&hello);
	hello.version = cpu_to_le16(device->version);
	hello.size = cpu_to_le16(sizeof(hello));
	device->is_confirmed = !control_send_with(device, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_HELLO,
						  0, &hello, sizeof(hello));
	return;

invalid:
	dev_err_ratelimited(&device->vdev->dev,
			    "the host's HELLO makes no sense: is it a manyport device?\n");
}

static void handle_port_mode(struct mp_device *device, u32 id, u16 kind, const void *payload,
			     size_t len)
{
	struct mp_port_mode mode;

	if (len < sizeof(mode))
		return;
	memcpy(&mode, payload, sizeof(mode));
	barrier();	/* only the copy is looked at from here on */
	if (!mp_port_mode_is_valid(kind, &mode, len) ||
	    (device->seats[id].port && device->seats[id].kind != kind))
		return;
	device->seats[id].kind = kind;
	device->seats[id].mode = mode;
}

/*
 * One that is there has been announced before: to the daemon that the device had then. Else
 * PORT_READY goes first: nothing is put into the queues before it
 * [protocol.md 3.3], and the node may be opened as soon as it exists.
 */
static void handle_port_add(struct mp_device *device, u32 id)
{
	const struct mp_port *port = device->seats[id].port;
	int ret;

	if (port && port->is_announced)
		return;
	if (mp_debug_fail("port_add"))
		return;		/* as if it had not come */
	if (!device->is_confirmed || device->seats[id].kind == MP_PORT_CLASSIC) {
		dev_warn_ratelimited(&device->vdev->dev,
				     "port %u is classic: this driver serves other kinds\n", id);
		control_send(device, id, VIRTIO_CONSOLE_PORT_READY, 0);
		return;
	}
	ret = control_send(device, id, VIRTIO_CONSOLE_PORT_READY, 1);
	if (!ret)
		ret = mp_queue_post_events(&device->seats[id].pair.rx);
	if (!ret)
		ret = mp_ports_add(device, id);
	if (ret) {
		dev_err_ratelimited(&device->vdev->dev, "port %u cannot be made: error %d\n", id,
				    ret);
		control_send(device, id, VIRTIO_CONSOLE_PORT_READY, 0);
	}
}

static void handle_port_remove(struct mp_device *device, u32 id)
{
	if (!device->seats[id].port)
		return;
	device->seats[id].kind = MP_PORT_CLASSIC;
	mp_ports_remove(device, id, id + 1);
}

/*
 * Where the answer to BYE finds no room or memory it is tried for ever: the device waits for it. A
 * broken queue takes no answer any more.
 */
static void answer_bye(struct mp_device *device)
{
	if (!control_send(device, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_BYE, device->bye) ||
	    virtqueue_is_broken(device->control_out))
		device->bye = 0;
	else
		queue_delayed_work(mp_workqueue, &device->control_work,
				   msecs_to_jiffies(MP_CONTROL_RETRY_MS));
}

/* Another daemon has the device, which knows no channel [protocol.md 3.7]. */
static void handle_bye(struct mp_device *device, u32 id, u16 number)
{
	unsigned int i;

	if (id != VIRTIO_CONSOLE_BAD_ID || !number || !device->is_confirmed || device->version < 3)
		return;
	for (i = 0; i < device->max_ports; i++)
		if (device->seats[i].port)
			mp_channel_fail_all(device->seats[i].port, 0);
	device->bye = number;
	answer_bye(device);
}

/* @message is in memory that the device has returned; each field is read once. */
static void handle_message(struct mp_device *device, const void *message, size_t len)
{
	struct virtio_console_control header;
	const void *payload = message + sizeof(header);
	u16 event, value;
	u32 id;

	if (len < sizeof(header) || len > MP_CONTROL_SIZE)
		return;
	memcpy(&header, message, sizeof(header));
	barrier();	/* only the copy is looked at from here on */
	len -= sizeof(header);
	id = virtio32_to_cpu(device->vdev, header.id);
	event = virtio16_to_cpu(device->vdev, header.event);
	value = virtio16_to_cpu(device->vdev, header.value);
	if (event != MP_CONTROL_HELLO && event != MP_CONTROL_BYE && id >= device->max_ports)
		return;
	switch (event) {
	case MP_CONTROL_HELLO:
		handle_hello(device, payload, len);
		break;
	case MP_CONTROL_BYE:
		handle_bye(device, id, value);
		break;
	case MP_CONTROL_PORT_MODE:
		handle_port_mode(device, id, value, payload, len);
		break;
	case VIRTIO_CONSOLE_PORT_ADD:
		handle_port_add(device, id);
		break;
	case VIRTIO_CONSOLE_PORT_NAME:
		if (device->seats[id].port)
			mp_port_set_name(device->seats[id].port, payload, strnlen(payload, len));
		break;
	case VIRTIO_CONSOLE_PORT_REMOVE:
		handle_port_remove(device, id);
		break;
	default:
		break;	/* unknown, or of classic ports only: ignored [protocol.md 3.6] */
	}
}

/* Handles what has come: as many messages as buffers were out. Then others take their place. */
void mp_control_work(struct work_struct *work)
{
	struct mp_device *device =
		container_of(to_delayed_work(work), struct mp_device, control_work);
	struct control_buf *buf;
	unsigned int len;

	mutex_lock(&device->ports_mutex);
	while (!device->is_going) {
		spin_lock_irq(&device->control_lock);
		buf = virtqueue_get_buf(device->control_in, &len);
		if (buf)
			device->control_posted--;
		spin_unlock_irq(&device->control_lock);
		if (!buf)
			break;
		handle_message(device, buf->data, len);
		control_buf_free(device, buf);
	}
	if (!device->is_going)
		control_fill(device);
	if (!device->is_going && device->bye)
		answer_bye(device);
	if (!device->is_going && virtqueue_is_broken(device->control_in))
		dev_err_ratelimited(&device->vdev->dev,
				    "the control queue is broken: ports stay as they are\n");
	mutex_unlock(&device->ports_mutex);
}

void mp_control_interrupt(struct virtqueue *vq)
{
	struct mp_device *device = vq->vdev->priv;

	mod_delayed_work(mp_workqueue, &device->control_work, 0);
}

/*
 * Tells the device to forget every channel, and waits until it has taken that, because
 * the reset that follows may not be seen [protocol.md 3.4]. Bounded.
 */
void mp_control_bye(struct mp_device *device)
{
	unsigned int ms;
	bool is_taken;

	if (!device->is_confirmed ||
	    control_send(device, VIRTIO_CONSOLE_BAD_ID, MP_CONTROL_BYE, 0))
		return;
	for (ms = 0; ms < MP_BYE_MS; ms++) {
		spin_lock_irq(&device->control_lock);
		control_reap_locked(device);
		is_taken = device->control_out->num_free ==
			   virtqueue_get_vring_size(device->control_out) ||
			   virtqueue_is_broken(device->control_out);
		spin_unlock_irq(&device->control_lock);
		if (is_taken)
			return;
		usleep_range(900, 1100);
	}
}

/* The device has been reset: undo the mappings, while the virtqueues exist. */
void mp_control_detach(struct mp_device *device)
{
	while (virtqueue_detach_unused_buf(device->control_in))
		;	/* device->control_bufs knows them all */
	while (virtqueue_detach_unused_buf(device->control_out))
		;
}

/* The virtqueues are deleted: the device touches no buffer any more. */
void mp_control_free(struct mp_device *device)
{
	struct control_buf *buf, *next;

	cancel_delayed_work_sync(&device->control_work);
	list_for_each_entry_safe(buf, next, &device->control_bufs, node)
		control_buf_free_locked(buf);
}
