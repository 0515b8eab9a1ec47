#include "message.h"

#include <string.h>

#define MEMBER_METHOD  "method"
#define MEMBER_ID      "id"
#define MEMBER_VERSION "jsonrpc"
#define MEMBER_PARAMS  "params"
#define JSONRPC        "2.0"
#define PROGRESS       "progress"
#define ERROR_CODE     "code"
#define ERROR_MESSAGE  "message"
#define ERROR_DATA     "data"
#define ERROR_NAME     "error"

void envelope_deinit(struct envelope *envelope)
{
	json_decref(envelope->id);
	*envelope = (struct envelope){ 0 };
}

static int refuse_request(struct error *ret_error, const char *why)
{
	error_set(ret_error, ERROR_INVALID_REQUEST, NULL, "not a request: %s", why);
	return -EBADMSG;
}

/* JSON has strings with NUL inside, C has not: such a one is nothing we know. */
static bool is_text(const json_t *value)
{
	return json_is_string(value) &&
	       strlen(json_string_value(value)) == json_string_length(value);
}

static int refuse_positional(struct error *ret_error)
{
	error_set(ret_error, ERROR_INVALID_PARAMETER, json_pack("{ss}", "parameter", MEMBER_PARAMS),
		  "params is an array; give them by name, as in {\"port\":22}");
	return -EBADMSG;
}

/* A member that is none of the protocol's was meant to do something: say so. */
static int check_members(const json_t *message, struct error *ret_error)
{
	char quoted[QUOTED_MAX + 8];
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)message, name, value) {
		if (strcmp(name, MEMBER_METHOD) == 0 || strcmp(name, MEMBER_PARAMS) == 0 ||
		    strcmp(name, MEMBER_ID) == 0)
			continue;
		quote_text(quoted, name);
		error_set(ret_error, ERROR_INVALID_REQUEST, NULL,
			  "not a request: it has a member %s; known are method, params, id "
			  "and jsonrpc",
			  quoted);
		return -EBADMSG;
	}
	return 0;
}

static int check_jsonrpc(const json_t *message, struct error *ret_error)
{
	const json_t *version = json_object_get(message, MEMBER_VERSION);
	const json_t *params = json_object_get(message, MEMBER_PARAMS);
	const json_t *id = json_object_get(message, MEMBER_ID);

	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return refuse_request(ret_error, "id must be a string, a number or null");
	if (json_string_length(id) > ID_MAX)
		return refuse_request(ret_error, "id must have at most 4096 bytes");
	if (version && (!is_text(version) || strcmp(json_string_value(version), JSONRPC) != 0))
		return refuse_request(ret_error, "jsonrpc must be \"2.0\", or left out");
	if (!is_text(json_object_get(message, MEMBER_METHOD)))
		return refuse_request(ret_error, "method must be there, and a string");
	if (params && !json_is_object(params) && !json_is_array(params))
		return refuse_request(ret_error, "params must be an object");
	return version ? 0 : check_members(message, ret_error);
}

static int unpack_jsonrpc(struct call *call, json_t *message, struct error *ret_error)
{
	struct envelope *envelope = &call->envelope;
	const json_t *method = json_object_get(message, MEMBER_METHOD);
	const json_t *params = json_object_get(message, MEMBER_PARAMS);
	json_t *id = json_object_get(message, MEMBER_ID);
	bool is_versioned = json_object_get(message, MEMBER_VERSION);
	int r;

	/* Without a method nobody typed it for our ease: it is answered by the specification. */
	envelope->versioned = is_versioned || !is_text(method);
	if (json_is_string(id) || json_is_number(id))
		envelope->id = json_incref(id);
	else if (id || envelope->versioned)
		envelope->id = json_null();

	r = check_jsonrpc(message, ret_error);
	if (r < 0)
		return r;
	/* Only now: what is no request is no notification either, and its sender hears of it. */
	if (is_versioned && !id) {
		envelope->silent = true;
		envelope->id = NULL;
	}
	call->method = json_string_value(method);
	/* An empty array is what libraries send that have nothing to send. */
	if (json_array_size(params) > 0)
		return refuse_positional(ret_error);
	call->params = json_is_object(params) ? params : NULL;
	return 0;
}

static bool get_flag(const json_t *message, const char *name, bool *ret_flag)
{
	const json_t *value = json_object_get(message, name);

	*ret_flag = json_is_true(value);
	return !value || json_is_boolean(value) || json_is_null(value);
}

static int unpack_varlink(struct call *call, json_t *message, struct error *ret_error)
{
	const json_t *method = json_object_get(message, MEMBER_METHOD);
	const json_t *parameters = json_object_get(message, "parameters");

	if (!is_text(method))
		return refuse_request(ret_error, "method must be there, and a string");
	if (parameters && !json_is_object(parameters) && !json_is_null(parameters))
		return refuse_request(ret_error, "parameters must be an object");
	if (!get_flag(message, "oneway", &call->envelope.silent) ||
	    !get_flag(message, "more", &call->envelope.more))
		return refuse_request(ret_error, "oneway and more must be true or false");
	call->method = json_string_value(method);
	call->params = json_is_object(parameters) ? parameters : NULL;
	return 0;
}

int call_unpack(struct call *ret_call, json_t *message, enum dialect dialect,
		struct error *ret_error)
{
	*ret_call = (struct call){ .envelope.dialect = dialect };
	if (!json_is_object(message)) {
		ret_call->envelope.versioned = true;
		ret_call->envelope.id = json_null();
		return refuse_request(ret_error, "it must be an object such as "
						 "{\"method\":\"check\",\"params\":{\"port\":22}}");
	}
	if (dialect == DIALECT_VARLINK)
		return unpack_varlink(ret_call, message, ret_error);
	return unpack_jsonrpc(ret_call, message, ret_error);
}

/* Where chunks go, and whether all did: jansson itself goes on when a name can't be written. */
struct sink {
	struct buffer *buffer;
	int error;
};

static int put_chunk(const char *chunk, size_t size, void *userdata)
{
	struct sink *sink = userdata;

	if (sink->error == 0)
		sink->error = buffer_put(sink->buffer, chunk, size);
	return sink->error;
}

static int put_json(struct buffer *buffer, const json_t *value)
{
	struct sink sink = { .buffer = buffer };
	int r = json_dump_callback(value, put_chunk, &sink, JSON_COMPACT | JSON_ENCODE_ANY);

	return r < 0 || sink.error < 0 ? -ENOMEM : 0;
}

static int put_values(struct buffer *buffer, const struct field *fields, const void *values)
{
	return fields ? schema_encode_result(fields, values, buffer) : put_json(buffer, values);
}

static int put_id(struct buffer *buffer, const struct envelope *envelope)
{
	int r;

	if (!envelope->id)
		return 0;
	r = buffer_puts(buffer, ",\"id\":");
	if (r < 0)
		return r;
	if (json_is_integer(envelope->id))
		return buffer_put_int(buffer, json_integer_value(envelope->id));
	return put_json(buffer, envelope->id);
}

static int put_ending(struct buffer *buffer, const struct envelope *envelope, bool in_batch)
{
	if (in_batch)
		return 0;
	return buffer_put_char(buffer, envelope->dialect == DIALECT_VARLINK ? '\0' : '\n');
}

static int put_jsonrpc_result(struct buffer *buffer, const struct envelope *envelope,
			      const struct field *fields, const void *result)
{
	int r;

	r = buffer_puts(buffer,
			envelope->versioned ? "{\"jsonrpc\":\"2.0\",\"result\":" : "{\"result\":");
	if (r >= 0)
		r = put_values(buffer, fields, result);
	if (r >= 0)
		r = put_id(buffer, envelope);
	return r < 0 ? r : buffer_put_char(buffer, '}');
}

static int put_varlink_result(struct buffer *buffer, const struct field *fields, const void *result,
			      bool continues)
{
	int r;

	r = buffer_puts(buffer, "{\"parameters\":");
	if (r >= 0)
		r = put_values(buffer, fields, result);
	return r < 0 ? r : buffer_puts(buffer, continues ? ",\"continues\":true}" : "}");
}

int message_put_result(struct buffer *buffer, const struct envelope *envelope, bool in_batch,
		       const struct field *fields, const void *result, bool continues)
{
	size_t before = buffer_size(buffer);
	int r;

	if (envelope->dialect == DIALECT_VARLINK)
		r = put_varlink_result(buffer, fields, result, continues);
	else
		r = put_jsonrpc_result(buffer, envelope, fields, result);
	if (r >= 0)
		r = put_ending(buffer, envelope, in_batch);
	if (r < 0)
		buffer_truncate(buffer, before);
	return r;
}

static json_t *jsonrpc_error(const struct error *error)
{
	json_t *data = json_pack("{ss}", ERROR_NAME, error_name(error->code));

	if (data && error->members)
		json_object_update(data, error->members);
	return json_pack("{si, ss#, so*}", ERROR_CODE, (int)error->code, ERROR_MESSAGE,
			 error->message, (int)strlen(error->message), ERROR_DATA, data);
}

static int put_jsonrpc_error(struct buffer *buffer, const struct envelope *envelope,
			     const struct error *error)
{
	json_t *value = jsonrpc_error(error);
	int r;

	if (!value)
		return -ENOMEM;
	r = buffer_puts(buffer,
			envelope->versioned ? "{\"jsonrpc\":\"2.0\",\"error\":" : "{\"error\":");
	if (r >= 0)
		r = put_json(buffer, value);
	if (r >= 0)
		r = put_id(buffer, envelope);
	json_decref(value);
	return r < 0 ? r : buffer_put_char(buffer, '}');
}

static int put_varlink_error(struct buffer *buffer, const struct error *error)
{
	int r;

	r = buffer_printf(buffer,
			  "{\"error\":\"%s.%s\",\"parameters\":", error_interface(error->code),
			  error_name(error->code));
	if (r >= 0)
		r = error->members ? put_json(buffer, error->members) : buffer_puts(buffer, "{}");
	return r < 0 ? r : buffer_put_char(buffer, '}');
}

int message_put_error(struct buffer *buffer, const struct envelope *envelope, bool in_batch,
		      const struct error *error)
{
	size_t before = buffer_size(buffer);
	int r;

	if (envelope->dialect == DIALECT_VARLINK)
		r = put_varlink_error(buffer, error);
	else
		r = put_jsonrpc_error(buffer, envelope, error);
	if (r >= 0)
		r = put_ending(buffer, envelope, in_batch);
	if (r < 0)
		buffer_truncate(buffer, before);
	return r;
}

int message_put_progress(struct buffer *buffer, const struct envelope *envelope,
			 const struct field *fields, const void *progress)
{
	size_t before = buffer_size(buffer);
	int r;

	r = buffer_puts(buffer,
			"{\"jsonrpc\":\"2.0\",\"method\":\"" PROGRESS "\",\"params\":{\"id\":");
	if (r >= 0)
		r = envelope->id ? put_json(buffer, envelope->id) : buffer_puts(buffer, "null");
	if (r >= 0) {
		size_t brace = buffer_size(buffer);

		r = schema_encode_result(fields, progress, buffer);
		/* One object with "id": where the table's begins, ours goes on. */
		if (r >= 0)
			buffer_data(buffer)[brace] = ',';
	}
	if (r >= 0)
		r = buffer_puts(buffer, "}\n");
	if (r < 0)
		buffer_truncate(buffer, before);
	return r;
}

int message_put_call(struct buffer *buffer, const char *method, json_int_t id,
		     const struct field *fields, const void *params)
{
	size_t before = buffer_size(buffer);
	int r;

	/* The version may be left out: it would be a fifth of what the daemon has to read. */
	r = buffer_puts(buffer, "{\"method\":");
	if (r >= 0)
		r = schema_put_string(buffer, method);
	if (r >= 0)
		r = buffer_puts(buffer, ",\"params\":");
	if (r >= 0)
		r = fields ? schema_encode_params(fields, params, buffer)
			   : put_json(buffer, params);
	if (r >= 0)
		r = buffer_puts(buffer, ",\"id\":");
	if (r >= 0)
		r = buffer_put_int(buffer, id);
	if (r >= 0)
		r = buffer_puts(buffer, "}\n");
	if (r < 0)
		buffer_truncate(buffer, before);
	return r;
}

int answer_unpack(struct answer *ret_answer, const json_t *message)
{
	const json_t *params = json_object_get(message, MEMBER_PARAMS);
	const char *method = json_string_value(json_object_get(message, MEMBER_METHOD));
	struct answer answer = { .result = json_object_get(message, "result") };
	const json_t *error = json_object_get(message, "error");
	const json_t *id;

	/* Other servers have an error of null beside the result. */
	if (json_is_object(error))
		answer.error = error;
	if (method && strcmp(method, PROGRESS) == 0 && json_is_object(params))
		answer.progress = params;
	id = json_object_get(answer.progress ? params : message, MEMBER_ID);
	if (!answer.result && !answer.error && !answer.progress)
		return -EBADMSG;
	/* An error whose request could not be read has no id; ours are numbers from 1 on. */
	answer.id = json_integer_value(id);
	*ret_answer = answer;
	return 0;
}

static const char *string_or_empty(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

void answer_error_unpack(struct answer_error *ret_error, const json_t *error)
{
	const json_t *data = json_object_get(error, ERROR_DATA);

	*ret_error = (struct answer_error){
		.code = json_integer_value(json_object_get(error, ERROR_CODE)),
		.name = string_or_empty(data, ERROR_NAME),
		.message = string_or_empty(error, ERROR_MESSAGE),
		.data = json_is_object(data) ? data : NULL,
	};
}

char *answer_error_members(const struct answer_error *error)
{
	json_t *members = error->data ? json_copy((json_t *)error->data) : json_object();
	char *text;

	if (!members)
		return NULL;
	json_object_del(members, ERROR_NAME);
	text = json_dumps(members, JSON_COMPACT);
	json_decref(members);
	return text;
}
