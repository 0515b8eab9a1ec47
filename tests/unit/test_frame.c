#include "frame.h"
#include "unit.h"

static void feed(struct frame_reader *reader, const char *data, size_t size)
{
	ck_assert_int_eq(buffer_put(&reader->input, data, size), 0);
}

static void assert_next(struct frame_reader *reader, bool at_end, const char *text,
			enum framing framing)
{
	struct frame frame;

	ck_assert_int_eq(frame_reader_next(reader, MESSAGE_MAX, at_end, &frame), 1);
	ck_assert_uint_eq(frame.size, strlen(text));
	ck_assert_mem_eq(frame.data, text, frame.size);
	ck_assert_int_eq(frame.framing, framing);
	frame_reader_done(reader);
}

static void assert_none(struct frame_reader *reader, bool at_end)
{
	struct frame frame;

	ck_assert_int_eq(frame_reader_next(reader, MESSAGE_MAX, at_end, &frame), 0);
}

static const char mixed[] = "{\"a\":1}\n{\"b\":2}\0\r\n\n4711\n{\"c\":3}\r\n\0{\"d\"\r:4}\0last";

static const struct {
	const char *text;
	enum framing framing;
} mixed_frames[] = {
	{ "{\"a\":1}", FRAMING_LINE }, { "{\"b\":2}", FRAMING_NUL }, { "4711", FRAMING_LINE },
	{ "{\"c\":3}", FRAMING_LINE }, { "", FRAMING_NUL },          { "{\"d\"\r:4}", FRAMING_NUL },
	{ "last", FRAMING_LINE },
};

/* Takes the frames that are there; `*seen` is how many there were. */
static void drain(struct frame_reader *reader, bool at_end, size_t *seen)
{
	struct frame frame;
	int r;

	while ((r = frame_reader_next(reader, MESSAGE_MAX, at_end, &frame)) == 1) {
		ck_assert_uint_lt(*seen, ARRAY_SIZE(mixed_frames));
		ck_assert_uint_eq(frame.size, strlen(mixed_frames[*seen].text));
		ck_assert_mem_eq(frame.data, mixed_frames[*seen].text, frame.size);
		ck_assert_int_eq(frame.framing, mixed_frames[*seen].framing);
		(*seen)++;
		frame_reader_done(reader);
	}
	ck_assert_int_eq(r, 0);
}

START_TEST(any_two_splits_give_the_same_messages)
{
	size_t size = sizeof(mixed) - 1;

	for (size_t first = 0; first <= size; first++) {
		for (size_t second = first; second <= size; second++) {
			struct frame_reader reader = { 0 };
			size_t seen = 0;

			feed(&reader, mixed, first);
			drain(&reader, false, &seen);
			feed(&reader, mixed + first, second - first);
			drain(&reader, false, &seen);
			feed(&reader, mixed + second, size - second);
			drain(&reader, false, &seen);
			ck_assert_uint_eq(seen, ARRAY_SIZE(mixed_frames) - 1);
			drain(&reader, true, &seen);
			ck_assert_uint_eq(seen, ARRAY_SIZE(mixed_frames));
			frame_reader_deinit(&reader);
		}
	}
}
END_TEST

START_TEST(byte_by_byte)
{
	struct frame_reader reader = { 0 };
	size_t seen = 0;

	for (size_t i = 0; i < sizeof(mixed) - 1; i++) {
		feed(&reader, mixed + i, 1);
		drain(&reader, false, &seen);
	}
	drain(&reader, true, &seen);
	ck_assert_uint_eq(seen, ARRAY_SIZE(mixed_frames));
	frame_reader_deinit(&reader);
}
END_TEST

START_TEST(a_message_stays_until_it_is_done_with)
{
	struct frame_reader reader = { 0 };
	struct frame frame;

	feed(&reader, "one\ntwo\n", 8);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(frame_reader_next(&reader, MESSAGE_MAX, false, &frame), 1);
		ck_assert_uint_eq(frame.size, 3);
		ck_assert_mem_eq(frame.data, "one", 3);
	}
	frame_reader_done(&reader);
	assert_next(&reader, false, "two", FRAMING_LINE);
	assert_none(&reader, false);
	frame_reader_deinit(&reader);
}
END_TEST

START_TEST(a_carriage_return_before_the_line_feed_is_part_of_the_ending)
{
	struct frame_reader reader = { 0 };
	static const char input[] = "a\r\nb\r\r\nc\rd\n\r\n\r\r\ne\r\0";

	feed(&reader, input, sizeof(input) - 1);
	assert_next(&reader, false, "a", FRAMING_LINE);
	assert_next(&reader, false, "b\r", FRAMING_LINE);
	assert_next(&reader, false, "c\rd", FRAMING_LINE);
	assert_next(&reader, false, "e\r", FRAMING_NUL);
	assert_none(&reader, true);
	frame_reader_deinit(&reader);
}
END_TEST

START_TEST(blank_lines_are_passed_over_and_blank_nul_messages_are_not)
{
	struct frame_reader reader = { 0 };

	feed(&reader, "\n\n\r\n \t\r\n\0 \0\n \n 1\n\t", 18);
	assert_next(&reader, false, "", FRAMING_NUL);
	assert_next(&reader, false, " ", FRAMING_NUL);
	assert_next(&reader, false, " 1", FRAMING_LINE);
	assert_none(&reader, false);
	assert_none(&reader, true);
	ck_assert_uint_eq(buffer_size(&reader.input), 0);
	frame_reader_deinit(&reader);
}
END_TEST

START_TEST(the_last_message_needs_no_ending)
{
	struct frame_reader reader = { 0 };

	feed(&reader, "4711", 4);
	assert_none(&reader, false);
	assert_next(&reader, true, "4711", FRAMING_LINE);
	assert_none(&reader, true);

	feed(&reader, "last\r", 5);
	assert_none(&reader, false);
	assert_next(&reader, true, "last", FRAMING_LINE);
	assert_none(&reader, true);

	feed(&reader, "\r", 1);
	assert_none(&reader, true);
	frame_reader_deinit(&reader);
}
END_TEST

/* What the reader says of `size` bytes and `ending`. */
static int next_of_size(size_t size, const char *ending, size_t ending_size, bool at_end)
{
	struct frame_reader reader = { 0 };
	struct frame frame;
	char *space;
	int r;

	ck_assert_int_eq(buffer_reserve(&reader.input, size, &space), 0);
	memset(space, 'x', size);
	buffer_added(&reader.input, size);
	feed(&reader, ending, ending_size);
	r = frame_reader_next(&reader, MESSAGE_MAX, at_end, &frame);
	if (r == 1)
		ck_assert_uint_eq(frame.size, size);
	frame_reader_deinit(&reader);
	return r;
}

START_TEST(the_limit_is_exact)
{
	ck_assert_uint_eq(MESSAGE_MAX, 131072);
	ck_assert_int_eq(next_of_size(131072, "\n", 1, false), 1);
	ck_assert_int_eq(next_of_size(131072, "\0", 1, false), 1);
	ck_assert_int_eq(next_of_size(131072, "", 0, true), 1);
	ck_assert_int_eq(next_of_size(131072, "", 0, false), 0);
	ck_assert_int_eq(next_of_size(131073, "\n", 1, false), -EMSGSIZE);
	ck_assert_int_eq(next_of_size(131073, "\0", 1, false), -EMSGSIZE);
	ck_assert_int_eq(next_of_size(131073, "", 0, false), -EMSGSIZE);
	ck_assert_int_eq(next_of_size(131073, "", 0, true), -EMSGSIZE);
}
END_TEST

START_TEST(the_limit_does_not_count_the_carriage_return)
{
	ck_assert_int_eq(next_of_size(131072, "\r\n", 2, false), 1);
	ck_assert_int_eq(next_of_size(131072, "\r", 1, true), 1);
	ck_assert_int_eq(next_of_size(131072, "\r", 1, false), 0);
	ck_assert_int_eq(next_of_size(131072, "\r\0", 2, false), -EMSGSIZE);
	ck_assert_int_eq(next_of_size(131072, "\r\r", 2, false), -EMSGSIZE);
	ck_assert_int_eq(next_of_size(131073, "\r\n", 2, false), -EMSGSIZE);
}
END_TEST

START_TEST(a_message_that_is_too_large_stays_too_large)
{
	struct frame_reader reader = { 0 };
	struct frame frame;

	feed(&reader, "abc\nabcd\n", 9);
	ck_assert_int_eq(frame_reader_next(&reader, 3, false, &frame), 1);
	frame_reader_done(&reader);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(frame_reader_next(&reader, 3, false, &frame), -EMSGSIZE);
	frame_reader_deinit(&reader);
}
END_TEST

START_TEST(the_limit_is_one_message_s_not_the_input_s)
{
	struct frame_reader reader = { 0 };
	struct frame frame;

	for (int i = 0; i < 1000; i++)
		feed(&reader, "12345678\n", 9);
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(frame_reader_next(&reader, 8, false, &frame), 1);
		ck_assert_uint_eq(frame.size, 8);
		frame_reader_done(&reader);
	}
	ck_assert_int_eq(frame_reader_next(&reader, 8, false, &frame), 0);
	frame_reader_deinit(&reader);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		any_two_splits_give_the_same_messages,
		byte_by_byte,
		a_message_stays_until_it_is_done_with,
		a_carriage_return_before_the_line_feed_is_part_of_the_ending,
		blank_lines_are_passed_over_and_blank_nul_messages_are_not,
		the_last_message_needs_no_ending,
		the_limit_is_exact,
		the_limit_does_not_count_the_carriage_return,
		a_message_that_is_too_large_stays_too_large,
		the_limit_is_one_message_s_not_the_input_s,
		NULL,
	};

	return unit_run("frame", tests, NULL);
}
