/*
 * frame.h: bytes to messages. A message ends with LF or with NUL, and which of them it is names
 * its dialect; see README.md, "Three dialects on one socket". Pure: bytes come from outside.
 */

#pragma once

#include "buffer.h"

#include <stdbool.h>

/* Bytes of the longest ending, CR LF. */
#define FRAME_ENDING_MAX 2u

enum framing {
	FRAMING_LINE,
	FRAMING_NUL,
};

/* What of the input is not yet taken as messages. All zeroes is an empty one. */
struct frame_reader {
	struct buffer input;
	/* So many bytes of the input are known to hold no ending. */
	size_t scanned;
};

struct frame {
	const char *data;
	size_t size;
	enum framing framing;
};

void frame_reader_deinit(struct frame_reader *reader);

/*
 * The next message, without its ending (and without the CR before LF); blank lines are passed
 * over. With `at_end` nothing more will come, and bytes without an ending are a line. `limit`
 * is what one message may have, in bytes.
 * Returns 1 and *ret_frame, which points into the reader and is good until frame_reader_done();
 * 0 if more input is needed; -EMSGSIZE if the message is too large.
 */
int frame_reader_next(struct frame_reader *reader, size_t limit, bool at_end,
		      struct frame *ret_frame);

/* Forgets the bytes of the message that frame_reader_next() returned. */
void frame_reader_done(struct frame_reader *reader);
