/* test_parking_crash.c: held ports are never free, whenever the daemon is killed. */

#include "parking_world.h"
#include "util.h"

#include <check.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define ROUNDS 25
#define CHURN  600

/* How many of what the store has can be leased from, for tests: MANY if the limit allows. */
static unsigned many(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	return limit.rlim_cur > MANY + 500 ? MANY : (unsigned)limit.rlim_cur / 2;
}

static pid_t start_thief(unsigned n)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	for (unsigned i = 0; !shared->stop; i = (i + 1) % n) {
		if (bind_try(NULL, shared->ports[i], HOLDER_TCP) != -EADDRINUSE)
			shared->stolen++;
		shared->attempts++;
	}
	_exit(0);
}

START_TEST(ten_thousand_ports_are_never_free)
{
	struct parking_sockets sockets;
	struct parking_counts counts;
	struct parking *parking;
	unsigned n = many();
	pid_t daemon, thief;
	int status;

	daemon = start_killed_daemon(n, HOLDER_TCP);
	wait_for(&shared->n, n);
	thief = start_thief(n);
	kill_and_reap(daemon);
	manager_run();
	/* Two pairs, however many leases. */
	ck_assert_uint_eq(manager.messages, 2);
	ck_assert_uint_eq(manager.n, 4);
	/* Every port, while no daemon is there. */
	wait_for(&shared->attempts, shared->attempts + 2 * n);

	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), 0);
	find_all(&sockets, n);
	for (unsigned i = 0; i < n; i++)
		parking_claim(&sockets.items[i], &leases[i].parked);
	parking_count(parking, &counts);
	ck_assert_uint_eq(counts.alive, n);
	ck_assert_uint_le(counts.messages, 278 + n / 253 + n / 278 + 1);
	wait_for(&shared->attempts, shared->attempts + n);

	shared->stop = 1;
	ck_assert_int_eq(waitpid(thief, &status, 0), thief);
	ck_assert_uint_eq(shared->stolen, 0);

	/* And then all of them are. */
	for (unsigned i = 0; i < n; i++) {
		close(leases[i].parked.fd);
		parked_remove(&leases[i].parked);
	}
	parking_sockets_free(&sockets);
	ck_assert(!parking_is_untidy(parking));
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(bind_try(NULL, shared->ports[i], HOLDER_TCP), 0);
	manager_run();
	ck_assert_uint_eq(manager.messages, 2);
	parking_free(parking);
}
END_TEST

START_TEST(udp_is_parked_as_well)
{
	struct parking_sockets sockets;
	struct parking *parking;
	pid_t daemon;

	daemon = start_killed_daemon(300, HOLDER_UDP);
	wait_for(&shared->n, 300);
	kill_and_reap(daemon);
	manager_run();
	for (unsigned i = 0; i < 300; i++)
		ck_assert_int_eq(bind_try(NULL, shared->ports[i], HOLDER_UDP), -EADDRINUSE);

	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), 0);
	find_all(&sockets, 300);
	parking_sockets_free(&sockets);
	parking_free(parking);
}
END_TEST

/* One step of a daemon at random. Whatever it does not finish, `held` says what must be there. */
static void churn(struct parking *parking, unsigned n)
{
	struct lease *lease = &leases[random() % n];
	uint16_t port = lease->holder.port;

	if (lease->parked.message) {
		shared->held[port] = 2;
		lease_end(lease);
		shared->held[port] = 0;
	} else {
		if (lease_start(lease, parking, HOLDER_TCP) < 0)
			_exit(2);
		shared->held[lease->holder.port] = 1;
	}
	if (random() % 50 == 0)
		(void)parking_tidy(parking, 200);
}

/* Takes over what was parked: one socket for each port that is held. */
static int take_over(struct parking *parking)
{
	struct parking_sockets sockets;
	struct holder_identity identity;
	unsigned char seen[1 << 16] = { 0 };
	unsigned n = 0;
	int r;

	r = manager_restore(parking, &sockets);
	if (r < 0)
		return 3;
	for (size_t i = 0; i < sockets.n; i++) {
		if (holder_identify(sockets.items[i].fd, &identity) < 0)
			return 4;
		if (shared->held[identity.port] != 1 || seen[identity.port])
			continue;
		seen[identity.port] = 1;
		parking_claim(&sockets.items[i], &leases[n].parked);
		if (holder_adopt(&leases[n].holder, leases[n].parked.fd) < 0)
			return 5;
		n++;
	}
	parking_sockets_free(&sockets);
	/* Lost: what the journal would have, and nobody holds. */
	for (unsigned port = 0; port < 1 << 16; port++) {
		if (shared->held[port] == 1 && !seen[port])
			return 6;
		if (shared->held[port] == 2)
			shared->held[port] = 0;
	}
	return 0;
}

static pid_t start_churning_daemon(unsigned seed)
{
	struct parking *parking;
	pid_t pid = fork();
	int r;

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	srandom(seed);
	parking = parking_start();
	r = take_over(parking);
	if (r != 0)
		_exit(r);
	shared->n++;
	for (;;)
		churn(parking, CHURN);
}

START_TEST(a_crash_loses_nothing_and_holds_nothing_for_ever)
{
	struct parking *parking;
	unsigned messages = 0;
	int r;

	for (unsigned round = 1; round <= ROUNDS; round++) {
		pid_t pid = start_churning_daemon(round);

		wait_for(&shared->n, round);
		usleep((useconds_t)(random() % 40000));
		kill_and_reap(pid);
		manager_run();
	}
	messages = manager.messages;
	ck_assert_uint_le(messages, 2);

	parking = parking_start();
	ck_assert_int_eq(take_over(parking), 0);
	for (unsigned i = 0; i < MANY; i++)
		lease_end(&leases[i]);
	while ((r = parking_tidy(parking, 1000)) == 1)
		;
	ck_assert_int_eq(r, 0);
	for (unsigned port = 0; port < 1 << 16; port++)
		if (shared->held[port])
			ck_assert_int_eq(bind_try(NULL, (uint16_t)port, HOLDER_TCP), 0);
	parking_free(parking);
}
END_TEST

int main(void)
{
	SRunner *runner;
	TCase *tests = tcase_create("crash");
	Suite *suite = suite_create("parking-crash");
	int failed;

	tcase_add_checked_fixture(tests, world_start, world_stop);
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, ten_thousand_ports_are_never_free);
	tcase_add_test(tests, udp_is_parked_as_well);
	tcase_add_test(tests, a_crash_loses_nothing_and_holds_nothing_for_ever);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
