#include "message.h"
#include "unit.h"

#include <stdio.h>

static json_t *message;
static struct error error;

static void teardown(void)
{
	json_decref(message);
	message = NULL;
	error_deinit(&error);
}

static int parse_bytes(const char *data, size_t size)
{
	teardown();
	return message_parse(&message, data, size, &error);
}

static int parse(const char *text)
{
	return parse_bytes(q(text), strlen(text));
}

static void assert_refused_at(int r, int line, int column, const char *why)
{
	char text[256];

	ck_assert_int_eq(r, -EBADMSG);
	ck_assert_ptr_null(message);
	ck_assert_int_eq(error.code, ERROR_PARSE);
	snprintf(text, sizeof(text), "not JSON at line %d, column %d: %s", line, column, why);
	ck_assert_str_eq(error.message, text);
	snprintf(text, sizeof(text), "{'line':%d,'column':%d}", line, column);
	assert_json(error.members, text);
}

START_TEST(json_of_any_kind_is_parsed)
{
	static const char *const texts[] = { "{}",     "[]",    "4711",
					     "'x'",    "true",  "null",
					     "1.5",    " { } ", "{'a':'\\u0000'}",
					     "\t[1]\r" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		ck_assert_msg(parse(texts[i]) == 0, "%s: %s", texts[i], error.message);
		assert_json(message, texts[i]);
	}
}
END_TEST

START_TEST(what_is_no_json_is_refused_with_its_place)
{
	assert_refused_at(parse("{'method': check}"), 1, 16, "invalid token near 'check'");
	assert_refused_at(parse("{'a':1,\n 'b':}"), 2, 6, "unexpected token near '}'");
	assert_refused_at(parse("{'a':1"), 1, 6, "'}' expected near end of file");
	assert_refused_at(parse("{} {}"), 1, 4, "end of file expected near '{'");
	assert_refused_at(parse("[1,]"), 1, 4, "unexpected token near ']'");
	assert_refused_at(parse("{'a':01}"), 1, 6, "invalid token near '0'");
	assert_refused_at(parse("{a:1}"), 1, 2, "string or '}' expected near 'a'");
	assert_refused_at(parse(""), 1, 1, "unexpected token near end of file");
}
END_TEST

START_TEST(a_member_that_comes_twice_is_refused)
{
	assert_refused_at(parse("{'port':1,'port':2}"), 1, 16,
			  "duplicate object key near '\"port\"'");
	assert_refused_at(parse("{'params':{'a':1,\n'\\u0061':2}}"), 2, 8,
			  "duplicate object key near '\"\\u0061\"'");
}
END_TEST

START_TEST(what_is_not_utf8_is_refused)
{
	static const char *const texts[] = {
		"\"\xff\"",         /* never in UTF-8 */
		"\"\xc3(\"",        /* a beginning without its continuation */
		"\"\xc0\xaf\"",     /* longer than needed */
		"\"\xed\xa0\x80\"", /* half of a surrogate pair */
		"\"\xf5\x80\x80\x80\"",
		"\"\x80\"",
		"\"\xe2\x82",
		"\xef\xbb\xbf{}", /* a byte order mark */
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		ck_assert_int_eq(parse_bytes(texts[i], strlen(texts[i])), -EBADMSG);
		ck_assert_int_eq(error.code, ERROR_PARSE);
		ck_assert_msg(strncmp(error.message, "not JSON at line 1, column ", 27) == 0, "%s",
			      error.message);
	}
	ck_assert_int_eq(parse_bytes("\"\xe2\x82\xac\"", 5), 0);
	ck_assert_str_eq(json_string_value(message), "\xe2\x82\xac");
	ck_assert_int_eq(parse("'\\ud83d'"), -EBADMSG);
}
END_TEST

/* `prefix`, and inside it `depth` arrays. */
static int parse_nested(const char *prefix, const char *suffix, int depth)
{
	char text[256];
	size_t used = (size_t)snprintf(text, sizeof(text), "%s", prefix);

	for (int i = 0; i < depth; i++)
		text[used++] = '[';
	for (int i = 0; i < depth; i++)
		text[used++] = ']';
	snprintf(text + used, sizeof(text) - used, "%s", suffix);
	return parse(text);
}

START_TEST(nesting_ends_at_32)
{
	static const char too_deep[] = "arrays and objects are nested more than 32 deep";

	ck_assert_int_eq(parse_nested("", "", 32), 0);
	assert_refused_at(parse_nested("", "", 33), 1, 33, too_deep);
	ck_assert_int_eq(parse_nested("{'a':", "}", 31), 0);
	assert_refused_at(parse_nested("{'a':", "}", 32), 1, 37, too_deep);
	assert_refused_at(parse_nested("{'a':\n  1,\n 'b':", "}", 32), 3, 37, too_deep);
	/* One beside the other is not one in the other. */
	ck_assert_int_eq(parse_nested("[[[]],{},", "]", 31), 0);
}
END_TEST

START_TEST(brackets_in_strings_are_not_nesting)
{
	char text[256];
	size_t used = (size_t)snprintf(text, sizeof(text), "{\"a\\\"\\\\\":\"\\\\\\\"");

	memset(text + used, '[', 100);
	snprintf(text + used + 100, sizeof(text) - used - 100, "\"}");
	ck_assert_int_eq(parse_bytes(text, strlen(text)), 0);
	/* A string that does not end ends the search, not the daemon. */
	ck_assert_int_eq(parse_bytes("\"[[\\", 4), -EBADMSG);
}
END_TEST

START_TEST(a_deep_message_of_full_size_is_no_recursion)
{
	char *text = malloc(MESSAGE_MAX);

	ck_assert_ptr_nonnull(text);
	memset(text, '[', MESSAGE_MAX);
	ck_assert_int_eq(parse_bytes(text, MESSAGE_MAX), -EBADMSG);
	assert_json(error.members, "{'line':1,'column':33}");
	free(text);
}
END_TEST

START_TEST(integers_may_be_larger_than_a_machine_s)
{
	static const struct {
		const char *text;
		double value;
	} cases[] = {
		{ "9223372036854775808", 9223372036854775808.0 },
		{ "-9223372036854775809", -9223372036854775809.0 },
		{ "99999999999999999999", 1e20 },
		{ "100000000000000000000000000000000000000000", 1e41 },
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(parse(cases[i].text), 0);
		ck_assert_double_eq(json_real_value(message), cases[i].value);
		snprintf(text, sizeof(text), "{'a':%s,'b':[%s, 7 ,1.5,'%s\\'%s']}", cases[i].text,
			 cases[i].text, cases[i].text, cases[i].text);
		ck_assert_msg(parse(text) == 0, "%s", error.message);
		ck_assert_double_eq(json_real_value(json_object_get(message, "a")), cases[i].value);
		snprintf(text, sizeof(text), "%s\"%s", cases[i].text, cases[i].text);
		ck_assert_str_eq(json_string_value(
					 json_array_get(json_object_get(message, "b"), 3)),
				 text);
		ck_assert_int_eq(json_integer_value(
					 json_array_get(json_object_get(message, "b"), 1)),
				 7);
	}
	ck_assert_int_eq(parse("9223372036854775807"), 0);
	ck_assert_int_eq(json_integer_value(message), INT64_MAX);
	assert_refused_at(parse("{'a':99999999999999999999"), 1, 25,
			  "too big integer near '99999999999999999999'");
	ck_assert_int_eq(parse("1e999"), -EBADMSG);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		json_of_any_kind_is_parsed,
		what_is_no_json_is_refused_with_its_place,
		a_member_that_comes_twice_is_refused,
		what_is_not_utf8_is_refused,
		nesting_ends_at_32,
		brackets_in_strings_are_not_nesting,
		a_deep_message_of_full_size_is_no_recursion,
		integers_may_be_larger_than_a_machine_s,
		NULL,
	};

	return unit_run("parse", tests, teardown);
}
