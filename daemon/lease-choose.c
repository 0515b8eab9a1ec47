/* Which ports a lease gets. */

#include "lease-internal.h"
#include "portset.h"

#include <string.h>

/*
 * When nothing else is left of the pool, so many of the ports that were refused a moment ago are
 * tried again: enough to find the one that has become free in a small pool, and a bound on what
 * asking an exhausted one costs.
 */
#define REFUSED_AGAIN_MAX 64

/* So many ports are drawn from a long list before what is free of it is counted up. */
#define CHANCES 32

static size_t draw(const struct lease_table *table, size_t n)
{
	return n > 0 ? (size_t)(table->ops->random(table->userdata) % n) : 0;
}

static bool is_complete(const struct choice *choice)
{
	return choice->lease->n_ports == choice->request->count;
}

/* In quarantine, and the asker is who it was leased to under the same name. */
static bool is_own(const struct lease *lease, const struct lease_request *request)
{
	return lease_is_over(lease) && lease->name && request->name && lease->uid == request->uid &&
	       strcmp(lease->name, request->name) == 0;
}

/* Whether the port may be tried: one of the list, and nobody's. */
static bool is_candidate(const struct choice *choice, uint16_t port)
{
	const struct pool *pool = &choice->table->pool;
	const struct lease *other = choice->table->by_port[port];

	if (port == 0 || (choice->excluded && portset_has(choice->excluded, port)))
		return false;
	if (choice->allowed ? !portset_has(choice->allowed, port) : !pool_has(pool, port))
		return false;
	if (other)
		return is_own(other, choice->request) && !lease_find_port(choice->lease, port);
	if (lease_find_port(choice->lease, port))
		return false;
	return choice->allowed || choice->refused_too || pool_is_free(pool, port);
}

/* 1: the lease has it now; 0: it can't have this one; or -errno. */
static int try_port(struct choice *choice, uint16_t port)
{
	struct lease_table *table = choice->table;
	void *holder = NULL;
	int r;

	r = table->ops->hold(table->userdata, choice->lease, port, &holder);
	if (r == -EACCES)
		choice->is_denied = true;
	if (r == -EADDRINUSE || r == -EACCES) {
		if (!table->by_port[port])
			pool_refuse(&table->pool, port, choice->now_ms);
		return 0;
	}
	if (r < 0)
		return r;

	lease_add_port(choice->lease, port, holder);
	pool_take(&table->pool, port);
	return 1;
}

void lease_give_back(const struct choice *choice)
{
	struct lease_table *table = choice->table;
	struct lease *lease = choice->lease;

	for (size_t i = 0; i < lease->n_ports; i++) {
		struct lease_port *port = &lease->ports[i];

		table->ops->drop(table->userdata, lease, port->port, port->holder);
		if (!table->by_port[port->port])
			pool_put(&table->pool, port->port);
	}
	lease->n_ports = 0;
}

static int choose_from_pool(struct choice *choice)
{
	struct pool *pool = &choice->table->pool;
	size_t left = pool->n_free;
	int r;

	if (choice->request->count - choice->lease->n_ports > pool->n_free + pool->n_refused)
		return 0;

	while (!is_complete(choice) && left > 0) {
		uint16_t port = pool_draw(pool, draw(choice->table, left), &left);

		if (!is_candidate(choice, port))
			continue;
		r = try_port(choice, port);
		if (r < 0)
			return r;
	}

	for (size_t i = 0, n = pool->n_refused; i < n && i < REFUSED_AGAIN_MAX; i++) {
		uint16_t port = pool_oldest_refused(pool);

		if (is_complete(choice))
			break;
		if (choice->excluded && portset_has(choice->excluded, port)) {
			pool_refuse(pool, port, choice->now_ms);
			continue;
		}
		r = try_port(choice, port);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A random port of those in question. */
static uint16_t draw_port(const struct choice *choice)
{
	const struct lease_request *request = choice->request;
	const struct pool *pool = &choice->table->pool;
	size_t n = 0, i;

	if (!choice->allowed)
		return pool->n_free ? pool->free[draw(choice->table, pool->n_free)] : 1;

	for (i = 0; i < request->n_ports; i++)
		n += (size_t)(request->ports[i].last - request->ports[i].first) + 1;
	n = draw(choice->table, n);
	for (i = 0; n > (size_t)(request->ports[i].last - request->ports[i].first); i++)
		n -= (size_t)(request->ports[i].last - request->ports[i].first) + 1;
	return (uint16_t)(request->ports[i].first + n);
}

/* Of a list that is mostly free, without so much as a look at the whole of it. */
static int choose_by_chance(struct choice *choice)
{
	for (unsigned i = 0; i < CHANCES && !is_complete(choice); i++) {
		uint16_t port = draw_port(choice);
		int r;

		if (!is_candidate(choice, port))
			continue;
		r = try_port(choice, port);
		if (r < 0)
			return r;
	}
	return 0;
}

static int choose_from_list(struct choice *choice)
{
	_cleanup_(freep) uint16_t *ports = NULL;
	const struct lease_request *request = choice->request;
	size_t n = 0, size = 0;
	int r;

	for (size_t i = 0; i < request->n_ports; i++)
		size += (size_t)(request->ports[i].last - request->ports[i].first) + 1;

	/* In a short list the same port would be drawn, and asked of the kernel, again and again. */
	if (size > CHANCES * 4) {
		r = choose_by_chance(choice);
		if (r < 0 || is_complete(choice))
			return r;
	}

	ports = calloc(size + 1, sizeof(*ports));
	if (!ports)
		return -ENOMEM;

	for (size_t i = 0; i < request->n_ports; i++)
		for (uint32_t port = request->ports[i].first; port <= request->ports[i].last;
		     port++)
			if (is_candidate(choice, (uint16_t)port))
				ports[n++] = (uint16_t)port;

	while (!is_complete(choice) && n > 0) {
		size_t i = draw(choice->table, n);
		uint16_t port = ports[i];

		ports[i] = ports[--n];
		/* Again, for a list that has a port twice. */
		if (!is_candidate(choice, port))
			continue;
		r = try_port(choice, port);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Holds `count` ports from `first` on: 1 if it could; 0 if not, and *ret_bad is in the way. */
static int try_run(struct choice *choice, uint32_t first, uint32_t *ret_bad)
{
	size_t count = choice->request->count;

	for (size_t i = count; i > 0; i--) {
		uint32_t port = first + (uint32_t)(i - 1);

		if (port > UINT16_MAX || !is_candidate(choice, (uint16_t)port)) {
			*ret_bad = port;
			return 0;
		}
	}

	for (size_t i = 0; i < count; i++) {
		int r = try_port(choice, (uint16_t)(first + i));

		if (r < 0)
			return r;
		if (r == 0) {
			lease_give_back(choice);
			*ret_bad = first + (uint32_t)i;
			return 0;
		}
	}
	return 1;
}

/*
 * The first ports in a row from a random one on. A walk over the ports from there, which skips to
 * behind whatever is in the way: so the kernel is asked about no port twice.
 */
static int choose_run(struct choice *choice)
{
	uint32_t start = draw_port(choice), port = start, bad;
	size_t count = choice->request->count;
	bool around = false;

	while (!around || port < start) {
		int r;

		if (port + count - 1 > UINT16_MAX) {
			if (around)
				break;
			around = true;
			port = 1;
			continue;
		}
		r = try_run(choice, port, &bad);
		if (r != 0)
			return r < 0 ? r : 0;
		port = bad + 1;
	}
	return 0;
}

/* What the name had last is tried first, as far as it is in the list. */
static int choose_remembered(struct choice *choice)
{
	const struct lease_request *request = choice->request;
	const struct name *name = NULL;
	uint32_t bad;
	int r;

	if (request->name)
		name = names_find(&choice->table->names, request->uid, request->name);
	if (!name)
		return 0;

	if (request->contiguous && request->count > 1) {
		r = try_run(choice, name->ports[0], &bad);
		return r < 0 ? r : 0;
	}

	for (size_t i = 0; i < name->n_ports && !is_complete(choice); i++) {
		if (!is_candidate(choice, name->ports[i]))
			continue;
		r = try_port(choice, name->ports[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* That some may not be had is the better reason. */
static int none_left(const struct choice *choice)
{
	return choice->is_denied ? -EACCES : -EADDRNOTAVAIL;
}

int lease_choose(struct choice *choice)
{
	const struct lease_request *request = choice->request;
	int r;

	pool_readmit(&choice->table->pool, choice->now_ms);

	/* Its own port is worth asking the kernel for, whatever was refused a moment ago. */
	choice->refused_too = true;
	r = choose_remembered(choice);
	choice->refused_too = false;
	if (r < 0 || is_complete(choice))
		return r;

	if (request->contiguous && request->count > 1) {
		r = choose_run(choice);
		if (r < 0 || is_complete(choice) || choice->allowed)
			return r < 0 || is_complete(choice) ? r : none_left(choice);
		choice->refused_too = true;
		r = choose_run(choice);
	} else if (choice->allowed) {
		r = choose_from_list(choice);
	} else {
		r = choose_from_pool(choice);
	}
	if (r < 0)
		return r;

	return is_complete(choice) ? 0 : none_left(choice);
}
