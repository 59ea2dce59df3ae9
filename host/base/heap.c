// SPDX-License-Identifier: MIT
#include <stddef.h>

#include "base/heap.h"

/* Makes @node, or nothing, what *@link points to. */
static void put(struct heap_node **link, struct heap_node *node)
{
	*link = node;
	if (node)
		node->link = link;
}

/* Two heaps become one: the later first node a child of the earlier. */
static struct heap_node *meld(struct heap_node *a, struct heap_node *b)
{
	struct heap_node *later = b;

	if (!a || !b)
		return a ? a : b;
	if (b->key < a->key) {
		later = a;
		a = b;
	}
	put(&later->next, a->child);
	put(&a->child, later);
	return a;
}

static struct heap_node *cut(struct heap_node **list)
{
	struct heap_node *node = *list;

	if (node) {
		*list = node->next;
		node->next = NULL;
	}
	return node;
}

/* The children of one node become one heap: in pairs, then all pairs, which keeps it flat. */
static struct heap_node *meld_all(struct heap_node *list)
{
	struct heap_node *pairs = NULL, *all = NULL, *pair;

	while (list) {
		struct heap_node *a = cut(&list), *b = cut(&list);

		pair = meld(a, b);
		pair->next = pairs;
		pairs = pair;
	}
	while ((pair = cut(&pairs)))
		all = meld(all, pair);
	return all;
}

void heap_add(struct heap *heap, struct heap_node *node, uint64_t key)
{
	node->child = node->next = NULL;
	node->key = key;
	put(&heap->first, meld(heap->first, node));
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	if (!node->link)
		return;
	put(node->link, node->next);
	node->next = NULL;
	put(&heap->first, meld(heap->first, meld_all(node->child)));
	node->child = NULL;
	node->link = NULL;
}
