// SPDX-License-Identifier: MIT
/* Memory that is replaced, goes, comes back, or was never any. */

#include "vhost_rig.h"

/* In the test itself: cmocka has handlers of its own while one runs. */
static void truncate_memory(void)
{
	assert_int_equal(mem_guard_install(), 0);
	assert_int_equal(ftruncate(fe.memfd, 0), 0);
}

/* --- Memory ------------------------------------------------------------- */

static void test_mem_table_replaced(void **state)
{
	struct vhost_user_mem_table table = fe_table();
	int other = memfd_create("guest", MFD_CLOEXEC);

	(void)state;
	start_all();
	assert_int_equal(fe_count_mappings(), 2);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	/* The same memory: the rings go on. */
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 40, &fe.memfd, 1), 0);
	assert_int_equal(fe_count_mappings(), 2);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 2);
	/* A file that is too short: nothing changes. */
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 40, &other, 1), 1);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 3);
	/* Overlapping regions likewise. */
	table.count = 2;
	table.regions[1] = table.regions[0];
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 72,
				(int[]){ fe.memfd, fe.memfd }, 2), 1);
	assert_int_equal(fe_count_mappings(), 2);
	assert_non_null(fe.device.queues[0].ring);
	/* Elsewhere: the rings wait until their memory is back. */
	table = fe_table();
	table.regions[0].user += FE_MEM_SIZE;
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 40, &fe.memfd, 1), 0);
	assert_null(fe.device.queues[0].ring);
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 3);
	fe_set_table(&fe);
	assert_int_equal(fe_used(&fe, 0)->idx, 4);
	close(other);
}

static void test_mem_slots(void **state)
{
	struct vhost_user_mem_slot slot = { .region = { FE_GUEST, 4096, FE_USER, 0 } };

	(void)state;
	fe_negotiate(&fe);
	for (unsigned int i = 0; i <= MEM_MAX_REGIONS; i++) {
		slot.region.guest = FE_GUEST + i * 8192;
		slot.region.user = FE_USER + i * 8192;
		assert_int_equal(fe_ask(&fe, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot),
					&fe.memfd, 1), i == MEM_MAX_REGIONS);
	}
	assert_int_equal(fe_count_mappings(), 1 + MEM_MAX_REGIONS);
	assert_int_equal(fe_ask(&fe, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0), 1);
	slot.region.guest = FE_GUEST;
	slot.region.user = FE_USER;
	/* With the descriptor, as some send it, and then it is gone. */
	assert_int_equal(fe_ask(&fe, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), &fe.memfd, 1),
			 0);
	assert_int_equal(fe_ask(&fe, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0), 1);
	assert_int_equal(fe_count_mappings(), MEM_MAX_REGIONS);
}

/* The ring's own region goes, with something parked, and comes again. */
static void test_mem_slot_under_ring(void **state)
{
	struct vhost_user_mem_slot slot = { .region = fe_table().regions[0] };

	(void)state;
	start_all();
	fe.device.queues[0].hold = true;
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_ask(&fe, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0), 0);
	assert_int_equal(fe_count_mappings(), 1);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
	fe.device.queues[0].hold = false;
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
	assert_int_equal(fe_ask(&fe, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &fe.memfd, 1), 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 2);
	assert_false(fe.ended);
}

static void test_truncated_memory(void **state)
{
	(void)state;
	start_all();
	truncate_memory();
	eventfd_write(fe.kicks[0], 1);
	fe_run(&fe);
	assert_true(fe.ended);
	assert_int_equal(fe.why, -EFAULT);
	assert_int_equal(fe_count_mappings(), 1);
	/* The next one is not blamed. */
	assert_int_equal(ftruncate(fe.memfd, FE_MEM_SIZE), 0);
	close(fe.fd);
	fe_connect(&fe);
	start_all();
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	assert_int_equal(fe_used(&fe, 0)->idx, 1);
}

/* Truncated, and then the connection ends: the stop of the rings meets the hole. */
static void test_truncated_at_end(void **state)
{
	(void)state;
	start_all();
	fe.device.queues[0].hold = true;
	fe_put(&fe, 0);
	fe_kick(&fe, 0);
	truncate_memory();
	close(fe.fd);
	fe.fd = -1;
	fe_run(&fe);
	assert_true(fe.ended);
	assert_false(mem_guard_tripped());
}

static void test_sealed_memory(void **state)
{
	struct vhost_user_mem_table table = fe_table();
	int sealed = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(ftruncate(sealed, FE_MEM_SIZE), 0);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	fe_negotiate(&fe);
	assert_int_equal(fe_ask(&fe, VHOST_USER_SET_MEM_TABLE, &table, 40, &sealed, 1), 1);
	assert_false(fe.ended);
	close(sealed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SESSION(test_mem_table_replaced),
		WITH_SESSION(test_mem_slots),
		WITH_SESSION(test_mem_slot_under_ring),
		WITH_SESSION(test_truncated_memory),
		WITH_SESSION(test_truncated_at_end),
		WITH_SESSION(test_sealed_memory),
	};

	log_setup(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
