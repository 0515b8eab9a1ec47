#include "calls.h"
#include "message.h"
#include "unit.h"

#include <stdio.h>

static json_t *message;
static struct call call;
static struct error error;
static struct buffer output;

static void teardown(void)
{
	json_decref(message);
	message = NULL;
	envelope_deinit(&call.envelope);
	error_deinit(&error);
	buffer_deinit(&output);
}

static int unpack(const char *text, enum dialect dialect)
{
	teardown();
	message = json_of(text);
	return call_unpack(&call, message, dialect, &error);
}

static void assert_unpacked(const char *text, enum dialect dialect, const char *method,
			    const char *params)
{
	ck_assert_msg(unpack(text, dialect) == 0, "%s: %s", text, error.message);
	ck_assert_int_eq(call.envelope.dialect, dialect);
	ck_assert_str_eq(call.method, method);
	if (params)
		assert_json(call.params, params);
	else
		ck_assert_ptr_null(call.params);
}

/* Asserts what was appended to `output`: `text` with ' for ", and the ending. */
static void assert_output(const char *text, char ending)
{
	size_t size = buffer_size(&output);

	ck_assert_uint_gt(size, 0);
	ck_assert_int_eq(buffer_data(&output)[size - 1], ending);
	buffer_data(&output)[size - 1] = '\0';
	ck_assert_str_eq(buffer_data(&output), q(text));
	buffer_deinit(&output);
}

static void assert_refused(const char *text, enum dialect dialect, enum error_code code,
			   const char *sentence)
{
	ck_assert_msg(unpack(text, dialect) == -EBADMSG, "%s is accepted", text);
	ck_assert_int_eq(error.code, code);
	ck_assert_str_eq(error.message, q(sentence));
}

/* Asserts the answer to a JSON-RPC request that is refused, as it goes out. */
static void assert_refused_with(const char *text, const char *answer)
{
	ck_assert_msg(unpack(text, DIALECT_JSONRPC) == -EBADMSG, "%s is accepted", text);
	ck_assert(!call.envelope.silent);
	ck_assert_int_eq(message_put_error(&output, &call.envelope, false, &error), 0);
	assert_output(answer, '\n');
}

/* Asserts how a request's result goes out. */
static void assert_answered_with(const char *text, enum dialect dialect, const char *answer)
{
	_cleanup_(json_decrefp) json_t *result = json_of("{'ok':true}");

	ck_assert_msg(unpack(text, dialect) == 0, "%s: %s", text, error.message);
	ck_assert_int_eq(message_put_result(&output, &call.envelope, false, NULL, result, false),
			 0);
	assert_output(answer, dialect == DIALECT_VARLINK ? '\0' : '\n');
}

START_TEST(a_typed_call_needs_neither_version_nor_id)
{
	assert_unpacked("{'method':'check','params':{'port':22}}", DIALECT_JSONRPC, "check",
			"{'port':22}");
	ck_assert(!call.envelope.versioned);
	ck_assert(!call.envelope.silent);
	ck_assert_ptr_null(call.envelope.id);
	assert_unpacked("{'method':'info'}", DIALECT_JSONRPC, "info", NULL);
	assert_answered_with("{'method':'info'}", DIALECT_JSONRPC, "{'result':{'ok':true}}");
	assert_answered_with("{'method':'info','id':7}", DIALECT_JSONRPC,
			     "{'result':{'ok':true},'id':7}");
}
END_TEST

START_TEST(ids_come_back_as_they_were)
{
	static const char *const ids[] = {
		"0",
		"1",
		"-1",
		"9223372036854775807",
		"-9223372036854775808",
		"1.5",
		"''",
		"'id'",
		"'\\u0000'",
		"null",
		"'a\\\"b\\\\c\\n'",
	};

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		char text[128], answer[128];

		snprintf(text, sizeof(text), "{'jsonrpc':'2.0','method':'info','id':%s}", ids[i]);
		snprintf(answer, sizeof(answer), "{'jsonrpc':'2.0','result':{'ok':true},'id':%s}",
			 ids[i]);
		assert_answered_with(text, DIALECT_JSONRPC, answer);
		ck_assert(call.envelope.versioned && !call.envelope.silent);
		snprintf(text, sizeof(text), "{'method':'info','id':%s}", ids[i]);
		snprintf(answer, sizeof(answer), "{'result':{'ok':true},'id':%s}", ids[i]);
		assert_answered_with(text, DIALECT_JSONRPC, answer);
	}
}
END_TEST

START_TEST(a_notification_is_silent)
{
	assert_unpacked("{'jsonrpc':'2.0','method':'update','params':{}}", DIALECT_JSONRPC,
			"update", "{}");
	ck_assert(call.envelope.silent);
	ck_assert_ptr_null(call.envelope.id);
	assert_unpacked("{'jsonrpc':'2.0','method':'update','id':null}", DIALECT_JSONRPC, "update",
			NULL);
	ck_assert(!call.envelope.silent);
	ck_assert_int_eq(unpack("{'jsonrpc':'2.0','method':'update','params':[1,2]}",
				DIALECT_JSONRPC),
			 -EBADMSG);
	ck_assert_int_eq(error.code, ERROR_INVALID_PARAMETER);
	ck_assert(call.envelope.silent);
}
END_TEST

START_TEST(positional_params_are_refused_for_params)
{
	assert_refused("{'jsonrpc':'2.0','method':'check','params':[22],'id':1}", DIALECT_JSONRPC,
		       ERROR_INVALID_PARAMETER,
		       "params is an array; give them by name, as in {'port':22}");
	assert_json(error.members, "{'parameter':'params'}");
	assert_json(call.envelope.id, "1");
}
END_TEST

START_TEST(what_is_no_request_says_why)
{
	static const char method[] = "not a request: method must be there, and a string";
	static const char id[] = "not a request: id must be a string, a number or null";
	static const char version[] = "not a request: jsonrpc must be '2.0', or left out";
	static const char params[] = "not a request: params must be an object";

	assert_refused("{}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST, method);
	assert_refused("{'method':1}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST, method);
	assert_refused("{'method':null}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST, method);
	assert_refused("{'method':'m','id':[]}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST, id);
	assert_refused("{'method':'m','id':{}}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST, id);
	assert_refused("{'method':'m','id':true}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST, id);
	assert_refused("{'jsonrpc':'1.0','method':'m'}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST,
		       version);
	assert_refused("{'jsonrpc':2.0,'method':'m'}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST,
		       version);
	assert_refused("{'jsonrpc':null,'method':'m'}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST,
		       version);
	assert_refused("{'method':'m','params':'bar'}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST,
		       params);
	assert_refused("{'method':'m','params':null}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST,
		       params);
	assert_refused("{'method':'check','port':22}", DIALECT_JSONRPC, ERROR_INVALID_REQUEST,
		       "not a request: it has a member 'port'; known are method, params, id and "
		       "jsonrpc");
	assert_refused("4711", DIALECT_JSONRPC, ERROR_INVALID_REQUEST,
		       "not a request: it must be an object such as "
		       "{'method':'check','params':{'port':22}}");
}
END_TEST

START_TEST(members_of_others_are_passed_over_where_the_version_is_there)
{
	assert_unpacked("{'jsonrpc':'2.0','method':'info','id':1,'trace':'x'}", DIALECT_JSONRPC,
			"info", NULL);
}
END_TEST

/* A refused request is answered with its id, or null where that can't be known. */
START_TEST(refusals_go_to_the_id_that_is_known)
{
	assert_refused_with("{'jsonrpc':'1.0','method':'m','id':'x'}",
			    "{'jsonrpc':'2.0','error':{'code':-32600,'message':'not a request: "
			    "jsonrpc must be \\'2.0\\', or left out','data':{'error':"
			    "'InvalidRequest'}},'id':'x'}");
	assert_refused_with("{'method':'m','port':1,'id':3}",
			    "{'error':{'code':-32600,'message':'not a request: it has a member "
			    "\\'port\\'; known are method, params, id and jsonrpc','data':{'error':"
			    "'InvalidRequest'}},'id':3}");
	assert_refused_with("{'method':'m','id':{}}",
			    "{'error':{'code':-32600,'message':'not a request: id must be a "
			    "string, a number or null','data':{'error':'InvalidRequest'}},'id':"
			    "null}");
	assert_refused_with("{'jsonrpc':'2.0','method':'m','id':7,'params':1}",
			    "{'jsonrpc':'2.0','error':{'code':-32600,'message':'not a request: "
			    "params must be an object','data':{'error':'InvalidRequest'}},'id':7}");
	assert_refused_with("{'method':'m','params':[1]}",
			    "{'error':{'code':-32602,'message':'params is an array; give them by "
			    "name, as in {\\'port\\':22}','data':{'error':'InvalidParameter',"
			    "'parameter':'params'}}}");
}
END_TEST

START_TEST(a_number_beyond_all_bounds_is_blamed_on_its_member)
{
	static const char text[] = "{\"method\":\"check\",\"params\":{\"timeout_ms\":5,"
				   "\"port\":99999999999999999999},\"id\":3}";
	struct check_params params;

	teardown();
	ck_assert_int_eq(message_parse(&message, text, strlen(text), &error), 0);
	ck_assert_int_eq(call_unpack(&call, message, DIALECT_JSONRPC, &error), 0);
	assert_json(call.envelope.id, "3");
	ck_assert_int_eq(schema_decode(check_params_fields, call.params, DECODE_LOOSE, &params,
				       &error),
			 -EINVAL);
	ck_assert_str_eq(error.message, "port is 1e20; it must be a port from 1 to 65535, a number "
					"or nothing but digits");
}
END_TEST

START_TEST(varlink_calls_have_their_own_envelope)
{
	assert_unpacked("{'method':'io.portscand.Check','parameters':{'port':22}}", DIALECT_VARLINK,
			"io.portscand.Check", "{'port':22}");
	ck_assert(!call.envelope.silent && !call.envelope.more && !call.envelope.id);
	assert_unpacked("{'method':'m','parameters':null,'more':true}", DIALECT_VARLINK, "m", NULL);
	ck_assert(call.envelope.more && !call.envelope.silent);
	assert_unpacked("{'method':'m','oneway':true,'more':false}", DIALECT_VARLINK, "m", NULL);
	ck_assert(call.envelope.silent && !call.envelope.more);
	assert_unpacked("{'method':'m','oneway':null,'more':null}", DIALECT_VARLINK, "m", NULL);
	ck_assert(!call.envelope.silent && !call.envelope.more);
	assert_answered_with("{'method':'m','id':1}", DIALECT_VARLINK,
			     "{'parameters':{'ok':true}}");
}
END_TEST

START_TEST(what_is_no_varlink_call_says_why)
{
	static const char method[] = "not a request: method must be there, and a string";
	static const char parameters[] = "not a request: parameters must be an object";
	static const char flags[] = "not a request: oneway and more must be true or false";

	assert_refused("{}", DIALECT_VARLINK, ERROR_INVALID_REQUEST, method);
	assert_refused("{'method':7}", DIALECT_VARLINK, ERROR_INVALID_REQUEST, method);
	assert_refused("{'method':'m','parameters':[]}", DIALECT_VARLINK, ERROR_INVALID_REQUEST,
		       parameters);
	assert_refused("{'method':'m','more':1}", DIALECT_VARLINK, ERROR_INVALID_REQUEST, flags);
	assert_refused("{'method':'m','oneway':'no'}", DIALECT_VARLINK, ERROR_INVALID_REQUEST,
		       flags);
	assert_refused("[]", DIALECT_VARLINK, ERROR_INVALID_REQUEST,
		       "not a request: it must be an object such as "
		       "{'method':'check','params':{'port':22}}");
}
END_TEST

static const struct check_result a_result = {
	.host = "localhost",
	.address = "127.0.0.1",
	.port = 22,
	.status = STATUS_OPEN,
	.reason = REASON_ACCEPTED,
	.elapsed_us = 90,
};

#define A_RESULT                                                                                   \
	"{'host':'localhost','address':'127.0.0.1','port':22,'status':'open','reason':"            \
	"'accepted','elapsed_us':90}"

static int put_a_result(bool in_batch, bool continues)
{
	return message_put_result(&output, &call.envelope, in_batch, check_result_fields, &a_result,
				  continues);
}

START_TEST(results_in_both_dialects)
{
	unpack("{'jsonrpc':'2.0','method':'check','id':1}", DIALECT_JSONRPC);
	ck_assert_int_eq(put_a_result(false, false), 0);
	assert_output("{'jsonrpc':'2.0','result':" A_RESULT ",'id':1}", '\n');
	unpack("{'method':'check'}", DIALECT_JSONRPC);
	ck_assert_int_eq(put_a_result(false, false), 0);
	assert_output("{'result':" A_RESULT "}", '\n');
	unpack("{'method':'io.portscand.Check','more':true}", DIALECT_VARLINK);
	ck_assert_int_eq(put_a_result(false, true), 0);
	assert_output("{'parameters':" A_RESULT ",'continues':true}", '\0');
	ck_assert_int_eq(put_a_result(false, false), 0);
	assert_output("{'parameters':" A_RESULT "}", '\0');
	unpack("{'jsonrpc':'2.0','method':'check','id':1}", DIALECT_JSONRPC);
	ck_assert_int_eq(put_a_result(true, false), 0);
	ck_assert_int_eq(buffer_put_char(&output, ','), 0);
	assert_output("{'jsonrpc':'2.0','result':" A_RESULT ",'id':1}", ',');
}
END_TEST

START_TEST(errors_in_both_dialects)
{
	json_t *members = json_of("{'host':'h','port':1,'errno':'ENETUNREACH'}");

	error_set(&error, ERROR_UNREACHABLE, members, "%s is \"away\"", "h");
	call = (struct call){ .envelope.dialect = DIALECT_VARLINK };
	ck_assert_int_eq(message_put_error(&output, &call.envelope, false, &error), 0);
	assert_output("{'error':'io.portscand.Unreachable','parameters':{'host':'h','port':1,"
		      "'errno':'ENETUNREACH'}}",
		      '\0');
	call = (struct call){ .envelope.dialect = DIALECT_JSONRPC };
	ck_assert_int_eq(message_put_error(&output, &call.envelope, false, &error), 0);
	assert_output("{'error':{'code':1,'message':'h is \\'away\\'','data':{'error':"
		      "'Unreachable','host':'h','port':1,'errno':'ENETUNREACH'}}}",
		      '\n');

	error_set(&error, ERROR_CANCELLED, NULL, "cancelled");
	call.envelope = (struct envelope){ .versioned = true, .id = json_integer(5) };
	ck_assert_int_eq(message_put_error(&output, &call.envelope, false, &error), 0);
	assert_output("{'jsonrpc':'2.0','error':{'code':11,'message':'cancelled','data':{'error':"
		      "'Cancelled'}},'id':5}",
		      '\n');
	envelope_deinit(&call.envelope);
	call.envelope.dialect = DIALECT_VARLINK;
	ck_assert_int_eq(message_put_error(&output, &call.envelope, false, &error), 0);
	assert_output("{'error':'io.portscand.Cancelled','parameters':{}}", '\0');
	error_set(&error, ERROR_METHOD_NOT_FOUND, json_of("{'method':'m'}"), "no method m");
	ck_assert_int_eq(message_put_error(&output, &call.envelope, false, &error), 0);
	assert_output("{'error':'org.varlink.service.MethodNotFound','parameters':{'method':"
		      "'m'}}",
		      '\0');
}
END_TEST

START_TEST(progress_is_a_notification_that_names_its_request)
{
	uint16_t ports[] = { 22, 80 };
	struct scan_result progress = { .ports = ports, .n_ports = 2, .done = 100, .total = 200 };

	unpack("{'method':'scan','id':'s'}", DIALECT_JSONRPC);
	ck_assert_int_eq(message_put_progress(&output, &call.envelope, scan_progress_fields,
					      &progress),
			 0);
	assert_output("{'jsonrpc':'2.0','method':'progress','params':{'id':'s','ports':[22,80],"
		      "'done':100,'total':200}}",
		      '\n');
	unpack("{'method':'scan'}", DIALECT_JSONRPC);
	progress.n_ports = 0;
	ck_assert_int_eq(message_put_progress(&output, &call.envelope, scan_progress_fields,
					      &progress),
			 0);
	assert_output("{'jsonrpc':'2.0','method':'progress','params':{'id':null,'ports':[],"
		      "'done':100,'total':200}}",
		      '\n');
}
END_TEST

START_TEST(a_client_s_call_leaves_out_what_is_not_set)
{
	struct check_params params = { .port = 22, .timeout_ms = 100 };
	_cleanup_(json_decrefp) json_t *tree = json_of("{'id':4}");

	ck_assert_int_eq(message_put_call(&output, "check", 1, check_params_fields, &params), 0);
	assert_output("{'method':'check','params':{'port':22,'timeout_ms':100},'id':1}", '\n');
	ck_assert_int_eq(message_put_call(&output, "cancel", 2, NULL, tree), 0);
	assert_output("{'method':'cancel','params':{'id':4},'id':2}", '\n');
}
END_TEST

START_TEST(a_client_knows_answers_from_progress)
{
	struct answer answer;

	teardown();
	message = json_of("{'jsonrpc':'2.0','result':{'a':1},'id':3}");
	ck_assert_int_eq(answer_unpack(&answer, message), 0);
	ck_assert_int_eq(answer.id, 3);
	assert_json(answer.result, "{'a':1}");
	ck_assert(!answer.error && !answer.progress);
	teardown();
	message = json_of("{'jsonrpc':'2.0','error':{'code':-32700},'id':null}");
	ck_assert_int_eq(answer_unpack(&answer, message), 0);
	ck_assert_int_eq(answer.id, 0);
	assert_json(answer.error, "{'code':-32700}");
	ck_assert(!answer.result && !answer.progress);
	teardown();
	message = json_of("{'result':{},'error':null,'id':3}");
	ck_assert_int_eq(answer_unpack(&answer, message), 0);
	ck_assert(answer.result && !answer.error);
	teardown();
	message = json_of("{'method':'progress','params':{'id':9,'done':1}}");
	ck_assert_int_eq(answer_unpack(&answer, message), 0);
	ck_assert_int_eq(answer.id, 9);
	assert_json(answer.progress, "{'id':9,'done':1}");
	ck_assert(!answer.result && !answer.error);
}
END_TEST

START_TEST(what_is_no_answer_is_refused)
{
	static const char *const refused[] = { "{}",
					       "[]",
					       "1",
					       "null",
					       "{'id':1}",
					       "{'id':1,'error':'x'}",
					       "{'method':'progress'}",
					       "{'method':'progress','params':null}",
					       "{'method':'other','params':{'id':1}}" };
	struct answer answer;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		teardown();
		message = json_of(refused[i]);
		ck_assert_msg(answer_unpack(&answer, message) == -EBADMSG, "%s", refused[i]);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_typed_call_needs_neither_version_nor_id,
		ids_come_back_as_they_were,
		a_notification_is_silent,
		positional_params_are_refused_for_params,
		what_is_no_request_says_why,
		members_of_others_are_passed_over_where_the_version_is_there,
		refusals_go_to_the_id_that_is_known,
		a_number_beyond_all_bounds_is_blamed_on_its_member,
		varlink_calls_have_their_own_envelope,
		what_is_no_varlink_call_says_why,
		results_in_both_dialects,
		errors_in_both_dialects,
		progress_is_a_notification_that_names_its_request,
		a_client_s_call_leaves_out_what_is_not_set,
		a_client_knows_answers_from_progress,
		what_is_no_answer_is_refused,
		NULL,
	};

	return unit_run("message", tests, teardown);
}
