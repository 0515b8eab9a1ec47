/* Structs to JSON, and there and back again. */

#include "calls.h"
#include "unit.h"

#include <stdio.h>

/* One member of each type. */
struct all {
	bool yes;
	int small;
	int64_t large;
	uint16_t port, none;
	enum status status;
	const char *string, *missing, *host, *ports;
	char text[8];
	uint16_t *list;
	size_t n_list;
	struct counts counts;
};

static const struct field inner_fields[] = { COUNTS(struct counts) };
static const struct field all_fields[] = {
	ROW_BOOL(struct all, yes),
	ROW_INT(struct all, small, INT32_MIN, INT32_MAX, 0),
	ROW_INT(struct all, large, INT64_MIN, INT64_MAX, 0),
	ROW_PORT(struct all, port),
	ROW_PORT_OR_NULL(struct all, none),
	ROW_ENUM(struct all, status, status_names, 0),
	ROW_STRING(struct all, string),
	ROW_STRING_OR_NULL(struct all, missing),
	ROW_HOST(struct all, host),
	ROW_PORTS(struct all, ports),
	ROW_TEXT(struct all, text),
	ROW_PORT_ARRAY(struct all, list),
	ROW_OBJECT(struct all, counts, inner_fields),
	ROW_END,
};

static struct error error;
static struct buffer output;
static json_t *tree;

static void teardown(void)
{
	error_deinit(&error);
	buffer_deinit(&output);
	json_decref(tree);
	tree = NULL;
}

static void assert_output(const char *text)
{
	ck_assert_int_eq(buffer_put_char(&output, '\0'), 0);
	ck_assert_str_eq(buffer_data(&output), q(text));
	buffer_deinit(&output);
}

START_TEST(every_type_is_written)
{
	uint16_t list[] = { 1, 65535 };
	struct all all = {
		.yes = true,
		.small = INT32_MIN,
		.large = INT64_MAX,
		.port = 65535,
		.status = STATUS_CLOSED,
		.string = "s",
		.host = "::1",
		.ports = "1-3",
		.text = "text",
		.list = list,
		.n_list = 2,
		.counts = { .open = 1, .closed = 2, .timeout = 3 },
	};

	ck_assert_int_eq(schema_encode_result(all_fields, &all, &output), 0);
	assert_output("{'yes':true,'small':-2147483648,'large':9223372036854775807,'port':65535,"
		      "'none':null,'status':'closed','string':'s','missing':null,'host':'::1',"
		      "'ports':'1-3','text':'text','list':[1,65535],'counts':{'open':1,'closed':2,"
		      "'timeout':3}}");
	all.yes = false;
	all.none = 80;
	all.missing = "there";
	all.n_list = 0;
	ck_assert_int_eq(schema_encode_result(all_fields, &all, &output), 0);
	assert_output("{'yes':false,'small':-2147483648,'large':9223372036854775807,'port':65535,"
		      "'none':80,'status':'closed','string':'s','missing':'there','host':'::1',"
		      "'ports':'1-3','text':'text','list':[],'counts':{'open':1,'closed':2,"
		      "'timeout':3}}");
	ck_assert_int_eq(schema_encode_result(no_fields, &all, &output), 0);
	assert_output("{}");
}
END_TEST

START_TEST(unset_params_are_left_out)
{
	struct find_params none = { 0 };
	static const struct field fields[] = {
		ROW_BOOL(struct find_params, strict),
		ROW_INT(struct find_params, count, 1, 9, 1),
		ROW_ENUM(struct find_params, order, order_names, 0),
		ROW_HOST(struct find_params, host),
		ROW_END,
	};
	struct find_params some = { .count = -5, .order = ORDER_RANDOM };

	ck_assert_int_eq(schema_encode_params(fields, &none, &output), 0);
	assert_output("{}");
	ck_assert_int_eq(schema_encode_params(fields, &some, &output), 0);
	assert_output("{'count':-5,'order':'random'}");
}
END_TEST

START_TEST(strings_are_escaped)
{
	ck_assert_int_eq(schema_put_string(&output, "a\"b\\c\n\x01\x7f/"), 0);
	assert_output("'a\\'b\\\\c\\n\\u0001\x7f/'");
	ck_assert_int_eq(schema_put_string(&output, "\xe2\x82\xac"), 0);
	assert_output("'\xe2\x82\xac'");
	ck_assert_int_eq(schema_put_string(&output, ""), 0);
	assert_output("''");
}
END_TEST

START_TEST(what_can_t_be_written_leaves_no_trace)
{
	struct metrics_result result = { .text = "\xff" };

	ck_assert_int_eq(buffer_puts(&output, "before"), 0);
	ck_assert_int_eq(schema_encode_result(metrics_result_fields, &result, &output), -EILSEQ);
	result.text = NULL;
	ck_assert_int_eq(schema_encode_result(metrics_result_fields, &result, &output), -EINVAL);
	assert_output("before");
}
END_TEST

/* The library is given enums by programs of any kind, and must not read behind the names. */
START_TEST(enums_without_a_name_are_refused)
{
	static const int values[] = { -1, 4, INT32_MIN, INT32_MAX };
	struct find_params params = { 0 };
	struct check_result result = { .host = "h", .address = "a", .reason = REASON_REFUSED };
	static const struct field fields[] = {
		ROW_ENUM(struct find_params, order, order_names, 0),
		ROW_END,
	};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		params.order = (enum order)values[i];
		ck_assert_int_eq(schema_encode_params(fields, &params, &output), -EINVAL);
		ck_assert_uint_eq(buffer_size(&output), 0);
	}
	/* A result without its status. */
	ck_assert_int_eq(schema_encode_result(check_result_fields, &result, &output), -EINVAL);
	ck_assert_uint_eq(buffer_size(&output), 0);
}
END_TEST

START_TEST(lists_inside_objects_are_freed_too)
{
	struct outer {
		struct scan_result scan;
		bool yes;
	} outer;
	static const struct field inner[] = { ROW_PORT_ARRAY(struct scan_result, ports), ROW_END };
	static const struct field fields[] = {
		ROW_OBJECT(struct outer, scan, inner),
		ROW_BOOL(struct outer, yes),
		ROW_END,
	};

	tree = json_of("{'scan':{'ports':[1,2]},'yes':1}");
	ck_assert_int_eq(schema_decode(fields, tree, DECODE_RESULT, &outer, &error), -EINVAL);
	assert_json(error.members, "{'parameter':'yes'}");
	ck_assert_ptr_null(outer.scan.ports);
	ck_assert_uint_eq(outer.scan.n_ports, 0);
}
END_TEST

START_TEST(arrays_of_objects_come_back_as_they_went)
{
	struct socket_info sockets[] = {
		{ .protocol = PROTOCOL_TCP,
		  .address = "::1",
		  .port = 80,
		  .state = "LISTEN",
		  .uid = 33,
		  .inode = 4711,
		  .cgroup = "/system.slice/nginx.service",
		  .unit = "nginx.service",
		  .pid = 7,
		  .command = "nginx -g \"daemon off;\"" },
		{ .protocol = PROTOCOL_UDP, .address = "0.0.0.0", .port = 80, .state = "UNCONN" },
	};
	struct who_result back, result = { .sockets = sockets, .n_sockets = 2 };

	ck_assert_int_eq(schema_encode_result(who_result_fields, &result, &output), 0);
	tree = json_loadb(buffer_data(&output), buffer_size(&output), 0, NULL);
	assert_json(json_array_get(json_object_get(tree, "sockets"), 1),
		    "{'protocol':'udp','address':'0.0.0.0','port':80,'state':'UNCONN','uid':0,"
		    "'inode':0,'cgroup':null,'unit':null,'pid':null,'command':null}");
	ck_assert_int_eq(schema_decode(who_result_fields, tree, DECODE_RESULT, &back, &error), 0);
	ck_assert_uint_eq(back.n_sockets, 2);
	ck_assert_int_eq(back.sockets[0].protocol, PROTOCOL_TCP);
	ck_assert_str_eq(back.sockets[0].unit, "nginx.service");
	ck_assert_str_eq(back.sockets[0].command, sockets[0].command);
	ck_assert_int_eq(back.sockets[0].uid, 33);
	ck_assert_int_eq(back.sockets[0].pid, 7);
	ck_assert_str_eq(back.sockets[1].address, "0.0.0.0");
	ck_assert_ptr_null(back.sockets[1].unit);
	schema_clear(who_result_fields, &back);
	ck_assert_ptr_null(back.sockets);
	ck_assert_uint_eq(back.n_sockets, 0);
}
END_TEST

START_TEST(arrays_of_objects_that_can_t_be_are_refused)
{
	static const struct {
		const char *text, *parameter;
	} cases[] = {
		{ "{'sockets':{}}", "sockets" },
		{ "{'sockets':[7]}", "sockets" },
		{ "{'sockets':[{'port':80},{'port':0}]}", "port" },
		{ "{'sockets':[{'port':80,'protocol':'icmp'}]}", "protocol" },
	};
	struct who_result who;
	char expected[64];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		teardown();
		tree = json_of(cases[i].text);
		ck_assert_int_eq(schema_decode(who_result_fields, tree, DECODE_RESULT, &who,
					       &error),
				 -EINVAL);
		snprintf(expected, sizeof(expected), "{'parameter':'%s'}", cases[i].parameter);
		assert_json(error.members, expected);
		ck_assert_ptr_null(who.sockets);
		ck_assert_uint_eq(who.n_sockets, 0);
	}
	teardown();
	/* One of them can't be written: then nothing is. */
	who = (struct who_result){ .sockets = &(struct socket_info){ .port = 1 }, .n_sockets = 1 };
	ck_assert_int_eq(schema_encode_result(who_result_fields, &who, &output), -EINVAL);
	ck_assert_uint_eq(buffer_size(&output), 0);
}
END_TEST

START_TEST(a_text_is_cut_to_its_array)
{
	struct all all = { 0 };
	static const struct field fields[] = { ROW_TEXT(struct all, text), ROW_END };

	tree = json_of("{'text':'0123456789'}");
	ck_assert_int_eq(schema_decode(fields, tree, DECODE_RESULT, &all, &error), 0);
	ck_assert_str_eq(all.text, "0123456");
}
END_TEST

START_TEST(results_are_decoded_without_what_is_unknown)
{
	struct scan_result scan;
	struct find_result find;

	tree = json_of("{'ports':[22,65535],'counts':{'open':2,'closed':1,'timeout':0,'new':1},"
		       "'done':3,'total':4,'elapsed_us':5,'new':{'a':[]}}");
	ck_assert_int_eq(schema_decode(scan_result_fields, tree, DECODE_RESULT, &scan, &error), 0);
	ck_assert_uint_eq(scan.n_ports, 2);
	ck_assert_uint_eq(scan.ports[0], 22);
	ck_assert_uint_eq(scan.ports[1], 65535);
	ck_assert_int_eq(scan.counts.open, 2);
	ck_assert_int_eq(scan.counts.closed, 1);
	ck_assert_int_eq(scan.done, 3);
	ck_assert_int_eq(scan.total, 4);
	ck_assert_int_eq(scan.elapsed_us, 5);
	schema_clear(scan_result_fields, &scan);
	ck_assert_ptr_null(scan.ports);
	teardown();

	tree = json_of("{'port':null,'ports':[],'checked':7,'elapsed_us':1}");
	ck_assert_int_eq(schema_decode(find_result_fields, tree, DECODE_RESULT, &find, &error), 0);
	ck_assert_uint_eq(find.port, 0);
	ck_assert_uint_eq(find.n_ports, 0);
	ck_assert_int_eq(find.checked, 7);
	schema_clear(find_result_fields, &find);
}
END_TEST

START_TEST(results_that_can_t_be_are_refused)
{
	static const struct {
		const char *text, *parameter;
	} cases[] = {
		{ "{'ports':[0]}", "ports" },
		{ "{'ports':[65536]}", "ports" },
		{ "{'ports':['22']}", "ports" },
		{ "{'ports':22}", "ports" },
		{ "{'ports':[1],'counts':[]}", "counts" },
		{ "{'ports':[1],'counts':{'open':-1}}", "open" },
		{ "{'ports':[1],'done':'1'}", "done" },
	};
	char expected[64];
	struct scan_result scan;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		teardown();
		tree = json_of(cases[i].text);
		ck_assert_int_eq(schema_decode(scan_result_fields, tree, DECODE_RESULT, &scan,
					       &error),
				 -EINVAL);
		snprintf(expected, sizeof(expected), "{'parameter':'%s'}", cases[i].parameter);
		assert_json(error.members, expected);
		ck_assert_ptr_null(scan.ports);
	}
	teardown();
	/* None found is null, and 0 is no port. */
	tree = json_of("{'port':0}");
	ck_assert_int_eq(schema_decode(find_result_fields, tree, DECODE_RESULT,
				       &(struct find_result){ 0 }, &error),
			 -EINVAL);
	assert_json(error.members, "{'parameter':'port'}");
}
END_TEST

static int64_t any_of(int64_t min, int64_t max)
{
	uint64_t value = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();

	switch (random() % 4) {
	case 0:
		return min;
	case 1:
		return max;
	default:
		return min + (int64_t)(value % (uint64_t)(max - min + 1));
	}
}

static void encode_and_parse(const struct field *fields, const void *values, bool is_params)
{
	teardown();
	ck_assert_int_eq(is_params ? schema_encode_params(fields, values, &output)
				   : schema_encode_result(fields, values, &output),
			 0);
	tree = json_loadb(buffer_data(&output), buffer_size(&output), 0, NULL);
	ck_assert_ptr_nonnull(tree);
}

START_TEST(params_come_back_as_they_went)
{
	for (int turn = 0; turn < 1000; turn++) {
		struct wait_params back, params = {
			.port = (uint16_t)any_of(1, 65535),
			.host = turn % 2 ? "fe80::1%eth0" : "a.example",
			.until = (enum status)any_of(STATUS_OPEN, STATUS_CLOSED),
			.deadline_ms = (int)any_of(1, DEADLINE_MS_MAX),
			.interval_ms = (int)any_of(1, INTERVAL_MS_MAX),
			.timeout_ms = (int)any_of(1, TIMEOUT_MS_MAX),
			.via = VIA_CONNECT,
		};

		encode_and_parse(wait_params_fields, &params, true);
		ck_assert_int_eq(schema_decode(wait_params_fields, tree, DECODE_STRICT, &back,
					       &error),
				 0);
		ck_assert_uint_eq(back.port, params.port);
		ck_assert_str_eq(back.host, params.host);
		ck_assert_int_eq(back.until, params.until);
		ck_assert_int_eq(back.deadline_ms, params.deadline_ms);
		ck_assert_int_eq(back.interval_ms, params.interval_ms);
		ck_assert_int_eq(back.timeout_ms, params.timeout_ms);
		ck_assert_int_eq(back.via, params.via);
	}
}
END_TEST

START_TEST(results_come_back_as_they_went)
{
	uint16_t ports[300];

	for (int turn = 0; turn < 500; turn++) {
		struct scan_result back, result = {
			.ports = ports,
			.n_ports = (size_t)any_of(0, ARRAY_SIZE(ports)),
			.counts = { .open = any_of(0, INT64_MAX - 1),
				    .closed = any_of(0, 65535),
				    .timeout = any_of(0, 65535) },
			.done = any_of(0, INT64_MAX - 1),
			.total = any_of(0, 65535),
			.elapsed_us = any_of(0, INT64_MAX - 1),
		};

		for (size_t i = 0; i < result.n_ports; i++)
			ports[i] = (uint16_t)any_of(1, 65535);
		encode_and_parse(scan_result_fields, &result, false);
		ck_assert_int_eq(schema_decode(scan_result_fields, tree, DECODE_RESULT, &back,
					       &error),
				 0);
		ck_assert_uint_eq(back.n_ports, result.n_ports);
		ck_assert_int_eq(memcmp(back.ports, ports, result.n_ports * sizeof(*ports)), 0);
		ck_assert_mem_eq(&back.counts, &result.counts, sizeof(back.counts));
		ck_assert_int_eq(back.done, result.done);
		ck_assert_int_eq(back.total, result.total);
		ck_assert_int_eq(back.elapsed_us, result.elapsed_us);
		schema_clear(scan_result_fields, &back);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		every_type_is_written,
		unset_params_are_left_out,
		strings_are_escaped,
		what_can_t_be_written_leaves_no_trace,
		enums_without_a_name_are_refused,
		lists_inside_objects_are_freed_too,
		arrays_of_objects_come_back_as_they_went,
		arrays_of_objects_that_can_t_be_are_refused,
		a_text_is_cut_to_its_array,
		results_are_decoded_without_what_is_unknown,
		results_that_can_t_be_are_refused,
		params_come_back_as_they_went,
		results_come_back_as_they_went,
		NULL,
	};

	return unit_run("schema_encode", tests, teardown);
}
