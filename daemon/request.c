#include "request.h"

#include "clock.h"
#include "daemon.h"
#include "methods.h"
#include "server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int64_t request_elapsed_us(const struct request *request)
{
	return (int64_t)(monotonic_us() - request->started);
}

/* Frees it, and tells the connection, which may be gone then. */
static void request_end(struct request *request)
{
	struct connection *connection = request->connection;
	struct batch *batch = request->batch;
	bool is_varlink = request->envelope.dialect == DIALECT_VARLINK;

	if (request->is_charged)
		user_discharge(connection->user, CHARGE_REQUESTS);
	request_weigh(request, 0);
	list_remove(&request->link);
	list_remove(&request->deferred_link);
	if (request->params) {
		schema_clear(request->method->params, request->params);
		free(request->params);
	}
	json_decref(request->message);
	envelope_deinit(&request->envelope);
	free(request);
	connection_request_ended(connection, batch, is_varlink);
}

/* What came of writing an answer. */
static void note_written(struct request *request, int r)
{
	if (r < 0)
		connection_lose_answer(request->connection, r);
}

/* NULL: there is none to write. */
static struct buffer *begin_answer(struct request *request)
{
	struct buffer *buffer;

	if (request->envelope.silent)
		return NULL;
	buffer = connection_answer_begin(request->connection, request->batch);
	if (!buffer)
		note_written(request, -ENOMEM);
	return buffer;
}

void request_fail_error(struct request *request, const struct error *error)
{
	struct buffer *buffer = begin_answer(request);

	metrics_count_error(&request->daemon->metrics, error->code);
	if (buffer)
		note_written(request,
			     message_put_error(buffer, &request->envelope, request->batch, error));
	request_end(request);
}

void request_fail(struct request *request, enum error_code code, json_t *members,
		  const char *format, ...)
{
	struct error error = { 0 };
	char message[sizeof(error.message)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	error_set(&error, code, members, "%s", message);
	request_fail_error(request, &error);
	error_deinit(&error);
}

void request_fail_exhausted(struct request *request, const char *resource)
{
	request_fail(request, ERROR_RESOURCES_EXHAUSTED, json_pack("{ss}", "resource", resource),
		     "the daemon is short of %s; try again later, or with a longer timeout_ms",
		     resource);
}

void request_fail_errno(struct request *request, int error)
{
	/* E2BIG: of sockets there are more than a listing may have. */
	const char *resource = error == ENOMEM || error == ENOBUFS || error == E2BIG ? "memory"
			       : error == EMFILE || error == ENFILE                  ? "descriptors"
			       : error == EADDRNOTAVAIL ? "source ports"
							: NULL;

	if (resource)
		request_fail_exhausted(request, resource);
	else
		request_fail(request, ERROR_INTERNAL, json_pack("{ss}", "detail", strerror(error)),
			     "a bug in the daemon (%s); please report it", strerror(error));
}

/* A batch's answers are held back until the last: that has an end somewhere. */
static bool is_too_much(const struct request *request)
{
	return request->batch && buffer_size(&request->batch->answers) > BATCH_ANSWER_MAX;
}

void request_reply(struct request *request, const void *result)
{
	struct buffer *buffer;

	if (is_too_much(request)) {
		request_fail(request, ERROR_RESOURCES_EXHAUSTED,
			     json_pack("{ss}", "resource", "batch"),
			     "the answers to this batch have more than %u bytes; send the calls "
			     "one by one",
			     BATCH_ANSWER_MAX);
		return;
	}
	buffer = begin_answer(request);
	if (buffer)
		note_written(request, message_put_result(buffer, &request->envelope, request->batch,
							 request->method->result, result, false));
	request_end(request);
}

void request_reply_with_fds(struct request *request, const void *result, const int fds[], size_t n)
{
	struct buffer *output = &request->connection->output.buffer;
	size_t before = buffer_size(output);
	int r = 0;

	if (n == 0) {
		request_reply(request, result);
		return;
	}
	if (!request->envelope.silent)
		r = message_put_result(output, &request->envelope, false, request->method->result,
				       result, false);
	if (r < 0 || request->envelope.silent)
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
	else
		r = output_pass_fds(&request->connection->output, buffer_size(output) - before, fds,
				    n);
	note_written(request, r);
	request_end(request);
}

void request_reply_more(struct request *request, const void *result)
{
	note_written(request,
		     message_put_result(&request->connection->output.buffer, &request->envelope,
					false, request->method->result, result, true));
	connection_flush(request->connection);
}

void request_put_progress(struct request *request, const struct field *fields, const void *progress)
{
	note_written(request, message_put_progress(&request->connection->output.buffer,
						   &request->envelope, fields, progress));
	connection_flush(request->connection);
}

bool request_defer(struct request *request, void (*resume)(struct request *request))
{
	if (!connection_is_behind(request->connection))
		return false;
	request->resume = resume;
	list_append(&request->connection->deferred, &request->deferred_link);
	return true;
}

void request_weigh(struct request *request, size_t weight)
{
	if (weight > WEIGHT_MAX)
		weight = WEIGHT_MAX;
	request->connection->weight += weight - request->weight;
	request->weight = weight;
}

static void stop_work(struct request *request)
{
	if (request->method && request->method->cancel)
		request->method->cancel(request);
	request->work = NULL;
}

void request_abort(struct request *request, const struct error *error)
{
	stop_work(request);
	request_fail_error(request, error);
}

void request_abort_errno(struct request *request, int error)
{
	stop_work(request);
	request_fail_errno(request, error);
}

void request_cancel(struct request *request, enum error_code code, const char *message)
{
	stop_work(request);
	request_fail(request, code, NULL, "%s", message);
}

void request_drop(struct request *request)
{
	stop_work(request);
	request->daemon->metrics.cancelled++;
	request->envelope.silent = true;
	request_end(request);
}

static bool is_interface(const char *name, size_t size, const char *interface)
{
	return strlen(interface) == size && strncmp(name, interface, size) == 0;
}

/* Varlink tells an unknown interface from an unknown method. */
static void refuse_method(struct request *request, const char *name)
{
	const char *dot = strrchr(name, '.');
	int size = dot ? (int)(dot - name) : 0;
	char known[METHOD_NAMES_SIZE];

	if (request->envelope.dialect == DIALECT_VARLINK && dot &&
	    !is_interface(name, (size_t)size, PROTOCOL_INTERFACE) &&
	    !is_interface(name, (size_t)size, PROTOCOL_SERVICE))
		request_fail(request, ERROR_INTERFACE_NOT_FOUND,
			     json_pack("{ss%}", "interface", name, (size_t)size),
			     "there is no interface %.*s", size, name);
	else
		request_fail(request, ERROR_METHOD_NOT_FOUND, json_pack("{ss}", "method", name),
			     "there is no method \"%.80s\"; there are %s", name,
			     method_names(known));
}

/*
 * Of the message stay the strings that params borrow: what else is in it may be megabytes of
 * jansson's, and the call be under way for a day.
 */
static void drop_decoded(struct request *request, json_t *params)
{
	const struct field *field = request->method->params;
	json_t *message = request->message;

	for (; field->type != FIELD_END; field++)
		if (field->type == FIELD_PORTS)
			json_object_del(params, field->name);
	request->message = json_incref(params);
	json_object_clear(message);
	json_decref(message);
}

static int start_method(struct request *request, const struct call *call)
{
	struct error error = { 0 };
	int r;

	if (request->method->params_size > 0) {
		request->params = calloc(1, request->method->params_size);
		if (!request->params)
			return -ENOMEM;
	}
	r = schema_decode(request->method->params, call->params,
			  call->envelope.dialect == DIALECT_VARLINK ? DECODE_STRICT : DECODE_LOOSE,
			  request->params, &error);
	if (r == -EINVAL)
		request_fail_error(request, &error);
	error_deinit(&error);
	if (r == -EINVAL)
		return 0;
	if (r < 0)
		return r;
	drop_decoded(request, (json_t *)call->params);
	return request->method->start(request);
}

static struct request *request_new(struct connection *connection, struct batch *batch,
				   json_t *message, struct call *call)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->connection = connection;
	request->daemon = connection->daemon;
	request->batch = batch;
	request->envelope = call->envelope;
	json_incref(request->envelope.id);
	request->message = json_incref(message);
	request->started = monotonic_us();
	request->is_charged =
		user_charge(&connection->daemon->users, connection->user, CHARGE_REQUESTS) >= 0;
	list_init(&request->deferred_link);
	list_append(&connection->requests, &request->link);
	connection->n_under_way++;
	if (batch)
		batch->n_under_way++;
	if (call->envelope.dialect == DIALECT_VARLINK)
		connection->is_varlink_busy = true;
	return request;
}

int request_start(struct connection *connection, struct batch *batch, json_t *message,
		  enum dialect dialect)
{
	struct error error = { 0 };
	struct request *request;
	struct call call;
	int r = 0, unpacked;

	unpacked = call_unpack(&call, message, dialect, &error);
	if (unpacked < 0 && dialect == DIALECT_VARLINK) {
		r = unpacked;
		goto finish;
	}
	request = request_new(connection, batch, message, &call);
	if (!request) {
		r = -ENOMEM;
		goto finish;
	}

	if (unpacked < 0) {
		request_fail_error(request, &error);
		goto finish;
	}
	if (!request->is_charged) {
		size_t limit = connection->daemon->users.limits[CHARGE_REQUESTS];

		request_fail(request, ERROR_QUOTA_EXCEEDED,
			     json_pack("{ss,sI}", "resource", "requests", "limit",
				       (json_int_t)limit),
			     "you have %zu requests under way, as many as one user may have; "
			     "wait for some of them",
			     limit);
		goto finish;
	}
	request->method = method_find_by_name(call.method, dialect);
	if (!request->method) {
		refuse_method(request, call.method);
	} else if (connection->daemon->is_stopping) {
		request_fail(request, ERROR_SHUTTING_DOWN, NULL, "%s", SHUTTING_DOWN_MESSAGE);
	} else {
		connection->daemon->metrics.requests[method_index(request->method)]++;
		r = start_method(request, &call);
		if (r < 0)
			request_fail_errno(request, -r);
		r = 0;
	}
finish:
	error_deinit(&error);
	envelope_deinit(&call.envelope);
	return r;
}
