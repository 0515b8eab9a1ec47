/* test_holder.c: what the kernel does for a held port, row by row. */

#include "holder.h"
#include "somebody.h"
#include "util.h"

#include <check.h>
#include <string.h>

#define OK    0
#define INUSE (-EADDRINUSE)

/* In the namespace of the test alone, where nobody else has ports. */
#define RANGE_FIRST 40000
#define RANGE_LAST  40063
#define RANGE_SIZE  (RANGE_LAST - RANGE_FIRST + 1)
#define ELSEWHERE   50000

struct row {
	struct attempt attempt;
	int shared, exclusive; /* what somebody gets while the port is held */
};

/* A port held on every address, in TCP and UDP. */
static const struct row rows[] = {
	/* Binding without SO_REUSEADDR, any address. */
	{ { .address = "127.0.0.1" }, INUSE, INUSE },
	{ { .address = "127.0.0.1", .bind_only = true }, INUSE, INUSE },
	{ { .address = "127.0.0.2" }, INUSE, INUSE },
	{ { .address = "0.0.0.0" }, INUSE, INUSE },
	{ { .address = "::1" }, INUSE, INUSE },
	{ { .address = "::" }, INUSE, INUSE },
	{ { .address = "::", .v6only = true }, INUSE, INUSE },
	{ { .address = "::ffff:127.0.0.1" }, INUSE, INUSE },
	/* With it, and listening: an ordinary server. */
	{ { .address = "127.0.0.1", .reuseaddr = true }, OK, INUSE },
	{ { .address = "127.0.0.2", .reuseaddr = true }, OK, INUSE },
	{ { .address = "0.0.0.0", .reuseaddr = true }, OK, INUSE },
	{ { .address = "::1", .reuseaddr = true }, OK, INUSE },
	{ { .address = "::", .reuseaddr = true }, OK, INUSE },
	{ { .address = "::", .reuseaddr = true, .v6only = true }, OK, INUSE },
	{ { .address = "::ffff:127.0.0.1", .reuseaddr = true }, OK, INUSE },
	/* Only SO_REUSEPORT. */
	{ { .address = "127.0.0.1", .reuseport = true }, INUSE, INUSE },
	{ { .address = "0.0.0.0", .reuseport = true }, INUSE, INUSE },
	{ { .address = "::1", .reuseport = true }, INUSE, INUSE },
	{ { .address = "::", .reuseport = true }, INUSE, INUSE },
	/* UDP. */
	{ { .address = "127.0.0.1", .type = SOCK_DGRAM }, INUSE, INUSE },
	{ { .address = "0.0.0.0", .type = SOCK_DGRAM }, INUSE, INUSE },
	{ { .address = "::1", .type = SOCK_DGRAM }, INUSE, INUSE },
	{ { .address = "::", .type = SOCK_DGRAM }, INUSE, INUSE },
	{ { .address = "127.0.0.1", .type = SOCK_DGRAM, .reuseport = true }, INUSE, INUSE },
	{ { .address = "::", .type = SOCK_DGRAM, .reuseport = true }, INUSE, INUSE },
	{ { .address = "127.0.0.1", .type = SOCK_DGRAM, .reuseaddr = true }, OK, INUSE },
	{ { .address = "0.0.0.0", .type = SOCK_DGRAM, .reuseaddr = true }, OK, INUSE },
	{ { .address = "::1", .type = SOCK_DGRAM, .reuseaddr = true }, OK, INUSE },
	{ { .address = "::", .type = SOCK_DGRAM, .reuseaddr = true }, OK, INUSE },
};

/* What a holder of one address keeps, and what it leaves to others. */
static const struct row rows_of_127_0_0_1[] = {
	{ { .address = "127.0.0.1" }, INUSE, INUSE },
	{ { .address = "0.0.0.0" }, INUSE, INUSE },
	{ { .address = "::" }, INUSE, INUSE },
	{ { .address = "::ffff:127.0.0.1" }, INUSE, INUSE },
	{ { .address = "127.0.0.1", .reuseaddr = true }, OK, INUSE },
	{ { .address = "0.0.0.0", .reuseaddr = true }, OK, INUSE },
	{ { .address = "::", .reuseaddr = true }, OK, INUSE },
	{ { .address = "127.0.0.1", .type = SOCK_DGRAM }, INUSE, INUSE },
	{ { .address = "127.0.0.2" }, OK, OK },
	{ { .address = "::1" }, OK, OK },
	{ { .address = "::", .v6only = true }, OK, OK },
	{ { .address = "127.0.0.2", .type = SOCK_DGRAM }, OK, OK },
};

static const struct row rows_of_one_v6[] = {
	{ { .address = "::1" }, INUSE, INUSE },
	{ { .address = "::" }, INUSE, INUSE },
	{ { .address = "::1", .reuseaddr = true }, OK, INUSE },
	{ { .address = "::", .reuseaddr = true }, OK, INUSE },
	{ { .address = "::1", .type = SOCK_DGRAM }, INUSE, INUSE },
	{ { .address = "127.0.0.1" }, OK, OK },
	{ { .address = "0.0.0.0" }, OK, OK },
	{ { .address = "127.0.0.1", .type = SOCK_DGRAM }, OK, OK },
};

static struct holder hold(const char *address, uint16_t port, enum holder_protocol protocol,
			  enum holder_mode mode)
{
	struct holder_request request = { .port = port, .protocol = protocol, .mode = mode };
	struct holder holder = HOLDER_INIT;
	union somebody_address local;

	if (address) {
		somebody_address(address, 0, &local);
		request.address = &local.any;
	}
	ck_assert_int_eq(holder_bind(&holder, &request), 0);
	ck_assert_uint_ne(holder.port, 0);
	return holder;
}

static void check_rows(const char *address, const struct row *table, size_t n, uid_t uid)
{
	static const enum holder_mode modes[] = { HOLDER_SHARED, HOLDER_EXCLUSIVE };

	for (size_t mode = 0; mode < ARRAY_SIZE(modes); mode++)
		for (size_t i = 0; i < n; i++) {
			struct holder holder = hold(address, 0, HOLDER_BOTH, modes[mode]);
			int expected = mode == 0 ? table[i].shared : table[i].exclusive;
			int r = somebody_tries(&table[i].attempt, holder.port, uid);

			ck_assert_msg(r == expected, "row %zu, mode %zu: %s, not %s", i, mode,
				      strerror(-r), strerror(-expected));
			holder_deinit(&holder);
			/* And nothing but the holder kept it. */
			ck_assert_int_eq(somebody_tries(&table[i].attempt, 0, uid), 0);
		}
}

static uid_t somebody_else(void)
{
	return getuid() == 0 ? SOMEBODY_UID : getuid();
}

START_TEST(every_row)
{
	check_rows(NULL, rows, ARRAY_SIZE(rows), getuid());
}
END_TEST

START_TEST(every_row_under_another_user)
{
	check_rows(NULL, rows, ARRAY_SIZE(rows), somebody_else());
}
END_TEST

START_TEST(every_row_for_one_address)
{
	check_rows("127.0.0.1", rows_of_127_0_0_1, ARRAY_SIZE(rows_of_127_0_0_1), somebody_else());
	check_rows("::1", rows_of_one_v6, ARRAY_SIZE(rows_of_one_v6), somebody_else());
}
END_TEST

START_TEST(a_second_listener_is_refused)
{
	static const char *const addresses[] = { "127.0.0.1", "0.0.0.0", "::1", "::" };

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		struct attempt server = { .address = addresses[i], .reuseaddr = true };
		struct holder holder = hold(NULL, 0, HOLDER_TCP, HOLDER_SHARED);
		struct somebody first = somebody_start(&server, holder.port, somebody_else());

		ck_assert_int_eq(first.result, 0);
		ck_assert_int_eq(somebody_tries(&server, holder.port, getuid()), INUSE);
		server.reuseport = true;
		ck_assert_int_eq(somebody_tries(&server, holder.port, getuid()), INUSE);
		/* Not even through the holder, while the first is there. */
		ck_assert_int_lt(listen(holder.tcp, 16), 0);
		ck_assert_int_eq(errno, EADDRINUSE);
		somebody_end(&first);
		/* The first is gone, and the port is held as before. */
		server.reuseaddr = server.reuseport = false;
		ck_assert_int_eq(somebody_tries(&server, holder.port, getuid()), INUSE);
		server.reuseaddr = true;
		ck_assert_int_eq(somebody_tries(&server, holder.port, getuid()), OK);
		holder_deinit(&holder);
	}
}
END_TEST

/* Holds all ports the kernel may choose, but for the last. */
static unsigned hold_range(struct holder holders[RANGE_SIZE], enum holder_mode mode)
{
	unsigned n;

	for (n = 0; n < RANGE_SIZE - 1; n++)
		holders[n] = hold(NULL, (uint16_t)(RANGE_FIRST + n), HOLDER_BOTH, mode);
	return n;
}

static void release_range(struct holder holders[RANGE_SIZE], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		holder_deinit(&holders[i]);
}

static void check_port_zero(struct attempt attempt, bool may_share)
{
	for (unsigned i = 0; i < 100; i++) {
		int fd = attempt_here(&attempt, 0);

		ck_assert_int_ge(fd, 0);
		if (!may_share)
			ck_assert_uint_eq(port_of(fd), RANGE_LAST);
		/* Now there is none left at all, except for those that share. */
		if (attempt.type != SOCK_DGRAM || !attempt.reuseaddr)
			ck_assert_int_eq(attempt_here(&attempt, 0), INUSE);
		close(fd);
	}
}

START_TEST(port_zero_never_gets_it)
{
	static const char *const addresses[] = { "127.0.0.1", "0.0.0.0", "::1", "::" };
	struct holder holders[RANGE_SIZE];
	struct attempt attempt = { 0 };
	enum holder_mode mode = _i ? HOLDER_EXCLUSIVE : HOLDER_SHARED;
	unsigned n;

	if (!own_network(RANGE_FIRST, RANGE_LAST))
		return;
	n = hold_range(holders, mode);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		attempt = (struct attempt){ .address = addresses[i] };
		check_port_zero(attempt, false);
		attempt.reuseaddr = true;
		check_port_zero(attempt, false);
		attempt = (struct attempt){ .address = addresses[i], .type = SOCK_DGRAM };
		check_port_zero(attempt, false);
		/* UDP is another matter: with SO_REUSEADDR on both sides it may. */
		attempt.reuseaddr = true;
		check_port_zero(attempt, mode == HOLDER_SHARED);
	}
	release_range(holders, n);
}
END_TEST

/* The source port that the kernel chose, or -errno. */
static int connect_from(const char *address, uint16_t port)
{
	union somebody_address to;
	socklen_t size = somebody_address(address, port, &to);
	int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	ck_assert_int_ge(fd, 0);
	/* No TIME_WAIT, which would use up the range. */
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
				    sizeof(struct linger)),
			 0);
	r = connect(fd, &to.any, size) < 0 ? -errno : port_of(fd);
	close(fd);
	return r;
}

START_TEST(connect_never_leaves_from_it)
{
	static const char *const addresses[] = { "127.0.0.1", "::1" };
	struct holder holders[RANGE_SIZE], last;
	struct attempt server = { .address = "::", .reuseaddr = true };
	unsigned n;
	int fd;

	if (!own_network(RANGE_FIRST, RANGE_LAST))
		return;
	fd = attempt_here(&server, ELSEWHERE);
	ck_assert_int_ge(fd, 0);
	n = hold_range(holders, _i ? HOLDER_EXCLUSIVE : HOLDER_SHARED);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		for (unsigned times = 0; times < 200; times++) {
			ck_assert_int_eq(connect_from(addresses[i], ELSEWHERE), RANGE_LAST);
			/* Its queue would be full soon, and the next one wait. */
			close(accept(fd, NULL, NULL));
		}
	last = hold(NULL, RANGE_LAST, HOLDER_TCP, HOLDER_SHARED);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		ck_assert_int_eq(connect_from(addresses[i], ELSEWHERE), -EADDRNOTAVAIL);
	holder_deinit(&last);
	release_range(holders, n);
	close(fd);
}
END_TEST

START_TEST(connect_to_it_is_refused_until_a_server_listens)
{
	static const char *const addresses[] = { "127.0.0.1", "::1" };
	struct attempt server = { .address = "::", .reuseaddr = true };
	struct holder holder;
	struct somebody somebody;

	/* So few ports to leave from that an unheld one would soon be connected to itself. */
	if (!own_network(RANGE_FIRST, RANGE_FIRST + 3))
		return;
	holder = hold(NULL, RANGE_FIRST, HOLDER_TCP, _i ? HOLDER_EXCLUSIVE : HOLDER_SHARED);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		for (unsigned times = 0; times < 2000; times++)
			ck_assert_int_eq(connect_from(addresses[i], RANGE_FIRST), -ECONNREFUSED);

	if (_i) {
		ck_assert_int_eq(listen(holder.tcp, 16), 0);
	} else {
		somebody = somebody_start(&server, holder.port, somebody_else());
		ck_assert_int_eq(somebody.result, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		ck_assert_int_ge(connect_from(addresses[i], RANGE_FIRST), 0);
	if (!_i)
		somebody_end(&somebody);
	holder_deinit(&holder);
}
END_TEST

static void send_datagram(const char *address, uint16_t port)
{
	union somebody_address to;
	socklen_t size = somebody_address(address, port, &to);
	int fd = socket(to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(sendto(fd, "x", 1, 0, &to.any, size), 1);
	close(fd);
}

/* Shared UDP is worth something only if what is sent reaches the server and not the holder. */
START_TEST(a_udp_server_is_sent_what_is_sent_to_its_address)
{
	static const struct {
		const char *server, *to;
	} ways[] = {
		{ "127.0.0.1", "127.0.0.1" },
		{ "0.0.0.0", "127.0.0.1" },
		{ "0.0.0.0", "127.0.0.2" },
		{ "::1", "::1" },
		{ "::", "::1" },
		{ "::", "127.0.0.1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct attempt server = { .address = ways[i].server,
					  .type = SOCK_DGRAM,
					  .reuseaddr = true };
		struct holder holder = hold(NULL, 0, HOLDER_UDP, HOLDER_SHARED);
		int fd = attempt_here(&server, holder.port);
		char byte = 0;

		ck_assert_int_ge(fd, 0);
		send_datagram(ways[i].to, holder.port);
		ck_assert_int_eq(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
		ck_assert_int_eq(byte, 'x');
		ck_assert_int_lt(recv(holder.udp, &byte, 1, MSG_DONTWAIT), 0);
		close(fd);
		holder_deinit(&holder);
	}
}
END_TEST

/* Where we may: what is free here stays free, whatever else runs on the host. */
static void setup(void)
{
	(void)own_network(20000, 60999);
}

int main(void)
{
	SRunner *runner;
	TCase *tests = tcase_create("holding a port");
	Suite *suite = suite_create("holder");
	int failed;

	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, every_row);
	tcase_add_test(tests, every_row_under_another_user);
	tcase_add_test(tests, every_row_for_one_address);
	tcase_add_test(tests, a_second_listener_is_refused);
	tcase_add_loop_test(tests, port_zero_never_gets_it, 0, 2);
	tcase_add_loop_test(tests, connect_never_leaves_from_it, 0, 2);
	tcase_add_loop_test(tests, connect_to_it_is_refused_until_a_server_listens, 0, 2);
	tcase_add_test(tests, a_udp_server_is_sent_what_is_sent_to_its_address);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
