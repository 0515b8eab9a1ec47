/*
 * The cases of the examples that end the JSON-RPC 2.0 specification, with our methods in place of
 * its own: what is answered, with which code, and to which id.
 */

#include "calls.h"
#include "message.h"
#include "unit.h"

/* Appends the answer to one call, as the daemon does; nothing for a notification. */
static void answer_call(struct buffer *output, json_t *message, bool in_batch)
{
	struct error error = { 0 };
	struct call call;
	_cleanup_(json_decrefp) json_t *result = json_integer(19);
	int r = call_unpack(&call, message, DIALECT_JSONRPC, &error);

	if (r == 0 && strcmp(call.method, "subtract") != 0 && strcmp(call.method, "update") != 0)
		error_set(&error, ERROR_METHOD_NOT_FOUND, NULL, "no method");
	if (in_batch && !call.envelope.silent && buffer_size(output) > 1)
		ck_assert_int_eq(buffer_put_char(output, ','), 0);
	if (call.envelope.silent)
		r = 0;
	else if (error.code)
		r = message_put_error(output, &call.envelope, in_batch, &error);
	else
		r = message_put_result(output, &call.envelope, in_batch, NULL, result, false);
	ck_assert_int_eq(r, 0);
	envelope_deinit(&call.envelope);
	error_deinit(&error);
}

static void answer(struct buffer *output, const char *text)
{
	struct error error = { 0 };
	struct envelope unknown = { .versioned = true, .id = json_null() };
	_cleanup_(json_decrefp) json_t *message = NULL;
	json_t *element;
	size_t i;

	if (message_parse(&message, q(text), strlen(text), &error) < 0) {
		ck_assert_int_eq(message_put_error(output, &unknown, false, &error), 0);
	} else if (json_array_size(message) > 0) {
		buffer_put_char(output, '[');
		json_array_foreach (message, i, element)
			answer_call(output, element, true);
		buffer_put_char(output, ']');
	} else {
		answer_call(output, message, false);
	}
	error_deinit(&error);
}

/* Takes the message and data out of errors: the specification leaves them open. */
static void strip(json_t *answer)
{
	json_t *error = json_object_get(answer, "error"), *element;
	size_t i;

	json_object_del(error, "message");
	json_object_del(error, "data");
	json_array_foreach (answer, i, element)
		strip(element);
}

/* `expected` NULL: no answer. */
static void assert_answer(const char *text, const char *expected)
{
	_cleanup_(buffer_deinit) struct buffer output = { 0 };
	_cleanup_(json_decrefp) json_t *found = NULL;

	answer(&output, text);
	if (!expected) {
		ck_assert_uint_eq(buffer_size(&output), 0);
		return;
	}
	found = json_loadb(buffer_data(&output), buffer_size(&output), 0, NULL);
	ck_assert_ptr_nonnull(found);
	strip(found);
	assert_json(found, expected);
}

START_TEST(call_with_named_parameters)
{
	assert_answer("{'jsonrpc':'2.0','method':'subtract','params':{'subtrahend':23,'minuend':"
		      "42},'id':3}",
		      "{'jsonrpc':'2.0','result':19,'id':3}");
	assert_answer("{'jsonrpc':'2.0','method':'subtract','params':{'minuend':42,'subtrahend':"
		      "23},'id':4}",
		      "{'jsonrpc':'2.0','result':19,'id':4}");
}
END_TEST

/* We take params by name alone, which the specification lets a server do. */
START_TEST(call_with_positional_parameters)
{
	assert_answer("{'jsonrpc':'2.0','method':'subtract','params':[42,23],'id':1}",
		      "{'jsonrpc':'2.0','error':{'code':-32602},'id':1}");
}
END_TEST

START_TEST(notifications)
{
	assert_answer("{'jsonrpc':'2.0','method':'update','params':[1,2,3,4,5]}", NULL);
	assert_answer("{'jsonrpc':'2.0','method':'update','params':{}}", NULL);
	assert_answer("{'jsonrpc':'2.0','method':'foobar'}", NULL);
}
END_TEST

START_TEST(call_of_a_method_that_is_not_there)
{
	assert_answer("{'jsonrpc':'2.0','method':'foobar','id':'1'}",
		      "{'jsonrpc':'2.0','error':{'code':-32601},'id':'1'}");
}
END_TEST

START_TEST(call_with_invalid_json)
{
	assert_answer("{'jsonrpc':'2.0','method':'foobar,'params':'bar','baz]",
		      "{'jsonrpc':'2.0','error':{'code':-32700},'id':null}");
	assert_answer("[{'jsonrpc':'2.0','method':'sum','params':[1,2,4],'id':'1'},"
		      "{'jsonrpc':'2.0','method']",
		      "{'jsonrpc':'2.0','error':{'code':-32700},'id':null}");
}
END_TEST

START_TEST(call_with_an_invalid_request)
{
	assert_answer("{'jsonrpc':'2.0','method':1,'params':'bar'}",
		      "{'jsonrpc':'2.0','error':{'code':-32600},'id':null}");
	assert_answer("{'jsonrpc':'2.0','method':1,'id':5}",
		      "{'jsonrpc':'2.0','error':{'code':-32600},'id':5}");
	/* What is no request is no notification either. */
	assert_answer("{'jsonrpc':'2.0','method':'update','params':'bar'}",
		      "{'jsonrpc':'2.0','error':{'code':-32600},'id':null}");
	assert_answer("{'jsonrpc':'1.0','method':'update'}",
		      "{'jsonrpc':'2.0','error':{'code':-32600},'id':null}");
	assert_answer("{'jsonrpc':'2.0\\u0000','method':'update','id':1}",
		      "{'jsonrpc':'2.0','error':{'code':-32600},'id':1}");
	assert_answer("{'jsonrpc':'2.0','method':'update\\u0000','id':1}",
		      "{'jsonrpc':'2.0','error':{'code':-32600},'id':1}");
}
END_TEST

START_TEST(call_with_an_empty_array)
{
	assert_answer("[]", "{'jsonrpc':'2.0','error':{'code':-32600},'id':null}");
}
END_TEST

START_TEST(call_with_an_invalid_batch)
{
	assert_answer("[1]", "[{'jsonrpc':'2.0','error':{'code':-32600},'id':null}]");
	assert_answer("[1,2,3]", "[{'jsonrpc':'2.0','error':{'code':-32600},'id':null},"
				 "{'jsonrpc':'2.0','error':{'code':-32600},'id':null},"
				 "{'jsonrpc':'2.0','error':{'code':-32600},'id':null}]");
}
END_TEST

START_TEST(call_with_a_batch)
{
	assert_answer("[{'jsonrpc':'2.0','method':'subtract','params':{},'id':'1'},"
		      "{'jsonrpc':'2.0','method':'update','params':{}},"
		      "{'jsonrpc':'2.0','method':'subtract','params':{},'id':'2'},"
		      "{'foo':'boo'},"
		      "{'jsonrpc':'2.0','method':'foo.get','params':{'name':'myself'},'id':'5'},"
		      "{'jsonrpc':'2.0','method':'subtract','id':'9'}]",
		      "[{'jsonrpc':'2.0','result':19,'id':'1'},"
		      "{'jsonrpc':'2.0','result':19,'id':'2'},"
		      "{'jsonrpc':'2.0','error':{'code':-32600},'id':null},"
		      "{'jsonrpc':'2.0','error':{'code':-32601},'id':'5'},"
		      "{'jsonrpc':'2.0','result':19,'id':'9'}]");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		call_with_named_parameters,
		call_with_positional_parameters,
		notifications,
		call_of_a_method_that_is_not_there,
		call_with_invalid_json,
		call_with_an_invalid_request,
		call_with_an_empty_array,
		call_with_an_invalid_batch,
		call_with_a_batch,
		NULL,
	};

	return unit_run("jsonrpc", tests, NULL);
}
