/* SPDX-License-Identifier: MIT */
/*
 * What comes first of many: a pairing heap of nodes that stand in their owners' records, so that to
 * add one takes no memory and cannot fail. heap_add() and heap_first() take constant time,
 * heap_remove() of any node logarithmic time in the mean of many.
 *
 * Source: Fredman, Sedgewick, Sleator, Tarjan, The pairing heap (1986).
 */
#ifndef HOST_BASE_HEAP_H
#define HOST_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: in no heap. */
struct heap_node {
	struct heap_node *child;	/* the first of those that come later */
	struct heap_node *next;		/* another child of the same */
	struct heap_node **link;	/* what points here; NULL: in no heap */
	uint64_t key;
};

/* Zeroed: empty. */
struct heap {
	struct heap_node *first;	/* the node with the lowest key */
};

/* @node is in no heap. */
void heap_add(struct heap *heap, struct heap_node *node, uint64_t key);
/* Idempotent. */
void heap_remove(struct heap *heap, struct heap_node *node);

static inline bool heap_has(const struct heap_node *node)
{
	return node->link;
}

#endif
