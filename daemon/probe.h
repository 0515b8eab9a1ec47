/*
 * probe.h: one connect() to one address and what it says about the port; the sockets for it, and
 * who waits for one. Nothing here watches a socket: that is sweep.h's.
 */

#pragma once

#include "address.h"
#include "descriptors.h"
#include "list.h"
#include "outcome.h"
#include "user.h"

#include <ev.h>

struct prober_counters {
	uint64_t open, refused, timeout, unreachable; /* verdicts of each kind */
	uint64_t self_connections;                    /* the kernel connected a probe to itself */
	uint64_t starved;                             /* tries that had to be put off */
};

struct prober;

/* Waits until it is worth trying again; embedded in who was starved. */
struct prober_waiter {
	struct list link; /* prober::waiters or host_window::waiters */
	void (*ready)(struct prober_waiter *waiter);
};

/* Takes the first of them off, if there is one, and calls ready(). */
void prober_wake_first(struct list *waiters);

/* How many probes there may be follows from `descriptors`, which stay the caller's. 0 or -errno. */
int prober_new(struct prober **ret_prober, struct ev_loop *loop,
	       const struct descriptors *descriptors);
void prober_free(struct prober *prober);

const struct prober_counters *prober_counters(const struct prober *prober);

/*
 * Starts a connection to `address` for `user`, who is charged for it while it is pending: at most
 * half of what the others leave, but for root. On this host (`is_local`) the verdict is there at
 * once, but where packets are dropped; another sees nothing of a probe that there is no room for.
 * OUTCOME_PENDING: *ret_fd is to be watched for writing, then prober_collect(), prober_abandon() or
 * prober_expire() takes it back. OUTCOME_UNREACHABLE and OUTCOME_STARVED: *ret_error is why, an
 * errno. Never blocks.
 */
enum outcome prober_connect(struct prober *prober, struct user *user, const union address *address,
			    bool is_local, int *ret_fd, int *ret_error);

/* The verdict on a pending probe of `address`; unless that is OUTCOME_PENDING, fd is closed. */
enum outcome prober_collect(struct prober *prober, struct user *user, const union address *address,
			    int fd, int *ret_error);

/* Ends a pending probe without a verdict, or with the one that its time is over. */
void prober_abandon(struct prober *prober, struct user *user, int fd);
void prober_expire(struct prober *prober, struct user *user, int fd);

/*
 * `address`, just refused, is one of many ports that are asked for one after the other, without
 * waiting in between: from a number of them on they are cheaper, see spare.h. Whoever says so says,
 * too, when there are no more, or when it waits; that ends all runs, and others begin anew.
 */
void prober_note_refusal(struct prober *prober, const union address *address);
void prober_end_run(struct prober *prober);

/* Lets go of `port`, if it is the source of a run: somebody of us is to bind it. */
void prober_make_way(struct prober *prober, uint16_t port);

/*
 * Calls waiter->ready() once a socket came free, in the order of waiting, or after some
 * milliseconds: not all that can run short is ours to count.
 */
void prober_wait(struct prober *prober, struct prober_waiter *waiter);
