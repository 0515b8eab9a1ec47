/*
 * fake_host.h: a daemon as far as leases go: a table, its journal, and the kernel around them; in a
 * directory of the test's own.
 */

#pragma once

#include "fake_kernel.h"
#include "journal.h"

#define BOOT "0d1cfb7a-35f0-4b2e-9d0b-1f0f2e6b7c11"

struct host {
	struct fake_kernel kernel; /* first: the fake's ops get a host for their kernel */
	struct lease_table *table;
	struct journal *journal;
	struct lease_ops ops;
};

/* The directory, made and removed by the fixture. */
extern char host_path[64];
extern int host_directory;

void host_set_up(void);
void host_tear_down(void);

/* What journal_open() says. On failure the table is the caller's to free. */
int host_open(struct host *host, const char *boot_id, struct journal_error *ret_error);
void host_close(struct host *host);

/* For those that must open. */
struct host *host_new(void);
void host_free(struct host *host);

/* The daemon dies without a word and another one starts, which must have the same leases. */
struct host *host_restart(struct host *host);

int host_grant(struct host *host, const char *name, size_t count, struct lease **ret_lease);

/* The journal as it is; how many bytes. */
size_t host_read_file(char *text, size_t size);
