/* buffer.h: bytes that grow at the end and are taken from the front. All zeroes is an empty one. */

#pragma once

#include "util.h"

#include <stdint.h>

struct buffer {
	char *data;
	size_t start, end, capacity;
};

/* Frees the memory; the buffer is empty and may be used again. */
void buffer_deinit(struct buffer *buffer);

static inline size_t buffer_size(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

static inline char *buffer_data(const struct buffer *buffer)
{
	return buffer->data + buffer->start;
}

/*
 * Makes room for `size` bytes behind the contents; 0 or -ENOMEM. The caller writes them at
 * *ret_space and says with buffer_added() how many there are.
 */
int buffer_reserve(struct buffer *buffer, size_t size, char **ret_space);

static inline void buffer_added(struct buffer *buffer, size_t size)
{
	buffer->end += size;
}

/* Takes `size` bytes from the front. A buffer that runs empty gives its memory back. */
void buffer_consume(struct buffer *buffer, size_t size);

/* Cuts the contents back to the first `size` bytes: what was appended since is forgotten. */
static inline void buffer_truncate(struct buffer *buffer, size_t size)
{
	buffer->end = buffer->start + size;
}

/* These append; 0 or -ENOMEM, and then nothing was appended. */
int buffer_put(struct buffer *buffer, const void *data, size_t size);
int buffer_puts(struct buffer *buffer, const char *string);
int buffer_put_char(struct buffer *buffer, char c);
int buffer_put_int(struct buffer *buffer, int64_t value);
int buffer_printf(struct buffer *buffer, const char *format, ...) _printf_(2, 3);
