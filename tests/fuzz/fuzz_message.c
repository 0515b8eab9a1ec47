/*
 * Any bytes as a message: refused with a place, or taken. Whatever is answered is one message of
 * its dialect again, says what it should, and goes to the id that asked.
 */

#include "calls.h"
#include "fuzz.h"
#include "message.h"

#include <string.h>

/* The answer in `output` as JSON, which it must be, without an ending inside. */
static json_t *parse_output(struct buffer *output, enum dialect dialect)
{
	size_t size = buffer_size(output);
	struct error error = { 0 };
	json_t *answer;

	must(size > 1);
	size--;
	must(buffer_data(output)[size] == (dialect == DIALECT_VARLINK ? '\0' : '\n'));
	must(!memchr(buffer_data(output), '\n', size));
	must(!memchr(buffer_data(output), '\0', size));
	must(message_parse(&answer, buffer_data(output), size, &error) == 0);
	must(json_is_object(answer));
	buffer_deinit(output);
	return answer;
}

static void check_answer(const json_t *answer, const struct envelope *envelope)
{
	const json_t *version = json_object_get(answer, "jsonrpc");
	const json_t *id = json_object_get(answer, "id");
	struct answer unpacked;

	if (envelope->dialect == DIALECT_VARLINK) {
		must(!version && !id && !json_object_get(answer, "result"));
		return;
	}
	must(envelope->versioned == (version != NULL));
	must(envelope->id ? json_equal(id, envelope->id) : !id);
	must(answer_unpack(&unpacked, answer) == 0);
	must(!unpacked.result != !unpacked.error);
	must(unpacked.id == json_integer_value(envelope->id));
}

static void answer_with_error(const struct envelope *envelope, const struct error *error)
{
	struct buffer output = { 0 };
	json_t *answer, *member;

	must(error_name(error->code));
	must(*error->message);
	must(message_put_error(&output, envelope, false, error) == 0);
	answer = parse_output(&output, envelope->dialect);
	check_answer(answer, envelope);
	member = json_object_get(answer, "error");
	if (envelope->dialect == DIALECT_JSONRPC) {
		must(json_integer_value(json_object_get(member, "code")) == error->code);
		must(strcmp(json_string_value(json_object_get(member, "message")),
			    error->message) == 0);
	} else {
		must(strstr(json_string_value(member), error_name(error->code)));
	}
	json_decref(answer);
}

static void answer_with_result(const struct envelope *envelope, const struct check_params *params)
{
	struct check_result back, result = {
		.host = params->host,
		.address = "127.0.0.1",
		.port = params->port,
		.status = STATUS_CLOSED,
		.reason = REASON_TIMEOUT,
		.elapsed_us = 1,
	};
	struct buffer output = { 0 };
	struct error error = { 0 };
	json_t *answer, *found;

	must(message_put_result(&output, envelope, false, check_result_fields, &result, false) ==
	     0);
	answer = parse_output(&output, envelope->dialect);
	check_answer(answer, envelope);
	found = json_object_get(answer,
				envelope->dialect == DIALECT_VARLINK ? "parameters" : "result");
	must(schema_decode(check_result_fields, found, DECODE_RESULT, &back, &error) == 0);
	must(strcmp(back.host, result.host) == 0);
	must(back.port == result.port);
	json_decref(answer);
}

static void answer_call(json_t *message, enum dialect dialect)
{
	enum decode_mode mode = dialect == DIALECT_VARLINK ? DECODE_STRICT : DECODE_LOOSE;
	struct error error = { 0 };
	struct check_params params;
	struct call call;

	if (call_unpack(&call, message, dialect, &error) < 0) {
		must(error.code == ERROR_INVALID_REQUEST || error.code == ERROR_INVALID_PARAMETER);
		must(!call.envelope.silent || error.code == ERROR_INVALID_PARAMETER);
		answer_with_error(&call.envelope, &error);
	} else if (schema_decode(check_params_fields, call.params, mode, &params, &error) < 0) {
		must(error.code == ERROR_INVALID_PARAMETER);
		must(json_object_get(error.members, "parameter"));
		answer_with_error(&call.envelope, &error);
	} else {
		must(call.method);
		answer_with_result(&call.envelope, &params);
	}
	envelope_deinit(&call.envelope);
	error_deinit(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct envelope unknown = { .versioned = true, .id = json_null() };
	struct error error = { 0 };
	struct answer answer;
	json_t *message, *element;
	size_t i;

	if (size > MESSAGE_MAX)
		return 0;
	if (message_parse(&message, (const char *)data, size, &error) < 0) {
		must(error.code == ERROR_PARSE);
		must(json_integer_value(json_object_get(error.members, "line")) > 0);
		must(json_integer_value(json_object_get(error.members, "column")) > 0);
		answer_with_error(&unknown, &error);
		error_deinit(&error);
		return 0;
	}
	must(!error.code);
	answer_unpack(&answer, message);
	answer_call(message, DIALECT_JSONRPC);
	answer_call(message, DIALECT_VARLINK);
	json_array_foreach (message, i, element)
		answer_call(element, DIALECT_JSONRPC);
	json_decref(message);
	return 0;
}
