#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CAPACITY_MIN 256

void buffer_deinit(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){ 0 };
}

int buffer_reserve(struct buffer *buffer, size_t size, char **ret_space)
{
	size_t used = buffer_size(buffer);

	/* Moved only once more was taken than is left: so every byte is moved once or so in all. */
	if (buffer->capacity - buffer->end < size && buffer->start > used) {
		memmove(buffer->data, buffer_data(buffer), used);
		buffer->start = 0;
		buffer->end = used;
	}
	if (buffer->capacity - buffer->end < size) {
		size_t capacity = buffer->capacity * 2;
		char *data;

		/* One byte more, for who wants to end the contents with a NUL. */
		if (capacity < buffer->end + size + 1)
			capacity = buffer->end + size + 1;
		if (capacity < CAPACITY_MIN)
			capacity = CAPACITY_MIN;
		data = realloc(buffer->data, capacity);
		if (!data)
			return -ENOMEM;
		buffer->data = data;
		buffer->capacity = capacity;
	}

	*ret_space = buffer->data + buffer->end;
	return 0;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
	buffer->start += size;
	if (buffer->start == buffer->end)
		buffer_deinit(buffer);
}

int buffer_put(struct buffer *buffer, const void *data, size_t size)
{
	char *space;
	int r;

	if (size == 0)
		return 0;
	r = buffer_reserve(buffer, size, &space);
	if (r < 0)
		return r;
	memcpy(space, data, size);
	buffer_added(buffer, size);
	return 0;
}

int buffer_puts(struct buffer *buffer, const char *string)
{
	return buffer_put(buffer, string, strlen(string));
}

int buffer_put_char(struct buffer *buffer, char c)
{
	return buffer_put(buffer, &c, 1);
}

int buffer_put_int(struct buffer *buffer, int64_t value)
{
	char digits[24];
	char *first = digits + sizeof(digits);
	/* Counted down in the unsigned type, which has room for -INT64_MIN. */
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do {
		*--first = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (value < 0)
		*--first = '-';
	return buffer_put(buffer, first, (size_t)(digits + sizeof(digits) - first));
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list arguments;
	char *space;
	int size, r;

	va_start(arguments, format);
	size = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (size < 0)
		return -EINVAL;

	r = buffer_reserve(buffer, (size_t)size + 1, &space);
	if (r < 0)
		return r;
	va_start(arguments, format);
	vsnprintf(space, (size_t)size + 1, format, arguments);
	va_end(arguments);
	buffer_added(buffer, (size_t)size);
	return 0;
}
