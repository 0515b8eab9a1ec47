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

/* Nothing but what may stand around JSON. */
static bool is_blank(const char *data, size_t size)
{
	size_t i = 0;

	while (i < size && (data[i] == ' ' || data[i] == '\t' || data[i] == '\r'))
		i++;
	return i == size;
}

int frame_reader_next(struct frame_reader *reader, size_t limit, bool at_end,
		      struct frame *ret_frame)
{
	while (buffer_size(&reader->input) > 0) {
		size_t length, content;
		bool is_ended, is_nul;
		const char *data;
		int r;

		r = find_ending(reader, &length);
		if (r < 0)
			return r;
		data = buffer_data(&reader->input);
		is_ended = length < buffer_size(&reader->input);
		is_nul = is_ended && data[length] == '\0';
		/* Where there is no ending yet, a last CR may be the beginning of one. */
		content = !is_nul && length > 0 && data[length - 1] == '\r' ? length - 1 : length;
		if (content > limit)
			return -EMSGSIZE;
		reader->scanned = length;
		if (!is_ended && !at_end)
			return 0;
		if (is_nul || !is_blank(data, content)) {
			*ret_frame =
				(struct frame){ .data = data,
						.size = content,
						.framing = is_nul ? FRAMING_NUL : FRAMING_LINE };
			return 1;
		}
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
