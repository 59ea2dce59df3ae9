/* SPDX-License-Identifier: MIT */
/* One session for each test, and a count of what is left behind it. */
#ifndef TESTS_VHOST_RIG_H
#define TESTS_VHOST_RIG_H

#include "front_end.h"

static struct front_end fe;
static int fds_before;
FE int fds_started;

FE int setup(void **state)
{
	(void)state;
	fds_before = fe_count_fds();
	fe_start(&fe);
	fds_started = fe_count_fds();
	return 0;
}

FE int teardown(void **state)
{
	(void)state;
	fe_stop(&fe);
	assert_int_equal(fe_count_fds(), fds_before);
	assert_int_equal(fe_count_mappings(), 0);
	return 0;
}

FE uint64_t ask_u64(uint32_t request, uint64_t value, int fd)
{
	return fe_ask(&fe, request, &value, sizeof(value), &fd, fd >= 0);
}

FE uint64_t ask_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_vring_state state = { index, num };

	return fe_ask(&fe, request, &state, sizeof(state), NULL, 0);
}

FE void start_all(void)
{
	fe_negotiate(&fe);
	fe_set_table(&fe);
	for (int i = 0; i < FAKE_QUEUES; i++)
		fe_start_ring(&fe, i);
	assert_false(fe.ended);
}

#define WITH_SESSION(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
