/* SPDX-License-Identifier: MIT */
/*
 * One vhost-user message: received piece by piece, checked as a whole.
 *
 * The front end is not trusted to send whole messages, right sizes or the
 * right number of descriptors. A message owns the descriptors that came with
 * it until message_take_fd().
 *
 * What is received stays in the socket until message_take(). The process may end at any
 * instruction: then the kernel still has the message, or says that it was taken (SO_PEEK_OFF
 * [socket(7)], which is a property of the socket, not of the process).
 */
#ifndef HOST_VHOST_MESSAGE_H
#define HOST_VHOST_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "vhost/wire.h"

#define MESSAGE_MAX_PAYLOAD 4096	/* also of messages that we do not know */
#define MESSAGE_MAX_FDS	    16		/* twice what any message may carry */

struct message {
	struct vhost_user_header header;
	union {
		uint64_t u64;
		struct vhost_user_vring_state state;
		struct vhost_user_vring_addr addr;
		struct vhost_user_mem_table table;
		struct vhost_user_mem_slot slot;
		struct vhost_user_config config;
		uint8_t bytes[MESSAGE_MAX_PAYLOAD];
	} payload;
	int32_t fds[MESSAGE_MAX_FDS];
	uint32_t numbers[MESSAGE_MAX_FDS];	/* of the same with the holder, or 0 (kept.h) */
	uint32_t fd_count;
	uint32_t received;		/* bytes, header included */
	uint32_t is_wrong;		/* it has descriptors and should not, or not */
};

/* Before the first message of a socket that no process has received from. Returns 0 or -errno. */
int message_begin(int sock);

void message_init(struct message *message);

/* Closes the descriptors that were not taken, and makes @message ready for the next one. */
void message_reset(struct message *message);

/*
 * Continues to receive from @sock, without waiting, and leaves it there. Returns 1: complete, to be
 * taken and reset before the next call; 0: more is to come; -ENOTCONN: the front end
 * closed its end between two messages; -EPIPE: within one; -EPROTO: not a
 * message of this protocol, too long, or with too many descriptors; or what
 * recvmsg() said. After an error the connection is of no more use.
 */
int message_receive(struct message *message, int sock);

/*
 * Takes from @sock the message that was received, but for what an earlier process has taken.
 * Returns 0 or -errno.
 */
int message_take(struct message *message, int sock);

/* Is this what message_receive() makes of a complete message, but for its descriptors? */
bool message_is_whole(const struct message *message);

/*
 * May the message be acted on, on a device with @queues queues, with these protocol
 * features acknowledged? Returns 0, -EINVAL (size, number of descriptors, or
 * content), -EOPNOTSUPP (unknown, or its feature was not acknowledged).
 */
int message_check(const struct message *message, unsigned int queues, uint64_t features);

/* Is the answer to this request a message of its own, not an acknowledgement? */
bool message_has_reply(const struct message *message);

/* For the log; "unknown" for a number without a name. */
const char *message_name(const struct message *message);

/* The descriptor at @idx now belongs to the caller; -1 when there is none. */
int message_take_fd(struct message *message, unsigned int idx);

/* Sends a message without waiting. Returns 0, -EAGAIN (no room, or not for all) or -errno. */
int message_send(int sock, const struct vhost_user_header *header, const void *payload);

#endif
