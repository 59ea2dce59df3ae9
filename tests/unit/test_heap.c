// SPDX-License-Identifier: MIT
/* The heap against a plain array, which is searched: random additions and removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/heap.h"

#define NODES 300
#define STEPS 200000

static struct heap heap;
static struct heap_node nodes[NODES];

static uint64_t lowest(void)
{
	uint64_t key = UINT64_MAX;

	for (int i = 0; i < NODES; i++)
		if (heap_has(&nodes[i]) && nodes[i].key < key)
			key = nodes[i].key;
	return key;
}

static void assert_first(void)
{
	uint64_t key = lowest();

	if (key == UINT64_MAX)
		assert_null(heap.first);
	else
		assert_int_equal(heap.first->key, key);
}

/* Half of the nodes are in the heap at a time; few keys, so that many are equal. */
static void random_order(void **state)
{
	unsigned int seed = time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	for (int step = 0; step < STEPS; step++) {
		struct heap_node *node = &nodes[rand_r(&seed) % NODES];

		if (heap_has(node))
			heap_remove(&heap, node);
		else
			heap_add(&heap, node, rand_r(&seed) % 1000);
		if (step % 16 == 0)
			assert_first();
	}
	while (heap.first) {
		uint64_t key = lowest();

		assert_int_equal(heap.first->key, key);
		heap_remove(&heap, heap.first);
	}
	assert_first();
}

/* The worst order for a heap of pairs: all added at once, then taken. */
static void in_order(void **state)
{
	const int count = 100000;
	struct heap_node *many = calloc(count, sizeof(*many));

	(void)state;
	assert_non_null(many);
	for (int i = 0; i < count; i++)
		heap_add(&heap, &many[i], count - i);
	for (int i = 1; i <= count; i++) {
		assert_int_equal(heap.first->key, i);
		heap_remove(&heap, heap.first);
	}
	assert_null(heap.first);
	free(many);
}

static void removed_twice(void **state)
{
	(void)state;
	heap_add(&heap, &nodes[0], 1);
	heap_remove(&heap, &nodes[0]);
	heap_remove(&heap, &nodes[0]);
	assert_null(heap.first);
	assert_false(heap_has(&nodes[0]));
	heap_add(&heap, &nodes[0], UINT64_MAX);
	assert_ptr_equal(heap.first, &nodes[0]);
	heap_remove(&heap, &nodes[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_order),
		cmocka_unit_test(in_order),
		cmocka_unit_test(removed_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
