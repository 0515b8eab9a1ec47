#include "schema.h"

#include <string.h>

/*
 * Results are written straight from the struct: a tree of jansson's for each of 65,535 ports
 * takes longer than finding them out. What a string needs beyond plain ASCII is left to jansson.
 */

static const void *member_of(const struct field *field, const void *object)
{
	return (const char *)object + field->offset;
}

static size_t count_of(const struct field *field, const void *object)
{
	return *(const size_t *)(const void *)((const char *)object + field->count_offset);
}

static int64_t load_int(const struct field *field, const void *object)
{
	const void *member = member_of(field, object);

	switch (field->size) {
	case sizeof(bool):
		return *(const bool *)member;
	case sizeof(uint16_t):
		return *(const uint16_t *)member;
	case sizeof(int32_t):
		return *(const int32_t *)member;
	default:
		return *(const int64_t *)member;
	}
}

static bool is_plain(const char *string)
{
	for (; *string; string++)
		if (*string < ' ' || *string > '~' || *string == '"' || *string == '\\')
			return false;
	return true;
}

static int put_chunk(const char *chunk, size_t size, void *userdata)
{
	return buffer_put(userdata, chunk, size);
}

int schema_put_string(struct buffer *buffer, const char *string)
{
	size_t length = strlen(string), before = buffer_size(buffer);
	json_t *value;
	char *space;
	int r;

	if (is_plain(string)) {
		r = buffer_reserve(buffer, length + 2, &space);
		if (r < 0)
			return r;
		space[0] = '"';
		memcpy(space + 1, string, length);
		space[length + 1] = '"';
		buffer_added(buffer, length + 2);
		return 0;
	}

	value = json_string(string);
	if (!value)
		return -EILSEQ;
	r = json_dump_callback(value, put_chunk, buffer, JSON_ENCODE_ANY) < 0 ? -ENOMEM : 0;
	if (r < 0)
		buffer_truncate(buffer, before);
	json_decref(value);
	return r;
}

/* Writes the port in digits; returns where they end. */
static char *write_port(char *at, uint16_t port)
{
	size_t n_digits = 1u + (port > 9) + (port > 99) + (port > 999) + (port > 9999);

	for (size_t i = n_digits; i-- > 0; port /= 10)
		at[i] = (char)('0' + port % 10);
	return at + n_digits;
}

/* Room is made once: with all ports of a host in the list, a call for each digit adds up. */
static int put_ports(const struct field *field, const void *values, struct buffer *buffer)
{
	static const size_t size_max = sizeof("65535,") - 1;
	const uint16_t *ports = *(const uint16_t *const *)member_of(field, values);
	size_t n_ports = count_of(field, values);
	char *space, *at;
	int r;

	r = buffer_reserve(buffer, n_ports * size_max + 2, &space);
	if (r < 0)
		return r;
	at = space;
	*at++ = '[';
	for (size_t i = 0; i < n_ports; i++) {
		if (i > 0)
			*at++ = ',';
		at = write_port(at, ports[i]);
	}
	*at++ = ']';
	buffer_added(buffer, (size_t)(at - space));
	return 0;
}

static int put_objects(const struct field *field, const void *values, struct buffer *buffer)
{
	const char *elements = *(const char *const *)member_of(field, values);
	size_t n = count_of(field, values);
	int r = buffer_put_char(buffer, '[');

	for (size_t i = 0; r >= 0 && i < n; i++) {
		if (i > 0)
			r = buffer_put_char(buffer, ',');
		if (r >= 0)
			r = schema_encode_result(field->fields, elements + i * field->element_size,
						 buffer);
	}
	return r < 0 ? r : buffer_put_char(buffer, ']');
}

static bool is_unset(const struct field *field, const void *values)
{
	switch (field->type) {
	case FIELD_STRING:
	case FIELD_HOST:
	case FIELD_PORTS:
		return !*(const char *const *)member_of(field, values);
	case FIELD_TEXT:
		return !*(const char *)member_of(field, values);
	case FIELD_BOOL:
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_ENUM:
		return load_int(field, values) == 0;
	case FIELD_ID:
	case FIELD_PORT_ARRAY:
	case FIELD_OBJECT_ARRAY:
	case FIELD_OBJECT:
	case FIELD_END:
		break;
	}
	return false;
}

static bool is_null(const struct field *field, const void *values)
{
	if (!(field->flags & FIELD_NULLABLE))
		return false;
	if (field->type == FIELD_INT || field->type == FIELD_PORT)
		return load_int(field, values) == field->fallback;
	if (field->type == FIELD_OBJECT)
		return is_unset(field->fields, member_of(field, values));
	return is_unset(field, values);
}

/* The name of an enum's value; NULL for one that has none, which a program may well hand over. */
static const char *name_of(const struct field *field, int64_t value)
{
	const char *const *name = field->names;

	if (value < 1)
		return NULL;
	while (*name && --value > 0)
		name++;
	return *name;
}

static int put_string_or_refuse(struct buffer *buffer, const char *string)
{
	return string ? schema_put_string(buffer, string) : -EINVAL;
}

static int put_value(const struct field *field, const void *values, struct buffer *buffer)
{
	switch (field->type) {
	case FIELD_BOOL:
		return buffer_puts(buffer, load_int(field, values) ? "true" : "false");
	case FIELD_INT:
	case FIELD_PORT:
		return buffer_put_int(buffer, load_int(field, values));
	case FIELD_ENUM:
		return put_string_or_refuse(buffer, name_of(field, load_int(field, values)));
	case FIELD_STRING:
	case FIELD_HOST:
	case FIELD_PORTS:
		return put_string_or_refuse(buffer, *(const char *const *)member_of(field, values));
	case FIELD_TEXT:
		return schema_put_string(buffer, member_of(field, values));
	case FIELD_PORT_ARRAY:
		return put_ports(field, values, buffer);
	case FIELD_OBJECT_ARRAY:
		return put_objects(field, values, buffer);
	case FIELD_OBJECT:
		return schema_encode_result(field->fields, member_of(field, values), buffer);
	case FIELD_ID: /* only ever decoded */
	case FIELD_END:
		break;
	}
	return -EINVAL;
}

static int put_member(const struct field *field, const void *values, bool is_first,
		      struct buffer *buffer)
{
	size_t length = strlen(field->name);
	char *space;
	int r;

	/* ,"name": in one go, as it is most of what is written. */
	r = buffer_reserve(buffer, length + 4, &space);
	if (r < 0)
		return r;
	if (!is_first)
		*space++ = ',';
	*space++ = '"';
	memcpy(space, field->name, length);
	space[length] = '"';
	space[length + 1] = ':';
	buffer_added(buffer, length + 3 + !is_first);

	if (is_null(field, values))
		return buffer_puts(buffer, "null");
	return put_value(field, values, buffer);
}

static int encode(const struct field *fields, const void *values, bool leave_out_unset,
		  struct buffer *buffer)
{
	size_t before = buffer_size(buffer);
	bool is_first = true;
	int r = buffer_put_char(buffer, '{');

	for (; r >= 0 && fields->type != FIELD_END; fields++) {
		if (leave_out_unset && is_unset(fields, values))
			continue;
		r = put_member(fields, values, is_first, buffer);
		is_first = false;
	}
	if (r >= 0)
		r = buffer_put_char(buffer, '}');
	if (r < 0)
		buffer_truncate(buffer, before);
	return r;
}

int schema_encode_params(const struct field *fields, const void *values, struct buffer *buffer)
{
	return encode(fields, values, true, buffer);
}

int schema_encode_result(const struct field *fields, const void *values, struct buffer *buffer)
{
	return encode(fields, values, false, buffer);
}
