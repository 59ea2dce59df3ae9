// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio-fs binding [protocol.md 2.6, 11.7]: a device of type 26 with our tag may be ours.
 *
 * It may also be a file system that was given this tag. So the first thing that it gets is one
 * request that both understand: a FUSE header with an opcode that no file system has. A file
 * system answers an error, manyport a HELLO; a device that answers nothing in time is none.
 * Only then come the messages that a file system's host might not survive.
 */
#include <linux/delay.h>
#include <linux/fuse.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>

#include <manyport/wire_check.h>

#include "debug.h"
#include "device.h"
#include "dma.h"

#define MP_FS_TAG	"manyport"
#define MP_FS_MS	2000	/* for the answer */
#define MP_FS_MIN_QUEUES 3U	/* of requests: with the other one, those of one port and control */

struct fs_hello {
	struct fuse_in_header request;
	u8 answer[sizeof(struct fuse_out_header) + sizeof(struct mp_hello)] mp_dma_aligned;
};
MP_ASSERT_ALONE(struct fs_hello, answer, sizeof(struct fs_hello));

bool mp_fs_is(const struct virtio_device *vdev)
{
	return vdev->id.device == VIRTIO_ID_FS;
}

/* Ports that the device's queues are enough for. */
unsigned int mp_fs_ports(struct virtio_device *vdev)
{
	u32 queues;

	virtio_cread_le(vdev, struct virtio_fs_config, num_request_queues, &queues);
	return queues < MP_FS_MIN_QUEUES ? 0 : (queues - 1) / 2;
}

/* Only reads what the device shows. A tag that fills its field has no NUL. */
bool mp_fs_is_candidate(struct virtio_device *vdev)
{
	char tag[sizeof_field(struct virtio_fs_config, tag)] = "";

	if (!vdev->config->get)
		return false;
	virtio_cread_bytes(vdev, offsetof(struct virtio_fs_config, tag), tag, sizeof(tag));
	return !strncmp(tag, MP_FS_TAG, sizeof(tag)) && mp_fs_ports(vdev) &&
	       mp_fs_ports(vdev) <= MP_MAX_PORTS;
}

static bool is_hello(const struct fs_hello *hello, unsigned int used)
{
	struct fuse_out_header header;
	struct mp_hello what;

	if (used != sizeof(hello->answer))
		return false;
	memcpy(&header, hello->answer, sizeof(header));
	memcpy(&what, hello->answer + sizeof(header), sizeof(what));
	barrier();	/* only the copies are looked at from here on */
	return !header.error && header.unique == hello->request.unique &&
	       mp_hello_is_valid(&what, sizeof(what));
}

/*
 * Asks the device, which is ready, who it is. No other code uses @vq, whose callback finds nothing.
 * Returns 0, -ENODEV (a file system, or no answer), -ENOMEM or another error of the queue. The
 * caller resets the device after an error, and frees *@memory: then after the virtqueues, because
 * a device that is reset may not know it [protocol.md 10.5].
 */
int mp_fs_ask(struct virtqueue *vq, void **memory)
{
	struct fs_hello *hello = kzalloc(sizeof(*hello), GFP_KERNEL), *found = NULL;
	struct scatterlist request, answer, *sgs[] = { &request, &answer };
	unsigned int used, ms;
	int ret = -ENOMEM;
	bool is_silent;

	*memory = hello;
	if (!hello)
		return ret;
	hello->request.len = sizeof(hello->request);
	hello->request.opcode = MP_CONTROL_HELLO;
	hello->request.unique = 2;	/* even, as those of a file system */
	sg_init_one(&request, &hello->request, sizeof(hello->request));
	sg_init_one(&answer, hello->answer, sizeof(hello->answer));
	ret = virtqueue_add_sgs(vq, sgs, 1, 1, hello, GFP_KERNEL);
	if (ret)
		return ret;
	virtqueue_kick(vq);
	is_silent = mp_debug_fail("fs_silent");
	for (ms = 0; !found && ms < MP_FS_MS && !virtqueue_is_broken(vq); ms++) {
		found = is_silent ? NULL : virtqueue_get_buf(vq, &used);
		if (!found)
			usleep_range(900, 1100);
	}
	return found && is_hello(hello, used) && !mp_debug_fail("fs_ask") ? 0 : -ENODEV;
}
