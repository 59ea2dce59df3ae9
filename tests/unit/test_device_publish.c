// SPDX-License-Identifier: MIT
/*
 * The order in which used entries become visible [protocol.md 6.8]: those of receive queues first.
 * A driver looks at the transmit queue first; what an answer there announces must be in the
 * receive queue by then, or the driver goes to sleep on it.
 */
#include "device_world.h"

bool __real_ring_publish(struct ring *ring);
bool __wrap_ring_publish(struct ring *ring);

static unsigned int rx_published, tx_published;

/* The linker puts it in the place of ring_publish() in the device core. */
bool __wrap_ring_publish(struct ring *ring)
{
	bool is_rx = ring == &driver->queues[RX].ring, is_tx = ring == &driver->queues[TX].ring;

	if (is_tx) {
		assert_false(driver->queues[RX].ring.unpublished);
		assert_false(driver->queues[rx_of(FIXED)].ring.unpublished);
	}
	rx_published += is_rx && ring->unpublished;
	tx_published += is_tx && ring->unpublished;
	return __real_ring_publish(ring);
}

static int setup(void **state)
{
	(void)state;
	world_create(64, 8);
	world_boot(8);
	expect_state(connect_to(0, 1, "db"), MP_OK, CONNECTED, 0);
	rx_published = tx_published = 0;
	return 0;
}

/* Results on both queues in one pass, whichever was kicked. */
static void results(unsigned int kicked)
{
	struct fake_request *w = fake_make(driver, TX, MP_OP_WRITE, 0, 1, 0, "x", 1);
	struct fake_request *r = fake_make(driver, RX, MP_OP_READ, 0, 1, 0, NULL, 16);

	service->echo = true;
	service->last->echo = true;
	fake_header(driver, r)->flags = htole16(MP_READ_NOW);
	fake_offer(driver, w);
	fake_offer(driver, r);
	device_kick(driver->device, kicked);
	assert_int_equal(rx_published, 1);
	assert_int_equal(tx_published, 1);
	finish(w);
	finish(r);
}

static void results_of_a_transmit_kick(void **state)
{
	(void)state;
	results(TX);
}

static void results_of_a_receive_kick(void **state)
{
	(void)state;
	results(RX);
}

/* CANCEL is answered where the READ that it gives back is not. */
static void cancelled_read(void **state)
{
	struct fake_request *r = fetch(0, 1, 0);

	(void)state;
	rx_published = tx_published = 0;
	expect_result(cancel(0, 1), MP_OK, 0);
	assert_true(r->done);
	expect_result(finish(r), MP_CANCELLED, 0);
	assert_int_equal(rx_published, 1);
	assert_int_equal(tx_published, 1);
}

/* An event that the answer to a lazy WRITE does not make needless. */
static void event_behind_an_answer(void **state)
{
	(void)state;
	service->last->out_room = 0;
	service->last->out_error = -EPIPE;
	expect_state(do_request(MP_OP_WRITE, 0, 1, 0, MP_LAZY, "x", 1), MP_ENDED,
		     CONNECTED | MP_ST_OUT_END, 0);
	expect_event(0, 1, CONNECTED | MP_ST_OUT_END, 0);
	assert_true(rx_published && tx_published);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(results_of_a_transmit_kick), TEST(results_of_a_receive_kick),
		TEST(cancelled_read), TEST(event_behind_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
