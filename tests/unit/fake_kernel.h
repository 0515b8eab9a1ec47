/*
 * fake_kernel.h: the outside world of a lease table under test. It has ports that somebody else
 * took, ports that somebody listens on, and a memory of what is held and what was written down; it
 * fails the test when a port is held twice or let go of without being held.
 */

#pragma once

#include "lease.h"

#include <check.h>

/* Check writes to a pipe for each ck_assert(), which a few million of them feel. */
#define check_that(condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s:%d: not so: %s", __FILE__, __LINE__, #condition);         \
	} while (0)

#define POOL_FIRST 2000
#define POOL_LAST  2199

struct fake_kernel {
	bool taken[UINT16_MAX + 1];
	bool listening[UINT16_MAX + 1];
	bool held[UINT16_MAX + 1];
	bool kept[UINT16_MAX + 1]; /* by the user of its lease, who needs no hold */
	size_t n_held;
	size_t n_hold_calls;
	size_t n_listens_calls;
	size_t n_random_calls;
	size_t n_recorded, n_erased;
	uint64_t last_erased;
	enum lease_state last_recorded;
	int hold_error;    /* of every hold(), if not 0 */
	int record_error;  /* of every record(), if not 0 */
	int listens_error; /* of every listens(), if not 0 */
	uint64_t random;
};

extern const struct lease_ops fake_ops;

void fake_init(struct fake_kernel *kernel, uint64_t seed);

uint64_t fake_random(struct fake_kernel *kernel);

/* Pool POOL_FIRST … POOL_LAST, 10 s of quarantine, 5 s of grace. */
struct lease_table *fake_table(struct fake_kernel *kernel);

/* One port of the pool for user 1000, until released. */
struct lease_request fake_request(void);

/* Runs what is in `tests` and frees it; what main() returns. */
int fake_run(TCase *tests);
