/*
 * The first byte says which table and how, the rest is JSON. It is refused for a member that is
 * named, or gives values within their ranges, which come through encoding and decoding the same.
 */

#include "calls.h"
#include "fuzz.h"

#include <string.h>

/* What a client fills in: its lists are text. */
struct client_find {
	const char *ports;
	enum status status;
	const char *host;
	int count;
	enum order order;
	const char *exclude;
	bool include_leased;
	bool strict;
	int timeout_ms;
	enum via via;
};

struct client_scan {
	const char *ports;
	enum status status;
	const char *host;
	int timeout_ms;
	enum via via;
	bool stream;
};

static const struct field client_find_fields[] = { FIND_PARAMS(struct client_find) };
static const struct field client_scan_fields[] = { SCAN_PARAMS(struct client_scan) };

static const struct {
	const struct field *fields, *client;
	bool is_result;
} tables[] = {
	{ check_params_fields, check_params_fields, false },
	{ find_params_fields, client_find_fields, false },
	{ scan_params_fields, client_scan_fields, false },
	{ wait_params_fields, wait_params_fields, false },
	{ check_result_fields, NULL, true },
	{ find_result_fields, NULL, true },
	{ scan_result_fields, NULL, true },
	{ scan_progress_fields, NULL, true },
	{ wait_result_fields, NULL, true },
	{ metrics_result_fields, NULL, true },
	{ no_fields, no_fields, false },
	{ who_params_fields, who_params_fields, false },
	{ who_result_fields, NULL, true },
};

union values {
	struct check_params check;
	struct find_params find;
	struct scan_params scan;
	struct wait_params wait;
	struct who_params who;
	struct find_result find_result;
	struct scan_result scan_result;
	struct who_result who_result;
	struct client_find client_find;
	struct client_scan client_scan;
	char bytes[256];
};

static int64_t load(const struct field *field, const void *values)
{
	const void *member = (const char *)values + field->offset;

	switch (field->size) {
	case 1:
		return *(const bool *)member;
	case 2:
		return *(const uint16_t *)member;
	case 4:
		return *(const int32_t *)member;
	default:
		return *(const int64_t *)member;
	}
}

static const char *string_of(const struct field *field, const void *values)
{
	return *(const char *const *)(const void *)((const char *)values + field->offset);
}

static const struct portlist *list_of(const struct field *field, const void *values)
{
	return (const void *)((const char *)values + field->offset);
}

static size_t count_of(const struct field *field, const void *values)
{
	return *(const size_t *)(const void *)((const char *)values + field->count_offset);
}

/* The `i`th struct of an array. */
static const char *element_of(const struct field *field, const void *values, size_t i)
{
	return string_of(field, values) + i * field->element_size;
}

static void check_enum(const struct field *field, const void *values)
{
	int64_t value = load(field, values), n = 0;

	while (field->names[n])
		n++;
	must(value == field->fallback || (value >= 1 && value <= n));
}

static void check_ranges(const struct field *fields, const void *values)
{
	for (const struct field *field = fields; field->type != FIELD_END; field++) {
		if (field->type == FIELD_INT || field->type == FIELD_PORT)
			must(load(field, values) == field->fallback ||
			     (load(field, values) >= field->min &&
			      load(field, values) <= field->max));
		else if (field->type == FIELD_ENUM)
			check_enum(field, values);
		else if (field->type == FIELD_HOST)
			must(host_is_valid(string_of(field, values)));
		else if (field->type == FIELD_PORTS)
			must(list_of(field, values)->n_ports > 0 ||
			     !(field->flags & FIELD_REQUIRED));
		else if (field->type == FIELD_PORT_ARRAY)
			for (size_t i = 0; i < count_of(field, values); i++)
				must(((const uint16_t *)(const void *)string_of(field, values))[i] >
				     0);
		else if (field->type == FIELD_OBJECT)
			check_ranges(field->fields, (const char *)values + field->offset);
		else if (field->type == FIELD_OBJECT_ARRAY)
			for (size_t i = 0; i < count_of(field, values); i++)
				check_ranges(field->fields, element_of(field, values, i));
	}
}

static bool same_strings(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_lists(const struct portlist *a, const struct portlist *b)
{
	return a->n_ports == b->n_ports && a->n_ranges == b->n_ranges &&
	       (a->n_ranges == 0 ||
		memcmp(a->ranges, b->ranges, a->n_ranges * sizeof(*a->ranges)) == 0);
}

static void check_same(const struct field *fields, const void *a, const void *b);

static void check_same_arrays(const struct field *field, const void *a, const void *b)
{
	must(count_of(field, a) == count_of(field, b));
	for (size_t i = 0; i < count_of(field, a); i++)
		check_same(field->fields, element_of(field, a, i), element_of(field, b, i));
}

static void check_same(const struct field *fields, const void *a, const void *b)
{
	for (const struct field *field = fields; field->type != FIELD_END; field++) {
		if (field->type == FIELD_STRING || field->type == FIELD_HOST)
			must(same_strings(string_of(field, a), string_of(field, b)));
		else if (field->type == FIELD_PORTS)
			must(same_lists(list_of(field, a), list_of(field, b)));
		else if (field->type == FIELD_PORT_ARRAY)
			must(count_of(field, a) == count_of(field, b) &&
			     (count_of(field, a) == 0 ||
			      memcmp(string_of(field, a), string_of(field, b),
				     count_of(field, a) * sizeof(uint16_t)) == 0));
		else if (field->type == FIELD_OBJECT)
			check_same(field->fields, (const char *)a + field->offset,
				   (const char *)b + field->offset);
		else if (field->type == FIELD_OBJECT_ARRAY)
			check_same_arrays(field, a, b);
		else
			must(load(field, a) == load(field, b));
	}
}

static char *text_of(const struct portlist *list)
{
	struct buffer text = { 0 };

	for (size_t i = 0; i < list->n_ranges; i++)
		must(buffer_printf(&text, "%s%u-%u", i > 0 ? "," : "", list->ranges[i].first,
				   list->ranges[i].last) == 0);
	if (list->n_ranges > 0)
		must(buffer_put_char(&text, '\0') == 0);
	return text.data;
}

/* The values as a client has them; what it owns is freed by free_client(). */
static void copy_to_client(const struct field *from, const struct field *to, const void *values,
			   union values *client)
{
	memset(client, 0, sizeof(*client));
	for (; from->type != FIELD_END; from++, to++) {
		char *member = client->bytes + to->offset;

		must(strcmp(from->name, to->name) == 0);
		if (from->type == FIELD_PORTS)
			*(char **)(void *)member = text_of(list_of(from, values));
		else
			memcpy(member, (const char *)values + from->offset, from->size);
	}
}

static void free_client(const struct field *fields, union values *client)
{
	for (; fields->type != FIELD_END; fields++)
		if (fields->type == FIELD_PORTS)
			free(*(char **)(void *)(client->bytes + fields->offset));
}

static void round_trip(size_t table, enum decode_mode mode, const union values *values)
{
	const struct field *fields = tables[table].fields;
	_cleanup_(buffer_deinit) struct buffer encoded = { 0 };
	struct error error = { 0 };
	union values client, back;
	json_t *object;
	int r;

	if (tables[table].is_result) {
		r = schema_encode_result(fields, values, &encoded);
		/* A result whose status or text was left out; it can't be written. */
		if (r == -EINVAL)
			return;
	} else {
		copy_to_client(fields, tables[table].client, values, &client);
		r = schema_encode_params(tables[table].client, &client, &encoded);
		free_client(tables[table].client, &client);
		mode = DECODE_LOOSE;
	}
	must(r == 0);
	object = json_loadb(buffer_data(&encoded), buffer_size(&encoded), JSON_REJECT_DUPLICATES,
			    NULL);
	must(object);
	must(schema_decode(fields, object, mode, &back, &error) == 0);
	check_same(fields, values, &back);
	schema_clear(fields, &back);
	json_decref(object);
}

static void check_refusal(const struct error *error)
{
	const char *parameter = json_string_value(json_object_get(error->members, "parameter"));

	must(error->code == ERROR_INVALID_PARAMETER);
	must(parameter);
	must(*error->message);
	must(strstr(error->message, "; it must be ") || strstr(error->message, "not known here"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = { 0 };
	enum decode_mode mode;
	union values values;
	json_t *object;
	size_t table;

	if (size < 1)
		return 0;
	table = data[0] % ARRAY_SIZE(tables);
	mode = data[0] & 0x80 ? DECODE_STRICT : DECODE_LOOSE;
	if (tables[table].is_result)
		mode = DECODE_RESULT;
	object = json_loadb((const char *)data + 1, size - 1,
			    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	if (!json_is_object(object)) {
		json_decref(object);
		return 0;
	}

	memset(&values, 0xff, sizeof(values));
	if (schema_decode(tables[table].fields, object, mode, &values, &error) == 0) {
		must(!error.code);
		check_ranges(tables[table].fields, &values);
		round_trip(table, mode, &values);
		schema_clear(tables[table].fields, &values);
	} else {
		check_refusal(&error);
	}
	error_deinit(&error);
	json_decref(object);
	return 0;
}
