/* SPDX-License-Identifier: MIT */
/*
 * A front end at work, the daemon of which ends, and another one, which goes on with what was kept.
 */
#ifndef TESTS_UNIT_KEPT_RIG_H
#define TESTS_UNIT_KEPT_RIG_H

#include <stdio.h>
#include <sys/wait.h>

#include "fake_keep.h"
#include "front_end.h"
#include "vhost/message.h"

static struct front_end fe;
static struct keep keep;
static int theirs;		/* the daemon's end of the connection */
static int backend;

/* --- Ends ------------------------------------------------------------------------ */

#define DIED 42

/* The process that is to end: at which point, and the points so far. 0: it does not. */
static unsigned int end_at, points;

static void fake_point(void)
{
	if (end_at && ++points == end_at)
		_exit(DIED);
}

/* --- The first process ----------------------------------------------------------- */

static union {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_mem_table table;
	struct vhost_user_mem_slot slot;
	struct vhost_user_config config;
} payload;

struct kind {
	const char *name;
	uint32_t request, size;
	void (*fill)(void);		/* the payload */
	int *fd;			/* that goes along, or NULL */
	int answer;			/* to NEED_REPLY; -1: it has one of its own */
	bool ends_rings;		/* those that it does not name, too */
};

#define SLOT sizeof(struct vhost_user_mem_slot)

static inline void fill_slot(uint64_t at)
{
	payload.slot.region = (struct vhost_user_region){ FE_GUEST + at, 4096, FE_USER + at, 4096 };
}

static inline void fill_old_slot(void) { fill_slot(1 << 25); }

static inline void new_loop(void)
{
	fe.loop = loop_create();
	assert_non_null(fe.loop);
	loop_task_init(fe.loop, &fe.quit, fe_quit);
}

/* Rings that run, one of which has a chain out; memory in two regions; a back-end channel. */
static inline void begin(void)
{
	uint64_t index = 0;

	fe_negotiate(&fe);
	fe_set_table(&fe);
	memset(&payload, 0, sizeof(payload));
	fill_old_slot();
	fe_send_flags(&fe, VHOST_USER_ADD_MEM_REG, 0, &payload, SLOT, &fe.memfd, 1);
	fe_send_flags(&fe, VHOST_USER_SET_BACKEND_REQ_FD, 0, &index, 0, &backend, 1);
	fe.device.queues[2].hold = true;
	for (int i = 0; i < FAKE_QUEUES - 1; i++)
		fe_start_ring(&fe, i);
	fe_put(&fe, 2);
	fe_kick(&fe, 2);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
}

/* --- The next one ---------------------------------------------------------------- */

static inline void take_over(void)
{
	fake_keep_begin(&keep);
	memset(&fe.device, 0, sizeof(fe.device));
	fe.kept = kept_create(&keep);
	assert_non_null(fe.kept);
	assert_true(kept_has_front_end(fe.kept));
	fe.session = session_adopt(fe.loop, &fe.device, fe.kept, fe_on_end, &fe);
	keep_drop_rest(&keep);
}

static inline bool connection_has_ended(void)
{
	uint8_t bytes[512];
	ssize_t n;

	while ((n = recv(fe.fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

/* Rings go on, what was out came back, and the front end can begin again. */
static inline void check_rings(const struct kind *kind)
{
	if (!kind->ends_rings) {
		assert_int_equal(fe_used(&fe, 2)->idx, 1);
		fe_put(&fe, 1);
		fe_kick(&fe, 1);
		assert_int_equal(fe_used(&fe, 1)->idx, 1);
		/* Rings that were paused had their calls. */
		if (kind->request != VHOST_USER_SET_MEM_TABLE &&
		    kind->request != VHOST_USER_REM_MEM_REG)
			assert_true(fe_was_signalled(fe.calls[1]));
		fe_put(&fe, 2);
		fe_kick(&fe, 2);
		assert_int_equal(fe_used(&fe, 2)->idx, 2);
	}
	memset(fe.mem, 0, FE_RING_STRIDE);
	fe_set_table(&fe);
	fe_start_ring(&fe, 0);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
	assert_int_equal(fe_used(&fe, 0)->ring[0].id, 0);
	assert_false(fe.ended);
	fe_get_u64(&fe, VHOST_USER_GET_STATUS);
}

#endif
