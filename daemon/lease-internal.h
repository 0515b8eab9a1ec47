/* lease-internal.h: what the parts of the lease table (lease*.c) share. Nobody else includes it. */

#pragma once

#include "lease.h"
#include "names.h"
#include "pool.h"

struct lease_user {
	uid_t uid;
	size_t n_ports;     /* of leases that aren't over */
	struct list leases; // lease::user_link
	struct hash_link by_uid;
};

struct lease_table {
	const struct lease_ops *ops;
	void *userdata;
	int64_t quarantine_ms;
	int64_t claim_grace_ms;
	struct pool pool;
	struct names names;
	struct list leases; // lease::link
	struct hash by_id;
	struct hash by_name; /* those that aren't over */
	struct hash by_uid;
	struct heap deadlines;
	struct lease **by_port; /* 65536 */
	struct lease_counts counts;
	size_t choice;
};

static inline bool lease_is_over(const struct lease *lease)
{
	return lease->state == LEASE_QUARANTINED;
}

/* `ms` after `now_ms`, or never if that can't be counted. */
static inline int64_t lease_deadline(int64_t now_ms, int64_t ms)
{
	return ms > LEASE_NEVER - now_ms ? LEASE_NEVER : now_ms + ms;
}

/* A block of its own for the lease, with copies of name and address; no ports yet. 0 or -ENOMEM. */
int lease_new(struct lease **ret_lease, const char *name, const char *address, size_t max_ports);

/* For a lease that is in no table. NULL is fine. */
void lease_freep(struct lease **lease);

/* Inserts in order. */
void lease_add_port(struct lease *lease, uint16_t port, void *holder);

/* The account of the user, made if need be. NULL: no memory. */
struct lease_user *lease_user_get(struct lease_table *table, uid_t uid);

/* Frees the account if there is nothing on it. */
void lease_user_put(struct lease_table *table, struct lease_user *user);

/* Makes room for one more lease, so that lease_insert() can't fail. 0 or -ENOMEM. */
int lease_table_reserve(struct lease_table *table);

/*
 * The table owns the lease and its ports. Ports that a quarantined lease had are taken from it,
 * and it is freed with its last; erase() is called for it if `tell`.
 */
void lease_insert(struct lease_table *table, struct lease *lease, struct lease_user *user,
		  bool tell);

/* Takes the lease out of everything and frees it; its ports are free again. No op is called. */
void lease_remove(struct lease_table *table, struct lease *lease);

/* lease_remove(), with erase() before it. */
void lease_erase(struct lease_table *table, struct lease *lease);

/* The lease that isn't over with this name, or NULL. */
struct lease *lease_find_named(const struct lease_table *table, uid_t uid, const char *name);

/* Takes port number `i` out of a lease, which must have others; nobody has it then. */
void lease_remove_port(struct lease_table *table, struct lease *lease, size_t i);

void lease_set_state(struct lease_table *table, struct lease *lease, enum lease_state state);
void lease_set_expiry(struct lease_table *table, struct lease *lease, int64_t expires_ms);

/* Lets go of what is held. */
void lease_drop_ports(struct lease_table *table, struct lease *lease);

/* The name's ports are remembered. Without memory they aren't: then the next choice is random. */
void lease_remember(struct lease_table *table, const struct lease *lease);

/* Tries to hold again what we don't hold of the lease; returns how many ports are lost. */
size_t lease_hold_lost(struct lease_table *table, struct lease *lease);

/* 0, or what record() says. */
int lease_record(struct lease_table *table, const struct lease *lease);

struct portset;

/* One choice under way. The sets are NULL for "the pool" and "none". */
struct choice {
	struct lease_table *table;
	const struct lease_request *request;
	struct lease *lease; /* gets the ports */
	struct portset *allowed;
	struct portset *excluded;
	bool refused_too; /* pool ports that are laid aside count as free */
	bool is_denied;   /* the user may not have some of them */
	int64_t now_ms;
};

/*
 * Fills choice->lease with ports that are held; 0, -EADDRNOTAVAIL, or what hold() fails with. On
 * failure some may be held: lease_give_back() is due.
 */
int lease_choose(struct choice *choice);

/* The ports of a lease that did not come about are as if they had never been asked for. */
void lease_give_back(const struct choice *choice);
