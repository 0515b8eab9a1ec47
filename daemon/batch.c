#include "batch.h"

int batch_new(struct batch **ret_batch, json_t *calls)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return -ENOMEM;
	list_init(&batch->link);
	batch->calls = json_incref(calls);
	batch->n_calls = json_array_size(calls);
	*ret_batch = batch;
	return 0;
}

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	list_remove(&batch->link);
	json_decref(batch->calls);
	buffer_deinit(&batch->answers);
	free(batch);
}

json_t *batch_take_call(struct batch *batch)
{
	json_t *call = json_incref(json_array_get(batch->calls, batch->next++));

	/* What waits for its last answers need not keep what was asked. */
	if (batch_is_started(batch))
		json_decref(steal(batch->calls));
	return call;
}

int batch_put_answers(struct batch *batch, struct buffer *buffer)
{
	struct buffer *answers = &batch->answers;
	int r;

	if (buffer_size(answers) == 0)
		return 0;
	/* The first comma has nothing before it: there the array begins. */
	buffer_data(answers)[0] = '[';
	r = buffer_puts(answers, "]\n");
	return r < 0 ? r : buffer_put(buffer, buffer_data(answers), buffer_size(answers));
}
