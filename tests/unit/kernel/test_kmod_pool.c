// SPDX-License-Identifier: MIT
/* Memory of requests between two uses: a channel at work allocates none, and sees no other's. */
#include "fake_host.h"
#include "kernel.h"

#define SMALL	64U
#define LARGE	262144U	/* on the caller's pages */
#define ROUNDS	20U

static u64 wrote, got;

static int begin(void **state)
{
	host_begin(state);
	kernel_keep_memory();
	wrote = 0;
	got = 0;
	return 0;
}

/* So much to the service, and what it says to that. */
static void exchange(struct file *file, size_t out, size_t in)
{
	assert_int_equal(host_write(file, wrote, out, false), out);
	wrote += out;
	host_say(in);
	for (size_t done = 0; done < in;) {
		ssize_t ret = host_read(file, got, in - done, false);

		assert_true(ret > 0);
		done += ret;
		got += ret;
	}
	host_serve();
	kernel_end_timers();
	kernel_run_work();
}

static void exchanges_allocate_nothing(size_t out, size_t in)
{
	struct file *file = host_connect();
	unsigned int before;

	kernel_play(host_step);
	exchange(file, out, in);
	exchange(file, out, in);
	before = kernel_allocs();
	for (unsigned int i = 0; i < ROUNDS; i++)
		exchange(file, out, in);
	assert_int_equal(kernel_allocs(), before);
}

static void small_exchanges_allocate_nothing(void **state)
{
	(void)state;
	exchanges_allocate_nothing(SMALL, SMALL);
}

static void exchanges_of_a_page_allocate_nothing(void **state)
{
	(void)state;
	exchanges_allocate_nothing(4096, 3000);
}

static void large_writes_allocate_nothing(void **state)
{
	(void)state;
	exchanges_allocate_nothing(LARGE, SMALL);
}

static void large_reads_allocate_nothing(void **state)
{
	(void)state;
	exchanges_allocate_nothing(SMALL, LARGE);
}

/* After a second nothing is kept. */
static void memory_is_kept_for_a_second(void **state)
{
	struct file *file = host_connect();
	unsigned int before;

	(void)state;
	kernel_play(host_step);
	exchange(file, SMALL, SMALL);
	assert_int_equal(kernel_end_delays(), 1);
	assert_int_equal(kernel_run_work(), 1);
	for (unsigned int kind = 0; kind < MP_POOL_KINDS; kind++)
		assert_int_equal(host.port.pool.kinds[kind].count, 0);
	before = kernel_allocs();
	exchange(file, SMALL, SMALL);
	assert_true(kernel_allocs() > before);
	assert_int_equal(kernel_end_delays(), 1);
}

static bool lie(void)
{
	if (!host_count(MP_OP_READ))
		return false;
	host_lie(SMALL);
	return true;
}

/* The device says that it has written what it has not, into memory that another channel has had. */
static void a_lying_device_shows_nothing_of_another_channel(void **state)
{
	static const char zeros[SMALL];
	struct file *file = host_connect();
	char got_bytes[SMALL];

	(void)state;
	kernel_play(host_step);
	exchange(file, SMALL, SMALL);
	host_close(file);
	host_serve();
	kernel_run_work();
	assert_true(host.port.pool.kinds[MP_POOL_FETCH].count > 0);
	file = host_connect();
	kernel_play(lie);
	assert_int_equal(host_call(file, true, got_bytes, SMALL, SMALL, false), SMALL);
	assert_memory_equal(got_bytes, zeros, SMALL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, host_end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(small_exchanges_allocate_nothing),
		CASE(exchanges_of_a_page_allocate_nothing),
		CASE(large_writes_allocate_nothing),
		CASE(large_reads_allocate_nothing),
		CASE(memory_is_kept_for_a_second),
		CASE(a_lying_device_shows_nothing_of_another_channel),
	};

	return cmocka_run_group_tests_name("kmod pool", tests, NULL, NULL);
}
