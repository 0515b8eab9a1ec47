/* leases_internal.h: what the files of leases.h share. */

#pragma once

#include "bitmap.h"
#include "daemon.h"
#include "holding.h"
#include "journal.h"
#include "leases.h"
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
	struct list owners; /* of owner::link */
	struct finds finds; /* while it starts */
	int problem;        /* errno, why a lease could not be written down last */
	bool is_restoring;
	bool allow_time_wait;
	ev_timer deadline, look, tidy;
	struct sockdiag_query query;
	bool is_looking;
	struct list looks;       /* of leases_look::link */
	struct list next_looks;  /* the same: they came after the look had begun */
	struct bitmap listening; /* by port, where somebody else than we has a socket */
	bool has_looked;         /* `listening` is of now */
	struct leases_counters counters;
};

/* For lease_table_new(), with the struct leases as userdata. */
extern const struct lease_ops leases_ops;

/* Watches `pid`: when it is gone, what *ret_owner owns ends. 0 or as process_watch_start(). */
int leases_watch_process(struct leases *leases, pid_t pid, struct owner **ret_owner);

/* Tells a process from a later one with its pid, where the kernel numbers pidfds (Linux 6.9); 0. */
uint64_t process_tag(pid_t pid);

/* The callbacks of the timers and of the query. */
void leases_init_watchers(struct leases *leases);
void leases_stop_watchers(struct leases *leases);

/* What is done every few seconds while there are leases. */
void leases_tidy(struct leases *leases);

/* Watches the process no more, and frees the owner. */
void owner_free(struct owner *owner);
