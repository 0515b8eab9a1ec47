/* Bytes to JSON, with our limits and our words for what is wrong. */

#include "message.h"

#include <string.h>

/* An integer of fewer digits fits into int64_t. */
#define DIGITS_SURE 19

/*
 * jansson's own limit of nesting is far above ours, and its parser recurses: so this is looked
 * at before. Returns the offset of the bracket that is one too many, or SIZE_MAX.
 */
static size_t find_too_deep(const char *data, size_t size)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		char c = data[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > NESTING_MAX)
				return i;
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return SIZE_MAX;
}

static void refuse_text(struct error *ret_error, int line, int column, const char *why)
{
	error_set(ret_error, ERROR_PARSE, json_pack("{si,si}", "line", line, "column", column),
		  "not JSON at line %d, column %d: %s", line, column, why);
}

static void refuse_depth(struct error *ret_error, const char *data, size_t offset)
{
	int line = 1, column = 1;

	for (size_t i = 0; i < offset; i++) {
		column = data[i] == '\n' ? 1 : column + 1;
		line += data[i] == '\n';
	}
	refuse_text(ret_error, line, column, "arrays and objects are nested more than 32 deep");
}

/* Appends the message with "e0" behind every integer that int64_t may not have room for. */
static int widen_integers(struct buffer *buffer, const char *data, size_t size)
{
	bool in_string = false;
	size_t digits = 0;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < size; i++) {
		char c = data[i];
		bool is_digit = !in_string && c >= '0' && c <= '9';

		if (digits >= DIGITS_SURE && !is_digit && !strchr(".eE", c))
			r = buffer_puts(buffer, "e0");
		digits = is_digit ? digits + 1 : 0;
		if (in_string && c == '\\' && i + 1 < size && r >= 0)
			r = buffer_put_char(buffer, data[i++]);
		else if (c == '"')
			in_string = !in_string;
		if (r >= 0)
			r = buffer_put_char(buffer, data[i]);
	}
	if (digits >= DIGITS_SURE && r >= 0)
		r = buffer_puts(buffer, "e0");
	return r;
}

/*
 * JSON has no largest integer, jansson has. A larger one is given to it as a real number, so that
 * the member is blamed by its name, with what is allowed, and not the text for not being JSON.
 */
static int load(json_t **ret_message, const char *data, size_t size, json_error_t *ret_error)
{
	static const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
	_cleanup_(buffer_deinit) struct buffer widened = { 0 };
	json_t *message = json_loadb(data, size, flags, ret_error);
	int r;

	if (!message && json_error_code(ret_error) == json_error_numeric_overflow) {
		r = widen_integers(&widened, data, size);
		if (r < 0)
			return r;
		/* If there is more amiss, what is said is still the first error, and its place. */
		message = json_loadb(buffer_data(&widened), buffer_size(&widened), flags, NULL);
	}
	/* Before its parser has begun, jansson says nothing when there is no memory. */
	if (!message &&
	    (json_error_code(ret_error) == json_error_out_of_memory || !*ret_error->text))
		return -ENOMEM;
	if (!message)
		return -EBADMSG;
	*ret_message = message;
	return 0;
}

int message_parse(json_t **ret_message, const char *data, size_t size, struct error *ret_error)
{
	json_error_t error;
	size_t offset;
	int r;

	offset = find_too_deep(data, size);
	if (offset != SIZE_MAX) {
		refuse_depth(ret_error, data, offset);
		return -EBADMSG;
	}
	r = load(ret_message, data, size, &error);
	if (r == -EBADMSG)
		/* jansson counts the columns from 0 where it stopped, and has none at the very end. */
		refuse_text(ret_error, error.line < 1 ? 1 : error.line,
			    error.column < 1 ? 1 : error.column, error.text);
	return r;
}
