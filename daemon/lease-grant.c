/* From a request to a lease. */

#include "lease-internal.h"
#include "portset.h"

#include <string.h>

static bool are_ranges(const struct port_range *ranges, size_t n_ranges)
{
	for (size_t i = 0; i < n_ranges; i++)
		if (ranges[i].first == 0 || ranges[i].last < ranges[i].first)
			return false;
	return true;
}

static bool is_sound(const struct lease_request *request)
{
	if (request->count == 0 || request->ttl_ms < 0)
		return false;
	if (request->name && (!request->name[0] || strlen(request->name) > LEASE_NAME_MAX))
		return false;
	if (!request->address[0] || strlen(request->address) > LEASE_ADDRESS_MAX)
		return false;
	return are_ranges(request->ports, request->n_ports) &&
	       are_ranges(request->exclude, request->n_exclude);
}

/* *ret_set stays NULL without ranges; the caller frees it. 0 or -ENOMEM. */
static int make_set(struct portset **ret_set, const struct port_range *ranges, size_t n_ranges)
{
	struct portset *set;

	if (n_ranges == 0)
		return 0;

	set = calloc(1, sizeof(*set));
	if (!set)
		return -ENOMEM;

	for (size_t i = 0; i < n_ranges; i++)
		portset_add(set, ranges[i].first, ranges[i].last);
	*ret_set = set;
	return 0;
}

static size_t count_choice(const struct choice *choice)
{
	const struct pool *pool = &choice->table->pool;
	size_t n = 0;

	if (choice->allowed)
		return portset_count(choice->allowed, choice->excluded);
	if (!choice->excluded)
		return pool->size;

	for (uint32_t port = 1; port <= UINT16_MAX; port++)
		n += pool_has(pool, (uint16_t)port) &&
		     !portset_has(choice->excluded, (uint16_t)port);
	return n;
}

/* Whether the lease that has the name already is what is asked for; see lease.h. */
static bool is_compatible(const struct choice *choice, const struct lease *lease)
{
	const struct lease_request *request = choice->request;

	if (lease->protocol != request->protocol || lease->hold != request->hold ||
	    lease->until != request->until || lease->n_ports != request->count ||
	    strcmp(lease->address, request->address) != 0)
		return false;

	for (size_t i = 0; i < lease->n_ports; i++) {
		uint16_t port = lease->ports[i].port;

		if (choice->allowed && !portset_has(choice->allowed, port))
			return false;
		if (choice->excluded && portset_has(choice->excluded, port))
			return false;
		if (request->contiguous && port != lease->ports[0].port + i)
			return false;
	}
	return true;
}

static int64_t ttl_of(const struct lease_request *request)
{
	if (request->ttl_ms == 0 && request->until == LEASE_CLAIMED)
		return LEASE_CLAIM_MS;
	return request->ttl_ms;
}

/* The same lease once more: its ttl starts anew, and it ends with who asked last. */
static int grant_again(const struct choice *choice, struct lease *lease)
{
	const struct lease_request *request = choice->request;
	struct lease renewed = *lease;
	int r;

	renewed.pid = request->pid;
	renewed.pid_tag = request->pid_tag;
	renewed.passed |= request->passes;
	renewed.ttl_ms = ttl_of(request);
	if (lease->until != LEASE_CLAIMED || lease->state != LEASE_IN_USE)
		renewed.expires_ms = renewed.ttl_ms ? lease_deadline(choice->now_ms, renewed.ttl_ms)
						    : LEASE_NEVER;

	r = lease_record(choice->table, &renewed);
	if (r < 0)
		return r;

	lease->pid = renewed.pid;
	lease->pid_tag = renewed.pid_tag;
	lease->passed = renewed.passed;
	lease->ttl_ms = renewed.ttl_ms;
	lease_set_expiry(choice->table, lease, renewed.expires_ms);
	lease_table_set_owner(lease, request->owner);
	return 1;
}

static int new_lease(const struct choice *choice, struct lease **ret_lease)
{
	const struct lease_request *request = choice->request;
	const struct lease_table *table = choice->table;
	struct lease *lease;
	int r;

	r = lease_new(&lease, request->name, request->address, request->count);
	if (r < 0)
		return r;

	do
		lease->id = table->ops->random(table->userdata);
	while (lease->id == 0 || hash_find(&table->by_id, lease->id));

	lease->uid = request->uid;
	lease->pid = request->pid;
	lease->pid_tag = request->pid_tag;
	lease->passed = request->passes;
	lease->protocol = request->protocol;
	lease->hold = request->hold;
	lease->until = request->until;
	lease->ttl_ms = ttl_of(request);
	lease->created_ms = choice->now_ms;
	if (lease->ttl_ms > 0)
		lease->expires_ms = lease_deadline(choice->now_ms, lease->ttl_ms);

	*ret_lease = lease;
	return 0;
}

static int grant_new(struct choice *choice, struct lease_user *user, struct lease **ret_lease)
{
	const struct lease_request *request = choice->request;
	_cleanup_(lease_freep) struct lease *lease = NULL;
	struct lease_table *table = choice->table;
	int r;

	/* More than there are ports is not worth allocating for. */
	if (request->count > UINT16_MAX)
		return -EADDRNOTAVAIL;
	if (request->uid != 0 && request->limit > 0 &&
	    (user->n_ports >= request->limit || request->count > request->limit - user->n_ports))
		return -EDQUOT;

	r = lease_table_reserve(table);
	if (r < 0)
		return r;

	r = new_lease(choice, &lease);
	if (r < 0)
		return r;
	choice->lease = lease;

	r = lease_choose(choice);
	if (r >= 0)
		r = lease_record(table, lease);
	if (r < 0) {
		lease_give_back(choice);
		return r;
	}

	lease_insert(table, lease, user, true);
	lease_table_set_owner(lease, request->owner);
	table->counts.granted++;
	*ret_lease = steal(lease);
	return 0;
}

int lease_table_grant(struct lease_table *table, const struct lease_request *request,
		      int64_t now_ms, struct lease **ret_lease)
{
	_cleanup_(freep) struct portset *allowed = NULL, *excluded = NULL;
	struct choice choice = { .table = table, .request = request, .now_ms = now_ms };
	struct lease *lease = NULL;
	struct lease_user *user;
	int r;

	if (!is_sound(request))
		return -EINVAL;

	r = make_set(&allowed, request->ports, request->n_ports);
	if (r < 0)
		return r;
	r = make_set(&excluded, request->exclude, request->n_exclude);
	if (r < 0)
		return r;
	choice.allowed = allowed;
	choice.excluded = excluded;

	if (request->name)
		lease = lease_find_named(table, request->uid, request->name);
	if (lease && !is_compatible(&choice, lease))
		return -EEXIST;

	/* What somebody else has by now is not given out, not even to whom it was promised. */
	if (lease && lease_hold_lost(table, lease) > 0) {
		lease_table_end(table, lease, now_ms);
		lease = NULL;
	}
	if (lease) {
		r = grant_again(&choice, lease);
		if (r >= 0)
			*ret_lease = lease;
		return r;
	}

	user = lease_user_get(table, request->uid);
	if (!user)
		return -ENOMEM;
	r = grant_new(&choice, user, ret_lease);
	if (r == -EADDRNOTAVAIL)
		table->choice = count_choice(&choice);
	lease_user_put(table, user);
	return r;
}
