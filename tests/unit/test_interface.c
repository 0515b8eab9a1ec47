/*
 * The tables that calls are decoded by against the interface that the daemon serves: the members,
 * their order and types, what may be left out, the enums, and the errors with their codes. Either
 * side changed alone fails here. $INTERFACE is the interface's file.
 */

#include "calls.h"
#include "unit.h"

#include <stdio.h>

static const struct {
	const struct method_names *names;
	const struct field *params, *result;
} methods[] = {
	{ &method_check, check_params_fields, check_result_fields },
	{ &method_find, find_params_fields, find_result_fields },
	{ &method_scan, scan_params_fields, scan_result_fields },
	{ &method_wait, wait_params_fields, wait_result_fields },
	{ &method_lease, lease_params_fields, lease_result_fields },
	{ &method_renew, renew_params_fields, renew_result_fields },
	{ &method_release, release_params_fields, no_fields },
	{ &method_leases, leases_params_fields, leases_result_fields },
	{ &method_who, who_params_fields, who_result_fields },
	{ &method_metrics, no_fields, metrics_result_fields },
};

/* The interface as it is; and without comments and whitespace, ';' before each declaration. */
static char *text;
static struct buffer packed;

static void read_interface(void)
{
	const char *path = getenv("INTERFACE");
	FILE *file = fopen(path ? path : "", "re");
	char line[256];
	struct buffer whole = { 0 };

	ck_assert_msg(file != NULL, "$INTERFACE must be the interface's file");
	while (fgets(line, sizeof(line), file)) {
		buffer_puts(&whole, line);
		if (*line >= 'a' && *line <= 'z')
			buffer_put_char(&packed, ';');
		for (const char *c = line; *line != '#' && *c; c++)
			if (*c != ' ' && *c != '\n')
				buffer_put_char(&packed, *c);
	}
	fclose(file);
	buffer_put_char(&whole, '\0');
	buffer_put(&packed, ";", 2);
	text = whole.data;
}

static void teardown(void)
{
	free(text);
	text = NULL;
	buffer_deinit(&packed);
}

/* Appends the name of the type whose body is `body`, parentheses and all. */
static void put_type_of(struct buffer *buffer, const char *body)
{
	const char *found = strstr(buffer_data(&packed), body), *name = found;

	ck_assert_msg(found != NULL, "the interface has no type %s", body);
	while (name > buffer_data(&packed) && name[-1] != ';')
		name--;
	ck_assert_msg(strncmp(name, "type", 4) == 0, "%s is no type's", body);
	buffer_put(buffer, name + 4, (size_t)(found - name - 4));
}

static void put_members(struct buffer *buffer, const struct field *fields, bool is_params);

static void put_type(struct buffer *buffer, const struct field *field)
{
	static const char *const plain[] = {
		[FIELD_BOOL] = "bool",      [FIELD_INT] = "int",          [FIELD_PORT] = "int",
		[FIELD_STRING] = "string",  [FIELD_HOST] = "string",      [FIELD_TEXT] = "string",
		[FIELD_PORTS] = "[]string", [FIELD_PORT_ARRAY] = "[]int",
	};
	_cleanup_(buffer_deinit) struct buffer body = { 0 };

	if (field->type == FIELD_ENUM) {
		for (size_t i = 0; field->names[i]; i++)
			buffer_printf(&body, "%c%s", i > 0 ? ',' : '(', field->names[i]);
		buffer_put(&body, ")", 2);
		put_type_of(buffer, buffer_data(&body));
	} else if (field->type == FIELD_OBJECT || field->type == FIELD_OBJECT_ARRAY) {
		buffer_puts(buffer, field->type == FIELD_OBJECT ? "" : "[]");
		put_members(&body, field->fields, false);
		buffer_put_char(&body, '\0');
		put_type_of(buffer, buffer_data(&body));
	} else {
		buffer_puts(buffer, plain[field->type]);
	}
}

/* Appends the members as the packed interface would have them: "(port:int,host:?string)". */
static void put_members(struct buffer *buffer, const struct field *fields, bool is_params)
{
	bool is_first = true;

	buffer_put_char(buffer, '(');
	for (; fields->type != FIELD_END; fields++) {
		bool may_miss = is_params ? !(fields->flags & FIELD_REQUIRED)
					  : fields->flags & FIELD_NULLABLE;

		if (fields->flags & FIELD_LOOSE_ONLY)
			continue;
		buffer_printf(buffer, "%s%s:%s", is_first ? "" : ",", fields->name,
			      may_miss ? "?" : "");
		put_type(buffer, fields);
		is_first = false;
	}
	buffer_put_char(buffer, ')');
}

/* `name` is qualified with the interface; what is behind it. */
static const char *unqualified(const char *name)
{
	size_t length = strlen(PROTOCOL_INTERFACE);

	ck_assert_msg(strncmp(name, PROTOCOL_INTERFACE, length) == 0, "%s", name);
	ck_assert_int_eq(name[length], '.');
	return name + length + 1;
}

START_TEST(methods_take_and_give_what_the_interface_says)
{
	read_interface();
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		_cleanup_(buffer_deinit) struct buffer expected = { 0 };
		const char *name = unqualified(methods[i].names->varlink);

		buffer_printf(&expected, ";method%s", name);
		put_members(&expected, methods[i].params, true);
		buffer_puts(&expected, "->");
		put_members(&expected, methods[i].result, false);
		buffer_put(&expected, ";", 2);
		ck_assert_msg(strstr(buffer_data(&packed), buffer_data(&expected)) != NULL,
			      "the interface has no %s", buffer_data(&expected));
	}
}
END_TEST

/* The name in a declaration such as "method Check(", in `ret_name`; what follows it, or NULL. */
static const char *next_declaration(const char *from, const char *keyword, char ret_name[64])
{
	char start[16];
	const char *found, *end;

	snprintf(start, sizeof(start), "\n%s ", keyword);
	found = strstr(from, start);
	if (!found)
		return NULL;
	found += strlen(start);
	end = found + strcspn(found, "( \n");
	snprintf(ret_name, 64, "%.*s", (int)(end - found), found);
	return end;
}

START_TEST(there_are_no_other_methods)
{
	const char *from;
	char name[64];
	size_t n_methods = 0;

	read_interface();
	for (from = text; (from = next_declaration(from, "method", name)); n_methods++) {
		ck_assert_uint_lt(n_methods, ARRAY_SIZE(methods));
		ck_assert_str_eq(name, unqualified(methods[n_methods].names->varlink));
	}
	ck_assert_uint_eq(n_methods, ARRAY_SIZE(methods));
}
END_TEST

START_TEST(errors_have_their_codes_in_order)
{
	const char *from;
	char name[64];
	int code = 1;

	read_interface();
	for (from = text; (from = next_declaration(from, "error", name)); code++) {
		enum error_code expected =
			code <= ERROR_MESSAGE_TOO_LARGE ? (enum error_code)code : ERROR_INTERNAL;

		ck_assert_ptr_nonnull(error_name(expected));
		ck_assert_str_eq(name, error_name(expected));
		ck_assert_str_eq(error_interface(expected), PROTOCOL_INTERFACE);
	}
	/* Thirteen with codes of ours, and Internal, which JSON-RPC has one for. */
	ck_assert_int_eq(ERROR_MESSAGE_TOO_LARGE, 13);
	ck_assert_int_eq(code - 1, 14);
	ck_assert_ptr_null(error_name((enum error_code)14));
	ck_assert_ptr_null(error_name((enum error_code)0));
}
END_TEST

START_TEST(the_interface_has_our_name)
{
	char name[64];

	read_interface();
	ck_assert_ptr_nonnull(next_declaration(text, "interface", name));
	ck_assert_str_eq(name, PROTOCOL_INTERFACE);
}
END_TEST

START_TEST(json_rpc_s_names_are_those_of_the_specification)
{
	ck_assert_str_eq(method_check.jsonrpc, "check");
	ck_assert_str_eq(method_find.jsonrpc, "find");
	ck_assert_str_eq(method_scan.jsonrpc, "scan");
	ck_assert_str_eq(method_wait.jsonrpc, "wait");
	ck_assert_str_eq(method_lease.jsonrpc, "lease");
	ck_assert_str_eq(method_renew.jsonrpc, "renew");
	ck_assert_str_eq(method_release.jsonrpc, "release");
	ck_assert_str_eq(method_leases.jsonrpc, "leases");
	ck_assert_str_eq(method_who.jsonrpc, "who");
	ck_assert_str_eq(method_metrics.jsonrpc, "metrics");
	ck_assert_str_eq(method_info.jsonrpc, "info");
	ck_assert_str_eq(method_info.varlink, "org.varlink.service.GetInfo");
	ck_assert_str_eq(method_cancel.jsonrpc, "cancel");
	ck_assert_ptr_null(method_cancel.varlink);
	ck_assert_ptr_null(method_interface_description.jsonrpc);
	ck_assert_str_eq(method_interface_description.varlink,
			 "org.varlink.service.GetInterfaceDescription");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		methods_take_and_give_what_the_interface_says,
		there_are_no_other_methods,
		errors_have_their_codes_in_order,
		the_interface_has_our_name,
		json_rpc_s_names_are_those_of_the_specification,
		NULL,
	};

	return unit_run("interface", tests, teardown);
}
