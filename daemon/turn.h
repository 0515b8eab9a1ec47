/*
 * turn.h: work in slices. Whoever has something to do queues for a slice of it, some half a
 * millisecond at most; in each turn of the loop slices are run for about that long. Users take
 * turns, and so do the works of each: what one user asks for, however much it is, makes nobody
 * else wait for more than a slice.
 */

#pragma once

#include "user.h"

#include <ev.h>

struct turns {
	struct ev_loop *loop;
	struct list users; /* of user::turn_link: who has something to do, in order */
	ev_check check;
	ev_idle idle;
};

/* Embedded in who has work. */
struct turn {
	struct list link; /* user::turns */
	struct user *user;
	void (*run)(struct turn *turn);
};

void turns_init(struct turns *turns, struct ev_loop *loop);

/* Runs what is queued, until nothing is; for the end, when nobody asks for more. */
void turns_finish(struct turns *turns);
void turns_deinit(struct turns *turns);

/* Holds a reference to the user until turn_deinit(). All zeroes may be deinited. */
void turn_init(struct turn *turn, struct user *user, void (*run)(struct turn *turn));
void turn_deinit(struct turn *turn);

/* Queues for one slice, unless it already does. run() may deinit the turn, and may queue again. */
void turn_queue(struct turns *turns, struct turn *turn);
void turn_cancel(struct turn *turn);

static inline bool turn_is_queued(const struct turn *turn)
{
	return !list_empty(&turn->link);
}
