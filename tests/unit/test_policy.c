/* test_policy.c: which networks can be written, and which rule decides about an address. */

#include "policy.h"
#include "unit.h"

static struct policy policy;

static void teardown(void)
{
	policy_deinit(&policy);
}

static void allow(const char *cidr)
{
	ck_assert_msg(policy_add(&policy, cidr, true) == 0, "\"%s\" is refused", cidr);
}

static void deny(const char *cidr)
{
	ck_assert_msg(policy_add(&policy, cidr, false) == 0, "\"%s\" is refused", cidr);
}

static bool is_allowed(const char *text, bool is_local, bool is_trusted)
{
	union address address;

	ck_assert_int_eq(address_parse(&address, text), 0);
	return policy_allows(&policy, &address, is_local, is_trusted);
}

/* For somebody who may probe nothing but this host. */
static bool lets_in(const char *text)
{
	return is_allowed(text, false, false);
}

START_TEST(a_network_is_an_address_and_a_prefix)
{
	static const char *const networks[] = {
		"192.0.2.0/24",
		"192.0.2.1",
		"192.0.2.1/32",
		"0.0.0.0/0",
		"128.0.0.0/1",
		"10.0.0.0/8",
		"::/0",
		"::1",
		"2001:db8::/32",
		"2001:db8::1/128",
		"fe80::/10",
		"::ffff:10.0.0.0/104",
		"::ffff:0.0.0.0/96",
		"::ffff:192.0.2.1",
		"::ffff:192.0.2.1/128",
	};

	for (size_t i = 0; i < ARRAY_SIZE(networks); i++) {
		allow(networks[i]);
		ck_assert_uint_eq(policy.n_rules, i + 1);
	}
}
END_TEST

START_TEST(what_is_no_network_is_refused)
{
	static const char *const refused[] = {
		"",
		"/",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/ 8",
		"10.0.0.0/8 ",
		" 10.0.0.0/8",
		"10.0.0.0/8/8",
		"10.0.0.0/0008",
		"10.0.0.0/255.0.0.0",
		"10.0.0/8",
		"10/8",
		"010.0.0.0/8",
		"10.0.0.0:80",
		"localhost",
		"example.org/24",
		"::/129",
		"2001:db8::/x",
		"fe80::1%lo",
		"fe80::%lo/10",
		"[::1]",
		"::ffff:10.0.0.0/95",
		"::ffff:10.0.0.0/8",
		"::ffff:10.0.0.0/129",
		"2001:0db8:0000:0000:0000:0000:0000:0001:0000:0000:0000:0000:0000:0000/64",
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		ck_assert_msg(policy_add(&policy, refused[i], true) == -EINVAL,
			      "\"%s\" is accepted", refused[i]);
	ck_assert_uint_eq(policy.n_rules, 0);
}
END_TEST

START_TEST(bits_behind_the_prefix_are_a_mistake)
{
	static const char *const refused[] = {
		"192.0.2.1/24",   "10.0.0.0/6",          "0.0.0.1/0",
		"192.0.2.129/31", "2001:db8::1/64",      "8000::/0",
		"fe80::1/10",     "::ffff:10.0.0.1/104", "::ffff:0.0.0.1/96",
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		ck_assert_msg(policy_add(&policy, refused[i], true) == -EINVAL,
			      "\"%s\" is accepted", refused[i]);
}
END_TEST

START_TEST(a_refused_network_leaves_the_others)
{
	allow("192.0.2.0/24");
	ck_assert_int_eq(policy_add(&policy, "192.0.2.1/24", false), -EINVAL);
	ck_assert_uint_eq(policy.n_rules, 1);
	ck_assert(lets_in("192.0.2.1"));
}
END_TEST

START_TEST(without_rules_it_depends_on_who_and_where)
{
	ck_assert(is_allowed("192.0.2.1", true, false));
	ck_assert(is_allowed("192.0.2.1", false, true));
	ck_assert(!is_allowed("192.0.2.1", false, false));
}
END_TEST

START_TEST(a_rule_is_for_its_network_alone)
{
	allow("192.0.2.0/25");
	ck_assert(lets_in("192.0.2.0"));
	ck_assert(lets_in("192.0.2.127"));
	ck_assert(!lets_in("192.0.2.128"));
	ck_assert(!lets_in("192.0.1.255"));
	allow("2001:db8:0:8::/61");
	ck_assert(lets_in("2001:db8:0:f:ffff:ffff:ffff:ffff"));
	ck_assert(!lets_in("2001:db8:0:10::"));
	ck_assert(!lets_in("2001:db8:0:7::"));
}
END_TEST

START_TEST(without_a_prefix_it_is_one_host)
{
	allow("192.0.2.7");
	allow("2001:db8::7");
	ck_assert(lets_in("192.0.2.7"));
	ck_assert(!lets_in("192.0.2.6"));
	ck_assert(lets_in("2001:db8::7"));
	ck_assert(!lets_in("2001:db8::6"));
}
END_TEST

START_TEST(each_family_has_rules_of_its_own)
{
	allow("::/0");
	ck_assert(lets_in("2001:db8::1"));
	ck_assert(!lets_in("192.0.2.1"));
	/* It is an IPv4 address, however it is written. */
	ck_assert(!lets_in("::ffff:192.0.2.1"));
	deny("0.0.0.0/0");
	ck_assert(!is_allowed("192.0.2.1", true, true));
	ck_assert(lets_in("2001:db8::1"));
}
END_TEST

START_TEST(mapped_networks_are_those_of_ipv4)
{
	allow("::ffff:10.0.0.0/104");
	ck_assert(lets_in("10.255.0.1"));
	ck_assert(lets_in("::ffff:10.255.0.1"));
	ck_assert(!lets_in("11.0.0.1"));
	deny("::ffff:10.9.0.1");
	ck_assert(!lets_in("10.9.0.1"));
	ck_assert(lets_in("10.9.0.2"));
}
END_TEST

START_TEST(the_most_specific_decides_in_any_order)
{
	static const struct {
		const char *cidr;
		bool allows;
	} rules[] = {
		{ "10.0.0.0/8", true },
		{ "10.1.0.0/16", false },
		{ "10.1.2.0/24", true },
		{ "10.1.2.3", false },
	};

	for (size_t first = 0; first < ARRAY_SIZE(rules); first++) {
		for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
			size_t rule = (first + i) % ARRAY_SIZE(rules);

			ck_assert_int_eq(policy_add(&policy, rules[rule].cidr, rules[rule].allows),
					 0);
		}
		ck_assert(lets_in("10.2.0.1"));
		ck_assert(!lets_in("10.1.0.1"));
		ck_assert(lets_in("10.1.2.4"));
		ck_assert(!lets_in("10.1.2.3"));
		policy_deinit(&policy);
	}
}
END_TEST

START_TEST(of_two_alike_the_one_that_denies_wins)
{
	allow("192.0.2.0/24");
	deny("192.0.2.0/24");
	ck_assert(!lets_in("192.0.2.1"));
	deny("198.51.100.0/24");
	allow("198.51.100.0/24");
	ck_assert(!lets_in("198.51.100.1"));
}
END_TEST

START_TEST(a_denied_target_is_denied_to_all)
{
	deny("192.0.2.1");
	ck_assert(!is_allowed("192.0.2.1", true, false));
	ck_assert(!is_allowed("192.0.2.1", true, true));
	ck_assert(!is_allowed("192.0.2.1", false, true));
}
END_TEST

START_TEST(the_whole_of_a_family_is_the_least_specific)
{
	deny("0.0.0.0/0");
	allow("127.0.0.0/8");
	ck_assert(is_allowed("127.0.0.1", true, false));
	ck_assert(!is_allowed("192.0.2.1", true, true));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_network_is_an_address_and_a_prefix,
		what_is_no_network_is_refused,
		bits_behind_the_prefix_are_a_mistake,
		a_refused_network_leaves_the_others,
		without_rules_it_depends_on_who_and_where,
		a_rule_is_for_its_network_alone,
		without_a_prefix_it_is_one_host,
		each_family_has_rules_of_its_own,
		mapped_networks_are_those_of_ipv4,
		the_most_specific_decides_in_any_order,
		of_two_alike_the_one_that_denies_wins,
		a_denied_target_is_denied_to_all,
		the_whole_of_a_family_is_the_least_specific,
		NULL,
	};

	return unit_run("policy", tests, teardown);
}
