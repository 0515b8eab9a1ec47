/*
 * descriptors.h: which descriptors may be kept. Probes and leases can take any number of them;
 * so many are left that the next client can be accepted.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>

struct descriptors {
	unsigned limit;       /* RLIMIT_NOFILE */
	size_t n_connections; /* that clients have */
};

/* With a lower limit there is not always one for a client, a probe and a lease each. */
#define DESCRIPTORS_MIN 32u

/* Raises the limit as far as we may. 0; -EMFILE if that is too low. */
int descriptors_init(struct descriptors *descriptors);

/* How many probes may have at once. */
unsigned descriptors_for_probes(const struct descriptors *descriptors);

/* So many are there for probes and leases beyond `fd`, which was just opened; 0: nor is `fd`. */
unsigned descriptors_left(const struct descriptors *descriptors, int fd);
