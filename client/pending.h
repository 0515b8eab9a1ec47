/* pending.h: the calls that are under way, found by their id. */

#pragma once

#include "portscan.h"

struct method;

struct pending_call {
	uint64_t id; /* 0: a free slot */
	const struct method *method;
	portscan_done_fn *done;
	portscan_progress_fn *on_progress;
	void *userdata;
};

/* A hash table with open addressing. All zeroes is an empty one. */
struct pending {
	struct pending_call *slots;
	unsigned bits; /* there are 1 << bits slots */
	size_t n_calls;
};

void pending_deinit(struct pending *pending);

/* Adds a call, whose id is not 0 and not in it yet. 0 or -ENOMEM. */
int pending_add(struct pending *pending, const struct pending_call *call);

/* Good until anything is added or taken; NULL if there is none. */
const struct pending_call *pending_find(const struct pending *pending, uint64_t id);

/* Takes the call `id` out: whether there was one. */
bool pending_take(struct pending *pending, uint64_t id, struct pending_call *ret_call);

/* One call after the other, in no order; *cursor begins as 0. NULL at the end. */
const struct pending_call *pending_next(const struct pending *pending, size_t *cursor);
