#include "calls.h"
#include "unit.h"

#include <stdio.h>

/* What was decoded borrows its strings from here. */
static json_t *object;
static struct error error;

static int decode(const struct field *fields, const char *text, enum decode_mode mode, void *ret)
{
	json_decref(object);
	object = json_of(text);
	error_deinit(&error);
	return schema_decode(fields, object, mode, ret, &error);
}

static void assert_accepted(const struct field *fields, const char *text, enum decode_mode mode,
			    void *ret)
{
	ck_assert_msg(decode(fields, text, mode, ret) == 0, "%s: %s", text, error.message);
	ck_assert_int_eq(error.code, 0);
}

/* Asserts that `text` is refused for `member`, and with which words. */
static void assert_refused(const struct field *fields, const char *text, enum decode_mode mode,
			   const char *member, const char *message)
{
	union {
		struct find_params find;
		struct scan_params scan;
		struct wait_params wait;
		struct scan_result scan_result;
	} values;
	char members[128];

	ck_assert_msg(decode(fields, text, mode, &values) == -EINVAL, "%s is accepted", text);
	ck_assert_int_eq(error.code, ERROR_INVALID_PARAMETER);
	ck_assert_str_eq(error.message, q(message));
	snprintf(members, sizeof(members), "{'parameter':'%s'}", member);
	assert_json(error.members, members);
}

static void assert_refused_port(const char *text, enum decode_mode mode, const char *given)
{
	char message[256];

	snprintf(message, sizeof(message), "port is %s; it must be a port from 1 to 65535, %s",
		 given, mode == DECODE_LOOSE ? "a number or nothing but digits" : "a number");
	assert_refused(check_params_fields, text, mode, "port", message);
}

static void assert_port(const char *text, enum decode_mode mode, uint16_t port)
{
	struct check_params params;

	assert_accepted(check_params_fields, text, mode, &params);
	ck_assert_uint_eq(params.port, port);
}

START_TEST(port_is_a_number_or_digits)
{
	assert_port("{'port':1}", DECODE_LOOSE, 1);
	assert_port("{'port':65535}", DECODE_LOOSE, 65535);
	assert_port("{'port':'1'}", DECODE_LOOSE, 1);
	assert_port("{'port':'65535'}", DECODE_LOOSE, 65535);
	assert_port("{'port':'00080'}", DECODE_LOOSE, 80);
	assert_port("{'port':1}", DECODE_STRICT, 1);
	assert_port("{'port':65535}", DECODE_STRICT, 65535);
}
END_TEST

START_TEST(port_is_nothing_else)
{
	static const char *const refused[] = {
		"0",      "65536",        "-1",
		"-80",    "4294967376",   "9223372036854775807",
		"1.5",    "80.0",         "1e2",
		"true",   "false",        "null",
		"[]",     "[80]",         "{}",
		"'0'",    "'65536'",      "' 80'",
		"'80 '",  "'80x'",        "'1e2'",
		"'1.5'",  "''",           "'+80'",
		"'-80'",  "'80-81'",      "'80,'",
		"'true'", "'4294967376'", "'99999999999999999999999'",
		"'0x50'", "'\\t80'",      "'80,81'"
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		char text[64], given[QUOTED_MAX + 8];
		_cleanup_(json_decrefp) json_t *value = json_of(refused[i]);

		quote_json(given, value);
		snprintf(text, sizeof(text), "{'port':%s}", refused[i]);
		assert_refused_port(text, DECODE_LOOSE, given);
		assert_refused_port(text, DECODE_STRICT, given);
	}
	assert_refused_port("{'port':'80'}", DECODE_STRICT, "'80'");
	assert_refused_port("{'port':'80\\u0000'}", DECODE_LOOSE, "'80\\u0000'");
	assert_refused_port("{}", DECODE_LOOSE, "missing");
	assert_refused_port("{'host':'127.0.0.1'}", DECODE_STRICT, "missing");
}
END_TEST

START_TEST(no_object_is_an_empty_one)
{
	struct check_params check;
	struct scan_params scan;

	error_deinit(&error);
	ck_assert_int_eq(schema_decode(check_params_fields, NULL, DECODE_LOOSE, &check, &error),
			 -EINVAL);
	assert_json(error.members, "{'parameter':'port'}");
	ck_assert_int_eq(schema_decode(scan_params_fields, NULL, DECODE_LOOSE, &scan, &error), 0);
	ck_assert_uint_eq(scan.ports.n_ports, 0);
	ck_assert_int_eq(scan.status, STATUS_OPEN);
	ck_assert_str_eq(scan.host, "127.0.0.1");
}
END_TEST

static const struct {
	const struct field *fields;
	const char *others, *member;
	long long min, max;
} ranges[] = {
	{ check_params_fields, "'port':80", "timeout_ms", 1, 600000 },
	{ find_params_fields, "'ports':['80']", "timeout_ms", 1, 600000 },
	{ find_params_fields, "'ports':['80']", "count", 1, 65535 },
	{ scan_params_fields, "'ports':['80']", "timeout_ms", 1, 600000 },
	{ wait_params_fields, "'port':80", "timeout_ms", 1, 600000 },
	{ wait_params_fields, "'port':80", "interval_ms", 1, 600000 },
	{ wait_params_fields, "'port':80", "deadline_ms", 1, 86400000 },
};

static const struct field *field_of(const struct field *fields, const char *name)
{
	while (strcmp(fields->name, name) != 0)
		fields++;
	return fields;
}

static void assert_int_accepted(size_t i, enum decode_mode mode, long long value)
{
	const struct field *field = field_of(ranges[i].fields, ranges[i].member);
	union {
		char bytes[sizeof(struct find_params)];
		struct find_params find;
	} values;
	char text[128];
	int found;

	snprintf(text, sizeof(text), "{%s,'%s':%lld}", ranges[i].others, ranges[i].member, value);
	assert_accepted(ranges[i].fields, text, mode, &values);
	memcpy(&found, values.bytes + field->offset, sizeof(found));
	ck_assert_int_eq(found, value);
	schema_clear(ranges[i].fields, &values);
}

static void assert_int_refused(size_t i, enum decode_mode mode, const char *value)
{
	char text[128], message[256];

	snprintf(text, sizeof(text), "{%s,'%s':%s}", ranges[i].others, ranges[i].member, value);
	snprintf(message, sizeof(message), "%s is %s; it must be an integer from %lld to %lld",
		 ranges[i].member, value, ranges[i].min, ranges[i].max);
	assert_refused(ranges[i].fields, text, mode, ranges[i].member, message);
}

START_TEST(ranges_of_integers_are_exact)
{
	static const char *const refused[] = { "0",    "-1",   "9223372036854775807",
					       "1.5",  "'10'", "true",
					       "[10]", "{}" };

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (enum decode_mode mode = DECODE_STRICT; mode <= DECODE_LOOSE; mode++) {
			char beyond[32];

			assert_int_accepted(i, mode, ranges[i].min);
			assert_int_accepted(i, mode, ranges[i].max);
			snprintf(beyond, sizeof(beyond), "%lld", ranges[i].max + 1);
			assert_int_refused(i, mode, beyond);
			for (size_t k = 0; k < ARRAY_SIZE(refused); k++)
				assert_int_refused(i, mode, refused[k]);
		}
	}
}
END_TEST

START_TEST(host_has_1_to_253_characters_of_a_name_or_an_address)
{
	static const char *const accepted[] = {
		"a",         "localhost",    "my-host_1.example.org.", "::1",
		"127.0.0.1", "fe80::1%eth0", "::ffff:127.0.0.1"
	};
	static const char *const refused[] = {
		"'a b'",   "' a'",  "'a/b'",      "'http://a'", "'[::1]'",  "'\\u00fc.de'",
		"'a\\nb'", "'a,b'", "'a\\u0000'", "': :'",      "'::1\\n'", "'\\u00fc:1'",
		"''",      "80",    "true",       "['a']",
	};
	struct check_params params;
	char text[512], name[HOST_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		snprintf(text, sizeof(text), "{'port':80,'host':'%s'}", accepted[i]);
		assert_accepted(check_params_fields, text, DECODE_STRICT, &params);
		ck_assert_str_eq(params.host, accepted[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		char message[256], given[QUOTED_MAX + 8];
		_cleanup_(json_decrefp) json_t *value = json_of(refused[i]);

		quote_json(given, value);
		snprintf(text, sizeof(text), "{'port':80,'host':%s}", refused[i]);
		snprintf(message, sizeof(message),
			 "host is %s; it must be a host name or an IP address, 1 to 253 characters",
			 given);
		assert_refused(check_params_fields, text, DECODE_LOOSE, "host", message);
	}

	memset(name, 'a', sizeof(name));
	name[HOST_MAX] = '\0';
	snprintf(text, sizeof(text), "{'port':80,'host':'%s'}", name);
	assert_accepted(check_params_fields, text, DECODE_LOOSE, &params);
	ck_assert_uint_eq(strlen(params.host), 253);
	name[HOST_MAX] = 'a';
	name[HOST_MAX + 1] = '\0';
	snprintf(text, sizeof(text), "{'port':80,'host':'%s'}", name);
	ck_assert_int_eq(decode(check_params_fields, text, DECODE_LOOSE, &params), -EINVAL);
	assert_json(error.members, "{'parameter':'host'}");
}
END_TEST

START_TEST(enums_are_their_names)
{
	struct find_params params;
	static const char one_of[] = "; it must be one of first, any, random";
	static const char *const refused[] = { "'last'", "'First'", "'first '", "''",
					       "1",      "true",    "['any']",  "'any\\u0000'" };

	assert_accepted(find_params_fields, "{'ports':['1'],'order':'first','status':'open'}",
			DECODE_STRICT, &params);
	ck_assert_int_eq(params.order, ORDER_FIRST);
	ck_assert_int_eq(params.status, STATUS_OPEN);
	schema_clear(find_params_fields, &params);
	assert_accepted(find_params_fields,
			"{'ports':['1'],'order':'random','status':'closed','via':'connect'}",
			DECODE_STRICT, &params);
	ck_assert_int_eq(params.order, ORDER_RANDOM);
	ck_assert_int_eq(params.status, STATUS_CLOSED);
	ck_assert_int_eq(params.via, VIA_CONNECT);
	schema_clear(find_params_fields, &params);

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		char text[64], message[128];

		snprintf(text, sizeof(text), "{'ports':['1'],'order':%s}", refused[i]);
		snprintf(message, sizeof(message), "order is %s%s", refused[i], one_of);
		assert_refused(find_params_fields, text, DECODE_LOOSE, "order", message);
	}
	assert_refused(check_params_fields, "{'port':80,'via':'magic'}", DECODE_LOOSE, "via",
		       "via is 'magic'; it must be one of connect, table, bind");
	assert_refused(wait_params_fields, "{'port':80,'until':'shut'}", DECODE_STRICT, "until",
		       "until is 'shut'; it must be one of open, closed");
}
END_TEST

START_TEST(booleans_are_true_or_false)
{
	struct find_params params;

	assert_accepted(find_params_fields, "{'ports':['1'],'strict':true,'include_leased':false}",
			DECODE_STRICT, &params);
	ck_assert(params.strict);
	ck_assert(!params.include_leased);
	schema_clear(find_params_fields, &params);
	assert_refused(find_params_fields, "{'ports':['1'],'strict':1}", DECODE_LOOSE, "strict",
		       "strict is 1; it must be true or false");
	assert_refused(find_params_fields, "{'ports':['1'],'strict':'true'}", DECODE_LOOSE,
		       "strict", "strict is 'true'; it must be true or false");
}
END_TEST

START_TEST(defaults_are_those_of_the_specification)
{
	struct check_params check;
	struct find_params find;
	struct wait_params wait;

	memset(&check, 0xff, sizeof(check));
	assert_accepted(check_params_fields, "{'port':80}", DECODE_LOOSE, &check);
	ck_assert_str_eq(check.host, "127.0.0.1");
	ck_assert_int_eq(check.timeout_ms, 400);
	ck_assert_int_eq(check.via, VIA_CONNECT);

	memset(&find, 0xff, sizeof(find));
	assert_accepted(find_params_fields, "{'ports':['80']}", DECODE_STRICT, &find);
	ck_assert_int_eq(find.status, STATUS_CLOSED);
	ck_assert_int_eq(find.count, 1);
	ck_assert_int_eq(find.order, ORDER_FIRST);
	ck_assert_uint_eq(find.exclude.n_ports, 0);
	ck_assert_ptr_null(find.exclude.ranges);
	ck_assert(!find.strict && !find.include_leased);
	ck_assert_int_eq(find.timeout_ms, 400);
	schema_clear(find_params_fields, &find);

	memset(&wait, 0xff, sizeof(wait));
	assert_accepted(wait_params_fields, "{'port':80}", DECODE_LOOSE, &wait);
	ck_assert_int_eq(wait.until, STATUS_OPEN);
	ck_assert_int_eq(wait.deadline_ms, 30000);
	ck_assert_int_eq(wait.interval_ms, 50);
	ck_assert_int_eq(wait.timeout_ms, 400);
}
END_TEST

START_TEST(null_is_the_same_as_leaving_an_optional_member_out)
{
	struct find_params params;

	assert_accepted(find_params_fields,
			"{'ports':['80'],'status':null,'host':null,'count':null,'order':null,"
			"'exclude':null,'include_leased':null,'strict':null,'timeout_ms':null,"
			"'via':null}",
			DECODE_STRICT, &params);
	ck_assert_int_eq(params.status, STATUS_CLOSED);
	ck_assert_str_eq(params.host, "127.0.0.1");
	ck_assert_int_eq(params.count, 1);
	ck_assert_int_eq(params.timeout_ms, 400);
	ck_assert_uint_eq(params.exclude.n_ports, 0);
	schema_clear(find_params_fields, &params);
	assert_refused(find_params_fields, "{'ports':null}", DECODE_STRICT, "ports",
		       "ports is null; it must be an array of strings such as ['3000-3010', "
		       "'8080']");
}
END_TEST

START_TEST(unknown_members_are_named_together_with_the_known)
{
	assert_refused(check_params_fields, "{'port':80,'hots':'a'}", DECODE_LOOSE, "hots",
		       "'hots' is not known here; known are port, host, timeout_ms, via");
	assert_refused(scan_params_fields, "{'stream':true}", DECODE_STRICT, "stream",
		       "'stream' is not known here; known are ports, status, host, timeout_ms, "
		       "via");
	assert_refused(scan_params_fields, "{'port':80}", DECODE_LOOSE, "port",
		       "'port' is not known here; known are ports, status, host, timeout_ms, via, "
		       "stream");
	assert_refused(no_fields, "{'port':80}", DECODE_LOOSE, "port",
		       "'port' is not known here; there are no parameters");
	assert_refused(no_fields, "{'':80}", DECODE_LOOSE, "",
		       "'' is not known here; there are no parameters");
	assert_refused(check_params_fields, "{'port':80,'PORT':80}", DECODE_LOOSE, "PORT",
		       "'PORT' is not known here; known are port, host, timeout_ms, via");
}
END_TEST

START_TEST(stream_is_for_jsonrpc_alone)
{
	struct scan_params params;

	assert_accepted(scan_params_fields, "{'stream':true}", DECODE_LOOSE, &params);
	ck_assert(params.stream);
	assert_accepted(scan_params_fields, "{}", DECODE_LOOSE, &params);
	ck_assert(!params.stream);
}
END_TEST

START_TEST(the_id_to_cancel_is_a_string_a_number_or_null)
{
	static const char *const accepted[] = { "1", "1.5", "'x'", "''", "null" };
	static const char *const refused[] = { "true", "[]", "[1]", "{}" };
	struct cancel_params params;
	char text[64], message[128];

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		snprintf(text, sizeof(text), "{'id':%s}", accepted[i]);
		assert_accepted(cancel_params_fields, text, DECODE_LOOSE, &params);
		assert_json(params.id, accepted[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		snprintf(text, sizeof(text), "{'id':%s}", refused[i]);
		snprintf(message, sizeof(message),
			 "id is %s; it must be the id of a request: a string, a number or null",
			 refused[i]);
		assert_refused(cancel_params_fields, text, DECODE_LOOSE, "id", message);
	}
	assert_refused(cancel_params_fields, "{}", DECODE_LOOSE, "id",
		       "id is missing; it must be the id of a request: a string, a number or null");
	assert_refused(interface_description_params_fields, "{'interface':1}", DECODE_STRICT,
		       "interface", "interface is 1; it must be a string");
}
END_TEST

START_TEST(long_values_are_quoted_in_part)
{
	char name[512], text[600], cut[QUOTED_MAX + 8];

	/* One byte, then characters of two: the cut is in the middle of one. */
	name[0] = 'x';
	for (size_t i = 0; i < 100; i++)
		memcpy(name + 1 + 2 * i, "\xc3\xbc", 3);
	snprintf(text, sizeof(text), "{'%s':1}", name);
	ck_assert_int_eq(decode(no_fields, text, DECODE_LOOSE, NULL), -EINVAL);
	memset(cut, 0, sizeof(cut));
	strcpy(cut, "\"x");
	for (size_t i = 0; i < 13; i++)
		strcat(cut, "\\u00FC");
	ck_assert_msg(strncmp(error.message, cut, QUOTED_MAX) == 0, "%s", error.message);
	ck_assert_str_eq(error.message + QUOTED_MAX,
			 "... is not known here; there are no parameters");
	ck_assert_str_eq(json_string_value(json_object_get(error.members, "parameter")), name);

	memset(name, 'p', 300);
	name[300] = '\0';
	snprintf(text, sizeof(text), "{'port':'%s'}", name);
	ck_assert_int_eq(decode(check_params_fields, text, DECODE_LOOSE,
				&(struct check_params){ 0 }),
			 -EINVAL);
	memset(name, 'p', QUOTED_MAX - 1);
	strcpy(name + QUOTED_MAX - 1, "...; it must be a port from 1 to 65535, ");
	ck_assert_msg(strncmp(error.message, "port is \"", 9) == 0, "%s", error.message);
	ck_assert_msg(strncmp(error.message + 9, name, strlen(name)) == 0, "%s", error.message);
}
END_TEST

START_TEST(a_quotation_is_the_value_or_its_beginning)
{
	char quoted[QUOTED_MAX + 8];
	_cleanup_(json_decrefp) json_t *fits = json_array(), *array = json_array();

	/* 1 + 39 * 2 + 1 bytes: exactly as many as there may be. */
	for (int i = 0; i < 39; i++)
		json_array_append_new(fits, json_integer(i < 38 ? 1 : 11));
	quote_json(quoted, fits);
	ck_assert_uint_eq(strlen(quoted), QUOTED_MAX);
	ck_assert_str_eq(quoted + QUOTED_MAX - 4, ",11]");
	json_array_append_new(fits, json_integer(1));
	quote_json(quoted, fits);
	ck_assert_uint_eq(strlen(quoted), QUOTED_MAX + 3);
	ck_assert_str_eq(quoted + QUOTED_MAX - 4, ",11,...");
	json_array_append_new(array, json_string("\xe2\x82\xac\"\n"));
	quote_json(quoted, array);
	ck_assert_str_eq(quoted, "[\"\\u20AC\\\"\\n\"]");
	quote_text(quoted, "a\"b");
	ck_assert_str_eq(quoted, "\"a\\\"b\"");
}
END_TEST

START_TEST(the_message_of_an_error_is_utf8)
{
	error_set(&error, ERROR_INTERNAL, NULL, "host %s", "\xff\xfe.");
	ck_assert_str_eq(error.message, "host ??.");
	error_set(&error, ERROR_INTERNAL, NULL, "host %s", "m\xc3\xbcll.de");
	ck_assert_str_eq(error.message, "host m\xc3\xbcll.de");
}
END_TEST

static void teardown(void)
{
	json_decref(object);
	object = NULL;
	error_deinit(&error);
}

int main(void)
{
	const TTest *const tests[] = {
		port_is_a_number_or_digits,
		port_is_nothing_else,
		no_object_is_an_empty_one,
		ranges_of_integers_are_exact,
		host_has_1_to_253_characters_of_a_name_or_an_address,
		enums_are_their_names,
		booleans_are_true_or_false,
		defaults_are_those_of_the_specification,
		null_is_the_same_as_leaving_an_optional_member_out,
		unknown_members_are_named_together_with_the_known,
		stream_is_for_jsonrpc_alone,
		the_id_to_cancel_is_a_string_a_number_or_null,
		long_values_are_quoted_in_part,
		a_quotation_is_the_value_or_its_beginning,
		the_message_of_an_error_is_utf8,
		NULL,
	};

	return unit_run("schema", tests, teardown);
}
