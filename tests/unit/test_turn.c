/* test_turn.c: what is charged to users, and that they, and then their works, take turns. */

#include "turn.h"
#include "unit.h"

#include <time.h>

static struct users users;
static struct ev_loop *loop;
static struct turns turns;

/* Who ran, in order: a letter each. */
static char order[256];
static size_t n_runs;

/* Work of so many slices that take so long each. */
struct work {
	struct turn turn;
	char letter;
	unsigned n_slices;
	long slice_us;
};

static void setup(void)
{
	users = (struct users){ 0 };
	users_init(&users);
	loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	ck_assert_ptr_nonnull(loop);
	turns_init(&turns, loop);
	memset(order, 0, sizeof(order));
	n_runs = 0;
}

static void teardown(void)
{
	turns_deinit(&turns);
	ev_loop_destroy(loop);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void on_turn(struct turn *turn)
{
	struct work *work = container_of(turn, struct work, turn);
	double end = now() + (double)work->slice_us / 1e6;

	ck_assert_uint_lt(n_runs, sizeof(order) - 1);
	order[n_runs++] = work->letter;
	while (now() < end)
		;
	if (--work->n_slices > 0)
		turn_queue(&turns, turn);
}

static void queue(struct work *work, struct user *user, char letter, unsigned n_slices)
{
	*work = (struct work){ .letter = letter, .n_slices = n_slices };
	turn_init(&work->turn, user, on_turn);
	turn_queue(&turns, &work->turn);
}

static void run_until_idle(void)
{
	while (!list_empty(&turns.users))
		ev_run(loop, EVRUN_ONCE);
}

START_TEST(a_user_is_there_once)
{
	struct user *user = user_get(&users, 7), *again = user_get(&users, 7);
	struct user *other = user_get(&users, 8);

	ck_assert_ptr_eq(user, again);
	ck_assert_ptr_ne(user, other);
	ck_assert_uint_eq(user->uid, 7);
	user_unref(user);
	/* It is still referred to. */
	ck_assert_ptr_eq(user_get(&users, 7), user);
	user_unref(user);
	user_unref(user);
	user_unref(other);
	ck_assert(list_empty(&users.list));
	user_unref(NULL);
}
END_TEST

START_TEST(a_user_who_comes_back_starts_anew)
{
	struct user *user = user_get(&users, 7);

	users.limits[CHARGE_REQUESTS] = 1;
	ck_assert_int_eq(user_charge(&users, user, CHARGE_REQUESTS), 0);
	user_discharge(user, CHARGE_REQUESTS);
	user_unref(user);
	user = user_get(&users, 7);
	for (size_t i = 0; i < N_CHARGES; i++)
		ck_assert_uint_eq(user->charges[i], 0);
	user_unref(user);
}
END_TEST

START_TEST(one_more_than_the_limit_is_refused)
{
	struct user *user = user_get(&users, 7), *other = user_get(&users, 8);

	users.limits[CHARGE_CONNECTIONS] = 3;
	users.limits[CHARGE_REQUESTS] = 1;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(user_charge(&users, user, CHARGE_CONNECTIONS), 0);
	ck_assert_int_eq(user_charge(&users, user, CHARGE_CONNECTIONS), -EDQUOT);
	/* What is refused isn't charged. */
	ck_assert_uint_eq(user->charges[CHARGE_CONNECTIONS], 3);
	/* Each kind, and each user, by itself. */
	ck_assert_int_eq(user_charge(&users, user, CHARGE_REQUESTS), 0);
	ck_assert_int_eq(user_charge(&users, user, CHARGE_REQUESTS), -EDQUOT);
	ck_assert_int_eq(user_charge(&users, other, CHARGE_CONNECTIONS), 0);

	user_discharge(user, CHARGE_CONNECTIONS);
	ck_assert_int_eq(user_charge(&users, user, CHARGE_CONNECTIONS), 0);
	ck_assert_int_eq(user_charge(&users, user, CHARGE_CONNECTIONS), -EDQUOT);
	user_unref(user);
	user_unref(other);
}
END_TEST

START_TEST(a_limit_that_sinks_takes_nothing_away)
{
	struct user *user = user_get(&users, 7);

	users.limits[CHARGE_CONNECTIONS] = 3;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(user_charge(&users, user, CHARGE_CONNECTIONS), 0);
	users.limits[CHARGE_CONNECTIONS] = 1;
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(user_charge(&users, user, CHARGE_CONNECTIONS), -EDQUOT);
		user_discharge(user, CHARGE_CONNECTIONS);
	}
	ck_assert_int_eq(user_charge(&users, user, CHARGE_CONNECTIONS), 0);
	user_unref(user);
}
END_TEST

START_TEST(root_may_have_any_number)
{
	struct user *root = user_get(&users, 0);

	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(user_charge(&users, root, CHARGE_REQUESTS), 0);
	ck_assert_uint_eq(root->charges[CHARGE_REQUESTS], 100);
	user_unref(root);
}
END_TEST

START_TEST(users_take_turns_and_so_do_their_works)
{
	struct user *one = user_get(&users, 1), *two = user_get(&users, 2);
	struct work a, b, c, x;

	queue(&a, one, 'a', 3);
	queue(&b, one, 'b', 3);
	queue(&c, one, 'c', 3);
	queue(&x, two, 'x', 4);
	run_until_idle();
	ck_assert_str_eq(order, "axbxcxaxbcabc");

	turn_deinit(&a.turn);
	turn_deinit(&b.turn);
	turn_deinit(&c.turn);
	turn_deinit(&x.turn);
	user_unref(one);
	user_unref(two);
	ck_assert(list_empty(&users.list));
}
END_TEST

/* Whoever comes while a thousand works of another wait is next but one. */
START_TEST(who_comes_late_does_not_queue_behind_one_users_works)
{
	struct user *one = user_get(&users, 1), *two = user_get(&users, 2);
	static struct work many[100];
	struct work late;

	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		queue(&many[i], one, 'm', 1);
		many[i].slice_us = 400;
	}
	ev_run(loop, EVRUN_ONCE);
	ck_assert_uint_gt(n_runs, 0);
	ck_assert_uint_lt(n_runs, 4);
	queue(&late, two, 'L', 1);
	run_until_idle();
	ck_assert_uint_eq(n_runs, ARRAY_SIZE(many) + 1);
	ck_assert_msg(memchr(order, 'L', 6) != NULL, "%s", order);

	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		turn_deinit(&many[i].turn);
	turn_deinit(&late.turn);
	user_unref(one);
	user_unref(two);
}
END_TEST

START_TEST(a_turn_of_the_loop_has_an_end)
{
	struct user *user = user_get(&users, 1);
	struct work endless;

	queue(&endless, user, 'e', 100);
	endless.slice_us = 100;
	for (int i = 0; i < 3; i++) {
		size_t before = n_runs;

		ev_run(loop, EVRUN_ONCE);
		/* Half a millisecond of slices, and the one that goes beyond. */
		ck_assert_uint_ge(n_runs, before + 1);
		ck_assert_uint_le(n_runs, before + 6);
	}
	turn_deinit(&endless.turn);
	user_unref(user);
	ck_assert(list_empty(&turns.users));
}
END_TEST

START_TEST(queuing_twice_is_queuing_once)
{
	struct user *user = user_get(&users, 1);
	struct work a;

	queue(&a, user, 'a', 1);
	turn_queue(&turns, &a.turn);
	ck_assert(turn_is_queued(&a.turn));
	run_until_idle();
	ck_assert_str_eq(order, "a");
	ck_assert(!turn_is_queued(&a.turn));
	turn_deinit(&a.turn);
	user_unref(user);
}
END_TEST

START_TEST(what_is_cancelled_does_not_run)
{
	struct user *one = user_get(&users, 1), *two = user_get(&users, 2);
	struct work a, b, x;

	queue(&a, one, 'a', 1);
	queue(&b, one, 'b', 1);
	queue(&x, two, 'x', 1);
	turn_cancel(&a.turn);
	turn_cancel(&x.turn);
	run_until_idle();
	ck_assert_str_eq(order, "b");
	turn_queue(&turns, &x.turn);
	run_until_idle();
	ck_assert_str_eq(order, "bx");
	/* Never queued, or never even made: as well. */
	turn_cancel(&a.turn);
	turn_deinit(&a.turn);
	turn_deinit(&(struct turn){ 0 });
	turn_deinit(&b.turn);
	turn_deinit(&x.turn);
	user_unref(one);
	user_unref(two);
}
END_TEST

START_TEST(a_turn_keeps_its_user)
{
	struct user *user = user_get(&users, 1);
	struct work a;

	queue(&a, user, 'a', 1);
	user_unref(user);
	ck_assert(!list_empty(&users.list));
	turn_deinit(&a.turn);
	ck_assert(list_empty(&users.list));
	ck_assert(list_empty(&turns.users));
}
END_TEST

START_TEST(at_the_end_all_that_is_queued_runs)
{
	struct user *one = user_get(&users, 1), *two = user_get(&users, 2);
	struct work a, x;

	queue(&a, one, 'a', 3);
	queue(&x, two, 'x', 2);
	turns_finish(&turns);
	ck_assert_str_eq(order, "axaxa");
	turn_deinit(&a.turn);
	turn_deinit(&x.turn);
	user_unref(one);
	user_unref(two);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("turn");
	Suite *suite = suite_create("turn");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_user_is_there_once);
	tcase_add_test(tcase, a_user_who_comes_back_starts_anew);
	tcase_add_test(tcase, one_more_than_the_limit_is_refused);
	tcase_add_test(tcase, a_limit_that_sinks_takes_nothing_away);
	tcase_add_test(tcase, root_may_have_any_number);
	tcase_add_test(tcase, users_take_turns_and_so_do_their_works);
	tcase_add_test(tcase, who_comes_late_does_not_queue_behind_one_users_works);
	tcase_add_test(tcase, a_turn_of_the_loop_has_an_end);
	tcase_add_test(tcase, queuing_twice_is_queuing_once);
	tcase_add_test(tcase, what_is_cancelled_does_not_run);
	tcase_add_test(tcase, a_turn_keeps_its_user);
	tcase_add_test(tcase, at_the_end_all_that_is_queued_runs);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
