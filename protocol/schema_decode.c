#include "schema.h"

#include "portlist.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ALLOWED_SIZE 256

static void *member_of(const struct field *field, void *object)
{
	return (char *)object + field->offset;
}

static size_t *count_of(const struct field *field, void *object)
{
	return (size_t *)(void *)((char *)object + field->count_offset);
}

static void store_int(const struct field *field, void *object, int64_t value)
{
	void *member = member_of(field, object);

	switch (field->size) {
	case sizeof(uint16_t):
		*(uint16_t *)member = (uint16_t)value;
		break;
	case sizeof(int32_t):
		*(int32_t *)member = (int32_t)value;
		break;
	default:
		*(int64_t *)member = value;
		break;
	}
}

static void describe_enum(const struct field *field, char ret_text[ALLOWED_SIZE])
{
	size_t used = (size_t)snprintf(ret_text, ALLOWED_SIZE, "one of");

	for (size_t i = 0; field->names[i] && used < ALLOWED_SIZE; i++)
		used += (size_t)snprintf(ret_text + used, ALLOWED_SIZE - used, "%s %s",
					 i > 0 ? "," : "", field->names[i]);
}

/* What the member may be, for the message of an error. */
static void describe_allowed(const struct field *field, enum decode_mode mode,
			     char ret_text[ALLOWED_SIZE])
{
	switch (field->type) {
	case FIELD_BOOL:
		snprintf(ret_text, ALLOWED_SIZE, "true or false");
		break;
	case FIELD_INT:
		snprintf(ret_text, ALLOWED_SIZE, "an integer from %lld to %lld",
			 (long long)field->min, (long long)field->max);
		break;
	case FIELD_PORT:
		snprintf(ret_text, ALLOWED_SIZE, "a port from 1 to 65535, %s",
			 mode == DECODE_LOOSE ? "a number or nothing but digits" : "a number");
		break;
	case FIELD_ENUM:
		describe_enum(field, ret_text);
		break;
	case FIELD_ID:
		snprintf(ret_text, ALLOWED_SIZE, "the id of a request: a string, a number or null");
		break;
	case FIELD_HOST:
		snprintf(ret_text, ALLOWED_SIZE,
			 "a host name or an IP address, %d to %d characters", 1, HOST_MAX);
		break;
	case FIELD_PORTS:
	case FIELD_PORT_ARRAY:
		snprintf(ret_text, ALLOWED_SIZE, "%s",
			 mode == DECODE_LOOSE
				 ? "ports such as 8080, \"3000-3010,8080\" or an array of them"
				 : "an array of strings such as [\"3000-3010\", \"8080\"]");
		break;
	case FIELD_OBJECT_ARRAY:
		snprintf(ret_text, ALLOWED_SIZE, "an array of objects");
		break;
	case FIELD_OBJECT:
		snprintf(ret_text, ALLOWED_SIZE, "an object");
		break;
	case FIELD_STRING:
	case FIELD_TEXT:
	case FIELD_END:
		snprintf(ret_text, ALLOWED_SIZE, "a string");
		break;
	}
}

/* `value` NULL: it is missing. `why` goes into more detail, or is NULL. Returns -EINVAL. */
static int refuse(const struct field *field, enum decode_mode mode, const json_t *value,
		  const char *why, struct error *ret_error)
{
	char given[QUOTED_MAX + 8] = "missing";
	char allowed[ALLOWED_SIZE];

	if (value)
		quote_json(given, value);
	describe_allowed(field, mode, allowed);
	error_set(ret_error, ERROR_INVALID_PARAMETER, json_pack("{ss}", "parameter", field->name),
		  "%s is %s%s%s%s; it must be %s", field->name, given, why ? " (" : "",
		  why ? why : "", why ? ")" : "", allowed);
	return -EINVAL;
}

static int decode_enum(const struct field *field, const json_t *value, void *ret)
{
	const char *text = json_string_value(value);

	for (size_t i = 0; text && field->names[i]; i++) {
		if (strcmp(text, field->names[i]) == 0 &&
		    strlen(text) == json_string_length(value)) {
			*(int *)member_of(field, ret) = (int)i + 1;
			return 0;
		}
	}
	return -EINVAL;
}

static int decode_int(const struct field *field, const json_t *value, void *ret)
{
	int64_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < field->min || number > field->max)
		return -EINVAL;
	store_int(field, ret, number);
	return 0;
}

static int decode_port(const struct field *field, enum decode_mode mode, const json_t *value,
		       void *ret)
{
	uint16_t port;

	if (mode != DECODE_LOOSE || !json_is_string(value))
		return decode_int(field, value, ret);
	if (port_parse(json_string_value(value), json_string_length(value), &port) < 0)
		return -EINVAL;
	store_int(field, ret, port);
	return 0;
}

static int decode_string(const struct field *field, const json_t *value, void *ret)
{
	const char *text = json_string_value(value);

	/* JSON has strings with NUL inside, C has not. */
	if (!text || strlen(text) != json_string_length(value))
		return -EINVAL;
	if (field->type == FIELD_HOST && !host_is_valid(text))
		return -EINVAL;
	if (field->type == FIELD_TEXT)
		snprintf(member_of(field, ret), field->size, "%s", text);
	else
		*(const char **)member_of(field, ret) = text;
	return 0;
}

static int add_ports(struct portlist_builder *builder, enum decode_mode mode, const json_t *value,
		     const char **ret_why)
{
	if (json_is_string(value))
		return portlist_builder_parse(builder, json_string_value(value),
					      json_string_length(value), ret_why);
	if (json_is_integer(value) && mode == DECODE_LOOSE) {
		json_int_t port = json_integer_value(value);

		if (port >= PORT_MIN && port <= PORT_MAX)
			return portlist_builder_add(builder, (uint16_t)port, (uint16_t)port);
		*ret_why = "ports are 1-65535";
	}
	return -EINVAL;
}

static int collect_ports(struct portlist_builder *builder, enum decode_mode mode,
			 const json_t *value, const char **ret_why)
{
	const json_t *element;
	size_t i;

	if (!json_is_array(value))
		return mode == DECODE_LOOSE ? add_ports(builder, mode, value, ret_why) : -EINVAL;
	if (json_array_size(value) == 0) {
		*ret_why = "it is empty";
		return -EINVAL;
	}
	json_array_foreach (value, i, element) {
		int r = add_ports(builder, mode, element, ret_why);

		if (r < 0)
			return r;
	}
	return 0;
}

static int decode_ports(const struct field *field, enum decode_mode mode, const json_t *value,
			void *ret, const char **ret_why)
{
	struct portlist_builder *builder;
	int r;

	r = portlist_builder_new(&builder);
	if (r < 0)
		return r;
	r = collect_ports(builder, mode, value, ret_why);
	if (r < 0) {
		portlist_builder_free(builder);
		return r;
	}
	portlist_builder_finish(builder, member_of(field, ret));
	return 0;
}

static int decode_port_array(const struct field *field, const json_t *value, void *ret)
{
	_cleanup_(freep) uint16_t *ports = NULL;
	const json_t *element;
	size_t i;

	if (!json_is_array(value))
		return -EINVAL;
	ports = calloc(json_array_size(value) + 1, sizeof(*ports));
	if (!ports)
		return -ENOMEM;
	json_array_foreach (value, i, element) {
		json_int_t port = json_integer_value(element);

		if (port < PORT_MIN || port > PORT_MAX)
			return -EINVAL;
		ports[i] = (uint16_t)port;
	}
	*count_of(field, ret) = json_array_size(value);
	*(uint16_t **)member_of(field, ret) = steal(ports);
	return 0;
}

/* On failure what was decoded stays in the array, for schema_clear(). */
static int decode_object_array(const struct field *field, enum decode_mode mode,
			       const json_t *value, void *ret, struct error *ret_error)
{
	char *elements = calloc(json_array_size(value) + 1, field->element_size);
	const json_t *element;
	size_t i;

	if (!elements)
		return -ENOMEM;
	*(char **)member_of(field, ret) = elements;
	json_array_foreach (value, i, element) {
		int r;

		if (!json_is_object(element))
			return refuse(field, mode, element, NULL, ret_error);
		r = schema_decode(field->fields, element, mode, elements + i * field->element_size,
				  ret_error);
		if (r < 0)
			return r;
		*count_of(field, ret) = i + 1;
	}
	return 0;
}

static int decode_member(const struct field *field, enum decode_mode mode, const json_t *value,
			 void *ret, struct error *ret_error)
{
	const char *why = NULL;
	int r = -EINVAL;

	switch (field->type) {
	case FIELD_BOOL:
		r = json_is_boolean(value) ? 0 : -EINVAL;
		if (r == 0)
			*(bool *)member_of(field, ret) = json_is_true(value);
		break;
	case FIELD_INT:
		r = decode_int(field, value, ret);
		break;
	case FIELD_PORT:
		r = decode_port(field, mode, value, ret);
		break;
	case FIELD_ENUM:
		r = decode_enum(field, value, ret);
		break;
	case FIELD_ID:
		r = json_is_string(value) || json_is_number(value) || json_is_null(value) ? 0
											  : -EINVAL;
		if (r == 0)
			*(const json_t **)member_of(field, ret) = value;
		break;
	case FIELD_STRING:
	case FIELD_HOST:
	case FIELD_TEXT:
		r = decode_string(field, value, ret);
		break;
	case FIELD_PORTS:
		r = decode_ports(field, mode, value, ret, &why);
		break;
	case FIELD_PORT_ARRAY:
		r = decode_port_array(field, value, ret);
		break;
	case FIELD_OBJECT_ARRAY:
		if (json_is_array(value))
			return decode_object_array(field, mode, value, ret, ret_error);
		break;
	case FIELD_OBJECT:
		if (json_is_object(value))
			return schema_decode(field->fields, value, mode, member_of(field, ret),
					     ret_error);
		break;
	case FIELD_END:
		break;
	}
	return r == -EINVAL ? refuse(field, mode, value, why, ret_error) : r;
}

static const struct field *find_field(const struct field *fields, enum decode_mode mode,
				      const char *name)
{
	for (; fields->type != FIELD_END; fields++)
		if (strcmp(fields->name, name) == 0)
			return fields->flags & FIELD_LOOSE_ONLY && mode == DECODE_STRICT ? NULL
											 : fields;
	return NULL;
}

static int refuse_unknown(const struct field *fields, enum decode_mode mode, const char *name,
			  struct error *ret_error)
{
	_cleanup_(buffer_deinit) struct buffer known = { 0 };
	char quoted[QUOTED_MAX + 8];

	quote_text(quoted, name);
	for (const struct field *field = fields; field->type != FIELD_END; field++)
		if (find_field(fields, mode, field->name) &&
		    buffer_printf(&known, "%s %s", field == fields ? "" : ",", field->name) < 0)
			return -ENOMEM;
	error_set(ret_error, ERROR_INVALID_PARAMETER, json_pack("{ss}", "parameter", name),
		  "%s is not known here; %s%.*s", quoted,
		  buffer_size(&known) > 0 ? "known are" : "there are no parameters",
		  (int)buffer_size(&known), buffer_size(&known) > 0 ? buffer_data(&known) : "");
	return -EINVAL;
}

/* Fallbacks first: what is there overwrites them. */
static void set_fallbacks(const struct field *fields, void *ret)
{
	for (; fields->type != FIELD_END; fields++) {
		if (fields->type == FIELD_HOST)
			*(const char **)member_of(fields, ret) = HOST_DEFAULT;
		else if (fields->type == FIELD_INT || fields->type == FIELD_ENUM ||
			 fields->type == FIELD_PORT)
			store_int(fields, ret, fields->fallback);
		else if (fields->type == FIELD_OBJECT)
			set_fallbacks(fields->fields, member_of(fields, ret));
		else
			memset(member_of(fields, ret), 0, fields->size);
		if (fields->count_offset)
			*count_of(fields, ret) = 0;
	}
}

static int decode_all(const struct field *fields, const json_t *object, enum decode_mode mode,
		      void *ret, struct error *ret_error)
{
	const struct field *field;
	const char *name;
	json_t *value;
	int r;

	json_object_foreach ((json_t *)object, name, value) {
		field = find_field(fields, mode, name);
		if (!field && mode == DECODE_RESULT)
			continue;
		if (!field)
			return refuse_unknown(fields, mode, name, ret_error);
		if (json_is_null(value) && !(field->flags & FIELD_REQUIRED))
			continue;
		r = decode_member(field, mode, value, ret, ret_error);
		if (r < 0)
			return r;
	}
	for (field = fields; field->type != FIELD_END; field++)
		if (field->flags & FIELD_REQUIRED && !json_object_get(object, field->name))
			return refuse(field, mode, NULL, NULL, ret_error);
	return 0;
}

int schema_decode(const struct field *fields, const json_t *object, enum decode_mode mode,
		  void *ret, struct error *ret_error)
{
	int r;

	set_fallbacks(fields, ret);
	r = decode_all(fields, object, mode, ret, ret_error);
	if (r < 0)
		schema_clear(fields, ret);
	return r;
}

void schema_clear(const struct field *fields, void *decoded)
{
	for (; fields->type != FIELD_END; fields++) {
		if (fields->type == FIELD_OBJECT) {
			schema_clear(fields->fields, member_of(fields, decoded));
		} else if (fields->type == FIELD_PORTS) {
			portlist_deinit(member_of(fields, decoded));
		} else if (fields->type == FIELD_PORT_ARRAY) {
			uint16_t **ports = member_of(fields, decoded);

			free(*ports);
			*ports = NULL;
			*count_of(fields, decoded) = 0;
		} else if (fields->type == FIELD_OBJECT_ARRAY) {
			char **elements = member_of(fields, decoded);

			for (size_t i = 0; i < *count_of(fields, decoded); i++)
				schema_clear(fields->fields, *elements + i * fields->element_size);
			free(*elements);
			*elements = NULL;
			*count_of(fields, decoded) = 0;
		}
	}
}

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

/* An address of IPv6: whether it is one, the kernel's own parser says later. */
static bool is_address_character(char c)
{
	return is_name_character(c) || c == ':' || c == '%';
}

bool host_is_valid(const char *text)
{
	bool is_address = strchr(text, ':');
	size_t size = strlen(text);

	if (size < 1 || size > HOST_MAX)
		return false;
	for (size_t i = 0; i < size; i++)
		if (!(is_address ? is_address_character(text[i]) : is_name_character(text[i])))
			return false;
	return true;
}
