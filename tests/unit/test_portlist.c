#include "portlist.h"
#include "unit.h"

#include <stdio.h>
#include <time.h>

static struct portlist parse(const char *text)
{
	struct portlist list = { 0 };
	const char *why = "nothing";
	int r = portlist_parse(&list, text, &why);

	ck_assert_msg(r == 0, "\"%s\" is refused: %s", text, why);
	return list;
}

/* Asserts the ranges as they are kept, in order, and that the count is theirs. */
static void assert_list(const struct portlist *list, const char *ranges)
{
	char text[1024] = "";
	size_t used = 0, n_ports = 0;

	for (size_t i = 0; i < list->n_ranges; i++) {
		const struct port_range *range = &list->ranges[i];

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%d-%d",
					 i > 0 ? "," : "", range->first, range->last);
		ck_assert_uint_lt(used, sizeof(text));
		n_ports += (size_t)(range->last - range->first + 1);
	}
	ck_assert_str_eq(text, ranges);
	ck_assert_uint_eq(list->n_ports, n_ports);
}

static void assert_parsed(const char *text, const char *ranges)
{
	struct portlist list = parse(text);

	assert_list(&list, ranges);
	portlist_deinit(&list);
}

static void assert_refused(const char *text, const char *expected)
{
	struct portlist list = { 0 };
	const char *why = NULL;

	ck_assert_msg(portlist_parse(&list, text, &why) == -EINVAL, "\"%s\" is accepted", text);
	ck_assert_str_eq(why, expected);
	ck_assert_ptr_null(list.ranges);
}

START_TEST(a_port_is_digits_and_nothing_else)
{
	static const char *const refused[] = { "",    " 80", "80 ",  "80x",  "x80", "1e2", "+80",
					       "-80", "8 0", "0x50", "80.0", "80,", "\t80" };
	static const char *const no_port[] = { "0",
					       "00",
					       "65536",
					       "99999",
					       "4294967376",
					       "18446744073709551696",
					       "100000000000000000000000" };
	uint16_t port = 7;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		ck_assert_int_eq(port_parse(refused[i], strlen(refused[i]), &port), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(no_port); i++)
		ck_assert_int_eq(port_parse(no_port[i], strlen(no_port[i]), &port), -ERANGE);
	ck_assert_int_eq(port_parse("80\0", 3, &port), -EINVAL);
	ck_assert_uint_eq(port, 7);
}
END_TEST

START_TEST(a_port_may_have_leading_zeroes)
{
	static const struct {
		const char *text;
		uint16_t port;
	} cases[] = {
		{ "1", 1 },
		{ "65535", 65535 },
		{ "00080", 80 },
		{ "00000000000000000000443", 443 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint16_t port = 0;

		ck_assert_int_eq(port_parse(cases[i].text, strlen(cases[i].text), &port), 0);
		ck_assert_uint_eq(port, cases[i].port);
	}
}
END_TEST

START_TEST(a_list_keeps_its_order)
{
	assert_parsed("80", "80-80");
	assert_parsed("3000-3010,8080", "3000-3010,8080-8080");
	assert_parsed("8080,3000-3010", "8080-8080,3000-3010");
	assert_parsed("3000,3002,2999", "3000-3000,3002-3002,2999-2999");
	assert_parsed("00080-00081", "80-81");
}
END_TEST

START_TEST(a_reversed_range_is_turned_round)
{
	assert_parsed("3010-3000", "3000-3010");
	assert_parsed("65535-1", "1-65535");
	assert_parsed("5-5", "5-5");
}
END_TEST

START_TEST(an_open_range_goes_to_the_end)
{
	assert_parsed("3000-", "3000-65535");
	assert_parsed("65535-", "65535-65535");
	assert_parsed("1-", "1-65535");
	assert_parsed("65000-,80", "65000-65535,80-80");
}
END_TEST

START_TEST(a_port_counts_once_where_it_came_first)
{
	assert_parsed("80,80,80", "80-80");
	assert_parsed("85,80-90", "85-85,80-84,86-90");
	assert_parsed("80-90,85,91", "80-91");
	assert_parsed("2,4,6,1-7", "2-2,4-4,6-6,1-1,3-3,5-5,7-7");
	assert_parsed("1-65535,1-", "1-65535");
	assert_parsed("64,128,1-192", "64-64,128-128,1-63,65-127,129-192");
	assert_parsed("63-64,1-129", "63-64,1-62,65-129");
}
END_TEST

START_TEST(neighbours_are_one_range_only_in_their_order)
{
	assert_parsed("1,2,3", "1-3");
	assert_parsed("3,2,1", "3-3,2-2,1-1");
	assert_parsed("10-20,21-30", "10-30");
}
END_TEST

START_TEST(ranges_that_lie_over_each_other_take_no_time)
{
	static char text[MESSAGE_MAX];
	struct portlist list;
	clock_t before = clock();

	for (size_t i = 0; i + 3 < sizeof(text); i += 3)
		memcpy(text + i, "2-,", 4);
	text[strlen(text) - 1] = '\0';
	list = parse(text);
	assert_list(&list, "2-65535");
	portlist_deinit(&list);
	/* Port by port it takes seconds; like this, two milliseconds. */
	ck_assert_int_lt((clock() - before) * 1000 / CLOCKS_PER_SEC, 300);
}
END_TEST

START_TEST(any_lists_are_as_if_taken_port_by_port)
{
	srandom(1);
	for (int turn = 0; turn < 400; turn++) {
		struct portlist_builder *builder;
		struct portlist_cursor cursor = { 0 };
		static bool seen[PORT_MAX + 1];
		static uint16_t expected[PORT_MAX];
		size_t n_expected = 0, n_found = 0;
		struct portlist list;

		memset(seen, 0, sizeof(seen));
		ck_assert_int_eq(portlist_builder_new(&builder), 0);
		for (int i = 0; i < 8; i++) {
			uint16_t span = (uint16_t)(turn % 4 ? 200 : PORT_MAX);
			uint16_t first = (uint16_t)(1 + random() % span);
			uint16_t last = (uint16_t)(1 + random() % span);

			ck_assert_int_eq(portlist_builder_add(builder, first, last), 0);
			for (unsigned port = first < last ? first : last;
			     port <= (first < last ? last : first); port++) {
				if (!seen[port])
					expected[n_expected++] = (uint16_t)port;
				seen[port] = true;
			}
		}
		portlist_builder_finish(builder, &list);
		ck_assert_uint_eq(list.n_ports, n_expected);
		while (n_found < n_expected && portlist_next(&list, &cursor) == expected[n_found])
			n_found++;
		ck_assert_uint_eq(n_found, n_expected);
		ck_assert_uint_eq(portlist_next(&list, &cursor), 0);
		portlist_deinit(&list);
	}
}
END_TEST

START_TEST(what_is_no_list_is_refused_with_the_reason)
{
	static const char digits[] = "a port is digits and nothing else";
	static const char range[] = "ports are 1-65535";
	static const char missing[] = "a port is missing";

	assert_refused("", missing);
	assert_refused(",", missing);
	assert_refused("80,", missing);
	assert_refused(",80", missing);
	assert_refused("80,,81", missing);
	assert_refused("-80", "a range needs its first port, as in 1-1023");
	assert_refused("-", "a range needs its first port, as in 1-1023");
	assert_refused("80,-90", "a range needs its first port, as in 1-1023");
	assert_refused(" 80", digits);
	assert_refused("80 ", digits);
	assert_refused("80, 81", digits);
	assert_refused("80x", digits);
	assert_refused("1e2", digits);
	assert_refused("80 - 90", digits);
	assert_refused("80--90", digits);
	assert_refused("80-90-100", digits);
	assert_refused("80;81", digits);
	assert_refused("0", range);
	assert_refused("65536", range);
	assert_refused("0-80", range);
	assert_refused("80-0", range);
	assert_refused("1-65536", range);
	assert_refused("99999999999999999999999999", range);
}
END_TEST

START_TEST(a_list_comes_together_from_pieces)
{
	struct portlist_builder *builder;
	struct portlist list;
	const char *why = NULL;

	ck_assert_int_eq(portlist_builder_new(&builder), 0);
	ck_assert_int_eq(portlist_builder_add(builder, 8080, 8080), 0);
	ck_assert_int_eq(portlist_builder_parse(builder, "22,8079-8081xyz", 12, &why), 0);
	ck_assert_int_eq(portlist_builder_add(builder, 90, 80), 0);
	portlist_builder_finish(builder, &list);
	assert_list(&list, "8080-8080,22-22,8079-8079,8081-8081,80-90");
	portlist_deinit(&list);
	portlist_builder_free(NULL);
}
END_TEST

START_TEST(exclusion_keeps_the_order_of_the_rest)
{
	static const struct {
		const char *list, *exclude, *rest;
	} cases[] = {
		{ "3000-3010", "3005", "3000-3004,3006-3010" },
		{ "3000-3010", "3010,3000", "3001-3009" },
		{ "8080,3000-3002,80", "3001,80", "8080-8080,3000-3000,3002-3002" },
		{ "3000-3010", "1-2999,3011-", "3000-3010" },
		{ "3000-3010", "1-", "" },
		{ "1-", "2-65534", "1-1,65535-65535" },
		{ "64,63,1-62", "64", "63-63,1-62" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct portlist list = parse(cases[i].list), exclude = parse(cases[i].exclude);
		struct portlist rest;

		ck_assert_int_eq(portlist_exclude(&rest, &list, &exclude), 0);
		assert_list(&rest, cases[i].rest);
		portlist_deinit(&rest);
		portlist_deinit(&exclude);
		ck_assert_int_eq(portlist_exclude(&rest, &list, &exclude), 0);
		ck_assert_uint_eq(rest.n_ports, list.n_ports);
		portlist_deinit(&rest);
		portlist_deinit(&list);
	}
}
END_TEST

START_TEST(the_cursor_goes_through_in_order)
{
	static const uint16_t expected[] = { 65535, 3, 1, 2, 80, 0, 0 };
	struct portlist list = parse("65535,3,1-3,80"), empty = { 0 };
	struct portlist_cursor cursor = { 0 }, at_nothing = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		ck_assert_uint_eq(portlist_next(&list, &cursor), expected[i]);
	ck_assert_uint_eq(portlist_next(&empty, &at_nothing), 0);
	portlist_deinit(&list);
}
END_TEST

START_TEST(the_cursor_sees_every_port_of_the_whole_range)
{
	struct portlist list = parse("1-");
	struct portlist_cursor cursor = { 0 };
	unsigned expected = 1;

	while (expected <= 65535 && portlist_next(&list, &cursor) == expected)
		expected++;
	ck_assert_uint_eq(expected, 65536);
	ck_assert_uint_eq(portlist_next(&list, &cursor), 0);
	portlist_deinit(&list);
}
END_TEST

START_TEST(contains_knows_both_ends)
{
	struct portlist list = parse("3000-3010,80"), empty = { 0 };

	ck_assert(portlist_contains(&list, 3000));
	ck_assert(portlist_contains(&list, 3010));
	ck_assert(portlist_contains(&list, 80));
	ck_assert(!portlist_contains(&list, 2999));
	ck_assert(!portlist_contains(&list, 3011));
	ck_assert(!portlist_contains(&list, 0));
	ck_assert(!portlist_contains(&empty, 80));
	portlist_deinit(&list);
	ck_assert_uint_eq(list.n_ports, 0);
	portlist_deinit(&list);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_port_is_digits_and_nothing_else,
		a_port_may_have_leading_zeroes,
		a_list_keeps_its_order,
		a_reversed_range_is_turned_round,
		an_open_range_goes_to_the_end,
		a_port_counts_once_where_it_came_first,
		neighbours_are_one_range_only_in_their_order,
		ranges_that_lie_over_each_other_take_no_time,
		any_lists_are_as_if_taken_port_by_port,
		what_is_no_list_is_refused_with_the_reason,
		a_list_comes_together_from_pieces,
		exclusion_keeps_the_order_of_the_rest,
		the_cursor_goes_through_in_order,
		the_cursor_sees_every_port_of_the_whole_range,
		contains_knows_both_ends,
		NULL,
	};

	return unit_run("portlist", tests, NULL);
}
