#include "frame.h"

#include <string.h>

void frame_reader_deinit(struct frame_reader *reader)
{
	buffer_deinit(&reader->input);
	reader->scanned = 0;
}

/*
 * The first LF or NUL of the input from `scanned` on, or its end. One pass that stops at the
 * first of the two: with two searches, lines that come in by the thousand would be searched to
 * the end for a NUL again and again. A NUL behind the contents makes that possible.
 */
static int find_ending(struct frame_reader *reader, size_t *ret_length)
{
	char *space;
	int r;

	r = buffer_reserve(&reader->input, 1, &space);
	if (r < 0)
		return r;
	*space = '\0';
	*ret_length = (size_t)(strchrnul(buffer_data(&reader->input) + reader->scanned, '\n') -
			       buffer_data(&reader->input));
	return 0;
}

/* Whether there is a message of `length` bytes, then in *ret_frame; an empty line is none. */
static bool take(const struct frame_reader *reader, size_t length, bool is_line,
		 struct frame *ret_frame)
{
	const char *data = buffer_data(&reader->input);

	if (is_line && length > 0 && data[length - 1] == '\r')
		length--;
	if (is_line && length == 0)
		return false;
	*ret_frame = (struct frame){ .data = data,
				     .size = length,
				     .framing = is_line ? FRAMING_LINE : FRAMING_NUL };
	return true;
}

int frame_reader_next(struct frame_reader *reader, size_t limit, bool at_end,
		      struct frame *ret_frame)
{
	while (buffer_size(&reader->input) > 0) {
		size_t size = buffer_size(&reader->input);
		size_t length;
		bool ended;
		int r;

		r = find_ending(reader, &length);
		if (r < 0)
			return r;
		ended = length < size;
		if (length > limit)
			return -EMSGSIZE;
		reader->scanned = length;
		if (!ended && !at_end)
			return 0;
		if (take(reader, length, !ended || buffer_data(&reader->input)[length] == '\n',
			 ret_frame))
			return 1;
		frame_reader_done(reader);
	}
	return 0;
}

void frame_reader_done(struct frame_reader *reader)
{
	size_t size = buffer_size(&reader->input);
	/* The ending goes too; a last message may have none. */
	size_t used = reader->scanned < size ? reader->scanned + 1 : size;

	buffer_consume(&reader->input, used);
	reader->scanned = 0;
}
