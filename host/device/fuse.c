// SPDX-License-Identifier: MIT
/*
 * A virtio-fs device before HELLO [protocol.md 11.7].
 *
 * A front end of virtio-fs shows the guest a file system with our tag, and its driver may come
 * first, or be the only one. So until the driver's HELLO each chain with room for a FUSE header is
 * a FUSE request, and is answered at once by an error: a mount of the tag is refused, and
 * no process waits for an answer that never comes. One opcode asks whether this is manyport.
 */
#include <errno.h>
#include <string.h>

#include <linux/fuse.h>
#include <linux/virtio_console.h>

#include "device/control.h"
#include "device/map.h"

_Static_assert(sizeof(struct virtio_console_control) + sizeof(struct mp_hello) <
	       sizeof(struct fuse_in_header), "our driver's HELLO is no FUSE request");

struct answer {
	struct fuse_out_header header;
	struct mp_hello hello;
};

/* Returns the answer's length. */
static size_t make_answer(const struct device *device, const struct fuse_in_header *request,
			  struct answer *answer)
{
	size_t len = sizeof(answer->header);
	int error = -EIO;

	memset(answer, 0, sizeof(*answer));
	if (le32toh(request->opcode) == MP_CONTROL_HELLO) {
		control_get_hello(device, &answer->hello);
		len = sizeof(*answer);
		error = 0;
	}
	answer->header.len = htole32(len);
	answer->header.error = (int32_t)htole32(error);
	answer->header.unique = request->unique;
	return len;
}

int fuse_answer(struct queue *queue, const struct ring_chain *chain)
{
	const struct mem *mem = queue->ring->mem;
	struct fuse_in_header request;
	struct answer answer;
	size_t len;

	if (map_read(mem, map_readable(chain), &request, sizeof(request)) < 0)
		return queue_report_missing(queue, map_readable(chain),
					    "a FUSE request cannot be read");
	len = make_answer(queue->device, &request, &answer);
	if (len > chain->writable_len)
		len = 0;
	if (map_write(mem, map_writable(chain), &answer, len) < 0)
		return queue_report_missing(queue, map_writable(chain),
					    "a FUSE request cannot be answered");
	queue_give(queue, chain->head, len);
	return 1;
}

bool fuse_is_request(const struct queue *queue, const struct ring_chain *chain)
{
	return device_is_fuse(queue->device) &&
	       chain->readable_len >= sizeof(struct fuse_in_header);
}
