/* beside.h: a user who has of everything as much as one user may. */

#pragma once

#include "bench.h"

/* Starts that user's process, which asks the daemon for more as it is answered. Root only. */
pid_t crowd_start(const struct bench_daemon *daemon);
void crowd_stop(pid_t pid);
