/*
 * turn.h: long work in slices. Whoever has more to do than fits between two other clients'
 * answers does a slice of it, some half a millisecond, and queues for the next; with each turn
 * of the loop one slice is run, the one that has waited longest.
 */

#pragma once

#include "list.h"

#include <ev.h>

struct turns {
	struct ev_loop *loop;
	struct list queue;
	ev_check check;
	ev_idle idle;
};

/* Embedded in who has work; initialised once. */
struct turn {
	struct list link; /* turns::queue */
	void (*run)(struct turn *turn);
};

void turns_init(struct turns *turns, struct ev_loop *loop);

/* Runs what is queued, until nothing is; for the end, when nobody asks for more. */
void turns_finish(struct turns *turns);
void turns_deinit(struct turns *turns);

void turn_init(struct turn *turn, void (*run)(struct turn *turn));

/* Queues for one slice, unless it already does. run() may free the turn, and may queue again. */
void turn_queue(struct turns *turns, struct turn *turn);
void turn_cancel(struct turn *turn);

static inline bool turn_is_queued(const struct turn *turn)
{
	return !list_empty(&turn->link);
}
