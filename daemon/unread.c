#include "unread.h"

#include "daemon.h"

#include <string.h>

void unread_answer(struct connection *connection, enum dialect dialect, const struct error *error)
{
	json_t *id = json_null();
	struct envelope envelope = { .dialect = dialect, .versioned = true, .id = id };
	int r;

	metrics_count_error(&connection->daemon->metrics, error->code);
	r = message_put_error(&connection->output.buffer, &envelope, false, error);
	if (r < 0)
		connection_lose_answer(connection, r);
}

/*
 * What a message was going to be whose end isn't there yet: only Varlink has such a member. If
 * the end is there, it tells.
 */
static enum dialect guess_dialect(const struct buffer *input)
{
	const char *bytes = buffer_data(input);
	size_t size = buffer_size(input);
	const char *nul = memchr(bytes, '\0', size), *line = memchr(bytes, '\n', size);

	if (nul || line)
		return !line || (nul && nul < line) ? DIALECT_VARLINK : DIALECT_JSONRPC;
	return memmem(bytes, size, "\"parameters\"", strlen("\"parameters\"")) ? DIALECT_VARLINK
									       : DIALECT_JSONRPC;
}

void unread_message(struct connection *connection)
{
	struct error error = { 0 };

	error_set(&error, ERROR_MESSAGE_TOO_LARGE, json_pack("{si}", "limit", (int)MESSAGE_MAX),
		  "a message may have %u bytes; send smaller ones on a new connection",
		  MESSAGE_MAX);
	unread_answer(connection, guess_dialect(&connection->input.input), &error);
	error_deinit(&error);
}

void unread_batch(struct connection *connection)
{
	struct error error = { 0 };

	error_set(&error, ERROR_INVALID_REQUEST, NULL,
		  "a batch may have %u calls; send them in several", BATCH_MAX);
	unread_answer(connection, DIALECT_JSONRPC, &error);
	error_deinit(&error);
}
