/* SPDX-License-Identifier: MIT */
/* What tests of exec: share: the service under test, and programs that it runs. */
#ifndef TESTS_UNIT_EXEC_RIG_H
#define TESTS_UNIT_EXEC_RIG_H

#include "programs_end.h"

static struct rig rig;
static int fds_before;

static inline int setup(void **state)
{
	(void)state;
	fds_before = rig_count_fds();
	rig_init(&rig);
	return 0;
}

/* Every program is gone and reaped, every descriptor closed. */
static inline int teardown(void **state)
{
	(void)state;
	end_service();
	rig_fini(&rig);
	assert_int_equal(rig_count_fds(), fds_before);
	return 0;
}

/* Opens a channel, and waits for the program. */
static inline void open_program(struct test_peer *peer, const char *out, size_t len)
{
	assert_int_equal(peer_open(peer, service, out, len), 0);
	rig_wait(&rig, peer_is_settled, peer);
	assert_true(peer->connected);
}

/* Runs @command on @out until its output ends. */
static inline void run_program(struct test_peer *peer, const char *command, const char *out,
			       size_t len)
{
	char uri[512];

	service_destroy(service);
	snprintf(uri, sizeof(uri), "exec:%s", command);
	service = rig_service(&rig, uri);
	open_program(peer, out, len);
	peer->shut_after = true;
	peer_write(peer);
	rig_wait(&rig, peer_has_ended, peer);
}

#endif
