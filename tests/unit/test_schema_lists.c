/* Port lists as members of calls: how they may be written in which dialect. */

#include "calls.h"
#include "unit.h"

#include <stdio.h>

static struct error error;

static void teardown(void)
{
	error_deinit(&error);
}

/* Asserts the ports in their order; `ports` is a list of text, itself with ranges in order. */
static void assert_list(const struct portlist *list, const char *ports)
{
	char text[512] = "";
	size_t used = 0;

	for (size_t i = 0; i < list->n_ranges; i++) {
		const struct port_range *range = &list->ranges[i];

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%d", i > 0 ? "," : "",
					 range->first);
		if (range->last > range->first)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "-%d",
						 range->last);
	}
	ck_assert_str_eq(text, ports);
}

static int decode(const char *ports, enum decode_mode mode, struct find_params *ret_params)
{
	char text[256];
	_cleanup_(json_decrefp) json_t *params = NULL;

	snprintf(text, sizeof(text), "{'ports':%s}", ports);
	params = json_of(text);
	return schema_decode(find_params_fields, params, mode, ret_params, &error);
}

static void assert_decoded(const char *ports, enum decode_mode mode, const char *expected)
{
	struct find_params params;

	ck_assert_msg(decode(ports, mode, &params) == 0, "%s: %s", ports, error.message);
	assert_list(&params.ports, expected);
	schema_clear(find_params_fields, &params);
	ck_assert_ptr_null(params.ports.ranges);
}

/* `why` is what goes into more detail, or NULL. */
static void assert_refused(const char *ports, enum decode_mode mode, const char *why)
{
	char message[384], given[QUOTED_MAX + 8];
	struct find_params params;
	_cleanup_(json_decrefp) json_t *value = json_of(ports);

	ck_assert_msg(decode(ports, mode, &params) == -EINVAL, "%s is accepted", ports);
	ck_assert_int_eq(error.code, ERROR_INVALID_PARAMETER);
	assert_json(error.members, "{'parameter':'ports'}");
	quote_json(given, value);
	snprintf(message, sizeof(message), "ports is %s%s%s%s; it must be %s", given,
		 why ? " (" : "", why ? why : "", why ? ")" : "",
		 mode == DECODE_LOOSE ? "ports such as 8080, \"3000-3010,8080\" or an array of them"
				      : "an array of strings such as [\"3000-3010\", \"8080\"]");
	ck_assert_str_eq(error.message, message);
	ck_assert_ptr_null(params.ports.ranges);
}

START_TEST(lists_are_loose_in_jsonrpc)
{
	assert_decoded("80", DECODE_LOOSE, "80");
	assert_decoded("'80'", DECODE_LOOSE, "80");
	assert_decoded("'3000-3010,8080'", DECODE_LOOSE, "3000-3010,8080");
	assert_decoded("'3000-'", DECODE_LOOSE, "3000-65535");
	assert_decoded("'3010-3000'", DECODE_LOOSE, "3000-3010");
	assert_decoded("[3000,3002,2999]", DECODE_LOOSE, "3000,3002,2999");
	assert_decoded("['8080',3000,'3000-3002,8080']", DECODE_LOOSE, "8080,3000-3002");
	assert_decoded("[1,65535]", DECODE_LOOSE, "1,65535");
}
END_TEST

START_TEST(lists_are_arrays_of_strings_in_varlink)
{
	assert_decoded("['80']", DECODE_STRICT, "80");
	assert_decoded("['3000-3010,8080','22']", DECODE_STRICT, "3000-3010,8080,22");
	assert_refused("80", DECODE_STRICT, NULL);
	assert_refused("'80'", DECODE_STRICT, NULL);
	assert_refused("[80]", DECODE_STRICT, NULL);
	assert_refused("['80',81]", DECODE_STRICT, NULL);
}
END_TEST

START_TEST(what_is_no_list_is_refused_in_both)
{
	static const char digits[] = "a port is digits and nothing else";
	static const char range[] = "ports are 1-65535";

	for (enum decode_mode mode = DECODE_STRICT; mode <= DECODE_LOOSE; mode++) {
		assert_refused("[]", mode, "it is empty");
		assert_refused("['']", mode, "a port is missing");
		assert_refused("['80','81,']", mode, "a port is missing");
		assert_refused("[' 80']", mode, digits);
		assert_refused("['80x']", mode, digits);
		assert_refused("['1e2']", mode, digits);
		assert_refused("['80\\u0000']", mode, digits);
		assert_refused("['80-\\u0000']", mode, digits);
		assert_refused("['0']", mode, range);
		assert_refused("['1-65536']", mode, range);
		assert_refused("['-80']", mode, "a range needs its first port, as in 1-1023");
		assert_refused("[['80']]", mode, NULL);
		assert_refused("[null]", mode, NULL);
		assert_refused("[1.5]", mode, NULL);
		assert_refused("true", mode, NULL);
		assert_refused("{}", mode, NULL);
		assert_refused("null", mode, NULL);
	}
	assert_refused("''", DECODE_LOOSE, "a port is missing");
	assert_refused("0", DECODE_LOOSE, range);
	assert_refused("-1", DECODE_LOOSE, range);
	assert_refused("[80,65536]", DECODE_LOOSE, range);
	assert_refused("1.5", DECODE_LOOSE, NULL);
}
END_TEST

START_TEST(both_lists_of_a_call_are_there_or_freed)
{
	struct find_params params;
	_cleanup_(json_decrefp) json_t *good = json_of("{'ports':'1-9','exclude':[3,'5-6']}");
	_cleanup_(json_decrefp) json_t *bad = json_of("{'ports':'1-9','exclude':'x'}");

	ck_assert_int_eq(schema_decode(find_params_fields, good, DECODE_LOOSE, &params, &error), 0);
	assert_list(&params.ports, "1-9");
	assert_list(&params.exclude, "3,5-6");
	schema_clear(find_params_fields, &params);
	ck_assert_int_eq(schema_decode(find_params_fields, bad, DECODE_LOOSE, &params, &error),
			 -EINVAL);
	assert_json(error.members, "{'parameter':'exclude'}");
	ck_assert_ptr_null(params.ports.ranges);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		lists_are_loose_in_jsonrpc,
		lists_are_arrays_of_strings_in_varlink,
		what_is_no_list_is_refused_in_both,
		both_lists_of_a_call_are_there_or_freed,
		NULL,
	};

	return unit_run("schema_lists", tests, teardown);
}
