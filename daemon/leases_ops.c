#include "clock.h"
#include "leases_internal.h"
#include "log.h"

#include <limits.h>
#include <string.h>
#include <sys/random.h>

/* Whether its sockets may be kept: by users but root at most half of what the others leave. */
static bool may_keep(const struct leases *leases, const struct lease *lease,
		     const struct holding *holding)
{
	size_t own = lease->uid == 0
			     ? 0
			     : lease_table_charge(leases->table, lease->uid) + lease->n_ports;
	int fds[2];
	unsigned n = holding ? holder_fds(&holding->holder, fds) : 0;

	for (unsigned i = 0; i < n; i++)
		if (descriptors_left(&leases->daemon->descriptors, fds[i]) <= own)
			return false;
	return true;
}

static int hold(void *userdata, const struct lease *lease, uint16_t port, void **ret_holder)
{
	struct leases *leases = userdata;
	/* Handed over at once, it is the user's alone: a parked copy would outlive its server. */
	struct parking *parking =
		lease->hold == LEASE_EXCLUSIVE && lease->passed ? NULL : leases->parking;
	struct holding *holding;
	int r;

	/* That we may is no reason why everybody should. */
	if (lease->uid != 0 && port < leases->first_port_of_all)
		return -EACCES;
	prober_make_way(leases->daemon->prober, port);
	r = holding_new(&holding, lease, port, leases->allow_time_wait, parking);
	/*
	 * The socket of a lease that is over may be parked behind living ones still. Nobody is
	 * waiting for its port but who had it by name, and would get another for good.
	 */
	if (r == -EADDRINUSE && lease->name && leases->parking &&
	    parking_is_untidy(leases->parking)) {
		parking_tidy(leases->parking, UINT_MAX);
		r = holding_new(&holding, lease, port, leases->allow_time_wait, parking);
	}
	if (r < 0)
		return r;
	if (!may_keep(leases, lease, holding)) {
		holding_free(holding);
		return -EMFILE;
	}
	bitmap_unset(&leases->taken, port);
	*ret_holder = holding;
	return 0;
}

static bool find_listener(const struct leases *leases, const struct lease *lease, uint16_t port,
			  struct sockdiag_socket *ret_listener)
{
	static const struct in_addr loopback = { .s_addr = 0x0100007f };
	struct sockdiag *sockdiag = leases->daemon->sockdiag;
	union address address;
	int r = lease_address(lease, &address);

	if (r < 0)
		return false;
	if (r > 0)
		return sockdiag_lookup_listener(sockdiag, address.sa.sa_family,
						address_bytes(&address), port, ret_listener) == 0;
	return sockdiag_lookup_listener(sockdiag, AF_INET, &loopback, port, ret_listener) == 0 ||
	       sockdiag_lookup_listener(sockdiag, AF_INET6, &in6addr_loopback, port,
					ret_listener) == 0;
}

/* Whether it is the user of the lease who has the port, so that nobody else can. */
static bool is_kept_by_user(const struct leases *leases, const struct lease *lease, uint16_t port)
{
	struct sockdiag_socket listener;

	if (lease->protocol != LEASE_UDP && find_listener(leases, lease, port, &listener))
		/* A socket that was passed has the user who made it: us. */
		return listener.uid == lease->uid || lease->state == LEASE_IN_USE ||
		       (lease->passed && listener.uid == geteuid());
	return lease->passed || (lease->protocol == LEASE_UDP && lease->state == LEASE_IN_USE);
}

/* The connections of a server that has ended, in TIME_WAIT, are no reason to lose its port. */
static int bind_again(struct leases *leases, const struct lease *lease, uint16_t port,
		      struct holding **ret_holding)
{
	struct sockdiag_socket listener;
	int r;

	prober_make_way(leases->daemon->prober, port);
	r = holding_new(ret_holding, lease, port, false, leases->parking);
	if (r != -EADDRINUSE || lease->protocol == LEASE_UDP ||
	    find_listener(leases, lease, port, &listener))
		return r;
	return holding_new(ret_holding, lease, port, true, leases->parking);
}

static void report_lost(struct leases *leases, const struct lease *lease, uint16_t port)
{
	if (bitmap_get(&leases->taken, port))
		return;
	bitmap_set(&leases->taken, port);
	log_warning("port %d of lease %016llx was taken by somebody else while it was not held; "
		    "it is not given out again as long as that is so",
		    (int)port, (unsigned long long)lease->id);
}

static int hold_again(void *userdata, const struct lease *lease, uint16_t port, void **ret_holder)
{
	struct leases *leases = userdata;
	struct holding *holding = NULL;
	int r = -ENOENT;

	if (lease->hold == LEASE_UNHELD)
		return 0;
	if (leases->finds.n > 0)
		r = holding_new_found(&holding, lease, port, &leases->finds);
	if (r == -ENOENT)
		r = bind_again(leases, lease, port, &holding);
	if (r == -EADDRINUSE && is_kept_by_user(leases, lease, port))
		/* Held again by us once that ends: lease_table_hold_lost(). */
		return 0;
	if (r == -EADDRINUSE)
		report_lost(leases, lease, port);
	if (r < 0)
		return r;
	bitmap_unset(&leases->taken, port);
	*ret_holder = holding;
	return 0;
}

static void drop(void *userdata, const struct lease *lease, uint16_t port, void *holder)
{
	(void)userdata;
	(void)lease;
	(void)port;
	holding_free(holder);
}

static int listens(void *userdata, const struct lease *lease, uint16_t port)
{
	struct leases *leases = userdata;

	(void)lease;
	if (!leases->has_looked)
		return -EAGAIN;
	return bitmap_get(&leases->listening, port);
}

/* A full disk is told of when it is found full, and when it no longer is; not in between. */
static void note_problem(struct leases *leases, int problem)
{
	const char *path = leases->daemon->config.runtime_dir;

	if (problem && !leases->is_problem_told &&
	    log_limit_allows(&leases->problem_limit, monotonic_now())) {
		log_warning("leases can't be written down in %s: %s; none is given until they can",
			    path, strerror(problem));
		leases->is_problem_told = true;
	} else if (!problem && leases->is_problem_told) {
		log_notice("leases can be written down in %s again", path);
		leases->is_problem_told = false;
	}
	leases->problem = problem;
}

static int record(void *userdata, const struct lease *lease)
{
	struct leases *leases = userdata;

	if (leases->is_restoring)
		return 0;
	if (leases->journal)
		note_problem(leases, -journal_put(leases->journal, lease));
	/* The same errnos would be about ports. */
	return leases->problem ? -EIO : 0;
}

static void erase(void *userdata, const struct lease *lease)
{
	struct leases *leases = userdata;

	if (leases->journal && !leases->is_restoring)
		journal_erase(leases->journal, lease);
}

static uint64_t next_random(void *userdata)
{
	struct leases *leases = userdata;

	/* 256 bytes never fail, are never fewer, and never wait once the system is up. */
	if (leases->n_random == 0) {
		if (getrandom(leases->random, sizeof(leases->random), 0) < 0)
			log_error("there is no randomness to be had: %s", strerror(errno));
		leases->n_random = ARRAY_SIZE(leases->random);
	}
	return leases->random[--leases->n_random];
}

const struct lease_ops leases_ops = {
	.hold = hold,
	.hold_again = hold_again,
	.drop = drop,
	.listens = listens,
	.record = record,
	.erase = erase,
	.random = next_random,
};
