/*
 * leases.h: the lease table at work: its ports held by sockets, parked and written down, its ends
 * brought about by clocks, processes, connections, and what the kernel's table shows.
 */

#pragma once

#include "lease.h"
#include "passed.h"

#include <stdbool.h>

struct config;
struct daemon;
struct leases;

/*
 * Opens the journal, takes over the sockets that were parked, and holds again what is to be held.
 * Which of `passed` are its own it takes. 0; or -errno after it has logged why. Where the runtime
 * directory can't be used, there are no leases to be had, but all else goes on.
 */
int leases_new(struct leases **ret_leases, struct daemon *daemon, struct passed *passed);
void leases_free(struct leases *leases);

/* Another pool and quarantine from now on. 0 or -ENOMEM. */
int leases_configure(struct leases *leases, const struct config *config);

/* Milliseconds of CLOCK_BOOTTIME. */
int64_t leases_now(void);

struct lease_table *leases_table(struct leases *leases);

/* Whether `port` is leased, or quarantined after it was. O(1). */
bool leases_have(const struct leases *leases, uint16_t port);

/*
 * lease_table_grant(), with the owner of a lease until process, request->pid, watched: besides its
 * errors -ESRCH (no such process), -EPERM (it is another user's), and -ENODEV (no such address on
 * this host). `peer`: the AF_UNIX socket of the client, if request->pid is the process that
 * connected it and no later one of that number; negative if it was named. `allow_time_wait`: see
 * holder.h.
 */
int leases_grant(struct leases *leases, struct lease_request *request, int peer,
		 bool allow_time_wait, struct lease **ret_lease);

/* After any other change of the table: timers are set anew. */
void leases_changed(struct leases *leases);

/*
 * Looks at the kernel's table and then calls done(), from the loop: the states of all leases are
 * those of now. Embedded, all zeroes but `done`.
 */
struct leases_look {
	struct list link; /* leases::looks */
	void (*done)(struct leases_look *look);
};

void leases_look(struct leases *leases, struct leases_look *look);
void leases_look_cancel(struct leases_look *look);

/*
 * Descriptors of the lease's ports, for somebody else: of a shared port sockets of their own
 * beside those that hold it, of an exclusive port those themselves. At most 253 go to fds[], and
 * the ports they are for to ports[]; the caller closes them. -EOPNOTSUPP: nothing is held (hold
 * none), or listening was asked for and there is no TCP; -EADDRINUSE: the user listens on a port
 * already, or has the socket of an exclusive one; -EMSGSIZE: they are more; -errno.
 */
#define LEASES_FDS_MAX 253
int leases_descriptors(struct leases *leases, struct lease *lease, bool listening,
		       int fds[static LEASES_FDS_MAX], uint16_t ports[static LEASES_FDS_MAX],
		       size_t *ret_n);

/* They are with the client now: of an exclusive port the daemon keeps none. */
void leases_handed_over(struct leases *leases, struct lease *lease);

/* A request for a lease was refused, after as many tries as it took. */
void leases_count_refusal(struct leases *leases);

/* Appends their metrics. 0 or -ENOMEM. */
struct buffer;
int leases_put_metrics(struct buffer *buffer, const struct leases *leases);

/* Why leases_grant() failed with -EIO, an errno: the lease could not be written down. */
int leases_problem(const struct leases *leases);
