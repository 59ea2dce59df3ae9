// SPDX-License-Identifier: MIT
/* exec: many starts under way, slow ones, and a spawner that dies. */
#include "exec_rig.h"

#include "service/spawner.h"

#include <signal.h>

#define MANY 180

static struct test_peer many[MANY];

static int count_settled(bool connected)
{
	int count = 0;

	for (int i = 0; i < MANY; i++)
		count += connected ? many[i].connected : !!many[i].refused;
	return count;
}

static bool all_are_settled(void *context)
{
	(void)context;
	return count_settled(true) + count_settled(false) == MANY;
}

static void open_many(void)
{
	for (int i = 0; i < MANY; i++)
		assert_int_equal(peer_open(&many[i], service, NULL, 0), 0);
}

static void close_many(enum mp_end how)
{
	for (int i = 0; i < MANY; i++)
		peer_close(&many[i], how);
}

/* Programs that are refused, or run and end, are forgotten in time. */
static bool no_child_is_left(void *context)
{
	siginfo_t info = { .si_pid = 0 };

	(void)context;
	/* The spawner is a child too, and the only one that may be left. */
	return !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid &&
	       rig_count_fds() == *(int *)context;
}

/* Another channel's answer is there before most of many programs have started. */
static void many_starts_hold_nobody(void **state)
{
	struct mp_service *echo = rig_service(&rig, "echo");
	struct test_peer other;
	int fds;

	(void)state;
	service = rig_service(&rig, "exec:cat");
	fds = rig_count_fds();
	open_many();
	assert_int_equal(peer_open(&other, echo, "x", 1), 1);
	other.shut_after = true;
	peer_write(&other);
	rig_wait(&rig, peer_has_ended, &other);
	assert_int_equal(other.in_len, 1);
	assert_true(count_settled(true) < MANY / 2);
	peer_close(&other, MP_END_WHOLE);
	rig_wait(&rig, all_are_settled, NULL);
	assert_int_equal(count_settled(true), MANY);
	close_many(MP_END_WHOLE);
	rig_wait(&rig, no_child_is_left, &fds);
	service_destroy(echo);
}

static void stop_spawner(void)
{
	siginfo_t info;

	assert_int_equal(kill(spawner_pid(), SIGSTOP), 0);
	assert_int_equal(waitid(P_PID, spawner_pid(), &info, WSTOPPED), 0);
}

/* The system takes its time to start a program: the loop runs on, and an open can be given up. */
static void slow_start_can_be_given_up(void **state)
{
	struct test_peer other;
	int fds;

	(void)state;
	service = rig_service(&rig, "exec:cat");
	fds = rig_count_fds();
	stop_spawner();
	open_many();
	rig_rounds(&rig, 20);
	assert_int_equal(count_settled(true) + count_settled(false), 0);
	close_many(MP_END_CUT);
	assert_int_equal(peer_open(&other, service, "x", 1), 0);
	kill(spawner_pid(), SIGCONT);
	rig_wait(&rig, peer_is_settled, &other);
	assert_true(other.connected);
	other.shut_after = true;
	peer_write(&other);
	rig_wait(&rig, peer_has_ended, &other);
	assert_int_equal(other.in_len, 1);
	peer_close(&other, MP_END_WHOLE);
	rig_wait(&rig, no_child_is_left, &fds);
}

/* teardown() looks for what is left. */
static void service_ends_with_starts(void **state)
{
	(void)state;
	leaves_after_ms = END_MS;
	service = rig_service(&rig, "exec:sleep 1000");
	open_many();
	rig_rounds(&rig, 2);
	close_many(MP_END_ABORT);
	end_service();
	/* And with one whose start takes longer than the end of the service waits. */
	service = rig_service(&rig, "exec:sleep 1000");
	stop_spawner();
	open_many();
	rig_rounds(&rig, 2);
	close_many(MP_END_ABORT);
}

static void spawner_dies(void **state)
{
	struct test_peer peer;
	siginfo_t info;
	pid_t first;
	int fds;

	(void)state;
	service = rig_service(&rig, "exec:cat");
	fds = rig_count_fds();
	first = spawner_pid();
	stop_spawner();
	open_many();
	rig_rounds(&rig, 2);
	kill(first, SIGKILL);
	rig_wait(&rig, all_are_settled, NULL);
	/* Those that lay with it are refused, the others were not lost. */
	assert_true(count_settled(false) > 0);
	assert_true(count_settled(true) > 0);
	for (int i = 0; i < MANY; i++)
		assert_true(many[i].connected || many[i].refused == MP_REASON_BUSY);
	assert_int_not_equal(spawner_pid(), first);
	close_many(MP_END_WHOLE);
	rig_wait(&rig, no_child_is_left, &fds);
	kill(spawner_pid(), SIGKILL);
	assert_int_equal(waitid(P_PID, spawner_pid(), &info, WEXITED | WNOWAIT), 0);
	open_program(&peer, "x", 1);
	peer_close(&peer, MP_END_WHOLE);
}

/* Between the loop's events and its tasks. With a start in its socket that is a reset, once. */
static bool open_behind_its_death(void *context)
{
	siginfo_t info;

	kill(spawner_pid(), SIGKILL);
	assert_int_equal(waitid(P_PID, spawner_pid(), &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(peer_open(context, service, NULL, 0), 0);
	return true;
}

static void spawner_dies_with_starts(void **state)
{
	struct test_peer lost, next;
	int fds;

	(void)state;
	service = rig_service(&rig, "exec:cat");
	fds = rig_count_fds();
	stop_spawner();
	assert_int_equal(peer_open(&lost, service, NULL, 0), 0);
	rig_rounds(&rig, 2);
	rig_wait(&rig, open_behind_its_death, &next);
	rig_wait(&rig, peer_is_settled, &next);
	assert_true(next.connected);
	rig_wait(&rig, peer_is_settled, &lost);
	assert_int_equal(lost.refused, MP_REASON_BUSY);
	peer_close(&next, MP_END_WHOLE);
	peer_close(&lost, MP_END_ABORT);
	rig_wait(&rig, no_child_is_left, &fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_starts_hold_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_start_can_be_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(service_ends_with_starts, setup, teardown),
		cmocka_unit_test_setup_teardown(spawner_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(spawner_dies_with_starts, setup, teardown),
	};

	return cmocka_run_group_tests(tests, rig_setup_group, NULL);
}
