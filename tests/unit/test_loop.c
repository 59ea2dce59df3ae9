// SPDX-License-Identifier: MIT
/* The loop: watches and tasks that start and remove one another. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "loop/loop.h"

static struct loop *loop;
static int calls;

/* A watch on an eventfd, and what its callback does to others. */
struct source {
	struct loop_watch watch;
	int fd, fired;
	uint32_t events;
	struct source *remove;	/* taken out, closed and cleared by the callback */
	int quit_after;
};

static struct source sources[100];
static struct loop_timer guard;

static void too_late(struct loop_timer *timer)
{
	(void)timer;
	fail_msg("the loop waited for something that never came");
}

static int setup(void **state)
{
	(void)state;
	calls = 0;
	memset(sources, 0, sizeof(sources));
	loop = loop_create();
	if (!loop)
		return -1;
	loop_timer_init(loop, &guard, too_late);
	loop_timer_start(&guard, 60000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		loop_watch_remove(&sources[i].watch);
		if (sources[i].fd > 0)
			close(sources[i].fd);
	}
	loop_destroy(loop);
	return 0;
}

/* --- Watches ---------------------------------------------------------------- */

static void source_ready(struct loop_watch *watch, uint32_t events)
{
	struct source *s = container_of(watch, struct source, watch);
	struct source *victim = s->remove;

	s->fired++;
	s->events = events;
	if (victim) {
		loop_watch_remove(&victim->watch);
		loop_watch_remove(&victim->watch);
		close(victim->fd);
		victim->fd = -1;
		victim->watch.ready = NULL;	/* a call would crash */
	}
	if (++calls == s->quit_after)
		loop_quit(loop);
}

static struct source *source(int i)
{
	sources[i].fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(loop_watch_add(loop, &sources[i].watch, sources[i].fd, EPOLLIN,
					source_ready), 0);
	return &sources[i];
}

static void watch_reports_events(void **state)
{
	struct source *s = source(0);

	(void)state;
	s->quit_after = 3;
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(s->fired, 3);		/* level */
	assert_int_equal(s->events, EPOLLIN);
	assert_int_equal(loop_watch_modify(&s->watch, EPOLLIN | EPOLLOUT), 0);
	s->quit_after = 4;
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(s->events, EPOLLIN | EPOLLOUT);
	loop_watch_remove(&s->watch);
	assert_int_equal(s->watch.fd, -1);
	assert_int_equal(loop_watch_modify(&s->watch, EPOLLIN), -ENOENT);
}

static void watch_errors(void **state)
{
	struct loop_watch watch = { 0 };
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(loop_watch_add(loop, &watch, -1, EPOLLIN, source_ready), -EBADF);
	assert_int_equal(loop_watch_add(loop, &watch, fd, EPOLLIN, source_ready), -EPERM);
	loop_watch_remove(&watch);	/* never added: nothing, above all not descriptor 0 */
	source(0);
	assert_int_equal(loop_watch_add(loop, &watch, sources[0].fd, EPOLLIN, source_ready),
			 -EEXIST);
	loop_watch_remove(&watch);
	sources[0].quit_after = 1;
	assert_int_equal(loop_run(loop), 0);
	close(fd);
}

/* Two that remove each other: only the first is called, whichever it is. */
static void fetched_event_of_removed_watch_is_dropped(void **state)
{
	struct source *a = source(0), *b = source(1);

	(void)state;
	a->remove = b;
	b->remove = a;
	a->quit_after = 1;
	b->quit_after = 1;
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(a->fired + b->fired, 1);
}

static void watch_removes_itself(void **state)
{
	struct source *s = source(0);

	(void)state;
	s->remove = s;
	s->quit_after = 1;
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(s->watch.fd, -1);
}

static struct source *reused;

static void remove_and_add_again(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	loop_watch_remove(watch);
	loop_watch_remove(&reused->watch);
	/* Same structure, another descriptor that is not ready: the old event is not its. */
	close(reused->fd);
	reused->fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(loop_watch_add(loop, &reused->watch, reused->fd, EPOLLIN,
					source_ready), 0);
	loop_quit(loop);
}

static void watch_used_again_gets_no_old_event(void **state)
{
	struct source *a = source(0), *b = source(1);

	(void)state;
	a->watch.ready = remove_and_add_again;
	reused = b;
	assert_int_equal(loop_run(loop), 0);
	/* epoll keeps the order of readiness: a came first, so b's event was dropped. */
	assert_int_equal(b->fired, 0);
}

static void many_watches_are_all_served(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		source(i)->quit_after = 400;	/* more than one fetch holds */
	assert_int_equal(loop_run(loop), 0);
	for (int i = 0; i < 100; i++)
		assert_true(sources[i].fired >= 2);
}

/* --- Tasks ------------------------------------------------------------------ */

static struct loop_task tasks[4];
static char order[64];

static void note(struct loop_task *task)
{
	char c[2] = { (char)('a' + (task - tasks)), 0 };

	strcat(order, c);
}

static void quit_task(struct loop_task *task)
{
	note(task);
	loop_quit(loop);
}

static void init_tasks(void)
{
	order[0] = '\0';
	for (int i = 0; i < 4; i++)
		loop_task_init(loop, &tasks[i], note);
}

static void tasks_run_once_in_order(void **state)
{
	(void)state;
	init_tasks();
	tasks[3].run = quit_task;
	for (int i = 0; i < 4; i++) {
		loop_task_queue(&tasks[i]);
		loop_task_queue(&tasks[0]);
	}
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abcd");
	loop_task_cancel(&tasks[0]);
}

static void cancelled_tasks_do_not_run(void **state)
{
	(void)state;
	init_tasks();
	tasks[1].run = quit_task;
	for (int i = 0; i < 4; i++)
		loop_task_queue(&tasks[i]);
	loop_task_cancel(&tasks[3]);	/* the last: the list's end moves */
	loop_task_cancel(&tasks[0]);
	loop_task_cancel(&tasks[0]);
	loop_task_queue(&tasks[0]);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "bca");
}

static void cancel_the_next_and_queue_again(struct loop_task *task)
{
	note(task);
	loop_task_cancel(&tasks[1]);
	loop_task_cancel(&tasks[3]);
	if (strlen(order) < 4)
		loop_task_queue(task);	/* next round, which does not wait */
	else
		loop_quit(loop);
}

static void task_changes_the_list_it_runs_in(void **state)
{
	(void)state;
	init_tasks();
	tasks[0].run = cancel_the_next_and_queue_again;
	for (int i = 0; i < 4; i++)
		loop_task_queue(&tasks[i]);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "acaa");
}

static void again_for_ever(struct loop_task *task)
{
	loop_task_queue(task);
}

/* A task that queues itself for ever does not keep watches and timers from running. */
static void task_that_queues_itself_starves_nobody(void **state)
{
	struct source *s = source(0);

	(void)state;
	init_tasks();
	tasks[0].run = again_for_ever;
	loop_task_queue(&tasks[0]);
	s->quit_after = 10;
	assert_int_equal(loop_run(loop), 0);
	loop_destroy(loop);	/* queued still: forgotten, not touched later */
	assert_null(tasks[0].prev);
	loop_task_cancel(&tasks[0]);
	assert_false(loop_timer_is_armed(&guard));
	sources[0].watch.loop = NULL;
	loop = NULL;
}

static void quit_before_run_counts(void **state)
{
	(void)state;
	loop_quit(loop);
	assert_int_equal(loop_run(loop), 0);
	loop_destroy(NULL);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(watch_reports_events),
		LOOP_TEST(watch_errors),
		LOOP_TEST(fetched_event_of_removed_watch_is_dropped),
		LOOP_TEST(watch_removes_itself),
		LOOP_TEST(watch_used_again_gets_no_old_event),
		LOOP_TEST(many_watches_are_all_served),
		LOOP_TEST(tasks_run_once_in_order),
		LOOP_TEST(cancelled_tasks_do_not_run),
		LOOP_TEST(task_changes_the_list_it_runs_in),
		LOOP_TEST(task_that_queues_itself_starves_nobody),
		LOOP_TEST(quit_before_run_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
