#include "buffer.h"
#include "unit.h"

#include <stdint.h>

static void assert_holds(const struct buffer *buffer, const char *text)
{
	ck_assert_uint_eq(buffer_size(buffer), strlen(text));
	if (*text)
		ck_assert_mem_eq(buffer_data(buffer), text, strlen(text));
}

START_TEST(what_is_put_comes_out_in_order)
{
	struct buffer buffer = { 0 };

	assert_holds(&buffer, "");
	ck_assert_int_eq(buffer_put(&buffer, "one", 3), 0);
	ck_assert_int_eq(buffer_puts(&buffer, " two"), 0);
	ck_assert_int_eq(buffer_put_char(&buffer, '!'), 0);
	ck_assert_int_eq(buffer_printf(&buffer, " %s=%d", "three", 3), 0);
	assert_holds(&buffer, "one two! three=3");
	ck_assert_int_eq(buffer_put(&buffer, NULL, 0), 0);
	ck_assert_int_eq(buffer_puts(&buffer, ""), 0);
	assert_holds(&buffer, "one two! three=3");
	buffer_deinit(&buffer);
	assert_holds(&buffer, "");
	ck_assert_int_eq(buffer_puts(&buffer, "again"), 0);
	assert_holds(&buffer, "again");
	buffer_deinit(&buffer);
}
END_TEST

START_TEST(integers_are_written_to_both_ends_of_their_range)
{
	static const struct {
		int64_t value;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 7, "7" },
		{ -1, "-1" },
		{ 10, "10" },
		{ 65535, "65535" },
		{ INT64_MAX, "9223372036854775807" },
		{ INT64_MIN, "-9223372036854775808" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buffer buffer = { 0 };

		ck_assert_int_eq(buffer_put_int(&buffer, cases[i].value), 0);
		assert_holds(&buffer, cases[i].text);
		buffer_deinit(&buffer);
	}
}
END_TEST

START_TEST(taken_from_the_front_and_cut_at_the_end)
{
	struct buffer buffer = { 0 };

	ck_assert_int_eq(buffer_puts(&buffer, "0123456789"), 0);
	buffer_consume(&buffer, 3);
	assert_holds(&buffer, "3456789");
	buffer_truncate(&buffer, 4);
	assert_holds(&buffer, "3456");
	ck_assert_int_eq(buffer_puts(&buffer, "x"), 0);
	assert_holds(&buffer, "3456x");
	buffer_consume(&buffer, 5);
	assert_holds(&buffer, "");
	buffer_consume(&buffer, 0);
	assert_holds(&buffer, "");
}
END_TEST

START_TEST(an_empty_buffer_keeps_no_memory)
{
	struct buffer buffer = { 0 };

	ck_assert_int_eq(buffer_puts(&buffer, "something"), 0);
	ck_assert_ptr_nonnull(buffer.data);
	buffer_consume(&buffer, 9);
	ck_assert_ptr_null(buffer.data);
	ck_assert_uint_eq(buffer.capacity, 0);
}
END_TEST

START_TEST(reserved_space_is_behind_the_contents)
{
	struct buffer buffer = { 0 };
	char *space;

	ck_assert_int_eq(buffer_puts(&buffer, "head "), 0);
	ck_assert_int_eq(buffer_reserve(&buffer, 100000, &space), 0);
	ck_assert_ptr_eq(space, buffer_data(&buffer) + 5);
	memset(space, 'x', 100000);
	assert_holds(&buffer, "head ");
	buffer_added(&buffer, 2);
	assert_holds(&buffer, "head xx");
	buffer_deinit(&buffer);
}
END_TEST

START_TEST(too_much_is_refused_and_nothing_changes)
{
	struct buffer buffer = { 0 };
	char *space = NULL;

	ck_assert_int_eq(buffer_puts(&buffer, "kept"), 0);
	ck_assert_int_eq(buffer_reserve(&buffer, SIZE_MAX / 2 - 64, &space), -ENOMEM);
	ck_assert_ptr_null(space);
	assert_holds(&buffer, "kept");
	buffer_deinit(&buffer);
}
END_TEST

/* A queue that is never empty: what goes through it must come out, and its memory stay bounded. */
START_TEST(a_queue_that_is_never_empty_stays_small)
{
	struct buffer buffer = { 0 };
	uint32_t put = 0, taken = 0;

	for (int turn = 0; turn < 3000; turn++) {
		for (int i = 0; i < 7; i++, put++)
			ck_assert_int_eq(buffer_put(&buffer, &put, sizeof(put)), 0);
		while (buffer_size(&buffer) > 100 * sizeof(put)) {
			uint32_t value;

			memcpy(&value, buffer_data(&buffer), sizeof(value));
			ck_assert_uint_eq(value, taken++);
			buffer_consume(&buffer, sizeof(value));
		}
	}
	ck_assert_uint_eq(put - taken, 100);
	ck_assert_uint_le(buffer.capacity, 4096);
	buffer_deinit(&buffer);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		what_is_put_comes_out_in_order,
		integers_are_written_to_both_ends_of_their_range,
		taken_from_the_front_and_cut_at_the_end,
		an_empty_buffer_keeps_no_memory,
		reserved_space_is_behind_the_contents,
		too_much_is_refused_and_nothing_changes,
		a_queue_that_is_never_empty_stays_small,
		NULL,
	};

	return unit_run("buffer", tests, NULL);
}
