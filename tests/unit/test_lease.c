/* What a lease gets, and what not. */

#include "fake_kernel.h"

#include <string.h>

static struct fake_kernel kernel;
static struct lease_table *table;

static void set_up(void)
{
	fake_init(&kernel, 1);
	table = fake_table(&kernel);
}

static void tear_down(void)
{
	lease_table_free(table);
	ck_assert_uint_eq(kernel.n_held, 0);
}

static struct lease *grant(const struct lease_request *request, int64_t now_ms)
{
	struct lease *lease = NULL;

	ck_assert_int_ge(lease_table_grant(table, request, now_ms, &lease), 0);
	return lease;
}

static int refuse(const struct lease_request *request)
{
	struct lease *lease = NULL;
	int r = lease_table_grant(table, request, 0, &lease);

	ck_assert_ptr_null(lease);
	return r;
}

static struct lease_request request_for(const struct port_range *range)
{
	struct lease_request request = fake_request();

	request.ports = range;
	request.n_ports = 1;
	return request;
}

START_TEST(grant_says_what_was_asked)
{
	struct lease_request request = fake_request();
	struct lease *lease;

	request.pid = 42;
	request.pid_tag = 7;
	request.protocol = LEASE_BOTH;
	request.hold = LEASE_EXCLUSIVE;
	request.until = LEASE_PROCESS;
	request.address = "127.0.0.1";
	request.name = "web";
	request.ttl_ms = 500;
	lease = grant(&request, 1000);

	ck_assert_uint_eq(lease->uid, 1000);
	ck_assert_int_eq(lease->pid, 42);
	ck_assert_uint_eq(lease->pid_tag, 7);
	ck_assert_int_eq(lease->protocol, LEASE_BOTH);
	ck_assert_int_eq(lease->hold, LEASE_EXCLUSIVE);
	ck_assert_int_eq(lease->until, LEASE_PROCESS);
	ck_assert_str_eq(lease->address, "127.0.0.1");
	ck_assert_str_eq(lease->name, "web");
	ck_assert_int_eq(lease->created_ms, 1000);
	ck_assert_int_eq(lease->expires_ms, 1500);
	ck_assert_int_eq(lease->state, LEASE_HELD);
	ck_assert_uint_eq(lease->n_ports, 1);
	ck_assert_uint_ge(lease->ports[0].port, POOL_FIRST);
	ck_assert_uint_le(lease->ports[0].port, POOL_LAST);
	ck_assert_ptr_eq(lease->ports[0].holder, &kernel.held[lease->ports[0].port]);
	ck_assert_ptr_eq(lease_table_find(table, lease->id), lease);
	ck_assert_ptr_eq(lease_table_find_port(table, lease->ports[0].port), lease);
	ck_assert_uint_eq(kernel.n_recorded, 1);
}
END_TEST

START_TEST(only_owner_and_root_find_it)
{
	struct lease_request request = fake_request();
	struct lease *lease = grant(&request, 0);

	ck_assert_ptr_eq(lease_table_find_for(table, lease->id, 1000), lease);
	ck_assert_ptr_eq(lease_table_find_for(table, lease->id, 0), lease);
	ck_assert_ptr_null(lease_table_find_for(table, lease->id, 1001));
	ck_assert_ptr_null(lease_table_find_for(table, lease->id + 1, 1000));
	ck_assert_ptr_eq(lease_table_next_of(table, 1000, NULL), lease);
	ck_assert_ptr_null(lease_table_next_of(table, 1000, lease));
	ck_assert_ptr_null(lease_table_next_of(table, 1001, NULL));
}
END_TEST

START_TEST(whole_pool_is_given_out_once)
{
	struct lease_request request = fake_request();
	bool seen[UINT16_MAX + 1] = { false };

	for (unsigned i = POOL_FIRST; i <= POOL_LAST; i++) {
		struct lease *lease = grant(&request, 0);

		ck_assert(!seen[lease->ports[0].port]);
		seen[lease->ports[0].port] = true;
	}
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	ck_assert_uint_eq(lease_table_choice(table), POOL_LAST - POOL_FIRST + 1);
}
END_TEST

START_TEST(protocols_share_a_port_number)
{
	const struct port_range one = { 8080, 8080 };
	struct lease_request request = request_for(&one);

	grant(&request, 0);
	request.protocol = LEASE_UDP;
	request.uid = 1001;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	ck_assert_uint_eq(lease_table_choice(table), 1);
}
END_TEST

START_TEST(refused_ports_are_passed_over_and_not_lost)
{
	struct lease_request request = fake_request();
	struct lease_counts counts;
	size_t n_calls;

	for (unsigned port = POOL_FIRST + 1; port <= POOL_LAST; port++)
		kernel.taken[port] = true;
	ck_assert_uint_eq(grant(&request, 0)->ports[0].port, POOL_FIRST);

	/* All others are laid aside: an exhausted pool costs no more than a few tries. */
	request.count = 2;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	n_calls = kernel.n_hold_calls;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	ck_assert_uint_le(kernel.n_hold_calls - n_calls, 64);

	memset(kernel.taken, 0, sizeof(kernel.taken));
	request.count = POOL_LAST - POOL_FIRST;
	grant(&request, 5001);
	lease_table_count(table, &counts);
	ck_assert_uint_eq(counts.pool_free + counts.pool_refused, 0);
}
END_TEST

START_TEST(port_that_comes_free_is_found_at_once)
{
	struct lease_request request = fake_request();

	for (unsigned port = POOL_FIRST; port <= POOL_FIRST + 50; port++)
		kernel.taken[port] = true;
	request.count = POOL_LAST - POOL_FIRST - 50;
	grant(&request, 0);
	request.count = 1;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	kernel.taken[POOL_FIRST + 7] = false;
	ck_assert_uint_eq(grant(&request, 1)->ports[0].port, POOL_FIRST + 7);
}
END_TEST

START_TEST(all_or_nothing)
{
	const struct port_range ten = { 8000, 8009 };
	struct lease_request request = request_for(&ten);

	kernel.taken[8003] = true;
	request.count = 10;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	ck_assert_uint_eq(kernel.n_held, 0);
	ck_assert_uint_eq(kernel.n_recorded, 0);
	ck_assert_uint_eq(lease_table_charge(table, 1000), 0);

	request.count = 9;
	ck_assert_uint_eq(grant(&request, 0)->n_ports, 9);
	ck_assert_uint_eq(lease_table_charge(table, 1000), 9);
}
END_TEST

START_TEST(failure_grants_nothing)
{
	struct lease_request request = fake_request();
	struct lease_counts before, after;

	lease_table_count(table, &before);
	request.count = 3;
	kernel.record_error = -ENOSPC;
	ck_assert_int_eq(refuse(&request), -ENOSPC);
	kernel.record_error = -EROFS;
	ck_assert_int_eq(refuse(&request), -EROFS);
	kernel.record_error = 0;
	kernel.hold_error = -EMFILE;
	ck_assert_int_eq(refuse(&request), -EMFILE);
	kernel.hold_error = 0;

	lease_table_count(table, &after);
	ck_assert_mem_eq(&before, &after, sizeof(before));
	ck_assert_uint_eq(kernel.n_held, 0);
	ck_assert_ptr_null(lease_table_next(table, NULL));
	ck_assert_int_eq(lease_table_next_deadline(table), LEASE_NEVER);
}
END_TEST

START_TEST(who_may_have_none_is_told_so)
{
	struct lease_request request = fake_request();
	const struct port_range list[] = { { 9000, 9009 } };

	kernel.hold_error = -EACCES;
	request.count = 2;
	for (unsigned i = 0; i < 4; i++) {
		request.contiguous = i & 1;
		request.ports = list;
		request.n_ports = i / 2;
		ck_assert_int_eq(refuse(&request), -EACCES);
	}
	kernel.hold_error = 0;
	grant(&request, 0); /* others may have them */
}
END_TEST

START_TEST(contiguous_ports_are_in_a_row)
{
	struct lease_request request = fake_request();
	const struct port_range list[] = { { 65530, 65535 }, { 1024, 1027 }, { 9000, 9002 } };

	for (unsigned port = POOL_FIRST; port <= POOL_LAST; port += 5)
		kernel.taken[port] = true;
	request.contiguous = true;
	request.count = 5;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);

	request.count = 4;
	for (unsigned i = 0; i < (POOL_LAST - POOL_FIRST + 1) / 5; i++) {
		const struct lease *lease = grant(&request, 0);

		ck_assert_int_eq((lease->ports[0].port - POOL_FIRST) % 5, 1);
		ck_assert_uint_eq(lease->ports[3].port, lease->ports[0].port + 3);
	}
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);

	/* Runs end at 65535, and at the ends of what is listed. */
	request.ports = list;
	request.n_ports = 3;
	request.count = 6;
	ck_assert_uint_eq(grant(&request, 0)->ports[0].port, 65530);
	request.count = 5;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	ck_assert_uint_eq(lease_table_choice(table), 13);
	request.count = 4;
	ck_assert_uint_eq(grant(&request, 0)->ports[0].port, 1024);
}
END_TEST

START_TEST(excluded_ports_are_not_given)
{
	const struct port_range exclude[] = { { POOL_FIRST, 2097 }, { 2099, 60000 } };
	const struct port_range list = { 2090, 2110 };
	struct lease_request request = fake_request();

	request.exclude = exclude;
	request.n_exclude = 2;
	ck_assert_uint_eq(grant(&request, 0)->ports[0].port, 2098);
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	ck_assert_uint_eq(lease_table_choice(table), 1);

	lease_table_end(table, lease_table_next(table, NULL), 0);
	lease_table_expire(table, 10000, 1);
	request.ports = &list;
	request.n_ports = 1;
	ck_assert_uint_eq(grant(&request, 10000)->ports[0].port, 2098);
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
}
END_TEST

START_TEST(lists_may_overlap_and_leave_the_pool)
{
	const struct port_range list[] = { { 3000, 3002 }, { 3001, 3003 }, { 2199, 2199 } };
	struct lease_request request = fake_request();
	struct lease_counts counts;

	request.ports = list;
	request.n_ports = 3;
	request.count = 5;
	ck_assert_uint_eq(grant(&request, 0)->ports[4].port, 3003);
	lease_table_count(table, &counts);
	ck_assert_uint_eq(counts.pool_free, POOL_LAST - POOL_FIRST);
	request.count = 1;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
}
END_TEST

START_TEST(choice_from_a_list_is_random)
{
	const struct port_range list = { 5000, 5099 };
	struct lease_request request = request_for(&list);
	size_t n_in_order = 0;
	uint16_t last = 0;

	for (unsigned i = 0; i < 100; i++) {
		uint16_t port = grant(&request, 0)->ports[0].port;

		n_in_order += port == last + 1;
		last = port;
	}
	ck_assert_uint_lt(n_in_order, 10);
}
END_TEST

START_TEST(long_list_is_given_out_to_the_last)
{
	const struct port_range list[] = { { 3000, 3899 }, { 4000, 4099 } };
	struct lease_request request = fake_request();
	bool seen[UINT16_MAX + 1] = { false };

	request.ports = list;
	request.n_ports = 2;
	for (uint16_t port = 3000; port < 3100; port++)
		kernel.taken[port] = true;
	for (unsigned i = 0; i < 900; i++) {
		uint16_t port = grant(&request, 0)->ports[0].port;

		check_that(port >= 3100 && port <= 4099 && (port < 3900 || port >= 4000));
		check_that(!seen[port]);
		seen[port] = true;
	}
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	ck_assert_uint_eq(lease_table_choice(table), 1000);
}
END_TEST

START_TEST(limit_counts_ports_of_a_user)
{
	struct lease_request request = fake_request();

	request.limit = 5;
	request.count = 4;
	grant(&request, 0);
	request.count = 2;
	ck_assert_int_eq(refuse(&request), -EDQUOT);
	request.count = 1;
	grant(&request, 0);
	ck_assert_int_eq(refuse(&request), -EDQUOT);
	request.uid = 1001;
	grant(&request, 0);
	request.uid = 0;
	request.count = 6;
	grant(&request, 0);

	/* What is over does not count. */
	lease_table_end(table, lease_table_next_of(table, 1000, NULL), 0);
	ck_assert_uint_eq(lease_table_charge(table, 1000), 1);
}
END_TEST

START_TEST(nonsense_is_refused)
{
	const struct port_range zero = { 0, 5 }, reversed = { 9, 8 };
	struct lease_request request = fake_request();
	char name[LEASE_NAME_MAX + 2];

	request.count = 0;
	ck_assert_int_eq(refuse(&request), -EINVAL);
	request = fake_request();
	request.ttl_ms = -1;
	ck_assert_int_eq(refuse(&request), -EINVAL);
	request = request_for(&zero);
	ck_assert_int_eq(refuse(&request), -EINVAL);
	request = request_for(&reversed);
	ck_assert_int_eq(refuse(&request), -EINVAL);
	request = fake_request();
	request.exclude = &reversed;
	request.n_exclude = 1;
	ck_assert_int_eq(refuse(&request), -EINVAL);
	request = fake_request();
	request.count = SIZE_MAX;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	request.contiguous = true;
	request.count = 65535;
	ck_assert_int_eq(refuse(&request), -EADDRNOTAVAIL);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	request = fake_request();
	request.name = name;
	ck_assert_int_eq(refuse(&request), -EINVAL);
	request.name = "";
	ck_assert_int_eq(refuse(&request), -EINVAL);
}
END_TEST

START_TEST(name_is_the_same_lease)
{
	const struct port_range elsewhere = { 7000, 7000 };
	struct lease_request request = fake_request();
	struct list first, second;
	struct lease *lease;

	list_init(&first);
	list_init(&second);
	request.name = "web";
	request.until = LEASE_CONNECTION;
	request.ttl_ms = 100;
	request.owner = &first;
	lease = grant(&request, 0);
	request.owner = &second;
	ck_assert_ptr_eq(grant(&request, 50), lease);
	ck_assert_int_eq(lease->expires_ms, 150);

	/* It ends with who asked last. */
	lease_table_end_owned(table, &first, 60);
	ck_assert_ptr_eq(lease_table_find(table, lease->id), lease);

	request.uid = 1001;
	ck_assert_ptr_ne(grant(&request, 60), lease);
	request.uid = 1000;
	request.count = 2;
	ck_assert_int_eq(refuse(&request), -EEXIST);
	request.count = 1;
	request.protocol = LEASE_UDP;
	ck_assert_int_eq(refuse(&request), -EEXIST);
	request.protocol = LEASE_TCP;
	request.address = "::1";
	ck_assert_int_eq(refuse(&request), -EEXIST);
	request.address = "*";
	request.ports = &elsewhere;
	request.n_ports = 1;
	ck_assert_int_eq(refuse(&request), -EEXIST);

	lease_table_end_owned(table, &second, 70);
	ck_assert(list_empty(&second));
	ck_assert_int_eq(lease->state, LEASE_QUARANTINED);
}
END_TEST

START_TEST(name_gets_its_port_again)
{
	struct lease_request request = fake_request(), other = fake_request();
	struct lease *lease;
	uint16_t port;
	uint64_t id;

	request.name = "web";
	lease = grant(&request, 0);
	port = lease->ports[0].port;
	id = lease->id;

	/* At once, out of its own quarantine; nobody else gets it there. */
	lease_table_end(table, lease, 0);
	other.count = POOL_LAST - POOL_FIRST;
	grant(&other, 0);
	lease = grant(&request, 1);
	ck_assert_uint_eq(lease->ports[0].port, port);
	ck_assert_uint_ne(lease->id, id);
	ck_assert_uint_eq(kernel.last_erased, id);

	/* Later, though all is free. */
	lease_table_end(table, lease, 2);
	lease_table_end(table, lease_table_next(table, NULL), 2);
	lease_table_expire(table, 20000, 10);
	ck_assert_ptr_null(lease_table_next(table, NULL));
	ck_assert_uint_eq(grant(&request, 20000)->ports[0].port, port);

	/* Not when somebody has it. */
	lease_table_end(table, lease_table_next(table, NULL), 20000);
	kernel.taken[port] = true;
	ck_assert_uint_ne(grant(&request, 20000)->ports[0].port, port);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("grant");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, grant_says_what_was_asked);
	tcase_add_test(tests, only_owner_and_root_find_it);
	tcase_add_test(tests, whole_pool_is_given_out_once);
	tcase_add_test(tests, protocols_share_a_port_number);
	tcase_add_test(tests, refused_ports_are_passed_over_and_not_lost);
	tcase_add_test(tests, port_that_comes_free_is_found_at_once);
	tcase_add_test(tests, all_or_nothing);
	tcase_add_test(tests, failure_grants_nothing);
	tcase_add_test(tests, who_may_have_none_is_told_so);
	tcase_add_test(tests, contiguous_ports_are_in_a_row);
	tcase_add_test(tests, excluded_ports_are_not_given);
	tcase_add_test(tests, lists_may_overlap_and_leave_the_pool);
	tcase_add_test(tests, choice_from_a_list_is_random);
	tcase_add_test(tests, long_list_is_given_out_to_the_last);
	tcase_add_test(tests, limit_counts_ports_of_a_user);
	tcase_add_test(tests, nonsense_is_refused);
	tcase_add_test(tests, name_is_the_same_lease);
	tcase_add_test(tests, name_gets_its_port_again);
	return fake_run(tests);
}
