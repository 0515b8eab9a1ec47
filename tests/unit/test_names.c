/* Names that leases had: whose, which ports, and how many are remembered. */

#include "names.h"
#include "unit.h"

#include <stdio.h>

static struct names names;

static void setup(void)
{
	ck_assert_int_eq(names_init(&names, 42), 0);
}

static void teardown(void)
{
	names_deinit(&names);
}

static void remember(uid_t uid, const char *text, uint16_t port)
{
	ck_assert_int_eq(names_remember(&names, uid, text, &port, 1), 0);
}

static void expect_port(uid_t uid, const char *text, uint16_t port)
{
	const struct name *name = names_find(&names, uid, text);

	ck_assert_ptr_nonnull(name);
	ck_assert_uint_eq(name->n_ports, 1);
	ck_assert_uint_eq(name->ports[0], port);
}

START_TEST(a_name_is_its_user_s)
{
	setup();
	remember(1, "web", 8000);
	remember(2, "web", 9000);
	expect_port(1, "web", 8000);
	expect_port(2, "web", 9000);
	ck_assert_ptr_null(names_find(&names, 3, "web"));
	names_forget(&names, 1, "web");
	ck_assert_ptr_null(names_find(&names, 1, "web"));
	expect_port(2, "web", 9000);
}
END_TEST

START_TEST(the_last_ports_count)
{
	setup();
	remember(1, "web", 8000);
	remember(1, "web", 8001);
	expect_port(1, "web", 8001);
}
END_TEST

START_TEST(of_a_large_lease_the_first_ports)
{
	uint16_t ports[NAMES_PORTS_MAX + 1];
	const struct name *name;

	setup();
	for (uint16_t i = 0; i <= NAMES_PORTS_MAX; i++)
		ports[i] = (uint16_t)(3000 + i);
	ck_assert_int_eq(names_remember(&names, 1, "large", ports, NAMES_PORTS_MAX + 1), 0);
	name = names_find(&names, 1, "large");
	ck_assert_uint_eq(name->n_ports, NAMES_PORTS_MAX);
	ck_assert_mem_eq(name->ports, ports, NAMES_PORTS_MAX * sizeof(*ports));
}
END_TEST

START_TEST(what_is_oldest_is_forgotten)
{
	char text[16];

	setup();
	for (uint16_t i = 0; i < NAMES_MAX; i++) {
		snprintf(text, sizeof(text), "%u", (unsigned)i);
		remember(1, text, i);
	}
	/* Asked for again: that makes it the youngest. */
	remember(1, "0", 7);
	remember(1, "one more", 8);
	expect_port(1, "0", 7);
	expect_port(1, "one more", 8);
	ck_assert_ptr_null(names_find(&names, 1, "1"));
	expect_port(1, "2", 2);
	ck_assert_uint_eq(names.hash.n_members, NAMES_MAX);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_name_is_its_user_s,
		the_last_ports_count,
		of_a_large_lease_the_first_ports,
		what_is_oldest_is_forgotten,
		NULL,
	};

	return unit_run("names", tests, teardown);
}
