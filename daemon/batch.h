/* batch.h: the calls of one JSON array, and the answers that are collected for it. */

#pragma once

#include "buffer.h"
#include "list.h"

#include <jansson.h>
#include <stdbool.h>

struct batch {
	struct list link; /* connection::batches */
	json_t *calls;    /* NULL once all of them are started */
	size_t n_calls;
	size_t next; /* the first call that isn't started */
	size_t n_under_way;
	struct buffer answers; /* each behind a comma */
};

/* Takes a reference to `calls`. 0 or -ENOMEM. */
int batch_new(struct batch **ret_batch, json_t *calls);
void batch_free(struct batch *batch);

/* The next call to start, a reference of the caller's. Not to be called when there is none. */
json_t *batch_take_call(struct batch *batch);

static inline bool batch_is_started(const struct batch *batch)
{
	return batch->next == batch->n_calls;
}

static inline bool batch_is_done(const struct batch *batch)
{
	return batch_is_started(batch) && batch->n_under_way == 0;
}

/* Appends the answers as one array; nothing where no call wanted one. 0 or -ENOMEM. */
int batch_put_answers(struct batch *batch, struct buffer *buffer);
