/*
 * list.h: doubly linked lists, links inside the members. An initialised link that is in no list
 * points at itself, so list_remove() may be called on it at any time, and twice.
 */

#pragma once

#include "util.h"

#include <stdbool.h>

struct list {
	struct list *prev, *next;
};

#define LIST_INIT(list)                                                                            \
	{                                                                                          \
		&(list), &(list)                                                                   \
	}

static inline void list_init(struct list *list)
{
	list->prev = list;
	list->next = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

/*
 * Not inline: its writes to the last link and to `list` may be to the same place, so gcc -fanalyzer
 * takes one for the loss of what the other has put there.
 */
void list_append(struct list *list, struct list *link);

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

#define list_first(list, type, member) container_of((list)->next, type, member)

#define list_for_each(position, list, member)                                                      \
	for ((position) = container_of((list)->next, __typeof__(*(position)), member);             \
	     &(position)->member != (list);                                                        \
	     (position) = container_of((position)->member.next, __typeof__(*(position)), member))

/* The body may remove and free `position`. */
#define list_for_each_safe(position, following, list, member)                                      \
	for ((position) = container_of((list)->next, __typeof__(*(position)), member),             \
	    (following) = container_of((position)->member.next, __typeof__(*(position)), member);  \
	     &(position)->member != (list); (position) = (following),                              \
	    (following) = container_of((position)->member.next, __typeof__(*(position)), member))
