/* test_parking.c: what is parked, sealed, tidied, restored and refused. */

#include "parking_world.h"
#include "util.h"

#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

START_TEST(what_is_over_is_free_at_once_in_order)
{
	struct parking *parking = parking_start();
	struct lease *lease = &leases[0];
	uint16_t port;

	for (unsigned i = 0; i < 2000; i++) {
		ck_assert_int_eq(lease_start(lease, parking, HOLDER_TCP), 0);
		port = lease->holder.port;
		lease_end(lease);
		ck_assert_int_eq(bind_try(NULL, port, HOLDER_TCP), 0);
	}
	manager_run();
	ck_assert_uint_eq(manager.messages, 1);
	parking_free(parking);
}
END_TEST

START_TEST(what_is_over_behind_the_living_is_free_when_tidied)
{
	struct parking *parking = parking_start();
	struct parking_counts counts;
	uint16_t port;
	unsigned calls = 0;
	int r;

	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(lease_start(&leases[i], parking, HOLDER_TCP), 0);
	for (unsigned i = 1; i < 1000; i += 2) {
		port = leases[i].holder.port;
		lease_end(&leases[i]);
		shared->ports[i] = port;
	}
	ck_assert(parking_is_untidy(parking));
	ck_assert_int_eq(bind_try(NULL, shared->ports[1], HOLDER_TCP), -EADDRINUSE);

	while ((r = parking_tidy(parking, 100)) == 1)
		calls++;
	ck_assert_int_eq(r, 0);
	ck_assert_uint_ge(calls, 1);
	ck_assert(!parking_is_untidy(parking));
	parking_count(parking, &counts);
	ck_assert_uint_eq(counts.alive, 500);
	ck_assert_uint_eq(counts.dead, 0);
	for (unsigned i = 0; i < 1000; i++)
		if (i % 2)
			ck_assert_int_eq(bind_try(NULL, shared->ports[i], HOLDER_TCP), 0);
		else
			lease_end(&leases[i]);
	parking_free(parking);
}
END_TEST

START_TEST(half_a_pair_is_given_up_for_a_whole_one)
{
	struct parking_sockets sockets;
	struct parking *parking;
	char *old;
	pid_t daemon;

	daemon = start_killed_daemon(10, HOLDER_TCP);
	wait_for(&shared->n, 10);
	kill_and_reap(daemon);
	manager_run();
	ck_assert_uint_eq(manager.n, 2);
	/* Only the end that is read from, which is the first in the message. */
	manager_forget(1);
	old = strdup(manager.names[0]);

	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), 0);
	find_all(&sockets, 10);
	for (unsigned i = 0; i < 10; i++)
		parking_claim(&sockets.items[i], &leases[i].parked);
	parking_sockets_free(&sockets);
	ck_assert(parking_is_untidy(parking));
	ck_assert_int_eq(parking_tidy(parking, 1000), 0);
	ck_assert(!parking_is_untidy(parking));
	manager_run();
	/* Stored, removed. */
	ck_assert_uint_eq(manager.messages, 3);
	ck_assert_uint_eq(manager.n, 2);
	ck_assert_str_ne(manager.names[0], old);
	free(old);

	for (unsigned i = 0; i < 10; i++)
		close(leases[i].parked.fd);
	parking_free(parking);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(bind_try(NULL, shared->ports[i], HOLDER_TCP), -EADDRINUSE);
}
END_TEST

/* valgrind plays the limit for dup(), and the kernel does not know of it. */
static bool limit_is_real(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return !preloaded || !strstr(preloaded, "vgpreload");
}

START_TEST(too_few_descriptors_take_nothing_away)
{
	struct rlimit limit, low;
	struct parking_sockets sockets = { 0 };
	struct parking *parking;
	pid_t daemon;

	daemon = start_killed_daemon(600, HOLDER_TCP);
	wait_for(&shared->n, 600);
	kill_and_reap(daemon);
	manager_run();

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 400;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	if (!limit_is_real())
		return;
	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), -EMFILE);
	ck_assert_ptr_null(sockets.items);
	parking_free(parking);

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), 0);
	find_all(&sockets, 600);
	parking_sockets_free(&sockets);
	parking_free(parking);
}
END_TEST

static int refuse(void *data, const char *state, const int fds[], unsigned n_fds)
{
	(void)state;
	(void)fds;
	(void)n_fds;
	return *(int *)data;
}

START_TEST(a_manager_that_fails_is_reported)
{
	struct parking *parking;
	struct parking_counts counts;
	int answer = -ENOBUFS;

	ck_assert_int_eq(parking_new(&parking, refuse, &answer), 0);
	ck_assert_int_eq(lease_start(&leases[0], parking, HOLDER_TCP), -ENOBUFS);
	ck_assert_ptr_null(leases[0].parked.message);
	parking_count(parking, &counts);
	ck_assert_uint_eq(counts.pairs, 0);
	answer = 0;
	ck_assert_int_eq(parking_add(parking, &leases[0].parked, leases[0].holder.tcp), 0);
	lease_end(&leases[0]);
	parking_free(parking);

	unsetenv("NOTIFY_SOCKET");
	parking = parking_start();
	ck_assert_int_eq(lease_start(&leases[0], parking, HOLDER_TCP), -ENOTCONN);
	lease_end(&leases[0]);
	parking_free(parking);
}
END_TEST

/* The same socket as often as it takes; a socket for each would need more descriptors. */
static unsigned park_until(struct parking *parking, struct parked *parked, unsigned n, int fd,
			   int *ret_error)
{
	int r = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		r = parking_add(parking, &parked[i], fd);
		if (r < 0)
			break;
	}
	*ret_error = r;
	return i;
}

START_TEST(full_pairs_say_so)
{
	const struct holder_request request = { .protocol = HOLDER_TCP };
	const unsigned most = 100000;
	struct parking *parking = parking_start();
	struct parked *parked = calloc(most, sizeof(*parked));
	unsigned n, again = 0;
	int r, fd;

	if (getuid() != 0) {
		/* RLIMIT_NOFILE is in the way. */
		free(parked);
		parking_free(parking);
		return;
	}
	ck_assert_int_eq(holder_bind(&leases[0].holder, &request), 0);
	fd = leases[0].holder.tcp;
	n = park_until(parking, parked, most, fd, &r);
	ck_assert_int_eq(r, -ENOBUFS);
	ck_assert_uint_ge(n, 60000);
	/* Every second, so that no message is empty. */
	for (unsigned i = 0; i < n; i += 2)
		parked_remove(&parked[i]);
	for (unsigned i = 0; i < n; i += 2) {
		r = parking_add(parking, &parked[i], fd);
		if (r < 0)
			break;
		again = i;
	}
	/* But for what the last seal needs. */
	ck_assert_uint_ge(again, n - 2000);
	for (unsigned i = 0; i < n; i++)
		parked_remove(&parked[i]);
	ck_assert(!parking_is_untidy(parking));
	manager_run();
	ck_assert_uint_eq(manager.messages, 2);
	lease_end(&leases[0]);
	parking_free(parking);
	free(parked);
}
END_TEST

/* Run as a user without privileges: returns the error of the first parking_add() that fails. */
static int park_without_rights(struct parking *parking, struct parked *parked, int fd)
{
	struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };
	int r;

	if (!limit_is_real())
		return -ETOOMANYREFS;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || setuid(61234) < 0)
		return 1;
	park_until(parking, parked, 400, fd, &r);
	return r;
}

START_TEST(the_limit_of_descriptors_in_flight_is_reported)
{
	struct parking *parking;
	struct parked parked[400];
	int status, answer = 0;
	pid_t pid;

	if (getuid() != 0)
		return;
	ck_assert_int_eq(parking_new(&parking, refuse, &answer), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(park_without_rights(parking, parked, manager.fd) == -ETOOMANYREFS ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	parking_free(parking);
}
END_TEST

START_TEST(foreign_descriptors_are_left_alone)
{
	char *names[] = { (char[]){ "portscand.socket" },
			  (char[]){ "portscand-parking-0123456789abcdef" } };
	struct parking *parking = parking_start();
	struct parking_sockets sockets;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(parking_restore(parking, ends, names, 2, &sockets), 0);
	ck_assert_uint_eq(sockets.n, 0);
	ck_assert_int_ge(fcntl(ends[0], F_GETFD), 0);
	/* Under our name, but no socket pair. */
	ck_assert_int_lt(fcntl(ends[1], F_GETFD), 0);
	close(ends[0]);
	parking_sockets_free(&sockets);
	parking_free(parking);
}
END_TEST

int main(void)
{
	SRunner *runner;
	TCase *tests = tcase_create("parking");
	Suite *suite = suite_create("parking");
	int failed;

	tcase_add_checked_fixture(tests, world_start, world_stop);
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, what_is_over_is_free_at_once_in_order);
	tcase_add_test(tests, what_is_over_behind_the_living_is_free_when_tidied);
	tcase_add_test(tests, half_a_pair_is_given_up_for_a_whole_one);
	tcase_add_test(tests, too_few_descriptors_take_nothing_away);
	tcase_add_test(tests, a_manager_that_fails_is_reported);
	tcase_add_test(tests, full_pairs_say_so);
	tcase_add_test(tests, the_limit_of_descriptors_in_flight_is_reported);
	tcase_add_test(tests, foreign_descriptors_are_left_alone);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
