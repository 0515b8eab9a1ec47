/*
 * policy.h: which targets may be probed for whom. See protocol/README.md, "Who may what". Pure:
 * who asks, and whether an address is this host's own, come from outside.
 */

#pragma once

#include "address.h"

/* One --allow or --deny. */
struct policy_rule {
	union address network;
	unsigned prefix; /* bits of it that count */
	bool allows;
};

/* All zeroes has no rules. */
struct policy {
	struct policy_rule *rules;
	size_t n_rules;
};

/*
 * Adds a rule: an address with "/prefix", or without for one host. 0; -ENOMEM; or -EINVAL if
 * `cidr` isn't one, or has bits set behind the prefix.
 */
int policy_add(struct policy *policy, const char *cidr, bool allows);
void policy_deinit(struct policy *policy);

/*
 * The most specific rule that matches the address decides; of two alike the one that denies.
 * Without any, everybody may probe what is this host's own, and `is_trusted` callers the rest.
 */
bool policy_allows(const struct policy *policy, const union address *address, bool is_local,
		   bool is_trusted);
