/*
 * places.h: work of which only so much goes on at once. A user may have at most half of the places
 * that the others leave, so that there is one for the next user; root's are the host's own. Who
 * finds none waits, in the order of coming, and waits for nobody but those of the same user and for
 * a full house. Pure.
 */

#pragma once

#include "user.h"

struct places {
	struct list waiting; /* of place::link */
	unsigned n_free;
	enum charge charge; /* what users are charged for a place */
};

/*
 * Embedded in who has work. All zeroes but `user` and `taken` to begin with. The user must be there
 * while it waits; once the place is taken it holds a reference.
 */
struct place {
	struct list link; /* places::waiting */
	struct places *places;
	struct user *user;
	bool is_taken;
	/*
	 * The place is taken: the work may begin. False: it has no use for a place now, and asks
	 * again with place_take(). May neither take nor leave a place.
	 */
	bool (*taken)(struct place *place);
};

void places_init(struct places *places, unsigned n, enum charge charge);

/* Takes a place, or waits for one. taken() may be called before this returns. */
void place_take(struct places *places, struct place *place);

/* Leaves the place, or waits for none any more. Allowed at any time. */
void place_leave(struct place *place);
