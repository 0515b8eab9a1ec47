/* leases_internal.h: what the files of leases.h share. */

#pragma once

#include "bitmap.h"
#include "daemon.h"
#include "holding.h"
#include "journal.h"
#include "leases.h"
#include "log.h"
#include "process.h"

/* What ends leases until process: one process and what it was the reason for. */
struct owner {
	struct list link; /* leases::owners */
	struct leases *leases;
	struct process_watch watch;
	struct list owned; /* of lease::owner_link */
};

struct leases {
	struct daemon *daemon;
	struct lease_table *table;
	struct journal *journal;
	struct parking *parking;
	struct process_table *processes;
	struct list owners;   /* of owner::link */
	struct finds finds;   /* while it starts */
	int problem;          /* errno, why a lease could not be written down last */
	bool is_problem_told; /* in the log */
	struct log_limit problem_limit;
	bool is_restoring;
	bool allow_time_wait;
	ev_timer deadline, look, tidy;
	struct sockdiag_query query;
	bool is_looking;
	bool holds_lost;         /* after the look */
	struct list looks;       /* of leases_look::link */
	struct list next_looks;  /* the same: they came after the look had begun */
	struct bitmap listening; /* by port, where somebody else than we has a socket */
	struct bitmap taken;     /* lost ports that the log has told of */
	bool has_looked;         /* `listening` is of now */
	uint64_t n_refused;      /* requests */
	uint64_t random[32];     /* of which the first n_random have not been used */
	size_t n_random;
	uint16_t first_port_of_all; /* below it are root's */
};

/* For lease_table_new(), with the struct leases as userdata. */
extern const struct lease_ops leases_ops;

/* The callbacks of the timers and of the query. */
void leases_init_watchers(struct leases *leases);
void leases_stop_watchers(struct leases *leases);

/*
 * Watches the processes of leases that aren't watched, and ends those whose process is gone: after a
 * restart, and again when there were no descriptors for it.
 */
void leases_watch_processes(struct leases *leases);

/* What is done every few seconds while there are leases. */
void leases_tidy(struct leases *leases);

/* Watches the process no more, and frees the owner. */
void owner_free(struct owner *owner);
