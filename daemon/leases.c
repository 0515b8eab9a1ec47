#include "leases_internal.h"

#include "portlist.h"

#include <time.h>

/* Leases that end in one turn of the loop. */
#define EXPIRE_SLICE 64
/* Seconds between two looks while there are claimed leases. */
#define LOOK_INTERVAL 1.0
/* Seconds between two rounds of tidying up. */
#define TIDY_INTERVAL 5.0
/* Parked sockets moved in one round. */
#define TIDY_BUDGET 2048
/* A wake-up that is further away is looked at again then: the clock of leases runs in sleep. */
#define SLEEP_MAX_MS 60000

int64_t leases_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct lease_table *leases_table(struct leases *leases)
{
	return leases->table;
}

bool leases_have(const struct leases *leases, uint16_t port)
{
	return lease_table_find_port(leases->table, port);
}

void leases_count_refusal(struct leases *leases)
{
	leases->n_refused++;
}

int leases_problem(const struct leases *leases)
{
	return leases->problem;
}

static void set_timer(struct leases *leases, ev_timer *timer, double seconds)
{
	ev_timer_stop(leases->daemon->loop, timer);
	ev_timer_set(timer, seconds > 0. ? seconds : 0., 0.);
	ev_timer_start(leases->daemon->loop, timer);
}

static bool is_anything_left(const struct leases *leases, const struct lease_counts *counts)
{
	return counts->by_state[LEASE_HELD] > 0 || counts->by_state[LEASE_IN_USE] > 0 ||
	       counts->by_state[LEASE_QUARANTINED] > 0 || !list_empty(&leases->owners);
}

void leases_changed(struct leases *leases)
{
	int64_t next = lease_table_next_deadline(leases->table);
	struct lease_counts counts;
	int64_t after;

	lease_table_count(leases->table, &counts);
	ev_timer_stop(leases->daemon->loop, &leases->deadline);
	if (next != LEASE_NEVER) {
		after = next - leases_now();
		set_timer(leases, &leases->deadline,
			  (double)(after < SLEEP_MAX_MS ? after : SLEEP_MAX_MS) / 1e3);
	}
	if (counts.claimed > 0 && !ev_is_active(&leases->look))
		set_timer(leases, &leases->look, LOOK_INTERVAL);
	if (is_anything_left(leases, &counts) && !ev_is_active(&leases->tidy))
		set_timer(leases, &leases->tidy, TIDY_INTERVAL);
}

/* Whether the socket is bound where the lease is for. */
static bool is_on_address(const struct lease *lease, const struct sockdiag_socket *socket)
{
	union address address;

	return lease_address(lease, &address) <= 0 || address_is_any(&address) ||
	       sockdiag_covers(socket, address.sa.sa_family, address_bytes(&address));
}

/* Whether the socket is a server's, on a port and an address that are leased for its protocol. */
static bool is_server(const struct leases *leases, const struct sockdiag_socket *socket)
{
	const struct lease *lease = lease_table_find_port(leases->table, socket->port);
	const struct lease_port *port;

	if (!lease || !is_on_address(lease, socket))
		return false;
	if (socket->protocol == IPPROTO_TCP)
		return lease->protocol != LEASE_UDP && socket->state == SOCKDIAG_LISTEN;
	if (lease->protocol == LEASE_TCP)
		return false;
	/* A datagram socket that holds a port looks like a server's: only the inode tells. */
	port = lease_find_port(lease, socket->port);
	return !port->holder || !holding_has_inode(port->holder, socket->inode);
}

static void note_listeners(struct leases *leases, const struct sockdiag_socket *sockets, size_t n)
{
	bitmap_clear(&leases->listening, PORT_MAX + 1);
	for (size_t i = 0; i < n; i++)
		if (is_server(leases, &sockets[i]))
			bitmap_set(&leases->listening, sockets[i].port);
}

static void move_all(struct list *to, struct list *from)
{
	while (!list_empty(from)) {
		struct list *link = from->next;

		list_remove(link);
		list_append(to, link);
	}
}

static void start_look(struct leases *leases)
{
	if (leases->is_looking)
		return;
	leases->is_looking = true;
	sockdiag_query_start(leases->daemon->sockdiag, &leases->query);
}

/*
 * For a kernel that doesn't tell. udp_diag is a module of its own, and may be all that is missing.
 * Where nobody tells who listens nobody does: else no lease would ever be over. Who binds the port
 * next finds out. Returns whether there is another look to wait for.
 */
static bool look_at_less(struct leases *leases)
{
	if (!(leases->query.what & SOCKDIAG_UDP))
		return false;
	leases->query.what &= ~(unsigned)SOCKDIAG_UDP;
	sockdiag_query_start(leases->daemon->sockdiag, &leases->query);
	return true;
}

static void on_listed(struct sockdiag_query *query, int result,
		      const struct sockdiag_socket *sockets, size_t n_sockets)
{
	struct leases *leases = container_of(query, struct leases, query);
	int64_t now = leases_now();
	struct list looks;

	if (result == -EOPNOTSUPP) {
		if (look_at_less(leases))
			return;
		result = 0;
	}
	leases->is_looking = false;
	leases->has_looked = result >= 0;
	if (result >= 0)
		note_listeners(leases, sockets, n_sockets);
	lease_table_look_at_all(leases->table, now);
	lease_table_expire(leases->table, now, EXPIRE_SLICE);
	if (leases->holds_lost)
		lease_table_hold_lost(leases->table);
	leases->holds_lost = false;
	leases->has_looked = false;
	leases_changed(leases);

	list_init(&looks);
	move_all(&looks, &leases->looks);
	move_all(&leases->looks, &leases->next_looks);
	if (!list_empty(&leases->looks))
		start_look(leases);
	while (!list_empty(&looks)) {
		struct leases_look *look = list_first(&looks, struct leases_look, link);

		list_remove(&look->link);
		look->done(look);
	}
}

void leases_look(struct leases *leases, struct leases_look *look)
{
	/* A listing that has begun may have passed what has changed since. */
	list_append(leases->is_looking ? &leases->next_looks : &leases->looks, &look->link);
	start_look(leases);
}

void leases_look_cancel(struct leases_look *look)
{
	if (look->link.next)
		list_remove(&look->link);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct leases *leases = container_of(watcher, struct leases, deadline);

	(void)loop;
	(void)revents;
	if (lease_table_next_deadline(leases->table) <= leases_now())
		start_look(leases);
	else
		leases_changed(leases);
}

static void on_look(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	(void)loop;
	(void)revents;
	start_look(container_of(watcher, struct leases, look));
}

void owner_free(struct owner *owner)
{
	process_watch_stop(&owner->watch);
	list_remove(&owner->link);
	free(owner);
}

static void free_idle_owners(struct leases *leases)
{
	struct owner *owner, *following;

	list_for_each_safe (owner, following, &leases->owners, link) {
		if (list_empty(&owner->owned))
			owner_free(owner);
	}
}

void leases_tidy(struct leases *leases)
{
	free_idle_owners(leases);
	leases_watch_processes(leases);
	if (leases->parking && parking_is_untidy(leases->parking))
		parking_tidy(leases->parking, TIDY_BUDGET);
	if (leases->journal && journal_wants_compaction(leases->journal))
		journal_compact(leases->journal);
	/* What servers kept and is free now: a fresh look tells. */
	leases->holds_lost = true;
	start_look(leases);
	leases_changed(leases);
}

static void on_tidy(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	(void)loop;
	(void)revents;
	leases_tidy(container_of(watcher, struct leases, tidy));
}

static void on_process_gone(struct process_watch *watch)
{
	struct owner *owner = container_of(watch, struct owner, watch);
	struct leases *leases = owner->leases;

	lease_table_end_owned(leases->table, &owner->owned, leases_now());
	owner_free(owner);
	leases_changed(leases);
}

/* `peer` as for leases_grant(). */
static int watch_process(struct leases *leases, pid_t pid, int peer, struct owner **ret_owner)
{
	struct owner *owner = calloc(1, sizeof(*owner));
	int r;

	if (!owner)
		return -ENOMEM;
	owner->leases = leases;
	list_init(&owner->owned);
	process_watch_init(&owner->watch);
	r = peer >= 0 ? process_watch_start_peer(&owner->watch, leases->processes, peer,
						 on_process_gone)
		      : process_watch_start(&owner->watch, leases->processes, pid, on_process_gone);
	if (r < 0) {
		free(owner);
		/* Not a number that a process has: from a pid namespace that we can't see. */
		return r == -EINVAL ? -ESRCH : r;
	}
	list_append(&leases->owners, &owner->link);
	*ret_owner = owner;
	return 0;
}

void leases_watch_processes(struct leases *leases)
{
	struct lease *lease = lease_table_next(leases->table, NULL);

	while (lease) {
		struct lease *next = lease_table_next(leases->table, lease);
		struct owner *owner;
		int r;

		if (lease->until == LEASE_PROCESS && lease->state != LEASE_QUARANTINED &&
		    list_empty(&lease->owner_link)) {
			r = watch_process(leases, lease->pid, -EBADF, &owner);
			if (r >= 0 && lease->pid_tag == process_watch_tag(&owner->watch))
				lease_table_set_owner(lease, &owner->owned);
			else if (r >= 0 || r == -ESRCH)
				lease_table_end(leases->table, lease, leases_now());
		}
		lease = next;
	}
}

/* Who may have a lease end with the process: its own user, and root. */
static int watch_owner(struct leases *leases, struct lease_request *request, int peer,
		       struct owner **ret_owner)
{
	struct owner *owner;
	uid_t uid;
	int r;

	r = watch_process(leases, request->pid, peer, &owner);
	if (r < 0)
		return r;
	if (request->uid != 0) {
		r = process_watch_uid(&owner->watch, &uid);
		if (r >= 0 && uid != request->uid)
			r = -EPERM;
	}
	if (r < 0) {
		owner_free(owner);
		return r;
	}
	request->owner = &owner->owned;
	request->pid_tag = process_watch_tag(&owner->watch);
	*ret_owner = owner;
	return 0;
}

int leases_grant(struct leases *leases, struct lease_request *request, int peer,
		 bool allow_time_wait, struct lease **ret_lease)
{
	struct owner *owner = NULL;
	int r = 0;

	if (request->until == LEASE_PROCESS)
		r = watch_owner(leases, request, peer, &owner);
	if (r >= 0) {
		leases->allow_time_wait = allow_time_wait;
		r = lease_table_grant(leases->table, request, leases_now(), ret_lease);
		leases->allow_time_wait = false;
	}
	if (owner && list_empty(&owner->owned))
		owner_free(owner);
	leases_changed(leases);
	return r;
}

void leases_init_watchers(struct leases *leases)
{
	ev_timer_init(&leases->deadline, on_deadline, 0., 0.);
	ev_timer_init(&leases->look, on_look, 0., 0.);
	ev_timer_init(&leases->tidy, on_tidy, 0., 0.);
	leases->query.what = SOCKDIAG_TCP_LISTENERS | SOCKDIAG_UDP;
	leases->query.done = on_listed;
}

void leases_stop_watchers(struct leases *leases)
{
	ev_timer_stop(leases->daemon->loop, &leases->deadline);
	ev_timer_stop(leases->daemon->loop, &leases->look);
	ev_timer_stop(leases->daemon->loop, &leases->tidy);
	sockdiag_query_cancel(&leases->query);
}
