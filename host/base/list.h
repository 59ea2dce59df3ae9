/* SPDX-License-Identifier: MIT */
/*
 * A doubly linked list whose links live in its members; no allocation.
 *
 * A struct list is a head or a member's link. A link that is in no list
 * points to itself, so list_del() is idempotent and list_is_linked() is exact;
 * for that a link is initialised with list_init() once, before anything else.
 */
#ifndef HOST_BASE_LIST_H
#define HOST_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define LIST_HEAD_INIT(name) { &(name), &(name) }

static inline void list_init(struct list *link)
{
	link->next = link;
	link->prev = link;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_is_linked(const struct list *link)
{
	return link->next != link;
}

/* Puts @link, which is in no list, after @where (a member or the head). */
static inline void list_add_after(struct list *where, struct list *link)
{
	link->prev = where;
	link->next = where->next;
	where->next->prev = link;
	where->next = link;
}

static inline void list_add_head(struct list *head, struct list *link)
{
	list_add_after(head, link);
}

static inline void list_add_tail(struct list *head, struct list *link)
{
	list_add_after(head->prev, link);
}

static inline void list_del(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* The first link, taken out; NULL when the list is empty. */
static inline struct list *list_pop(struct list *head)
{
	struct list *link = head->next;

	if (link == head)
		return NULL;
	list_del(link);
	return link;
}

/* Moves everything to the tail of @to, in order; @from is empty afterwards. */
static inline void list_splice_tail(struct list *from, struct list *to)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#ifndef container_of
#define container_of(ptr, type, member) \
	((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))
#endif

#define list_entry(link, type, member) container_of(link, type, member)

/* NULL when the list is empty. */
#define list_first(head, type, member) \
	(list_is_empty(head) ? NULL : list_entry((head)->next, type, member))

/* @link: struct list *. The body must not take any member out. */
#define list_for_each(link, head) \
	for ((link) = (head)->next; (link) != (head); (link) = (link)->next)

/* As above; the body may take @link out (and free it), and no other member. */
#define list_for_each_safe(link, save, head) \
	for ((link) = (head)->next, (save) = (link)->next; (link) != (head); \
	     (link) = (save), (save) = (link)->next)

#endif
