// SPDX-License-Identifier: MIT
/* The opener that manyport serve tells the host of: serve_naming.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../tools/manyport/serve_naming.h"

static void *look_at_itself(void *context)
{
	const struct ucred who = { .pid = gettid(), .uid = 4711, .gid = 4712 };

	prctl(PR_SET_NAME, "a thread's name");
	naming_find_opener(context, &who);
	return NULL;
}

static void a_thread_is_one_of_its_process(void **state)
{
	struct frame_connect opener = { 0 };
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, look_at_itself, &opener), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(opener.pid, getpid());
	assert_int_equal(opener.uid, 4711);
	assert_int_equal(opener.gid, 4712);
	assert_string_equal(opener.comm, "a thread's name");
}

static void one_that_is_gone_has_its_number(void **state)
{
	const struct ucred who = { .pid = 0x7ffffff0 };
	struct frame_connect opener = { 0 };

	(void)state;
	naming_find_opener(&opener, &who);
	assert_int_equal(opener.pid, who.pid);
	assert_string_equal(opener.comm, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_is_one_of_its_process),
		cmocka_unit_test(one_that_is_gone_has_its_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
