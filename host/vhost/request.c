// SPDX-License-Identifier: MIT
/*
 * The actors of vhost-user messages; see request.h. They trust message_check(): sizes,
 * numbers of descriptors, and indices of queues are right.
 *
 * Front ends differ in what they say and when; what is relied on here was
 * measured with QEMU 11 and User Mode Linux 6.1 and 7.2, and is replayed in
 * tests/unit/test_vhost_orders.c.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "device/device.h"
#include "vhost/message.h"
#include "vhost/request.h"
#include "vhost/state.h"

#define BIT(n) (UINT64_C(1) << (n))

/* A status bit of virtio [virtio-1.2 2.1]. */
#define STATUS_NEEDS_RESET 0x40

/*
 * Only what is implemented: QEMU's generic device acknowledges whatever it is offered.
 * INBAND_NOTIFICATIONS would turn each kick of User Mode Linux into a round trip.
 * BACKEND_REQ must be there: virtio_uml of Linux 6.1 does not probe without it.
 */
uint64_t request_protocol_features(const struct device *device)
{
	uint64_t features = BIT(VHOST_USER_PROTOCOL_MQ) | BIT(VHOST_USER_PROTOCOL_REPLY_ACK) |
			    BIT(VHOST_USER_PROTOCOL_BACKEND_REQ) |
			    BIT(VHOST_USER_PROTOCOL_CONFIGURE_MEM_SLOTS) |
			    BIT(VHOST_USER_PROTOCOL_STATUS);

	return device_has_config(device) ? features | BIT(VHOST_USER_PROTOCOL_CONFIG) : features;
}

static uint64_t offered_features(const struct session *s)
{
	return device_features(s->device) | BIT(VHOST_USER_F_PROTOCOL_FEATURES);
}

static void answer_u64(struct kept_reply *reply, uint64_t value)
{
	reply->header.size = sizeof(value);
	reply->payload.u64 = value;
}

/* --- Rings -------------------------------------------------------------- */

/* A broken device serves no queue until its next reset [protocol.md 10.7]. */
static int start_ring(struct session *s, struct virtqueue *vq)
{
	int ret = s->said->broken ? 0 : virtqueue_start(vq, s->said->features);

	/* The task looks into the ring: the answer to this message must not wait for that. */
	if (vq->look)
		loop_task_queue(&s->task);
	return ret;
}

void request_pause_rings(struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++)
		virtqueue_stop(&s->vqs[i]);
}

/* A ring whose memory is not there waits for the next change of memory. */
void request_resume_rings(struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++)
		start_ring(s, &s->vqs[i]);
}

void request_set_device_features(struct session *s)
{
	device_set_features(s->device, s->said->features & ~BIT(VHOST_USER_F_PROTOCOL_FEATURES));
}

/*
 * What was negotiated stays: the front end does not know that this happens. Each ring waits for
 * its next kick descriptor. Until the driver has described a ring again, the guest may use the
 * ring's memory for something else: no change of memory or of another ring may start it there.
 */
static void reset_device(struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++)
		virtqueue_end(&s->vqs[i]);
	device_reset(s->device);
	request_set_device_features(s);
	s->said->broken = false;
}

static bool any_ring_runs(const struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++)
		if (s->vqs[i].ring.running)
			return true;
	return false;
}

static struct virtqueue *vq_of_state(struct session *s, const struct message *m)
{
	return &s->vqs[m->payload.state.index];
}

static struct virtqueue *vq_of_fd(struct session *s, const struct message *m)
{
	return &s->vqs[m->payload.u64 & VHOST_USER_VRING_INDEX_MASK];
}

static int set_vring_num(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)reply;
	virtqueue_set_num(vq_of_state(s, m), m->payload.state.num);
	return 0;
}

/* The first message of a ring's next life, and so of a broken device's. */
static int set_vring_base(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)reply;
	if (s->said->broken)
		reset_device(s);
	virtqueue_set_base(vq_of_state(s, m), m->payload.state.num);
	return 0;
}

static int set_vring_addr(struct session *s, struct message *m, struct kept_reply *reply)
{
	struct virtqueue *vq = &s->vqs[m->payload.addr.index];

	(void)reply;
	virtqueue_set_addr(vq, &m->payload.addr);
	return start_ring(s, vq);
}

static int get_vring_base(struct session *s, struct message *m, struct kept_reply *reply)
{
	reply->header.size = sizeof(reply->payload.state);
	reply->payload.state.index = m->payload.state.index;
	reply->payload.state.num = virtqueue_get_base(vq_of_state(s, m));
	return 0;
}

/* Without a descriptor the ring would have to be polled. */
static int set_vring_kick(struct session *s, struct message *m, struct kept_reply *reply)
{
	struct virtqueue *vq = vq_of_fd(s, m);
	int ret;

	(void)reply;
	if (m->payload.u64 & VHOST_USER_VRING_NO_FD)
		return -EOPNOTSUPP;
	ret = virtqueue_set_kick(vq, message_take_fd(m, 0), m->numbers[0]);
	return ret < 0 ? ret : start_ring(s, vq);
}

static int set_vring_call(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)reply;
	return virtqueue_set_call(vq_of_fd(s, m), message_take_fd(m, 0), m->numbers[0]);
}

static int set_vring_err(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)reply;
	return virtqueue_set_error(vq_of_fd(s, m), message_take_fd(m, 0), m->numbers[0]);
}

static int set_vring_enable(struct session *s, struct message *m, struct kept_reply *reply)
{
	struct virtqueue *vq = vq_of_state(s, m);

	(void)reply;
	virtqueue_set_enabled(vq, m->payload.state.num);
	return start_ring(s, vq);
}

/* --- Features, ownership, status ---------------------------------------- */

static int get_features(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)m;
	answer_u64(reply, offered_features(s));
	return 0;
}

/* Without bit 30 the front end knows no SET_VRING_ENABLE [vhost-user "Ring states"]. */
static int set_features(struct session *s, struct message *m, struct kept_reply *reply)
{
	uint64_t features = m->payload.u64;

	(void)reply;
	if (features & ~offered_features(s))
		return -EINVAL;
	if (any_ring_runs(s))
		return features == s->said->features ? 0 : -EBUSY;
	s->said->features = features;
	request_set_device_features(s);
	if (!(features & BIT(VHOST_USER_F_PROTOCOL_FEATURES))) {
		for (unsigned int i = 0; i < s->queue_count; i++)
			virtqueue_set_enabled(&s->vqs[i], true);
		request_resume_rings(s);
	}
	return 0;
}

static int get_protocol_features(struct session *s, struct message *m,
				 struct kept_reply *reply)
{
	(void)s;
	(void)m;
	answer_u64(reply, request_protocol_features(s->device));
	return 0;
}

static int set_protocol_features(struct session *s, struct message *m,
				 struct kept_reply *reply)
{
	(void)reply;
	if (m->payload.u64 & ~request_protocol_features(s->device))
		return -EINVAL;
	s->said->protocol_features = m->payload.u64;
	return 0;
}

static int get_queue_num(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)m;
	answer_u64(reply, s->queue_count);
	return 0;
}

/*
 * A device of the front end begins; on the same connection another one may have ended, as QEMU
 * does at device_del and device_add on one chardev. QEMU takes its memory along without a word,
 * and describes the memory of the new device from the start: what is left of the old table
 * would overlap it. So all that belongs to the life before goes: rings with their
 * descriptors, channels, memory. What QEMU says before SET_OWNER stays: the protocol
 * features and the channel of the back end.
 */
static int set_owner(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)m;
	(void)reply;
	for (unsigned int i = 0; i < s->queue_count; i++)
		virtqueue_fini(&s->vqs[i]);
	s->said->features = 0;
	s->said->status = 0;
	reset_device(s);
	mem_clear(&s->mem);
	kept_next_regions(s->said)->count = 0;
	kept_use_regions(s->kept);
	return 0;
}

/* Deprecated; "disable all rings" is all that it may mean. */
static int reset_owner(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)m;
	(void)reply;
	for (unsigned int i = 0; i < s->queue_count; i++)
		virtqueue_set_enabled(&s->vqs[i], false);
	return 0;
}

/* Has the front end taken each ring's place back (GET_VRING_BASE)? */
static bool all_rings_ended(const struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++)
		if (s->vqs[i].kick_fd >= 0)
			return false;
	return true;
}

/*
 * DRIVER_OK need not come: rings start by KICK and ENABLE. But 0 is a reset, except after the end
 * of all rings: QEMU says that (for the devices for which it says STATUS at all) when a guest
 * resets the device and when it pauses the guest, and a pause ends no channel [protocol.md 10.3].
 * Which of the two it was shows when the rings start again [protocol.md 10.4].
 */
static int set_status(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)reply;
	s->said->status = m->payload.u64;
	if (!s->said->status && (s->said->broken || !all_rings_ended(s)))
		reset_device(s);
	return 0;
}

static int get_status(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)m;
	answer_u64(reply, s->said->status | (s->said->broken ? STATUS_NEEDS_RESET : 0));
	return 0;
}

/* --- Memory ------------------------------------------------------------- */

static int add_region(struct mem *mem, const struct vhost_user_region *r, int fd)
{
	return mem_add(mem, r->guest, r->user, r->size, r->offset, fd);
}

static void append_region(struct kept_regions *table, const struct vhost_user_region *r,
			  uint32_t number)
{
	table->regions[table->count++] = (struct kept_region){
		.guest = r->guest, .user = r->user, .size = r->size, .fd_offset = r->offset,
		.number = number,
	};
}

/*
 * The new table is complete before the old one is given up: a bad one changes nothing. Rings are
 * paused for the change rather than translated again, so that parked chains go back into the
 * memory that they came from. The driver sends the parked requests again [protocol.md 10.3].
 */
static int set_mem_table(struct session *s, struct message *m, struct kept_reply *reply)
{
	const struct vhost_user_mem_table *table = &m->payload.table;
	struct kept_regions *next = kept_next_regions(s->said);
	struct mem fresh;
	int ret = 0;

	(void)reply;
	mem_init(&fresh);
	next->count = 0;
	for (unsigned int i = 0; i < table->count && ret == 0; i++) {
		ret = add_region(&fresh, &table->regions[i], m->fds[i]);
		append_region(next, &table->regions[i], m->numbers[i]);
	}
	if (ret < 0) {
		mem_clear(&fresh);
		return ret;
	}
	request_pause_rings(s);
	mem_clear(&s->mem);
	s->mem = fresh;
	kept_use_regions(s->kept);
	request_resume_rings(s);
	return 0;
}

static int get_max_mem_slots(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)s;
	(void)m;
	answer_u64(reply, MEM_MAX_REGIONS);
	return 0;
}

/* Is @r in the table, with the descriptor that has @number? */
static bool has_region(const struct session *s, const struct vhost_user_region *r, uint32_t number)
{
	const struct kept_regions *table = kept_regions(s->said);

	for (unsigned int i = 0; i < table->count; i++)
		if (table->regions[i].guest == r->guest && table->regions[i].number == number)
			return true;
	return false;
}

/* Rings continue to run: the mappings that they use stay where they are. */
static int add_mem_reg(struct session *s, struct message *m, struct kept_reply *reply)
{
	const struct vhost_user_region *r = &m->payload.slot.region;
	struct kept_regions *next = kept_next_regions(s->said);
	int ret;

	(void)reply;
	if (s->is_repeat && has_region(s, r, m->numbers[0]))
		return 0;
	ret = add_region(&s->mem, r, m->fds[0]);
	if (ret < 0)
		return ret;
	*next = *kept_regions(s->said);
	append_region(next, r, m->numbers[0]);
	kept_use_regions(s->kept);
	request_resume_rings(s);
	return 0;
}

static void leave_out(struct kept_regions *next, const struct kept_regions *table,
		      const struct vhost_user_region *r)
{
	next->count = 0;
	for (unsigned int i = 0; i < table->count; i++)
		if (table->regions[i].guest != r->guest)
			next->regions[next->count++] = table->regions[i];
}

static int rem_mem_reg(struct session *s, struct message *m, struct kept_reply *reply)
{
	const struct vhost_user_region *r = &m->payload.slot.region;
	int ret;

	(void)reply;
	request_pause_rings(s);
	ret = mem_remove(&s->mem, r->guest, r->user, r->size);
	if (ret == 0) {
		leave_out(kept_next_regions(s->said), kept_regions(s->said), r);
		kept_use_regions(s->kept);
	}
	request_resume_rings(s);
	return s->is_repeat && ret == -ENOENT ? 0 : ret;
}

/* --- Configuration ------------------------------------------------------ */

/* The answer has exactly the size of the question: both front ends insist. */
static int get_config(struct session *s, struct message *m, struct kept_reply *reply)
{
	const struct vhost_user_config *asked = &m->payload.config;
	struct vhost_user_config *config = &reply->payload.config;

	config->offset = asked->offset;
	config->size = asked->size;
	config->flags = asked->flags;
	device_read_config(s->device, asked->offset, config->data, asked->size);
	reply->header.size = VHOST_USER_CONFIG_HEADER + asked->size;
	return 0;
}

/* Nothing in it can be written; QEMU sends the whole space if the guest tries. */
static int set_config(struct session *s, struct message *m, struct kept_reply *reply)
{
	(void)s;
	(void)m;
	(void)reply;
	return 0;
}

static int set_backend_req_fd(struct session *s, struct message *m, struct kept_reply *reply)
{
	int ret = backend_channel_set(&s->backend, message_take_fd(m, 0));

	(void)reply;
	if (ret == 0)
		kept_put(s->kept, &s->said->backend, m->numbers[0]);
	return ret;
}

/* --- Dispatch ----------------------------------------------------------- */

typedef int (*actor)(struct session *s, struct message *m, struct kept_reply *reply);

static const actor actors[VHOST_USER_REQUEST_COUNT] = {
	[VHOST_USER_GET_FEATURES] = get_features,
	[VHOST_USER_SET_FEATURES] = set_features,
	[VHOST_USER_SET_OWNER] = set_owner,
	[VHOST_USER_RESET_OWNER] = reset_owner,
	[VHOST_USER_SET_MEM_TABLE] = set_mem_table,
	[VHOST_USER_SET_VRING_NUM] = set_vring_num,
	[VHOST_USER_SET_VRING_ADDR] = set_vring_addr,
	[VHOST_USER_SET_VRING_BASE] = set_vring_base,
	[VHOST_USER_GET_VRING_BASE] = get_vring_base,
	[VHOST_USER_SET_VRING_KICK] = set_vring_kick,
	[VHOST_USER_SET_VRING_CALL] = set_vring_call,
	[VHOST_USER_SET_VRING_ERR] = set_vring_err,
	[VHOST_USER_GET_PROTOCOL_FEATURES] = get_protocol_features,
	[VHOST_USER_SET_PROTOCOL_FEATURES] = set_protocol_features,
	[VHOST_USER_GET_QUEUE_NUM] = get_queue_num,
	[VHOST_USER_SET_VRING_ENABLE] = set_vring_enable,
	[VHOST_USER_SET_BACKEND_REQ_FD] = set_backend_req_fd,
	[VHOST_USER_GET_CONFIG] = get_config,
	[VHOST_USER_SET_CONFIG] = set_config,
	[VHOST_USER_GET_MAX_MEM_SLOTS] = get_max_mem_slots,
	[VHOST_USER_ADD_MEM_REG] = add_mem_reg,
	[VHOST_USER_REM_MEM_REG] = rem_mem_reg,
	[VHOST_USER_SET_STATUS] = set_status,
	[VHOST_USER_GET_STATUS] = get_status,
};

int request_act(struct session *session, struct message *message, struct kept_reply *reply)
{
	reply->header.size = 0;
	return actors[message->header.request](session, message, reply);
}
