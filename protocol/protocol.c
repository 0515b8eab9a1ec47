#include "protocol.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	enum error_code code;
	const char *interface;
	const char *name;
} errors[] = {
	{ ERROR_PARSE, PROTOCOL_SERVICE, "ParseError" },
	{ ERROR_INVALID_REQUEST, PROTOCOL_SERVICE, "InvalidRequest" },
	{ ERROR_METHOD_NOT_FOUND, PROTOCOL_SERVICE, "MethodNotFound" },
	{ ERROR_INVALID_PARAMETER, PROTOCOL_SERVICE, "InvalidParameter" },
	{ ERROR_INTERFACE_NOT_FOUND, PROTOCOL_SERVICE, "InterfaceNotFound" },
	{ ERROR_UNREACHABLE, PROTOCOL_INTERFACE, "Unreachable" },
	{ ERROR_NAME_NOT_FOUND, PROTOCOL_INTERFACE, "NameNotFound" },
	{ ERROR_RESOURCES_EXHAUSTED, PROTOCOL_INTERFACE, "ResourcesExhausted" },
	{ ERROR_QUOTA_EXCEEDED, PROTOCOL_INTERFACE, "QuotaExceeded" },
	{ ERROR_TARGET_DENIED, PROTOCOL_INTERFACE, "TargetDenied" },
	{ ERROR_PERMISSION_DENIED, PROTOCOL_INTERFACE, "PermissionDenied" },
	{ ERROR_DEADLINE_EXCEEDED, PROTOCOL_INTERFACE, "DeadlineExceeded" },
	{ ERROR_NO_PORT_AVAILABLE, PROTOCOL_INTERFACE, "NoPortAvailable" },
	{ ERROR_NO_SUCH_LEASE, PROTOCOL_INTERFACE, "NoSuchLease" },
	{ ERROR_NOT_SUPPORTED, PROTOCOL_INTERFACE, "NotSupported" },
	{ ERROR_CANCELLED, PROTOCOL_INTERFACE, "Cancelled" },
	{ ERROR_SHUTTING_DOWN, PROTOCOL_INTERFACE, "ShuttingDown" },
	{ ERROR_MESSAGE_TOO_LARGE, PROTOCOL_INTERFACE, "MessageTooLarge" },
	{ ERROR_INTERNAL, PROTOCOL_INTERFACE, "Internal" },
};

const char *error_name(enum error_code code)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].code == code)
			return errors[i].name;
	return NULL;
}

static_assert(ARRAY_SIZE(errors) <= ERRORS_MAX, "counters for all errors");

size_t error_index(enum error_code code)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(errors) - 1 && errors[i].code != code)
		i++;
	return i;
}

const char *error_name_at(size_t index)
{
	return index < ARRAY_SIZE(errors) ? errors[index].name : NULL;
}

const char *error_interface(enum error_code code)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].code == code)
			return errors[i].interface;
	return PROTOCOL_INTERFACE;
}

/* What is not UTF-8 can't be sent as JSON, and an answer must not fail for its wording. */
static void make_sendable(char *message)
{
	json_t *value = json_string(message);

	if (!value)
		for (; *message; message++)
			if (*message & '\x80')
				*message = '?';
	json_decref(value);
}

void error_set(struct error *ret_error, enum error_code code, json_t *members, const char *format,
	       ...)
{
	va_list arguments;

	error_deinit(ret_error);
	ret_error->code = code;
	ret_error->members = members;
	va_start(arguments, format);
	vsnprintf(ret_error->message, sizeof(ret_error->message), format, arguments);
	va_end(arguments);
	make_sendable(ret_error->message);
}

void error_deinit(struct error *error)
{
	json_decref(error->members);
	*error = (struct error){ 0 };
}

struct quote {
	char *text;
	size_t used;
};

static int put_quoted(const char *chunk, size_t size, void *userdata)
{
	struct quote *quote = userdata;
	size_t room = QUOTED_MAX - quote->used;
	size_t fits = size < room ? size : room;

	memcpy(quote->text + quote->used, chunk, fits);
	quote->used += fits;
	/* Whatever is left of the value, a sentence has no room for it. */
	return fits < size ? -1 : 0;
}

void quote_json(char ret_text[QUOTED_MAX + 8], const json_t *value)
{
	struct quote quote = { .text = ret_text };
	int r = json_dump_callback(value, put_quoted, &quote,
				   JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);

	strcpy(ret_text + quote.used, r < 0 ? "..." : "");
}

void quote_text(char ret_text[QUOTED_MAX + 8], const char *text)
{
	json_t *value = json_string(text);

	quote_json(ret_text, value);
	json_decref(value);
}
