/* beside.h: others whom the daemon serves meanwhile. */

#pragma once

#include "bench.h"

#define THRONG_IDLE 9000
#define THRONG_DEAF 200

/* A user with as much of everything as one user may have, who asks on when answered. Root only. */
pid_t crowd_start(const struct bench_daemon *daemon);

/* THRONG_IDLE connections on which nothing happens, and THRONG_DEAF that ask without reading. */
pid_t throng_start(const struct bench_daemon *daemon);

void beside_stop(pid_t pid);
