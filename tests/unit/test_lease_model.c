/*
 * A few hundred thousand random steps of a lease table beside a model that is too simple to be
 * wrong: an array of leases that is searched from end to end. LEASE_TEST_SEED and LEASE_TEST_STEPS
 * in the environment override what is here.
 */

#include "fake_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED       20240229
#define N_STEPS    300000
#define PORT_LOW   1950 /* what lists are made of reaches beyond the pool */
#define PORT_HIGH  2249
#define MAX_LEASES 400
#define MAX_PORTS  6
#define N_USERS    3
#define N_NAMES    4
#define N_OWNERS   3
#define LIMIT      60

static const char *const names[N_NAMES] = { NULL, "web", "db", "a name with \"quotes\"" };

struct model_lease {
	uint64_t id;
	unsigned user, name;
	int owner;
	enum lease_until until;
	enum lease_state state;
	size_t n_ports;
	uint16_t ports[MAX_PORTS];
	int64_t ttl_ms, expires_ms;
};

struct model {
	struct fake_kernel kernel;
	struct lease_table *table;
	struct list owners[N_OWNERS];
	struct model_lease leases[MAX_LEASES + 1];
	size_t n_leases;
	uint16_t remembered[N_USERS][N_NAMES]; /* the lowest port a name had last */
	size_t n_taken;
	int64_t now_ms;
};

static unsigned pick(struct model *model, unsigned n)
{
	return (unsigned)(fake_random(&model->kernel) % n);
}

static uid_t uid_of(unsigned user)
{
	return user == 0 ? 0 : 999 + user;
}

static struct model_lease *who_has(struct model *model, uint16_t port)
{
	for (size_t i = 0; i < model->n_leases; i++)
		for (size_t j = 0; j < model->leases[i].n_ports; j++)
			if (model->leases[i].ports[j] == port)
				return &model->leases[i];
	return NULL;
}

static struct model_lease *named(struct model *model, unsigned user, unsigned name)
{
	for (size_t i = 0; name != 0 && i < model->n_leases; i++) {
		struct model_lease *lease = &model->leases[i];

		if (lease->user == user && lease->name == name && lease->state != LEASE_QUARANTINED)
			return lease;
	}
	return NULL;
}

static size_t charge(struct model *model, unsigned user)
{
	size_t n = 0;

	for (size_t i = 0; i < model->n_leases; i++)
		if (model->leases[i].user == user && model->leases[i].state != LEASE_QUARANTINED)
			n += model->leases[i].n_ports;
	return n;
}

static void forget(struct model *model, struct model_lease *lease)
{
	*lease = model->leases[--model->n_leases];
}

static void take_port(struct model *model, struct model_lease *lease, size_t i)
{
	for (lease->n_ports--; i < lease->n_ports; i++)
		lease->ports[i] = lease->ports[i + 1];
	if (lease->n_ports == 0)
		forget(model, lease);
}

static void end(struct model *model, struct model_lease *lease)
{
	lease->state = LEASE_QUARANTINED;
	lease->expires_ms = model->now_ms + 10000;
	lease->owner = -1;
	model->remembered[lease->user][lease->name] = lease->ports[0];
}

static bool is_listening(const struct model *model, const struct model_lease *lease)
{
	for (size_t i = 0; i < lease->n_ports; i++)
		if (model->kernel.listening[lease->ports[i]])
			return true;
	return false;
}

static void look(struct model *model, struct model_lease *lease)
{
	bool listening = is_listening(model, lease);

	if (lease->state == LEASE_HELD && listening) {
		lease->state = LEASE_IN_USE;
		if (lease->until == LEASE_CLAIMED)
			lease->expires_ms = LEASE_NEVER;
	} else if (lease->state == LEASE_IN_USE && !listening) {
		lease->state = LEASE_HELD;
		if (lease->until == LEASE_CLAIMED)
			lease->expires_ms =
				model->now_ms + (lease->ttl_ms < 5000 ? lease->ttl_ms : 5000);
	}
}

/* False: nothing is over. */
static bool expire_one(struct model *model)
{
	for (size_t i = 0; i < model->n_leases; i++) {
		struct model_lease *lease = &model->leases[i];

		if (lease->expires_ms > model->now_ms)
			continue;

		if (lease->state != LEASE_QUARANTINED) {
			if (lease->until == LEASE_CLAIMED)
				look(model, lease);
			if (lease->expires_ms <= model->now_ms)
				end(model, lease);
		} else if (!is_listening(model, lease)) {
			forget(model, lease);
		} else {
			for (size_t j = lease->n_ports; j > 0; j--)
				if (!model->kernel.listening[lease->ports[j - 1]])
					take_port(model, lease, j - 1);
			lease->expires_ms = model->now_ms + 10000;
		}
		return true;
	}
	return false;
}

struct wish {
	struct lease_request request;
	struct port_range ports[3], exclude[2];
	unsigned user, name;
	int owner;
};

static bool in(const struct port_range *ranges, size_t n, uint16_t port)
{
	for (size_t i = 0; i < n; i++)
		if (port >= ranges[i].first && port <= ranges[i].last)
			return true;
	return false;
}

static bool is_asked_for(const struct wish *wish, uint16_t port)
{
	if (in(wish->exclude, wish->request.n_exclude, port))
		return false;
	if (wish->request.n_ports > 0)
		return in(wish->ports, wish->request.n_ports, port);
	return port >= POOL_FIRST && port <= POOL_LAST;
}

static bool is_free(struct model *model, const struct wish *wish, uint16_t port)
{
	const struct model_lease *other = who_has(model, port);

	if (!is_asked_for(wish, port) || model->kernel.taken[port])
		return false;
	return !other || (other->state == LEASE_QUARANTINED && wish->name != 0 &&
			  other->user == wish->user && other->name == wish->name);
}

static bool could_be_had(struct model *model, const struct wish *wish)
{
	bool in_a_row = wish->request.contiguous && wish->request.count > 1;
	bool from_pool = wish->request.n_ports == 0 && !in_a_row;
	size_t n = 0;

	/* Out of the pool, no port that is quarantined is looked for but what the name had last. */
	for (uint16_t port = PORT_LOW; port <= PORT_HIGH && n < wish->request.count; port++) {
		if (is_free(model, wish, port) && !(from_pool && who_has(model, port)))
			n++;
		else if (wish->request.contiguous)
			n = 0;
	}
	return n >= wish->request.count;
}

static void make_range(struct model *model, struct port_range *range, unsigned max)
{
	range->first = (uint16_t)(PORT_LOW + pick(model, PORT_HIGH - PORT_LOW - max));
	range->last = (uint16_t)(range->first + pick(model, max));
}

static void make_wish(struct model *model, struct wish *wish)
{
	struct lease_request *request = &wish->request;

	*wish = (struct wish){ .user = pick(model, N_USERS), .name = 0, .owner = -1 };
	if (pick(model, 3) == 0)
		wish->name = pick(model, N_NAMES);
	*request = fake_request();
	request->uid = uid_of(wish->user);
	request->name = names[wish->name];
	request->count = pick(model, 3) ? 1 : 1 + pick(model, MAX_PORTS);
	request->contiguous = pick(model, 4) == 0;
	request->until = (enum lease_until)pick(model, 4);
	request->ttl_ms = pick(model, 2) ? 1 + pick(model, 30000) : 0;
	request->limit = LIMIT;
	if (request->until == LEASE_CONNECTION) {
		wish->owner = (int)pick(model, N_OWNERS);
		request->owner = &model->owners[wish->owner];
	}

	request->ports = wish->ports;
	request->n_ports = pick(model, 2) ? 0 : 1 + pick(model, 3);
	for (size_t i = 0; i < request->n_ports; i++)
		make_range(model, &wish->ports[i], pick(model, 2) ? 1 : 30);
	request->exclude = wish->exclude;
	request->n_exclude = pick(model, 3) ? 0 : 1 + pick(model, 2);
	for (size_t i = 0; i < request->n_exclude; i++)
		make_range(model, &wish->exclude[i], 40);
}

/* The name has a lease already: is it what is wished for? */
static bool is_compatible(const struct wish *wish, const struct model_lease *lease)
{
	if (lease->until != wish->request.until || lease->n_ports != wish->request.count)
		return false;
	for (size_t i = 0; i < lease->n_ports; i++) {
		if (in(wish->exclude, wish->request.n_exclude, lease->ports[i]) ||
		    (wish->request.n_ports > 0 && !is_asked_for(wish, lease->ports[i])) ||
		    (wish->request.contiguous && lease->ports[i] != lease->ports[0] + i))
			return false;
	}
	return true;
}

static void set_ttl(struct model *model, struct model_lease *lease, int64_t ttl_ms)
{
	if (ttl_ms == 0 && lease->until == LEASE_CLAIMED)
		ttl_ms = LEASE_CLAIM_MS;
	lease->ttl_ms = ttl_ms;
	if (lease->until != LEASE_CLAIMED || lease->state != LEASE_IN_USE)
		lease->expires_ms = ttl_ms ? model->now_ms + ttl_ms : LEASE_NEVER;
}

/* What was granted must have been free; then the model has it too. */
static void check_granted(struct model *model, const struct wish *wish, const struct lease *lease)
{
	uint16_t sticky = model->remembered[wish->user][wish->name];
	bool sticky_free = wish->name && sticky && is_free(model, wish, sticky);
	struct model_lease new = {
		.id = lease->id,
		.user = wish->user,
		.name = wish->name,
		.owner = wish->owner,
		.until = wish->request.until,
		.state = LEASE_HELD,
	};

	check_that(lease->n_ports == wish->request.count);
	for (size_t i = 0; i < lease->n_ports; i++) {
		uint16_t port = lease->ports[i].port;
		struct model_lease *other;

		check_that(is_free(model, wish, port));
		if (wish->request.contiguous)
			check_that(port == lease->ports[0].port + i);
		if (port == sticky)
			sticky_free = false;

		other = who_has(model, port);
		for (size_t j = 0; other; j++) {
			if (other->ports[j] != port)
				continue;
			take_port(model, other, j);
			break;
		}
		new.ports[new.n_ports++] = port;
	}
	if (wish->request.count == 1)
		check_that(!sticky_free);

	model->leases[model->n_leases++] = new;
	set_ttl(model, &model->leases[model->n_leases - 1], wish->request.ttl_ms);
}

static void step_grant(struct model *model)
{
	struct model_lease *old;
	struct lease *lease = NULL;
	struct wish wish;
	int r;

	if (model->n_leases == MAX_LEASES)
		return;
	make_wish(model, &wish);
	old = named(model, wish.user, wish.name);
	model->kernel.record_error = pick(model, 40) ? 0 : -ENOSPC;
	model->kernel.hold_error = pick(model, 40) ? 0 : -EMFILE;
	r = lease_table_grant(model->table, &wish.request, model->now_ms, &lease);

	if (old) {
		if (!is_compatible(&wish, old)) {
			check_that(r == -EEXIST);
		} else if (model->kernel.record_error) {
			check_that(r == model->kernel.record_error);
		} else {
			check_that(r == 1);
			check_that(lease->id == old->id);
			old->owner = wish.owner;
			set_ttl(model, old, wish.request.ttl_ms);
		}
	} else if (wish.user != 0 && charge(model, wish.user) + wish.request.count > LIMIT) {
		check_that(r == -EDQUOT);
	} else if (r == -EADDRNOTAVAIL) {
		check_that(model->kernel.hold_error || !could_be_had(model, &wish));
	} else if (r < 0) {
		check_that(r == model->kernel.record_error || r == model->kernel.hold_error);
	} else {
		check_granted(model, &wish, lease);
	}
	model->kernel.record_error = 0;
	model->kernel.hold_error = 0;
}

static void step_end(struct model *model)
{
	struct model_lease *lease;

	if (model->n_leases == 0)
		return;
	lease = &model->leases[pick(model, (unsigned)model->n_leases)];
	if (lease->state == LEASE_QUARANTINED) {
		check_that(!lease_table_find(model->table, lease->id));
		return;
	}
	lease_table_end(model->table, lease_table_find(model->table, lease->id), model->now_ms);
	end(model, lease);
}

static void step_renew(struct model *model)
{
	struct model_lease *lease;
	int64_t ttl_ms = pick(model, 2) ? 0 : 1 + pick(model, 30000);

	lease = &model->leases[pick(model, (unsigned)model->n_leases + 1)];
	if (lease == &model->leases[model->n_leases] || lease->state == LEASE_QUARANTINED)
		return;
	check_that(lease_table_renew(model->table, lease_table_find(model->table, lease->id),
				     ttl_ms, model->now_ms) == 0);
	if (ttl_ms > 0 || lease->ttl_ms > 0)
		set_ttl(model, lease, ttl_ms ? ttl_ms : lease->ttl_ms);
}

static void step_close(struct model *model)
{
	int owner = (int)pick(model, N_OWNERS);

	lease_table_end_owned(model->table, &model->owners[owner], model->now_ms);
	for (size_t i = 0; i < model->n_leases; i++)
		if (model->leases[i].owner == owner)
			end(model, &model->leases[i]);
}

static void step_time(struct model *model)
{
	model->now_ms += pick(model, 2500);
	while (lease_table_expire(model->table, model->now_ms, 1 + pick(model, 5)) > 0)
		;
	while (expire_one(model))
		;
}

static void step_world(struct model *model)
{
	uint16_t port = (uint16_t)(PORT_LOW + pick(model, PORT_HIGH - PORT_LOW + 1));
	bool *taken = &model->kernel.taken[port];

	if (pick(model, 2)) {
		model->kernel.listening[port] = pick(model, 4) == 0;
	} else if (*taken || (!model->kernel.held[port] && model->n_taken < 40)) {
		*taken = !*taken;
		model->n_taken += *taken ? 1 : SIZE_MAX;
	}
}

static void step_look(struct model *model)
{
	lease_table_look_at_all(model->table, model->now_ms);
	for (size_t i = 0; i < model->n_leases; i++)
		look(model, &model->leases[i]);
}

/* Everything the table says, beside everything the model says. */
static void compare(struct model *model)
{
	const struct lease *lease = NULL;
	int64_t deadline = LEASE_NEVER;
	size_t n = 0, n_held = 0, n_pool = POOL_LAST - POOL_FIRST + 1;
	struct lease_counts counts;

	for (size_t i = 0; i < model->n_leases; i++) {
		const struct model_lease *expected = &model->leases[i];

		lease = lease_table_find_port(model->table, expected->ports[0]);
		check_that(lease);
		check_that(lease->id == expected->id);
		check_that(lease->uid == uid_of(expected->user));
		check_that(lease->state == expected->state);
		check_that(lease->expires_ms == expected->expires_ms);
		check_that(lease->ttl_ms == expected->ttl_ms);
		check_that(lease->n_ports == expected->n_ports);
		for (size_t j = 0; j < lease->n_ports; j++) {
			check_that(lease->ports[j].port == expected->ports[j]);
			check_that(lease_table_find_port(model->table, expected->ports[j]) ==
				   lease);
			n_held += expected->state != LEASE_QUARANTINED;
		}
		if (expected->expires_ms < deadline)
			deadline = expected->expires_ms;
	}

	for (lease = NULL; (lease = lease_table_next(model->table, lease)); n++)
		for (size_t i = 0; i < lease->n_ports; i++)
			n_pool -= lease->ports[i].port >= POOL_FIRST &&
				  lease->ports[i].port <= POOL_LAST;
	lease_table_count(model->table, &counts);
	check_that(counts.pool_free + counts.pool_refused == n_pool);
	check_that(n == model->n_leases);
	check_that(model->kernel.n_held == n_held);
	check_that(lease_table_next_deadline(model->table) == deadline);
	for (unsigned i = 0; i < N_USERS; i++)
		check_that(lease_table_charge(model->table, uid_of(i)) == charge(model, i));
}

START_TEST(table_agrees_with_the_model)
{
	static void (*const steps[])(struct model *) = {
		step_grant, step_grant, step_grant, step_grant, step_end,  step_renew,
		step_close, step_time,  step_world, step_world, step_look,
	};
	const char *seed_text = getenv("LEASE_TEST_SEED"), *steps_text = getenv("LEASE_TEST_STEPS");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 0) : SEED;
	uint64_t n_steps = steps_text ? strtoull(steps_text, NULL, 0) : N_STEPS;
	struct model *model = calloc(1, sizeof(*model));

	printf("seed %llu, %llu steps\n", (unsigned long long)seed, (unsigned long long)n_steps);
	fflush(stdout);
	ck_assert_ptr_nonnull(model);
	fake_init(&model->kernel, seed);
	model->table = fake_table(&model->kernel);
	model->now_ms = 1000000;
	for (size_t i = 0; i < N_OWNERS; i++)
		list_init(&model->owners[i]);

	for (uint64_t i = 0; i < n_steps; i++) {
		steps[pick(model, sizeof(steps) / sizeof(steps[0]))](model);
		if (i % 16 == 0)
			compare(model);
	}

	/* What is left ends, and then all of the pool is there again. */
	memset(model->kernel.listening, 0, sizeof(model->kernel.listening));
	while (model->n_leases > 0) {
		step_end(model);
		step_time(model);
	}
	compare(model);
	lease_table_free(model->table);
	free(model);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("model");

	tcase_set_timeout(tests, 300);
	tcase_add_test(tests, table_agrees_with_the_model);
	return fake_run(tests);
}
