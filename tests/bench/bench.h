/* bench.h: what the rows of the table have in common. Times are in seconds. */

#pragma once

#include "util.h"

#include <portscan.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PAIRS 5

/* One row: `ours` and `reference` in seconds (or bytes), a ratio at most `limit`. */
struct row {
	const char *name;
	double limit;
	double (*ours)(void);
	double (*reference)(void);
	const char *needs; /* a program, or NULL */
	int pairs;
};

/* A daemon of our own, at a socket in a directory of its own. */
struct bench_daemon {
	pid_t pid;
	char directory[64];
	char socket[96];
	struct portscan *connection;
};

/* These end the program with a message if they can't do what they are for. */
void daemon_start(struct bench_daemon *daemon);
void daemon_start_with(struct bench_daemon *daemon, const char *const options[]);
/* Once more in its directory, after it has ended. */
void daemon_run(struct bench_daemon *daemon, const char *const options[]);
void daemon_stop(struct bench_daemon *daemon);
void daemon_connect(const struct bench_daemon *daemon, struct portscan **ret_connection);
_Noreturn void fail(const char *what);

/* What a process has in memory, in bytes. */
double resident(pid_t pid);

/* Of the monotonic clock. */
double now(void);

/* The value below which `part` (0.5, 0.99) of them are; sorts them. */
double percentile(double *values, size_t n, double part);

/* A port of 127.0.0.1 that nobody listens on. */
uint16_t closed_port(void);

/* raw.c: the system calls alone */

/* connect() to ports `first` to `last`, one socket used again; how many were open. */
size_t raw_sweep(uint16_t first, uint16_t last);

/* Lists the listeners of this host, both families, by NETLINK_SOCK_DIAG; how many there are. */
size_t raw_dump(void);

/* The same port `n` times. */
void raw_checks(uint16_t port, size_t n);

/* An echo over AF_UNIX between two processes: the median of `n` round trips of a check's size. */
double raw_echo(size_t n);

/* peers.c: other programs. Each runs `argv` to its end and returns how long that took. */
double run_program(const char *const argv[]);
/* Its output goes nowhere from here on. */
void silence(void);
bool program_exists(const char *name);
