/* Listings: shared, cancelled, interrupted. */

#include "sockdiag_helpers.h"

#include <linux/netlink.h>
#include <string.h>
#include <sys/resource.h>

/* What the next recvmsg() of a listing runs into; linked with --wrap=recvmsg. */
enum trouble {
	TROUBLE_NONE,
	TROUBLE_ENOBUFS,
	TROUBLE_EAGAIN,
	TROUBLE_EINTR,
	TROUBLE_SLOW,        /* EINTR after so long that the turn of the loop is over */
	TROUBLE_INTERRUPTED, /* NLM_F_DUMP_INTR */
	TROUBLE_TRUNCATED,
	TROUBLE_EIO,
};

static enum trouble trouble;
static unsigned trouble_times;

ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
	static const int errors[] = { [TROUBLE_ENOBUFS] = ENOBUFS,
				      [TROUBLE_EAGAIN] = EAGAIN,
				      [TROUBLE_EINTR] = EINTR,
				      [TROUBLE_SLOW] = EINTR,
				      [TROUBLE_EIO] = EIO };
	ssize_t n;

	if (trouble_times == 0)
		return __real_recvmsg(fd, message, flags);

	trouble_times--;
	if (trouble != TROUBLE_INTERRUPTED && trouble != TROUBLE_TRUNCATED) {
		if (trouble == TROUBLE_SLOW)
			usleep(3000);
		errno = errors[trouble];
		return -1;
	}
	n = __real_recvmsg(fd, message, flags);
	if (n > 0 && trouble == TROUBLE_INTERRUPTED)
		((struct nlmsghdr *)message->msg_iov->iov_base)->nlmsg_flags |= NLM_F_DUMP_INTR;
	if (trouble == TROUBLE_TRUNCATED)
		message->msg_flags |= MSG_TRUNC;
	return n;
}

static const struct bind_to loopback = { AF_INET, "127.0.0.1", -1, NULL };

START_TEST(test_shared)
{
	struct listing listings[10] = { 0 }, other = { 0 };
	struct table table;
	uint16_t port;
	int fd = open_listener(&loopback, &port);

	table_init(&table);
	for (size_t i = 0; i < ARRAY_SIZE(listings); i++)
		listing_start(&table, &listings[i], SOCKDIAG_TCP_LISTENERS, 0);
	listing_start(&table, &other, SOCKDIAG_TCP_LISTENERS, port);
	listing_run(&table, &other);
	for (size_t i = 0; i < ARRAY_SIZE(listings); i++) {
		listing_run(&table, &listings[i]);
		ck_assert_int_eq(listings[i].result, 0);
		ck_assert_uint_eq(listing_count(&listings[i], port), 1);
		listing_free(&listings[i]);
	}
	ck_assert_uint_eq(other.n, 1);
	ck_assert_uint_eq(sockdiag_stats(table.sockdiag)->queries, 11);
	ck_assert_uint_eq(sockdiag_stats(table.sockdiag)->dumps, 2);

	/* A later one is answered from a later dump. */
	close(fd);
	listing_start(&table, &other, SOCKDIAG_TCP_LISTENERS, port);
	listing_run(&table, &other);
	ck_assert_uint_eq(other.n, 0);
	ck_assert_uint_eq(sockdiag_stats(table.sockdiag)->dumps, 3);

	/* Nothing is left that would keep the loop running. */
	ev_run(table.loop, 0);
	listing_free(&other);
	table_deinit(&table);
}
END_TEST

/* More ports than one filter has room for, each asked for twice, with connections on some. */
START_TEST(test_ports)
{
	enum { N = 40 };
	static const size_t counts[] = { 1, 2, 3, 31, 32, 33, N };
	struct listing listings[2 * N] = { 0 };
	struct table table;
	uint16_t ports[N];
	int fds[N], clients[N];
	uint64_t dumps;

	table_init(&table);
	for (size_t i = 0; i < N; i++) {
		struct sockaddr_in address;
		socklen_t length = sizeof(address);

		fds[i] = open_listener(&loopback, &ports[i]);
		ck_assert_int_eq(getsockname(fds[i], (struct sockaddr *)&address, &length), 0);
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (i % 2)
			ck_assert_int_eq(connect(clients[i], (struct sockaddr *)&address, length),
					 0);
	}
	for (size_t row = 0; row < ARRAY_SIZE(counts); row++) {
		size_t n = counts[row];

		dumps = sockdiag_stats(table.sockdiag)->dumps;
		for (size_t i = 0; i < 2 * n; i++)
			listing_start(&table, &listings[i], SOCKDIAG_TCP_ALL | SOCKDIAG_UDP,
				      ports[i % n]);
		for (size_t i = 0; i < 2 * n; i++) {
			listing_run(&table, &listings[i]);
			ck_assert_int_eq(listings[i].result, 0);
			ck_assert_uint_eq(listings[i].n, i % n % 2 ? 2 : 1);
			ck_assert_uint_eq(listing_count(&listings[i], ports[i % n]), listings[i].n);
		}
		ck_assert_uint_eq(sockdiag_stats(table.sockdiag)->dumps - dumps, n > 32 ? 2 : 1);
	}
	for (size_t i = 0; i < N; i++) {
		close(clients[i]);
		close(fds[i]);
		listing_free(&listings[i]);
		listing_free(&listings[N + i]);
	}
	table_deinit(&table);
}
END_TEST

/* Queries whose callbacks cancel, start and free others. */
struct chain {
	struct sockdiag_query query;
	struct table *table;
	struct sockdiag_query *victim;
	unsigned calls, again;
};

static void on_chain(struct sockdiag_query *query, int result,
		     const struct sockdiag_socket *sockets, size_t n_sockets)
{
	struct chain *chain = container_of(query, struct chain, query);

	(void)sockets;
	(void)n_sockets;
	ck_assert_int_eq(result, 0);
	chain->calls++;
	if (chain->victim)
		sockdiag_query_cancel(chain->victim);
	sockdiag_query_cancel(query); /* itself: does nothing any more */
	if (chain->again > 0) {
		chain->again--;
		sockdiag_query_start(chain->table->sockdiag, query);
	}
}

static void on_freed(struct sockdiag_query *query, int result,
		     const struct sockdiag_socket *sockets, size_t n_sockets)
{
	(void)result;
	(void)sockets;
	(void)n_sockets;
	free(query);
}

START_TEST(test_cancel)
{
	struct table table;
	struct chain chains[4];
	struct sockdiag_query *freed = calloc(1, sizeof(*freed)), never = { 0 };

	ck_assert_ptr_nonnull(freed);
	table_init(&table);
	sockdiag_query_cancel(&never);
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		chains[i] = (struct chain){ .table = &table };
		chains[i].query.what = SOCKDIAG_TCP_LISTENERS;
		chains[i].query.done = on_chain;
		sockdiag_query_start(table.sockdiag, &chains[i].query);
	}
	*freed = (struct sockdiag_query){ .what = SOCKDIAG_TCP_LISTENERS, .done = on_freed };
	sockdiag_query_start(table.sockdiag, freed);
	sockdiag_query_cancel(&chains[0].query); /* before the dump */
	chains[1].victim = &chains[2].query;     /* from a callback of the same dump */
	chains[3].again = 5;
	ev_run(table.loop, 0);
	ck_assert_uint_eq(chains[0].calls, 0);
	ck_assert_uint_eq(chains[1].calls, 1);
	ck_assert_uint_eq(chains[2].calls, 0);
	ck_assert_uint_eq(chains[3].calls, 6);
	ck_assert_uint_eq(sockdiag_stats(table.sockdiag)->dumps, 6);

	/* All of one dump's askers, after it began; another one waits for the next. */
	sockdiag_query_start(table.sockdiag, &chains[0].query);
	trouble = TROUBLE_SLOW;
	trouble_times = 1;
	while (trouble_times > 0)
		ev_run(table.loop, EVRUN_ONCE);
	sockdiag_query_cancel(&chains[0].query);
	sockdiag_query_start(table.sockdiag, &chains[2].query);
	ev_run(table.loop, 0);
	ck_assert_uint_eq(chains[0].calls, 0);
	ck_assert_uint_eq(chains[2].calls, 1);

	/* Freed with one waiting, and with one under way. */
	sockdiag_query_start(table.sockdiag, &chains[0].query);
	trouble_times = 1;
	while (trouble_times > 0)
		ev_run(table.loop, EVRUN_ONCE);
	sockdiag_query_start(table.sockdiag, &chains[1].query);
	table_deinit(&table);
	sockdiag_query_cancel(&chains[1].query);
}
END_TEST

START_TEST(test_trouble)
{
	static const struct {
		enum trouble trouble;
		unsigned times, retries;
		int result;
	} rows[] = {
		{ TROUBLE_ENOBUFS, 1, 1, 0 },
		{ TROUBLE_EAGAIN, 1, 1, 0 },
		{ TROUBLE_EINTR, 3, 0, 0 },
		{ TROUBLE_INTERRUPTED, 3, 3, 0 },
		{ TROUBLE_TRUNCATED, 2, 2, 0 },
		{ TROUBLE_EIO, 1, 0, -EIO },
		{ TROUBLE_INTERRUPTED, 1000, 5, -ENOBUFS },
		{ TROUBLE_ENOBUFS, 1000, 5, -ENOBUFS },
	};
	struct listing listing = { 0 };
	struct table table;
	uint16_t port;
	int fd = open_listener(&loopback, &port);

	table_init(&table);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t retries = sockdiag_stats(table.sockdiag)->retries;

		trouble = rows[i].trouble;
		trouble_times = rows[i].times;
		listing_start(&table, &listing, SOCKDIAG_TCP_LISTENERS, 0);
		listing_run(&table, &listing);
		ck_assert_int_eq(listing.result, rows[i].result);
		ck_assert_uint_eq(listing_count(&listing, port), rows[i].result == 0);
		ck_assert_uint_eq(sockdiag_stats(table.sockdiag)->retries - retries,
				  rows[i].retries);
	}
	/* And then all is well again. */
	trouble_times = 0;
	listing_start(&table, &listing, SOCKDIAG_TCP_LISTENERS, 0);
	listing_run(&table, &listing);
	ck_assert_int_eq(listing.result, 0);
	ck_assert_uint_eq(listing_count(&listing, port), 1);
	listing_free(&listing);
	close(fd);
	table_deinit(&table);
}
END_TEST

/* Without a descriptor to be had, the askers hear of it, and the loop goes on. */
START_TEST(test_no_descriptors)
{
	struct rlimit before, none;
	struct listing listing = { 0 };
	struct table table;

	table_init(&table);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	trouble = TROUBLE_ENOBUFS;
	trouble_times = 1;
	listing_start(&table, &listing, SOCKDIAG_TCP_LISTENERS, 0);
	listing_run(&table, &listing);
	ck_assert_int_eq(listing.result, -EMFILE);
	listing_start(&table, &listing, SOCKDIAG_TCP_LISTENERS, 0);
	listing_run(&table, &listing);
	ck_assert_int_eq(listing.result, -EMFILE);

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	listing_start(&table, &listing, SOCKDIAG_TCP_LISTENERS, 0);
	listing_run(&table, &listing);
	ck_assert_int_eq(listing.result, 0);
	listing_free(&listing);
	table_deinit(&table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sockdiag_dump");
	TCase *tests = tcase_create("dump");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_shared);
	tcase_add_test(tests, test_ports);
	tcase_add_test(tests, test_cancel);
	tcase_add_test(tests, test_trouble);
	tcase_add_test(tests, test_no_descriptors);
	suite_add_tcase(suite, tests);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
