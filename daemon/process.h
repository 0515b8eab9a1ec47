/*
 * process.h: pidfds that tell when the owner of something is gone: no polling, and no pid that was
 * used again. Whatever number of watches share a process, it costs one descriptor.
 */

#pragma once

#include "list.h"

#include <ev.h>
#include <stdint.h>
#include <sys/types.h>

struct process;
struct process_table;
struct process_watch;

/*
 * The process is gone. The watch has been stopped already; the callback may free it, and start
 * and stop others, but not free the table.
 */
typedef void process_gone(struct process_watch *watch);

/* Embedded by its owner, zeroed or process_watch_init()ed before anything else. */
struct process_watch {
	struct list link; // process::watches
	struct process *process;
	process_gone *gone;
};

/* The caller frees *ret_table, after every watch in it has been stopped. */
int process_table_new(struct process_table **ret_table, struct ev_loop *loop);
void process_table_free(struct process_table *table);

void process_watch_init(struct process_watch *watch);

/*
 * Calls `gone` from the loop when process `pid` is gone. -ESRCH: there is none, it is a zombie, or
 * the number is a thread's; -EINVAL: not a positive number; -EMFILE, -ENFILE, -ENOMEM.
 */
int process_watch_start(struct process_watch *watch, struct process_table *table, pid_t pid,
			process_gone *gone);

/*
 * The same for the process that connected `connection`, an AF_UNIX stream socket, which stays the
 * caller's. By SO_PEERPIDFD (Linux 6.5), so that it's that very process; before, by its pid.
 */
int process_watch_start_peer(struct process_watch *watch, struct process_table *table,
			     int connection, process_gone *gone);

/* May be called on a stopped watch. The last watch of a process closes its descriptor. */
void process_watch_stop(struct process_watch *watch);

/*
 * The user it runs as, by effective uid, asked of the kernel now. -ESRCH: it is gone.
 * Where the kernel has no PIDFD_GET_INFO (Linux 6.13) it is the owner of /proc/PID, which
 * is root for a process that can't be dumped; -ENOENT if /proc is not shown to us.
 */
int process_watch_uid(const struct process_watch *watch, uid_t *ret_uid);

/* Tells it from a later process with its pid, where the kernel numbers pidfds (Linux 6.9); else 0. */
uint64_t process_watch_tag(const struct process_watch *watch);
