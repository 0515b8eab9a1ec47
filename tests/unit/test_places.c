/* Places for work: half of what the others leave for each user, and who waits for whom. */

#include "places.h"
#include "unit.h"

#include <check.h>
#include <stdlib.h>

#define N_PLACES 16
#define N_WORKS  40

struct work {
	struct place place;
	bool is_unwilling;
};

static struct places places;
static struct user users[8];
static struct work works[N_WORKS];
static unsigned n_taken, last_taken;

static bool on_taken(struct place *place)
{
	struct work *work = container_of(place, struct work, place);

	if (work->is_unwilling)
		return false;
	n_taken++;
	last_taken = (unsigned)(work - works);
	return true;
}

static void set_up(void)
{
	memset(users, 0, sizeof(users));
	memset(works, 0, sizeof(works));
	n_taken = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(users); i++)
		users[i] = (struct user){ .uid = i, .n_references = 1 };
	places_init(&places, N_PLACES, CHARGE_WHO);
}

/* Works from `first` on, `n` of them, want a place for the user. */
static void take(unsigned first, unsigned n, unsigned uid)
{
	for (unsigned i = first; i < first + n; i++) {
		works[i].place.user = &users[uid];
		works[i].place.taken = on_taken;
		place_take(&places, &works[i].place);
	}
}

START_TEST(test_half_of_what_is_left)
{
	set_up();
	take(0, 12, 1);
	ck_assert_uint_eq(n_taken, 8);
	take(12, 6, 2);
	ck_assert_uint_eq(n_taken, 12);
	take(18, 6, 3);
	ck_assert_uint_eq(n_taken, 14);
	take(24, 2, 4);
	take(26, 2, 5);
	ck_assert_uint_eq(n_taken, 16);
	take(28, 2, 6);
	ck_assert_uint_eq(n_taken, 16);
	for (unsigned i = 0; i < N_WORKS; i++)
		place_leave(&works[i].place);
	ck_assert_uint_eq(places.n_free, N_PLACES);
	for (unsigned i = 0; i < ARRAY_SIZE(users); i++)
		ck_assert_uint_eq(users[i].charges[CHARGE_WHO], 0);
	ck_assert(list_empty(&places.waiting));
}
END_TEST

START_TEST(test_root_may_have_all)
{
	set_up();
	take(0, N_PLACES + 1, 0);
	ck_assert_uint_eq(n_taken, N_PLACES);
}
END_TEST

START_TEST(test_in_the_order_of_coming)
{
	set_up();
	take(0, 12, 1);
	place_leave(&works[3].place);
	ck_assert_uint_eq(n_taken, 9);
	ck_assert_uint_eq(last_taken, 8);
	/* Who no longer waits is passed over. */
	place_leave(&works[9].place);
	place_leave(&works[0].place);
	ck_assert_uint_eq(last_taken, 10);
}
END_TEST

/* The first in line is of a user who has as much as one may have. */
START_TEST(test_waits_for_nobody_else)
{
	set_up();
	take(0, 12, 1);
	take(12, 8, 2);
	take(20, 8, 3);
	ck_assert_uint_eq(n_taken, 14);
	place_leave(&works[12].place);
	ck_assert_uint_eq(n_taken, 15);
	ck_assert_uint_eq(last_taken, 22);
}
END_TEST

START_TEST(test_no_use_for_it)
{
	set_up();
	works[9].is_unwilling = true;
	take(0, 12, 1);
	place_leave(&works[0].place);
	ck_assert(!works[9].place.is_taken);
	place_leave(&works[1].place);
	ck_assert_uint_eq(last_taken, 10);
	/* It wants one later, and is the last in line. */
	works[9].is_unwilling = false;
	place_take(&places, &works[9].place);
	ck_assert(!works[9].place.is_taken);
	place_leave(&works[2].place);
	ck_assert_uint_eq(last_taken, 11);
	place_leave(&works[3].place);
	ck_assert_uint_eq(last_taken, 9);
}
END_TEST

START_TEST(test_leaving_what_was_never_taken)
{
	struct place place = { 0 };

	set_up();
	place_leave(&place);
	take(0, 1, 1);
	place_leave(&works[0].place);
	place_leave(&works[0].place);
	ck_assert_uint_eq(places.n_free, N_PLACES);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_half_of_what_is_left,
		test_root_may_have_all,
		test_in_the_order_of_coming,
		test_waits_for_nobody_else,
		test_no_use_for_it,
		test_leaving_what_was_never_taken,
		NULL,
	};

	return unit_run("places", tests, NULL);
}
