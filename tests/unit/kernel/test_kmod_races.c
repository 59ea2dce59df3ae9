// SPDX-License-Identifier: MIT
/* What another context does in the middle of a call: a port that goes, an event that comes. */
#include <linux/err.h>

#include "fake_host.h"
#include "kernel.h"

#define WANT	20000U		/* more than a page, less than zero_copy_min */

static char buf[WANT];
static u32 asked;

/* The limit of a port that is gone says nothing any more. */
static void a_port_that_is_gone_has_no_limit(void **state)
{
	struct mp_channel *ch;

	(void)state;
	host.port.max_channels = 1;
	ch = mp_channel_open(&host.port);
	assert_false(IS_ERR(ch));
	assert_int_equal(PTR_ERR(mp_channel_open(&host.port)), -EBUSY);
	host.port.is_gone = true;
	assert_int_equal(PTR_ERR(mp_channel_open(&host.port)), -ENODEV);
	host.port.is_gone = false;
	mp_channel_release(ch);
}

static void send_event(void *arg)
{
	(void)arg;
	host_change(0, 0);
	host_event(host.generation);
}

/* The reader sleeps, and has asked for bytes: the service says as many as it wants. */
static bool say_what_is_wanted(void)
{
	if (!host_count(MP_OP_READ))
		return false;
	asked = le32_to_cpu(host_request(MP_OP_READ, 0)->length);
	host_say(WANT);
	host_serve();
	return true;
}

/* At whatever moment of a read: the memory that it has made for its READ stays its own. */
static void an_event_leaves_a_reader_its_memory(void **state)
{
	unsigned int moment;
	struct file *file;

	(void)state;
	for (moment = 0; moment < 8; moment++) {
		file = host_connect();
		asked = 0;
		host_channel(file)->in.size = 2 * WANT;	/* as a stream has taught it */
		kernel_at(KERNEL_LOCK, &host_channel(file)->link.lock, moment, send_event, NULL);
		kernel_play(say_what_is_wanted);
		assert_true(host_call(file, true, buf, WANT, WANT, false) > 0);
		if (asked < WANT)
			fail_msg("moment %u: a READ of %u bytes", moment, asked);
		host_close(file);
		host_serve();
	}
}

/* Another holder polls, and the work item that ends the port's channels finds this one ended. */
static void a_name_that_finds_the_queue_broken_wakes_pollers(void **state)
{
	struct file *file = host_open();
	struct mp_link *link = &host_channel(file)->link;

	(void)state;
	link->wait = (wait_queue_head_t){ .sleepers = 1 };
	host.pair.tx.is_broken = true;
	assert_int_equal(host_call(file, false, "echo", 4, 4, true), -EIO);
	assert_true(link->wait.key & EPOLLERR);
	host.pair.tx.is_broken = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, host_begin, host_end)
		CASE(a_port_that_is_gone_has_no_limit),
		CASE(a_name_that_finds_the_queue_broken_wakes_pollers),
		CASE(an_event_leaves_a_reader_its_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
