// SPDX-License-Identifier: MIT
/*
 * Receiving and checking vhost-user messages; see message.h.
 *
 * The stream is cut into messages by the sizes in their headers. Exactly what
 * is missing of the current one is asked for. All of it is looked at without being taken
 * (MSG_PEEK), first the bytes; where these say that descriptors come with them, again from the
 * start: a look at a piece makes new descriptors of those that came with it. Linux gives those of
 * the next piece, too, if the one that was asked for has none. So they are asked for only where
 * there must be some, and whether there were is seen when the message is taken.
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring/ring.h"
#include "vhost/message.h"

void message_init(struct message *message)
{
	message->fd_count = 0;
	message->received = 0;
	message->is_wrong = false;
}

void message_reset(struct message *message)
{
	for (unsigned int i = 0; i < message->fd_count; i++)
		if (message->fds[i] >= 0)
			close(message->fds[i]);
	message_init(message);
}

int message_take_fd(struct message *message, unsigned int idx)
{
	int fd;

	if (idx >= message->fd_count)
		return -1;
	fd = message->fds[idx];
	message->fds[idx] = -1;
	return fd;
}

/* --- Receiving ---------------------------------------------------------- */

/* What finds no place is closed at once: the message is refused anyway. */
static int keep_fds(struct message *message, const struct cmsghdr *cmsg)
{
	size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int ret = 0, fd;

	for (size_t i = 0; i < count; i++) {
		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
		if (message->fd_count < MESSAGE_MAX_FDS) {
			message->fds[message->fd_count++] = fd;
		} else {
			close(fd);
			ret = -EPROTO;
		}
	}
	return ret;
}

/*
 * Descriptors for which the buffer has no room never reach this process: the
 * kernel says MSG_CTRUNC, and what did fit is kept, to be closed. It says the same when
 * this process may have no more of them, or a security module forbids it one; the
 * buffer, which has room for all that are allowed, tells the two apart.
 */
static int keep_control(struct message *message, struct msghdr *msg)
{
	int ret = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		if (keep_fds(message, cmsg) < 0)
			ret = -EPROTO;
	}
	if (!ret && msg->msg_flags & MSG_CTRUNC)
		ret = message->fd_count < MESSAGE_MAX_FDS ? -EMFILE : -EPROTO;
	return ret;
}

/* From where on message_receive() looks: how much was received and not taken. */
static int get_offset(int sock)
{
	int offset;
	socklen_t len = sizeof(offset);

	return getsockopt(sock, SOL_SOCKET, SO_PEEK_OFF, &offset, &len) < 0 ? -errno : offset;
}

/* Credentials would look like descriptors when the message is taken, and have no use. */
int message_begin(int sock)
{
	const int none = 0;

	if (setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &none, sizeof(none)) < 0 ||
	    setsockopt(sock, SOL_SOCKET, SO_PEEK_OFF, &none, sizeof(none)) < 0)
		return -errno;
	return 0;
}

/*
 * Looks at @iov, and at descriptors where they are wanted. Returns how many bytes there are, 0
 * where it would wait, or an error.
 */
static ssize_t look(struct message *message, int sock, struct iovec *iov, int count, bool wants_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n;
	int ret;

	if (wants_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
	}
	/* No edge would follow a call that a signal has ended. */
	do {
		n = recvmsg(sock, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN)
			return 0;
		/* A front end that closes with something unread on its side resets: an end, too. */
		return errno == ECONNRESET && !message->received ? -ENOTCONN : -errno;
	}
	ret = wants_fds ? keep_control(message, &msg) : 0;
	if (ret < 0)
		return ret;
	if (!n)
		return message->received ? -EPIPE : -ENOTCONN;
	return n;
}

/* [vhost-user "Header"]: a front end sends version 1, and never a reply. */
static bool header_is_valid(const struct vhost_user_header *header)
{
	return (header->flags & VHOST_USER_VERSION_MASK) == VHOST_USER_VERSION &&
	       !(header->flags & VHOST_USER_REPLY) && header->size <= MESSAGE_MAX_PAYLOAD;
}

bool message_is_whole(const struct message *message)
{
	return header_is_valid(&message->header) && message->fd_count <= MESSAGE_MAX_FDS &&
	       message->received == sizeof(message->header) + message->header.size;
}

/* How many descriptors come with a whole message, if it is what it seems to be. */
static unsigned int wanted_fds(const struct message *message)
{
	switch (message->header.request) {
	case VHOST_USER_SET_MEM_TABLE:
		return message->header.size < sizeof(uint64_t) ? 0 : message->payload.table.count;
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		return message->header.size < sizeof(uint64_t) ? 0 :
		       !(message->payload.u64 & VHOST_USER_VRING_NO_FD);
	case VHOST_USER_SET_BACKEND_REQ_FD:
	case VHOST_USER_ADD_MEM_REG:
		return 1;
	default:
		return 0;
	}
}

/* The part of @message that is missing: of the header, or else of the payload. */
static struct iovec missing(struct message *message)
{
	size_t head = sizeof(message->header), done = message->received;

	if (done < head)
		return (struct iovec){ (uint8_t *)&message->header + done, head - done };
	done -= head;
	return (struct iovec){ message->payload.bytes + done, message->header.size - done };
}

/* All bytes of @message, which are there, and @wanted descriptors or more. */
static int receive_again(struct message *message, int sock, unsigned int wanted)
{
	size_t len = message->received;
	int ret = message_begin(sock);

	if (ret < 0)
		return ret;
	message_init(message);
	while (message->received < len) {
		struct iovec iov[2] = {
			{ &message->header, sizeof(message->header) },
			{ message->payload.bytes, message->header.size },
		};
		size_t skip = message->received;
		ssize_t n;

		for (int i = 0; i < 2; i++) {
			size_t part = skip < iov[i].iov_len ? skip : iov[i].iov_len;

			iov[i].iov_base = (uint8_t *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			skip -= part;
		}
		n = look(message, sock, iov, 2, message->fd_count < wanted);
		if (n <= 0)
			return n < 0 ? n : -EPIPE;
		message->received += n;
	}
	return 1;
}

int message_receive(struct message *message, int sock)
{
	struct iovec iov;
	unsigned int wanted;
	ssize_t n;

	for (;;) {
		if (message->received >= sizeof(message->header) &&
		    !header_is_valid(&message->header))
			return -EPROTO;
		iov = missing(message);
		if (!iov.iov_len)
			break;
		n = look(message, sock, &iov, 1, false);
		if (n <= 0)
			return n;
		message->received += n;
	}
	wanted = wanted_fds(message);
	return wanted ? receive_again(message, sock, wanted) : 1;
}

/* MSG_CTRUNC, where there is no room at all: there were descriptors. */
int message_take(struct message *message, int sock)
{
	uint8_t sink[sizeof(struct vhost_user_header) + MESSAGE_MAX_PAYLOAD];
	int left = get_offset(sock);
	bool is_whole = left == (int)message->received, has_fds = false;

	for (; left > 0; left = get_offset(sock)) {
		size_t len = (size_t)left < sizeof(sink) ? (size_t)left : sizeof(sink);
		struct iovec iov = { .iov_base = sink, .iov_len = len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		has_fds |= msg.msg_flags & MSG_CTRUNC;
	}
	/* Some front ends send the region's descriptor along. */
	if (is_whole && message->header.request != VHOST_USER_REM_MEM_REG)
		message->is_wrong = has_fds != (message->fd_count > 0);
	return left;
}

/* --- Checking: pure functions of the message ---------------------------- */

static bool check_index(const struct message *m, unsigned int queues)
{
	return m->payload.state.index < queues;
}

/* A split ring's size [virtio-1.2 2.7]. */
static bool check_num(const struct message *m, unsigned int queues)
{
	uint32_t num = m->payload.state.num;

	return check_index(m, queues) && num && num <= RING_MAX_SIZE && !(num & (num - 1));
}

static bool check_base(const struct message *m, unsigned int queues)
{
	return check_index(m, queues) && m->payload.state.num <= UINT16_MAX;
}

static bool check_enable(const struct message *m, unsigned int queues)
{
	return check_index(m, queues) && m->payload.state.num <= 1;
}

/*
 * The only flag asks for a log of writes, which is not offered. Alignments:
 * [virtio-1.2 2.7]. Whether there is memory is known when the ring starts.
 */
static bool check_addr(const struct message *m, unsigned int queues)
{
	const struct vhost_user_vring_addr *a = &m->payload.addr;

	return a->index < queues && !a->flags && !(a->desc & 15) && !(a->avail & 1) &&
	       !(a->used & 3);
}

/* A descriptor comes, or the message says that none does. Both or neither is wrong. */
static bool check_vring_fd(const struct message *m, unsigned int queues)
{
	uint64_t value = m->payload.u64;

	return (value & VHOST_USER_VRING_INDEX_MASK) < queues &&
	       !(value & ~(uint64_t)(VHOST_USER_VRING_INDEX_MASK | VHOST_USER_VRING_NO_FD)) &&
	       m->fd_count == (value & VHOST_USER_VRING_NO_FD ? 0 : 1);
}

/*
 * One descriptor for each region. The payload may be longer than its regions:
 * Linux 6.1's virtio_uml always sends room for two.
 */
static bool check_mem_table(const struct message *m, unsigned int queues)
{
	uint32_t count = m->payload.table.count;
	uint64_t size = m->header.size - offsetof(struct vhost_user_mem_table, regions);

	(void)queues;
	return count && count <= VHOST_USER_MAX_REGIONS && m->fd_count == count &&
	       size % sizeof(struct vhost_user_region) == 0 &&
	       size / sizeof(struct vhost_user_region) >= count;
}

/* Data follows in both directions, as much as size says. */
static bool check_config(const struct message *m, unsigned int queues)
{
	const struct vhost_user_config *c = &m->payload.config;

	(void)queues;
	return c->size && c->size <= VHOST_USER_CONFIG_MAX &&
	       c->offset <= VHOST_USER_CONFIG_MAX - c->size &&
	       m->header.size == VHOST_USER_CONFIG_HEADER + c->size &&
	       (m->header.request == VHOST_USER_GET_CONFIG || c->flags <= 1);
}

static bool check_status(const struct message *m, unsigned int queues)
{
	(void)queues;
	return m->payload.u64 <= UINT8_MAX;
}

#define FEATURE(name) (UINT64_C(1) << VHOST_USER_PROTOCOL_##name)

/* What is known of a request before its content is looked at. */
struct rule {
	const char *name;			/* NULL: unknown */
	uint16_t min_size, max_size;		/* of the payload */
	uint8_t min_fds, max_fds;
	bool has_reply;
	uint64_t feature;			/* protocol feature that it belongs to, or 0 */
	bool (*check)(const struct message *m, unsigned int queues);
};

#define NO_PAYLOAD	0, 0
#define EXACT(type)	sizeof(type), sizeof(type)
#define NO_FDS		0, 0

static const struct rule rules[VHOST_USER_REQUEST_COUNT] = {
	[VHOST_USER_GET_FEATURES] = { "GET_FEATURES", NO_PAYLOAD, NO_FDS, true, 0, NULL },
	[VHOST_USER_SET_FEATURES] = { "SET_FEATURES", EXACT(uint64_t), NO_FDS, false, 0, NULL },
	[VHOST_USER_SET_OWNER] = { "SET_OWNER", NO_PAYLOAD, NO_FDS, false, 0, NULL },
	[VHOST_USER_RESET_OWNER] = { "RESET_OWNER", NO_PAYLOAD, NO_FDS, false, 0, NULL },
	[VHOST_USER_SET_MEM_TABLE] = {
		"SET_MEM_TABLE", offsetof(struct vhost_user_mem_table, regions),
		sizeof(struct vhost_user_mem_table), 0, VHOST_USER_MAX_REGIONS, false, 0,
		check_mem_table,
	},
	[VHOST_USER_SET_VRING_NUM] = {
		"SET_VRING_NUM", EXACT(struct vhost_user_vring_state), NO_FDS, false, 0, check_num,
	},
	[VHOST_USER_SET_VRING_ADDR] = {
		"SET_VRING_ADDR", EXACT(struct vhost_user_vring_addr), NO_FDS, false, 0, check_addr,
	},
	[VHOST_USER_SET_VRING_BASE] = {
		"SET_VRING_BASE", EXACT(struct vhost_user_vring_state), NO_FDS, false, 0,
		check_base,
	},
	[VHOST_USER_GET_VRING_BASE] = {
		"GET_VRING_BASE", EXACT(struct vhost_user_vring_state), NO_FDS, true, 0,
		check_index,
	},
	[VHOST_USER_SET_VRING_KICK] = {
		"SET_VRING_KICK", EXACT(uint64_t), 0, 1, false, 0, check_vring_fd,
	},
	[VHOST_USER_SET_VRING_CALL] = {
		"SET_VRING_CALL", EXACT(uint64_t), 0, 1, false, 0, check_vring_fd,
	},
	[VHOST_USER_SET_VRING_ERR] = {
		"SET_VRING_ERR", EXACT(uint64_t), 0, 1, false, 0, check_vring_fd,
	},
	[VHOST_USER_GET_PROTOCOL_FEATURES] = {
		"GET_PROTOCOL_FEATURES", NO_PAYLOAD, NO_FDS, true, 0, NULL,
	},
	[VHOST_USER_SET_PROTOCOL_FEATURES] = {
		"SET_PROTOCOL_FEATURES", EXACT(uint64_t), NO_FDS, false, 0, NULL,
	},
	[VHOST_USER_GET_QUEUE_NUM] = {
		"GET_QUEUE_NUM", NO_PAYLOAD, NO_FDS, true, FEATURE(MQ), NULL,
	},
	[VHOST_USER_SET_VRING_ENABLE] = {
		"SET_VRING_ENABLE", EXACT(struct vhost_user_vring_state), NO_FDS, false, 0,
		check_enable,
	},
	[VHOST_USER_SET_BACKEND_REQ_FD] = {
		"SET_BACKEND_REQ_FD", NO_PAYLOAD, 1, 1, false, FEATURE(BACKEND_REQ), NULL,
	},
	[VHOST_USER_GET_CONFIG] = {
		"GET_CONFIG", VHOST_USER_CONFIG_HEADER, sizeof(struct vhost_user_config), NO_FDS,
		true, FEATURE(CONFIG), check_config,
	},
	[VHOST_USER_SET_CONFIG] = {
		"SET_CONFIG", VHOST_USER_CONFIG_HEADER, sizeof(struct vhost_user_config), NO_FDS,
		false, FEATURE(CONFIG), check_config,
	},
	[VHOST_USER_GET_MAX_MEM_SLOTS] = {
		"GET_MAX_MEM_SLOTS", NO_PAYLOAD, NO_FDS, true, FEATURE(CONFIGURE_MEM_SLOTS), NULL,
	},
	[VHOST_USER_ADD_MEM_REG] = {
		"ADD_MEM_REG", EXACT(struct vhost_user_mem_slot), 1, 1, false,
		FEATURE(CONFIGURE_MEM_SLOTS), NULL,
	},
	[VHOST_USER_REM_MEM_REG] = {
		"REM_MEM_REG", EXACT(struct vhost_user_mem_slot), 0, 1, false,
		FEATURE(CONFIGURE_MEM_SLOTS), NULL,
	},
	[VHOST_USER_SET_STATUS] = {
		"SET_STATUS", EXACT(uint64_t), NO_FDS, false, FEATURE(STATUS), check_status,
	},
	[VHOST_USER_GET_STATUS] = {
		"GET_STATUS", NO_PAYLOAD, NO_FDS, true, FEATURE(STATUS), NULL,
	},
};

static const struct rule *rule_of(const struct message *message)
{
	uint32_t request = message->header.request;

	if (request >= VHOST_USER_REQUEST_COUNT || !rules[request].name)
		return NULL;
	return &rules[request];
}

int message_check(const struct message *message, unsigned int queues, uint64_t features)
{
	const struct rule *rule = rule_of(message);

	if (!rule || (rule->feature & ~features))
		return -EOPNOTSUPP;
	if (message->is_wrong || message->header.size < rule->min_size ||
	    message->header.size > rule->max_size ||
	    message->fd_count < rule->min_fds || message->fd_count > rule->max_fds)
		return -EINVAL;
	return !rule->check || rule->check(message, queues) ? 0 : -EINVAL;
}

bool message_has_reply(const struct message *message)
{
	const struct rule *rule = rule_of(message);

	return rule && rule->has_reply;
}

const char *message_name(const struct message *message)
{
	const struct rule *rule = rule_of(message);

	return rule ? rule->name : "unknown";
}

/* --- Sending ------------------------------------------------------------ */

int message_send(int sock, const struct vhost_user_header *header, const void *payload)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)header, .iov_len = sizeof(*header) },
		{ .iov_base = (void *)payload, .iov_len = header->size },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = header->size ? 2 : 1 };
	ssize_t n;

	do {
		n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* Messages are far smaller than a socket's buffer: a part is as bad as none. */
	return (size_t)n == sizeof(*header) + header->size ? 0 : -EAGAIN;
}
