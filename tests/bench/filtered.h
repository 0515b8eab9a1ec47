/* filtered.h: ports that never answer, in a network namespace that drops what is sent to them. */

#pragma once

/* A sweep of 65,535 such ports through the daemon, in seconds. */
double filtered_sweep(void);

/* What that has to take: the rounds that the descriptors allow, and a raw loop over all ports. */
double filtered_reference(void);
