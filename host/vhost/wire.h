/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user protocol as far as this back end speaks it: our own
 * definition, after QEMU's docs/interop/vhost-user.rst ([vhost-user]).
 *
 * Everything is in the byte order of the machine: both ends run on it. A
 * message is a header, a payload of header.size bytes, and descriptors that
 * travel beside it.
 */
#ifndef HOST_VHOST_WIRE_H
#define HOST_VHOST_WIRE_H

#include <stdint.h>

enum vhost_user_request {
	VHOST_USER_GET_FEATURES		 = 1,
	VHOST_USER_SET_FEATURES		 = 2,
	VHOST_USER_SET_OWNER		 = 3,
	VHOST_USER_RESET_OWNER		 = 4,
	VHOST_USER_SET_MEM_TABLE	 = 5,
	VHOST_USER_SET_VRING_NUM	 = 8,
	VHOST_USER_SET_VRING_ADDR	 = 9,
	VHOST_USER_SET_VRING_BASE	 = 10,
	VHOST_USER_GET_VRING_BASE	 = 11,
	VHOST_USER_SET_VRING_KICK	 = 12,
	VHOST_USER_SET_VRING_CALL	 = 13,
	VHOST_USER_SET_VRING_ERR	 = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM	 = 17,
	VHOST_USER_SET_VRING_ENABLE	 = 18,
	VHOST_USER_SET_BACKEND_REQ_FD	 = 21,
	VHOST_USER_GET_CONFIG		 = 24,
	VHOST_USER_SET_CONFIG		 = 25,
	VHOST_USER_GET_MAX_MEM_SLOTS	 = 36,
	VHOST_USER_ADD_MEM_REG		 = 37,
	VHOST_USER_REM_MEM_REG		 = 38,
	VHOST_USER_SET_STATUS		 = 39,
	VHOST_USER_GET_STATUS		 = 40,
	VHOST_USER_REQUEST_COUNT,
};

/* Requests of the back end, on the channel that SET_BACKEND_REQ_FD brings. */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_CONFIG_CHANGE = 2,
};

/* In vhost_user_header.flags. */
#define VHOST_USER_VERSION_MASK	0x3U
#define VHOST_USER_VERSION	0x1U
#define VHOST_USER_REPLY	0x4U
#define VHOST_USER_NEED_REPLY	0x8U

/* A feature bit of the transport, in GET_FEATURES: protocol features exist. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_MQ			= 0,
	VHOST_USER_PROTOCOL_REPLY_ACK		= 3,
	VHOST_USER_PROTOCOL_BACKEND_REQ		= 5,
	VHOST_USER_PROTOCOL_CONFIG		= 9,
	VHOST_USER_PROTOCOL_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_STATUS		= 16,
};

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc, used, avail;	/* in the front end's address space */
	uint64_t log;
};

/* In the u64 of SET_VRING_KICK, CALL and ERR. */
#define VHOST_USER_VRING_INDEX_MASK 0xffU
#define VHOST_USER_VRING_NO_FD	    0x100U

struct vhost_user_region {
	uint64_t guest;
	uint64_t size;
	uint64_t user;
	uint64_t offset;
};

#define VHOST_USER_MAX_REGIONS 8	/* in one table; more by ADD_MEM_REG */

struct vhost_user_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_MAX_REGIONS];
};

struct vhost_user_mem_slot {
	uint64_t padding;
	struct vhost_user_region region;
};

#define VHOST_USER_CONFIG_MAX 256	/* bytes of a configuration space */

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;			/* bytes of data that follow */
	uint32_t flags;			/* 0: written by the driver, 1: by a migration */
	uint8_t data[VHOST_USER_CONFIG_MAX];
};
#define VHOST_USER_CONFIG_HEADER 12

#define VHOST_USER_ASSERT_SIZE(type, bytes) \
	_Static_assert(sizeof(struct type) == (bytes), #type " is " #bytes " bytes")
VHOST_USER_ASSERT_SIZE(vhost_user_header, 12);
VHOST_USER_ASSERT_SIZE(vhost_user_vring_state, 8);
VHOST_USER_ASSERT_SIZE(vhost_user_vring_addr, 40);
VHOST_USER_ASSERT_SIZE(vhost_user_region, 32);
VHOST_USER_ASSERT_SIZE(vhost_user_mem_table, 264);
VHOST_USER_ASSERT_SIZE(vhost_user_mem_slot, 40);
VHOST_USER_ASSERT_SIZE(vhost_user_config, 268);

#endif
