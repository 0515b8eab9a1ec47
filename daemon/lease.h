/*
 * lease.h: who has which port until when. See protocol/README.md, "Leases".
 *
 * Pure: it knows no loop, no socket and no clock. Time comes in as `now_ms`, milliseconds of
 * CLOCK_BOOTTIME; the keeping of ports, the look at who listens, the journal and chance come in
 * as struct lease_ops. Nothing here blocks but what an op does.
 *
 * The rules, where the protocol leaves a choice:
 *
 * - A port number is given out once, whatever the protocol: who has 8080 for TCP is the only one
 *   to have 8080. Two askers of one number is how the wrong server gets the traffic.
 * - A limit by user counts ports, not leases, or one lease of the whole pool would be within it.
 *   Root has none.
 * - Claimed: whenever somebody listens on a port of it, the lease has no deadline. It has ttl_ms
 *   until that happens first. When the last listener is seen gone it does not end at once but has
 *   claim_grace_ms (or ttl_ms, if that is less), so that a server that is being restarted keeps
 *   its port; and not ttl_ms anew, or every test that ran for a second would cost a port for a
 *   minute.
 * - A ttl that was asked for ends any other lease, used or not.
 * - A name asked for again by its user is the same lease if protocol, address, hold, until and
 *   count are the same, and its ports are in the list asked for (if there was one), none of them
 *   excluded, and in a row if that was asked. Otherwise -EEXIST. The same lease means: its ttl
 *   starts anew, and it ends with the connection or process that asked last.
 * - The quarantine keeps a port from everybody but its last user under its name: a server
 *   that is started again at once gets its port back.
 * - A port that somebody else took while we could not hold it is `lost`; see lease_table_resume().
 */

#pragma once

#include "hash.h"
#include "heap.h"
#include "list.h"
#include "portlist.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LEASE_NEVER       INT64_MAX
#define LEASE_CLAIM_MS    60000 /* ttl_ms of a claimed lease when none is given */
#define LEASE_RECHECK_MS  1000  /* between looks at a port that is still listened on */
#define LEASE_NAME_MAX    255   /* bytes */
#define LEASE_ADDRESS_MAX 63    /* bytes */

/* In the order of io.portscand.varlink. */
enum lease_protocol { LEASE_TCP, LEASE_UDP, LEASE_BOTH };
enum lease_hold { LEASE_SHARED, LEASE_EXCLUSIVE, LEASE_UNHELD };
enum lease_until { LEASE_CLAIMED, LEASE_CONNECTION, LEASE_PROCESS, LEASE_RELEASED };
enum lease_state { LEASE_HELD, LEASE_IN_USE, LEASE_QUARANTINED };

struct lease_port {
	void *holder; /* what lease_ops::hold returned; NULL: its user's sockets keep it */
	uint16_t port;
	bool listening; /* as of the last look */
	bool lost;      /* ours by the table, but somebody else has it */
};

struct lease_user;

/*
 * The first half is the lease and can be read by anybody. One that is handed to
 * lease_table_restore() needs no more than it.
 */
struct lease {
	uint64_t id;              /* 16 hex digits outside */
	const char *name;         /* NULL: none */
	const char *address;      /* a numeric address as the caller writes it, or "*" */
	struct lease_port *ports; /* ascending */
	size_t n_ports;
	uid_t uid;
	pid_t pid;        /* 0: none */
	uint64_t pid_tag; /* tells the process from a later one with its pid; the caller's */
	enum lease_protocol protocol;
	enum lease_hold hold;
	enum lease_until until;
	enum lease_state state;
	int64_t ttl_ms; /* 0: none */
	int64_t created_ms;
	int64_t expires_ms; /* LEASE_NEVER; of a quarantined one, the end of its quarantine */
	bool passed;        /* its sockets have been handed to its user, who may have them still */

	/* The table's. */
	size_t n_listening;
	size_t n_lost;
	struct list link;       // lease_table::leases
	struct list user_link;  // lease_user::leases
	struct list owner_link; // lease_request::owner
	struct hash_link by_id;
	struct hash_link by_name;
	struct heap_entry deadline;
	struct lease_user *user;
};

/*
 * What comes from outside. No op may call back into the table, but to ask for a user's charge.
 * `lease` is only valid during the call; in hold() it has those of its ports that are held already.
 */
struct lease_ops {
	/*
	 * Binds the port in the protocol and on the address of the lease, strictly, and keeps it
	 * as lease->hold says. *ret_holder is kept in lease_port::holder and may be left NULL.
	 * 0; -EADDRINUSE or -EACCES (the user may not have it): skip this port; or -errno, which
	 * ends the request.
	 */
	int (*hold)(void *userdata, const struct lease *lease, uint16_t port, void **ret_holder);

	/*
	 * The same for a lease from before a restart or one that lost its port: its own server
	 * may be listening on the port, which is no reason to refuse it: *ret_holder stays NULL
	 * then. -errno: lost.
	 */
	int (*hold_again)(void *userdata, const struct lease *lease, uint16_t port,
			  void **ret_holder);

	/* Lets go of a port that was held; `holder` is the table's no more. */
	void (*drop)(void *userdata, const struct lease *lease, uint16_t port, void *holder);

	/* 1: somebody listens, as far as this lease is concerned; 0: nobody; -errno: can't tell. */
	int (*listens)(void *userdata, const struct lease *lease, uint16_t port);

	/*
	 * Writes down that the lease is now as it is here. -errno undoes a new lease or a
	 * renewal; that a lease is over stands in any case. NULL: nothing is written.
	 */
	int (*record)(void *userdata, const struct lease *lease);

	/* The lease is not even quarantined any more and is freed after the call. May be NULL. */
	void (*erase)(void *userdata, const struct lease *lease);

	/* 64 bits that nobody can guess. */
	uint64_t (*random)(void *userdata);
};

struct lease_config {
	const struct port_range *pool; /* copied */
	size_t n_pool;
	int64_t quarantine_ms;  /* 0: none */
	int64_t claim_grace_ms; /* 0: a claimed lease ends when its listener is seen gone */
};

struct lease_request {
	uid_t uid;
	pid_t pid;
	uint64_t pid_tag;
	const struct port_range *ports; /* in any order; the choice is random */
	size_t n_ports;                 /* 0: the pool */
	const struct port_range *exclude;
	size_t n_exclude;
	size_t count; /* at least 1 */
	bool contiguous;
	enum lease_protocol protocol;
	enum lease_hold hold;
	enum lease_until until;
	const char *name;    /* NULL: none */
	const char *address; /* "*" for all */
	int64_t ttl_ms;      /* 0: the default of `until` */
	size_t limit;        /* ports that this user may have; 0: no limit */
	bool passes;         /* lease::passed */

	/*
	 * What the lease ends with: the head of a list of the connection or process, which
	 * lease_table_end_owned() ends. May be NULL.
	 */
	struct list *owner;
};

struct lease_counts {
	size_t by_state[3]; /* leases, by enum lease_state */
	size_t claimed;     /* leases that are watched for a listener: until claimed, not over */
	size_t lost;        /* ports */
	size_t names;       /* remembered */
	size_t pool_size;
	size_t pool_free;
	size_t pool_refused;              /* laid aside: the kernel refused them a moment ago */
	uint64_t granted, ended, expired; /* since the table was made; expired are also ended */
};

struct lease_table;

/*
 * 0, -EINVAL for a pool with a port 0 or a reversed range, or -ENOMEM. `config` is not used after
 * the call; `ops` and `userdata` must outlive the table. The caller frees *ret_table.
 */
int lease_table_new(struct lease_table **ret_table, const struct lease_config *config,
		    const struct lease_ops *ops, void *userdata);

/*
 * Lets go of every held port, but ends no lease: what is written down stays, and comes back with
 * lease_table_restore(). The lists that were handed in as owners are empty then.
 */
void lease_table_free(struct lease_table *table);

/* Another pool, quarantine or grace from now on. Leases stay as they are. Errors as above. */
int lease_table_configure(struct lease_table *table, const struct lease_config *config);

/*
 * Takes ports. *ret_lease stays the table's. 0; 1 if it is the same lease once more; or with
 * nothing taken and nothing written:
 * -EADDRNOTAVAIL: no such ports are to be had; lease_table_choice() says out of how many.
 * -EACCES: the same, and the user may not have some of them.
 * -EDQUOT: past request->limit. -EEXIST: the user has other ports under that name, see above.
 * -EINVAL: no count, a negative ttl, a reversed range or one with port 0, or a name or an address
 * that is empty or too long; the caller is expected to have checked these.
 * -ENOMEM, or what hold() and record() fail with.
 */
int lease_table_grant(struct lease_table *table, const struct lease_request *request,
		      int64_t now_ms, struct lease **ret_lease);

/* How many ports the last -EADDRNOTAVAIL had to choose from, leased ones included. */
size_t lease_table_choice(const struct lease_table *table);

/* A lease that isn't over, or NULL. lease_table_find_for() is NULL for other users' too. */
struct lease *lease_table_find(const struct lease_table *table, uint64_t id);
struct lease *lease_table_find_for(const struct lease_table *table, uint64_t id, uid_t uid);

/* What the lease has of the port, or NULL. */
struct lease_port *lease_find_port(const struct lease *lease, uint16_t port);

/* Who has the port, quarantined ones included; NULL: nobody. O(1). */
struct lease *lease_table_find_port(const struct lease_table *table, uint16_t port);

/*
 * One lease after the other, in the order they were made or restored: NULL begins and ends. The
 * one in hand must not be ended before the next one is asked for. lease_table_next_of() gives one
 * user's, at their cost.
 */
struct lease *lease_table_next(const struct lease_table *table, const struct lease *lease);
struct lease *lease_table_next_of(const struct lease_table *table, uid_t uid,
				  const struct lease *lease);

/* Ports that the user has, without those in quarantine: what the limit is about. */
size_t lease_table_charge(const struct lease_table *table, uid_t uid);

void lease_table_count(const struct lease_table *table, struct lease_counts *ret_counts);

/*
 * Starts the ttl anew, with another one unless `ttl_ms` is 0. Without any it changes nothing; a
 * claimed lease that is in use has no deadline and only gets the new ttl_ms. 0, -EINVAL for a
 * negative ttl, -ENOENT if the lease is over, or what record() fails with, and nothing is changed.
 */
int lease_table_renew(struct lease_table *table, struct lease *lease, int64_t ttl_ms,
		      int64_t now_ms);

/* The lease is over: its ports are let go of and quarantined. May free it. */
void lease_table_end(struct lease_table *table, struct lease *lease, int64_t now_ms);

/* Ends all leases of an owner, whose connection was closed or whose process is gone. */
void lease_table_end_owned(struct lease_table *table, struct list *owner, int64_t now_ms);

/* Moves a lease to another owner (NULL: none): after a restart, when its process is watched. */
void lease_table_set_owner(struct lease *lease, struct list *owner);

/* When lease_table_expire() is due; LEASE_NEVER if nothing is. */
int64_t lease_table_next_deadline(const struct lease_table *table);

/*
 * Ends what is over, and frees what leaves quarantine; each port is asked for in listens() first,
 * so the caller takes a fresh look at the kernel's table before. Does at most `max` leases, and
 * returns how many it did; when more are due, next_deadline still says so. O(log n) for each.
 */
size_t lease_table_expire(struct lease_table *table, int64_t now_ms, size_t max);

/*
 * Asks listens() about every port of one lease or of all: held becomes in_use and back. For
 * listings, and once a second while lease_counts::claimed isn't 0. Ends nothing.
 */
void lease_table_look(struct lease_table *table, struct lease *lease, int64_t now_ms);
void lease_table_look_at_all(struct lease_table *table, int64_t now_ms);

/*
 * From the journal: the lease is as it is here, in place of what the table knew of its id; no op
 * is called. 0; -EINVAL for values that no lease has; -EADDRINUSE: a port is another's;
 * -EEXIST: the name is another's; or -ENOMEM.
 */
int lease_table_restore(struct lease_table *table, const struct lease *lease);

/* From the journal: the lease is gone, quarantine and all. One that isn't there is left alone. */
void lease_table_restore_gone(struct lease_table *table, uint64_t id);

/* From the journal: what a name had last. 0, -EINVAL or -ENOMEM. */
int lease_table_restore_name(struct lease_table *table, uid_t uid, const char *name,
			     const uint16_t *ports, size_t n_ports);

/* What lease_table_restore_name() should get: NULL begins and ends, the oldest first. */
struct name;
const struct name *lease_table_next_name(const struct lease_table *table, const struct name *name);

/*
 * Once, after everything was restored: ends leases of connections, which are gone, and holds all
 * others again. Returns how many ports are lost: -errno from hold_again(), mostly because somebody
 * took them in between. They stay with their lease and are given to nobody.
 */
size_t lease_table_resume(struct lease_table *table, int64_t now_ms);

/*
 * Tries to hold again what nobody listens on and we don't hold: the lost ports, and those that
 * their users' sockets kept. Returns how many are lost.
 */
size_t lease_table_hold_lost(struct lease_table *table);
