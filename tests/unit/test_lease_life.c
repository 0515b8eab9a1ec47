/* How leases go on and end, and what they cost. */

#include "fake_kernel.h"

#include <malloc.h>
#include <stdio.h>

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

static struct lease *grant(enum lease_until until, int64_t ttl_ms, int64_t now_ms)
{
	struct lease_request request = fake_request();
	struct lease *lease = NULL;

	request.until = until;
	request.ttl_ms = ttl_ms;
	ck_assert_int_eq(lease_table_grant(table, &request, now_ms, &lease), 0);
	return lease;
}

static bool is_free(uint16_t port)
{
	return lease_table_find_port(table, port) == NULL;
}

START_TEST(quarantine_keeps_a_port)
{
	struct lease *lease = grant(LEASE_RELEASED, 0, 0);
	uint16_t port = lease->ports[0].port;
	uint64_t id = lease->id;

	ck_assert_int_eq(lease_table_next_deadline(table), LEASE_NEVER);
	lease_table_end(table, lease, 100);
	ck_assert_int_eq(lease->state, LEASE_QUARANTINED);
	ck_assert_int_eq(lease->expires_ms, 10100);
	ck_assert_int_eq(kernel.last_recorded, LEASE_QUARANTINED);
	ck_assert(!kernel.held[port]);
	ck_assert_ptr_null(lease_table_find(table, id));
	ck_assert_int_eq(lease_table_renew(table, lease, 5, 100), -ENOENT);

	/* As long as anybody listens. */
	ck_assert_uint_eq(lease_table_expire(table, 10099, 10), 0);
	kernel.listening[port] = true;
	ck_assert_uint_eq(lease_table_expire(table, 10100, 10), 1);
	ck_assert_int_eq(lease_table_next_deadline(table), 20100);
	kernel.listening[port] = false;
	kernel.listens_error = -ENOBUFS;
	ck_assert_uint_eq(lease_table_expire(table, 20100, 10), 1);
	ck_assert(!is_free(port));
	kernel.listens_error = 0;
	ck_assert_uint_eq(lease_table_expire(table, 30100, 10), 1);
	ck_assert(is_free(port));
	ck_assert_uint_eq(kernel.n_erased, 1);
	ck_assert_uint_eq(kernel.last_erased, id);
}
END_TEST

START_TEST(quarantine_lets_go_of_idle_ports)
{
	const struct port_range list = { 4000, 4003 };
	struct lease_request request = fake_request();
	struct lease *lease;

	request.ports = &list;
	request.n_ports = 1;
	request.count = 4;
	ck_assert_int_eq(lease_table_grant(table, &request, 0, &lease), 0);
	kernel.listening[4001] = true;
	lease_table_end(table, lease, 0);
	lease_table_expire(table, 10000, 10);
	ck_assert_uint_eq(lease->n_ports, 1);
	ck_assert_uint_eq(lease->ports[0].port, 4001);
	ck_assert(is_free(4000) && !is_free(4001) && is_free(4002) && is_free(4003));
}
END_TEST

START_TEST(no_quarantine_if_none_is_configured)
{
	const struct port_range pool = { 6000, 6000 };
	const struct lease_config config = { .pool = &pool, .n_pool = 1 };
	struct lease *lease;

	ck_assert_int_eq(lease_table_configure(table, &config), 0);
	lease = grant(LEASE_RELEASED, 0, 0);
	ck_assert_uint_eq(lease->ports[0].port, 6000);
	lease_table_end(table, lease, 0);
	ck_assert(is_free(6000));
	lease = grant(LEASE_RELEASED, 0, 0);
	kernel.listening[6000] = true;
	lease_table_end(table, lease, 0);
	ck_assert(!is_free(6000));
	kernel.listening[6000] = false;
	lease_table_expire(table, LEASE_RECHECK_MS, 1);
	ck_assert(is_free(6000));
}
END_TEST

START_TEST(claimed_waits_for_a_listener)
{
	struct lease *lease = grant(LEASE_CLAIMED, 0, 0);
	struct lease_counts counts;

	ck_assert_int_eq(lease->expires_ms, LEASE_CLAIM_MS);
	lease_table_count(table, &counts);
	ck_assert_uint_eq(counts.claimed, 1);
	ck_assert_uint_eq(lease_table_expire(table, LEASE_CLAIM_MS - 1, 10), 0);
	ck_assert_uint_eq(lease_table_expire(table, LEASE_CLAIM_MS, 10), 1);
	ck_assert_int_eq(lease->state, LEASE_QUARANTINED);
	lease_table_count(table, &counts);
	ck_assert_uint_eq(counts.claimed, 0);
	ck_assert_uint_eq(counts.expired, 1);
}
END_TEST

START_TEST(claimed_lasts_while_somebody_listens)
{
	struct lease *lease = grant(LEASE_CLAIMED, 8000, 0);
	uint16_t port = lease->ports[0].port;

	/* Seen at the last moment. */
	kernel.listening[port] = true;
	lease_table_expire(table, 8000, 10);
	ck_assert_int_eq(lease->state, LEASE_IN_USE);
	ck_assert_int_eq(lease->expires_ms, LEASE_NEVER);
	ck_assert_int_eq(kernel.last_recorded, LEASE_IN_USE);
	ck_assert_int_eq(lease_table_renew(table, lease, 0, 9000), 0);
	ck_assert_int_eq(lease->expires_ms, LEASE_NEVER);

	/* Gone for a moment. */
	kernel.listening[port] = false;
	lease_table_look(table, lease, 500000);
	ck_assert_int_eq(lease->state, LEASE_HELD);
	ck_assert_int_eq(lease->expires_ms, 505000);
	kernel.listening[port] = true;
	lease_table_look_at_all(table, 501000);
	ck_assert_int_eq(lease->expires_ms, LEASE_NEVER);

	/* Gone for good. When it can't be told whether, it stays. */
	kernel.listening[port] = false;
	lease_table_look_at_all(table, 600000);
	kernel.listens_error = -ENOBUFS;
	lease_table_expire(table, 605000, 10);
	ck_assert_int_eq(lease->state, LEASE_HELD);
	ck_assert_int_eq(lease->expires_ms, 606000);
	kernel.listens_error = 0;
	lease_table_expire(table, 606000, 10);
	ck_assert_int_eq(lease->state, LEASE_QUARANTINED);
}
END_TEST

START_TEST(grace_is_no_longer_than_ttl)
{
	struct lease *lease = grant(LEASE_CLAIMED, 700, 0);

	kernel.listening[lease->ports[0].port] = true;
	lease_table_look(table, lease, 1);
	kernel.listening[lease->ports[0].port] = false;
	lease_table_look(table, lease, 1000);
	ck_assert_int_eq(lease->expires_ms, 1700);
}
END_TEST

START_TEST(ttl_ends_other_leases_used_or_not)
{
	struct lease *lease = grant(LEASE_RELEASED, 1000, 0), *endless = grant(LEASE_PROCESS, 0, 0);

	ck_assert_int_eq(lease_table_renew(table, lease, 0, 500), 0);
	ck_assert_int_eq(lease->expires_ms, 1500);
	ck_assert_int_eq(lease_table_renew(table, lease, 2000, 500), 0);
	ck_assert_int_eq(lease->expires_ms, 2500);
	ck_assert_int_eq(lease_table_renew(table, lease, -1, 500), -EINVAL);
	ck_assert_int_eq(lease_table_renew(table, lease, INT64_MAX, 500), 0);
	ck_assert_int_eq(lease->expires_ms, LEASE_NEVER);
	kernel.record_error = -ENOSPC;
	ck_assert_int_eq(lease_table_renew(table, lease, 2000, 500), -ENOSPC);
	ck_assert_int_eq(lease->ttl_ms, INT64_MAX);
	kernel.record_error = 0;
	ck_assert_int_eq(lease_table_renew(table, lease, 2000, 500), 0);
	ck_assert_int_eq(lease_table_renew(table, endless, 0, 500), 0);
	ck_assert_int_eq(endless->expires_ms, LEASE_NEVER);

	kernel.listening[lease->ports[0].port] = true;
	lease_table_look_at_all(table, 600);
	ck_assert_int_eq(lease->state, LEASE_IN_USE);
	ck_assert_int_eq(lease_table_next_deadline(table), 2500);
	lease_table_expire(table, 2500, 10);
	ck_assert_int_eq(lease->state, LEASE_QUARANTINED);
	ck_assert_int_eq(endless->state, LEASE_HELD);
}
END_TEST

START_TEST(deadlines_come_in_order)
{
	uint64_t ids[50];

	for (int64_t i = 0; i < 50; i++)
		ids[i * 7 % 50] = grant(LEASE_RELEASED, 100 + i * 7 % 50, 0)->id;
	for (int64_t i = 0; i < 50; i++) {
		ck_assert_int_eq(lease_table_next_deadline(table), 100 + i);
		ck_assert_ptr_nonnull(lease_table_find(table, ids[i]));
		ck_assert_uint_eq(lease_table_expire(table, 100 + i, 100), 1);
		ck_assert_ptr_null(lease_table_find(table, ids[i]));
	}
}
END_TEST

START_TEST(an_end_that_cannot_be_written_stands)
{
	struct lease *lease = grant(LEASE_RELEASED, 0, 0);

	kernel.record_error = -ENOSPC;
	lease_table_end(table, lease, 0);
	ck_assert_int_eq(lease->state, LEASE_QUARANTINED);
	ck_assert_uint_eq(kernel.n_held, 0);
}
END_TEST

/* A second table, as after a restart, with what the first had; its ports are free. */
static struct lease_table *restart(struct fake_kernel *after)
{
	struct lease_table *new = fake_table(after);
	const struct lease *lease = NULL;

	while ((lease = lease_table_next(table, lease)))
		ck_assert_int_eq(lease_table_restore(new, lease), 0);
	return new;
}

START_TEST(restart_holds_again_and_tells_what_is_lost)
{
	struct lease *kept = grant(LEASE_PROCESS, 0, 0), *lost = grant(LEASE_CLAIMED, 0, 0), *again;
	struct lease *ended = grant(LEASE_CONNECTION, 0, 0);
	uint16_t port = lost->ports[0].port;
	struct fake_kernel after;
	struct lease_table *new;

	fake_init(&after, 2);
	new = restart(&after);
	after.taken[port] = true;
	after.listening[port] = true;
	ck_assert_uint_eq(lease_table_resume(new, 1), 1);
	ck_assert(after.held[kept->ports[0].port]);
	ck_assert(!after.held[ended->ports[0].port]);
	ck_assert_ptr_null(lease_table_find(new, ended->id));
	ck_assert_ptr_nonnull(lease_table_find_port(new, ended->ports[0].port));

	/* Reported, and given to nobody; who took it does not keep the lease alive. */
	again = lease_table_find(new, lost->id);
	ck_assert(again->ports[0].lost);
	lease_table_look(new, again, 2);
	ck_assert_int_eq(again->state, LEASE_HELD);
	ck_assert_uint_eq(lease_table_hold_lost(new), 1);

	after.taken[port] = false;
	ck_assert_uint_eq(lease_table_hold_lost(new), 0);
	ck_assert(!again->ports[0].lost);
	ck_assert(after.held[port]);
	lease_table_free(new);
	ck_assert_uint_eq(after.n_held, 0);
}
END_TEST

START_TEST(port_that_its_user_keeps_is_held_after_that)
{
	struct lease *lease = grant(LEASE_RELEASED, 0, 0), *again;
	struct lease_table *new = fake_table(&kernel);
	uint16_t port = lease->ports[0].port;

	ck_assert_int_eq(lease_table_restore(new, lease), 0);
	lease_table_free(table);
	kernel.kept[port] = true;
	kernel.listening[port] = true;
	ck_assert_uint_eq(lease_table_resume(new, 1), 0);
	again = lease_table_find_port(new, port);
	ck_assert(!again->ports[0].lost && !again->ports[0].holder);

	/* As long as it listens there is nothing to try. */
	lease_table_look_at_all(new, 2);
	kernel.kept[port] = false;
	ck_assert_uint_eq(lease_table_hold_lost(new), 0);
	ck_assert(!kernel.held[port]);

	kernel.listening[port] = false;
	lease_table_look_at_all(new, 3);
	ck_assert_uint_eq(lease_table_hold_lost(new), 0);
	ck_assert(kernel.held[port]);
	table = new;
}
END_TEST

START_TEST(port_that_its_user_kept_can_be_lost)
{
	struct lease *lease = grant(LEASE_RELEASED, 0, 0);
	struct lease_table *new = fake_table(&kernel);
	struct lease_counts counts;
	uint16_t port = lease->ports[0].port;

	ck_assert_int_eq(lease_table_restore(new, lease), 0);
	lease_table_free(table);
	kernel.kept[port] = true;
	ck_assert_uint_eq(lease_table_resume(new, 1), 0);
	kernel.kept[port] = false;
	kernel.taken[port] = true;
	ck_assert_uint_eq(lease_table_hold_lost(new), 1);
	ck_assert_uint_eq(lease_table_hold_lost(new), 1);
	ck_assert(lease_table_find_port(new, port)->ports[0].lost);

	lease_table_end(new, lease_table_find_port(new, port), 2);
	lease_table_count(new, &counts);
	ck_assert_uint_eq(counts.lost, 0);
	table = new;
}
END_TEST

START_TEST(name_with_a_lost_port_gets_another)
{
	struct lease_request request = fake_request();
	struct lease *lease, *other;
	struct fake_kernel after;
	struct lease_table *new;

	request.name = "web";
	ck_assert_int_eq(lease_table_grant(table, &request, 0, &lease), 0);
	fake_init(&after, 2);
	new = restart(&after);
	after.taken[lease->ports[0].port] = true;
	ck_assert_uint_eq(lease_table_resume(new, 1), 1);
	ck_assert_int_eq(lease_table_grant(new, &request, 2, &other), 0);
	ck_assert_uint_ne(other->ports[0].port, lease->ports[0].port);
	ck_assert_ptr_null(lease_table_find(new, lease->id));
	lease_table_free(new);
}
END_TEST

START_TEST(restore_refuses_what_cannot_be)
{
	struct lease_port ports[] = { { .port = 10 }, { .port = 11 } };
	struct lease lease = { .id = 1, .address = "*", .ports = ports, .n_ports = 2 };

	ck_assert_int_eq(lease_table_restore(table, &lease), 0);
	lease.id = 2;
	ck_assert_int_eq(lease_table_restore(table, &lease), -EADDRINUSE);
	ports[0].port = 12;
	ck_assert_int_eq(lease_table_restore(table, &lease), -EINVAL);
	lease.n_ports = 1;
	lease.name = "a";
	ck_assert_int_eq(lease_table_restore(table, &lease), 0);
	lease.id = 3;
	ports[0].port = 13;
	ck_assert_int_eq(lease_table_restore(table, &lease), -EEXIST);
	lease.uid = 1;
	lease.state = LEASE_QUARANTINED;
	lease.expires_ms = LEASE_NEVER;
	ck_assert_int_eq(lease_table_restore(table, &lease), -EINVAL);
	lease_table_restore_gone(table, 2);
	lease_table_restore_gone(table, 2);
	ck_assert(is_free(12));
	ck_assert_uint_eq(kernel.n_recorded + kernel.n_erased, 0);
}
END_TEST

/* A table of its own for 10,000 leases out of a pool of as many. */
static struct lease_table *large_table(void)
{
	const struct port_range pool = { 20000, 29999 };
	const struct lease_config config = { .pool = &pool, .n_pool = 1, .quarantine_ms = 10000 };
	struct lease_table *large;

	ck_assert_int_eq(lease_table_new(&large, &config, &fake_ops, &kernel), 0);
	return large;
}

START_TEST(lease_costs_at_most_512_bytes)
{
	struct lease_table *large = large_table();
	struct lease_request request = fake_request();
	size_t before = mallinfo2().uordblks, each;
	struct lease *lease;
	char name[32];

	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "service-number-%u", i);
		request.name = name;
		request.ttl_ms = 100000;
		ck_assert_int_eq(lease_table_grant(large, &request, 0, &lease), 0);
	}
	each = (mallinfo2().uordblks - before) / 10000;
	printf("%zu bytes a lease\n", each);
	ck_assert_uint_le(each, 512);
	lease_table_free(large);
}
END_TEST

START_TEST(last_port_costs_as_much_as_the_first)
{
	struct lease_table *large = large_table();
	struct lease_request request = fake_request();
	struct lease *lease;
	size_t before;

	/* Counted in calls, which is what can't be measured wrongly. */
	for (unsigned i = 0; i < 10000; i++) {
		before = kernel.n_hold_calls + kernel.n_random_calls;
		ck_assert_int_eq(lease_table_grant(large, &request, 0, &lease), 0);
		check_that(kernel.n_hold_calls + kernel.n_random_calls - before == 3);
	}
	lease_table_free(large);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("life");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, quarantine_keeps_a_port);
	tcase_add_test(tests, quarantine_lets_go_of_idle_ports);
	tcase_add_test(tests, no_quarantine_if_none_is_configured);
	tcase_add_test(tests, claimed_waits_for_a_listener);
	tcase_add_test(tests, claimed_lasts_while_somebody_listens);
	tcase_add_test(tests, grace_is_no_longer_than_ttl);
	tcase_add_test(tests, ttl_ends_other_leases_used_or_not);
	tcase_add_test(tests, deadlines_come_in_order);
	tcase_add_test(tests, an_end_that_cannot_be_written_stands);
	tcase_add_test(tests, restart_holds_again_and_tells_what_is_lost);
	tcase_add_test(tests, port_that_its_user_keeps_is_held_after_that);
	tcase_add_test(tests, port_that_its_user_kept_can_be_lost);
	tcase_add_test(tests, name_with_a_lost_port_gets_another);
	tcase_add_test(tests, restore_refuses_what_cannot_be);
	tcase_add_test(tests, lease_costs_at_most_512_bytes);
	tcase_add_test(tests, last_port_costs_as_much_as_the_first);
	return fake_run(tests);
}
