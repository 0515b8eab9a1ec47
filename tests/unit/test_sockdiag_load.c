/* Thousands of sockets: right answers, and how long the loop is kept from its other work. */

#include "sockdiag_helpers.h"
#include "sockdiag_message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static const struct bind_to loopback = { AF_INET, "127.0.0.1", -1, NULL };

static bool is_listed(const struct listing *listing, int family, const uint8_t *address,
		      uint16_t port)
{
	for (size_t i = 0; i < listing->n; i++) {
		if (listing->sockets[i].port == port &&
		    sockdiag_listens_on(&listing->sockets[i], family, address,
					SOCKDIAG_LOOPBACK_INTERFACE))
			return true;
	}
	return false;
}

/* 2,000 listeners of random kinds: the look-up, the listing and connect() for each. */
START_TEST(test_many_listeners)
{
	static const struct bind_to kinds[] = {
		{ AF_INET, "127.0.0.1", -1, NULL },
		{ AF_INET, "127.0.0.2", -1, NULL },
		{ AF_INET, "0.0.0.0", -1, NULL },
		{ AF_INET6, "::1", 0, NULL },
		{ AF_INET6, "::", 0, NULL },
		{ AF_INET6, "::", 1, NULL },
		{ AF_INET6, "::ffff:127.0.0.1", 0, NULL },
		{ AF_INET6, "::ffff:0.0.0.0", 0, NULL },
	};
	static const struct bind_to targets[] = { { AF_INET, "127.0.0.1", -1, NULL },
						  { AF_INET, "127.0.0.2", -1, NULL },
						  { AF_INET6, "::1", -1, NULL } };
	enum { N = 2000 };
	static uint16_t ports[N];
	static int fds[N];
	struct sockdiag_socket found;
	struct listing listing = { 0 };
	uint64_t started, lookups_ns = 0, listing_ns;
	struct table table;
	uint8_t buffer[16];
	unsigned open = 0;

	srandom((unsigned)getpid());
	for (size_t i = 0; i < N; i++)
		fds[i] = open_listener(&kinds[(size_t)random() % ARRAY_SIZE(kinds)], &ports[i]);
	table_init(&table);
	started = now_ns();
	listing_start(&table, &listing, SOCKDIAG_TCP_LISTENERS, 0);
	listing_run(&table, &listing);
	listing_ns = now_ns() - started;
	ck_assert_int_eq(listing.result, 0);
	ck_assert_uint_ge(listing.n, N);

	for (size_t i = 0; i < 2 * N; i++) {
		const struct bind_to *to = &targets[(size_t)random() % ARRAY_SIZE(targets)];
		const uint8_t *address = address_bytes(to->family, to->address, buffer);
		/* Half of them where nobody need be listening. */
		uint16_t port = (uint16_t)(i < N ? ports[i] : random() % 65535 + 1);
		int truth = connects(to->family, to->address, port), r;

		started = now_ns();
		r = sockdiag_lookup_listener(table.sockdiag, to->family, address, port, &found);
		lookups_ns += now_ns() - started;
		ck_assert_int_eq(r, truth ? 0 : -ENOENT);
		ck_assert_int_eq(is_listed(&listing, to->family, address, port), truth);
		open += (unsigned)truth;
	}
	ck_assert_uint_gt(open, N / 4);
	printf("%zu listeners listed in %.0f us; a look-up: %.2f us (127.0.0.2 by its route)\n",
	       listing.n, (double)listing_ns / 1e3, (double)lookups_ns / 1e3 / (2 * N));
	for (size_t i = 0; i < N; i++)
		close(fds[i]);
	listing_free(&listing);
	table_deinit(&table);
}
END_TEST

/* Connects to itself until it has `n` pairs, says so, and keeps them until `go` is closed. */
static _Noreturn void hold_connections(unsigned n, int ready, int go)
{
	static const struct linger reset = { .l_onoff = 1 };
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	unsigned made = 0;
	uint16_t port;
	char byte;
	int listener = open_listener(&loopback, &port);

	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	for (; made < n; made++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);

		if (client < 0 || connect(client, (void *)&address, length) < 0)
			break;
		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		client = accept(listener, NULL, NULL);
		if (client < 0)
			break;
		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	if (write(ready, &made, sizeof(made)) == sizeof(made))
		(void)!read(go, &byte, 1);
	_exit(0);
}

/* The longest that the loop was away from its poll. */
struct turns {
	ev_check check;
	ev_prepare prepare;
	uint64_t began, longest;
	unsigned count;
};

static void on_check(struct ev_loop *loop, ev_check *watcher, int revents)
{
	struct turns *turns = container_of(watcher, struct turns, check);

	(void)loop;
	(void)revents;
	turns->began = now_ns();
}

static void on_prepare(struct ev_loop *loop, ev_prepare *watcher, int revents)
{
	struct turns *turns = container_of(watcher, struct turns, prepare);
	uint64_t spent = now_ns() - turns->began;

	(void)loop;
	(void)revents;
	if (turns->began == 0)
		return;
	turns->count++;
	if (spent > turns->longest)
		turns->longest = spent;
}

static void time_listing(struct table *table, const char *name, unsigned what, uint16_t port,
			 struct listing *listing)
{
	struct turns turns = { 0 };
	uint64_t started = now_ns();

	ev_check_init(&turns.check, on_check);
	ev_prepare_init(&turns.prepare, on_prepare);
	ev_check_start(table->loop, &turns.check);
	ev_prepare_start(table->loop, &turns.prepare);
	listing_start(table, listing, what, port);
	listing_run(table, listing);
	ev_check_stop(table->loop, &turns.check);
	ev_prepare_stop(table->loop, &turns.prepare);
	ck_assert_int_eq(listing->result, 0);
	printf("%s: %zu sockets in %.2f ms, %u turns, the longest %.2f ms\n", name, listing->n,
	       (double)(now_ns() - started) / 1e6, turns.count, (double)turns.longest / 1e6);
}

START_TEST(test_many_connections)
{
	enum { CHILDREN = 4, PAIRS = 20000 / 2 / CHILDREN };
	struct listing listing = { 0 };
	struct rlimit limit;
	unsigned made = 0, n, pairs = PAIRS;
	int ready[2], go[2];
	pid_t children[CHILDREN];
	struct table table;
	uint16_t port;
	int listener;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < 2 * PAIRS + 64)
		pairs = limit.rlim_max < 128 ? 0 : (unsigned)(limit.rlim_max - 64) / 2;

	ck_assert_int_eq(pipe(ready), 0);
	ck_assert_int_eq(pipe(go), 0);
	for (size_t i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		ck_assert_int_ge(children[i], 0);
		if (children[i] == 0) {
			close(go[1]);
			hold_connections(pairs, ready[1], go[0]);
		}
	}
	for (size_t i = 0; i < CHILDREN; i++) {
		ck_assert_int_eq(read(ready[0], &n, sizeof(n)), (ssize_t)sizeof(n));
		made += n;
	}
	listener = open_listener(&loopback, &port);
	table_init(&table);
	/* Once before: the kernel's first piece is small until it has seen the reader's buffer. */
	time_listing(&table, "warm-up", SOCKDIAG_TCP_LISTENERS, 0, &listing);
	time_listing(&table, "all TCP", SOCKDIAG_TCP_ALL, 0, &listing);
	ck_assert_uint_ge(listing.n, 2 * made);
	time_listing(&table, "listeners", SOCKDIAG_TCP_LISTENERS, 0, &listing);
	time_listing(&table, "one port", SOCKDIAG_TCP_ALL | SOCKDIAG_UDP, port, &listing);
	ck_assert_uint_eq(listing.n, 1);

	close(go[1]);
	for (size_t i = 0; i < CHILDREN; i++)
		ck_assert_int_eq(waitpid(children[i], NULL, 0), children[i]);
	close(listener);
	listing_free(&listing);
	table_deinit(&table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sockdiag_load");
	TCase *tests = tcase_create("load");
	struct rlimit limit;
	SRunner *runner;
	int failed;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, test_many_listeners);
	tcase_add_test(tests, test_many_connections);
	suite_add_tcase(suite, tests);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
