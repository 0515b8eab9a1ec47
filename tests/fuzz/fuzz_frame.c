/*
 * The first byte says into what pieces the rest is cut, the second what a message may have. However
 * it is cut, the messages are those that a plain search of the whole finds.
 */

#include "frame.h"
#include "fuzz.h"
#include "protocol.h"

#include <string.h>

struct input {
	const char *data;
	size_t size, position;
};

enum outcome {
	MESSAGE,
	TOO_LARGE,
	NO_MORE,
};

/* The next message of the whole input, the slow and obvious way. */
static enum outcome next_of_whole(struct input *input, size_t limit, struct frame *ret_frame)
{
	while (input->position < input->size) {
		const char *start = input->data + input->position;
		size_t left = input->size - input->position, length = 0, blank = 0;
		enum framing framing;

		while (length < left && start[length] != '\n' && start[length] != '\0')
			length++;
		framing = length < left && start[length] == '\0' ? FRAMING_NUL : FRAMING_LINE;
		input->position += length < left ? length + 1 : length;
		if (framing == FRAMING_LINE && length > 0 && start[length - 1] == '\r')
			length--;
		if (length > limit)
			return TOO_LARGE;
		while (blank < length && strchr(" \t\r", start[blank]))
			blank++;
		if (framing == FRAMING_LINE && blank == length)
			continue;
		*ret_frame = (struct frame){ .data = start, .size = length, .framing = framing };
		return MESSAGE;
	}
	return NO_MORE;
}

/* Takes what is there and compares. Returns whether the stream goes on. */
static bool drain(struct frame_reader *reader, struct input *whole, size_t limit, bool at_end)
{
	struct frame found, expected;
	enum outcome outcome;
	int r;

	while ((r = frame_reader_next(reader, limit, at_end, &found)) == 1) {
		outcome = next_of_whole(whole, limit, &expected);
		must(outcome == MESSAGE);
		must(found.size == expected.size);
		must(found.framing == expected.framing);
		must(memcmp(found.data, expected.data, found.size) == 0);
		frame_reader_done(reader);
	}
	must(r == 0 || r == -EMSGSIZE);
	if (r == -EMSGSIZE || at_end) {
		outcome = next_of_whole(whole, limit, &expected);
		must(outcome == (r == 0 ? NO_MORE : TOO_LARGE));
	}
	return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader reader = { 0 };
	struct input whole;
	uint32_t state;
	size_t limit, fed = 0;
	bool goes_on = true;

	if (size < 2)
		return 0;
	state = data[0];
	limit = data[1] ? data[1] : MESSAGE_MAX;
	whole = (struct input){ .data = (const char *)data + 2, .size = size - 2 };
	while (goes_on && fed < whole.size) {
		size_t piece = 1 + (state >> 16) % (data[0] + 1u);

		state = state * 1103515245 + 12345;
		if (piece > whole.size - fed)
			piece = whole.size - fed;
		must(buffer_put(&reader.input, whole.data + fed, piece) == 0);
		fed += piece;
		goes_on = drain(&reader, &whole, limit, false);
	}
	if (goes_on)
		drain(&reader, &whole, limit, true);
	frame_reader_deinit(&reader);
	return 0;
}
