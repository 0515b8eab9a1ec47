#include "tally.h"

#include "unit.h"

#include <stdlib.h>

/* What `outcomes` make of a port, one for each of n addresses; -1 if it stays undecided. */
static int tally_all(const enum outcome *outcomes, uint16_t n, uint16_t *ret_address)
{
	struct tally *tally = tallies_new(1, n);
	int outcome = -1;

	ck_assert_ptr_nonnull(tally);
	for (uint16_t i = 0; i < n; i++)
		if (tally_add(tally, i, outcomes[i])) {
			/* Once. */
			ck_assert_int_eq(outcome, -1);
			outcome = tally->outcome;
			*ret_address = tally->address;
		}
	free(tally);
	return outcome;
}

START_TEST(says_what_its_addresses_say)
{
	static const struct {
		enum outcome said[3];
		int outcome;
		uint16_t address;
	} cases[] = {
		{ { OUTCOME_REFUSED, OUTCOME_REFUSED, OUTCOME_REFUSED }, OUTCOME_REFUSED, 0 },
		{ { OUTCOME_REFUSED, OUTCOME_ACCEPTED, OUTCOME_REFUSED }, OUTCOME_ACCEPTED, 1 },
		{ { OUTCOME_REFUSED, OUTCOME_TIMEOUT, OUTCOME_REFUSED }, OUTCOME_TIMEOUT, 1 },
		{ { OUTCOME_TIMEOUT, OUTCOME_REFUSED, OUTCOME_ACCEPTED }, OUTCOME_ACCEPTED, 2 },
		{ { OUTCOME_TIMEOUT, OUTCOME_BACKLOG_FULL, OUTCOME_REFUSED },
		  OUTCOME_BACKLOG_FULL,
		  1 },
		{ { OUTCOME_ACCEPTED, OUTCOME_ACCEPTED, OUTCOME_REFUSED }, OUTCOME_ACCEPTED, 0 },
		{ { OUTCOME_UNREACHABLE, OUTCOME_REFUSED, OUTCOME_UNREACHABLE },
		  OUTCOME_REFUSED,
		  1 },
		{ { OUTCOME_UNREACHABLE, OUTCOME_UNREACHABLE, OUTCOME_ACCEPTED },
		  OUTCOME_ACCEPTED,
		  2 },
		{ { OUTCOME_UNREACHABLE, OUTCOME_UNREACHABLE, OUTCOME_UNREACHABLE }, -1, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint16_t address = 0;

		ck_assert_int_eq(tally_all(cases[i].said, 3, &address), cases[i].outcome);
		ck_assert_uint_eq(address, cases[i].address);
	}
}
END_TEST

START_TEST(is_decided_as_soon_as_one_is_open)
{
	struct tally *tallies = tallies_new(2, 3);

	ck_assert_ptr_nonnull(tallies);
	ck_assert(!tally_add(&tallies[1], 2, OUTCOME_REFUSED));
	ck_assert(tally_add(&tallies[1], 0, OUTCOME_ACCEPTED));
	ck_assert(!tally_add(&tallies[1], 1, OUTCOME_ACCEPTED));
	ck_assert_uint_eq(tallies[1].address, 0);
	ck_assert(!tallies[0].is_decided);
	free(tallies);
}
END_TEST

START_TEST(one_address_decides_alone)
{
	uint16_t address = 7;

	ck_assert_int_eq(tally_all(&(enum outcome){ OUTCOME_REFUSED }, 1, &address),
			 OUTCOME_REFUSED);
	ck_assert_uint_eq(address, 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		says_what_its_addresses_say,
		is_decided_as_soon_as_one_is_open,
		one_address_decides_alone,
		NULL,
	};

	return unit_run("tally", tests, NULL);
}
