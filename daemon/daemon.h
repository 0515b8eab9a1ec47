/* daemon.h: what all requests of the daemon share. */

#pragma once

#include "cgroup.h"
#include "config.h"
#include "hangup.h"
#include "metrics.h"
#include "probe.h"
#include "resolver.h"
#include "sockdiag.h"
#include "turn.h"

#include <ev.h>

struct leases;
struct server;

struct daemon {
	struct config config;
	struct ev_loop *loop;
	struct turns turns;
	struct prober *prober;
	struct resolver *resolver;
	struct hangups *hangups;
	struct sockdiag *sockdiag;
	struct cgroups *cgroups;
	struct leases *leases; /* NULL: one client's own daemon has none */
	struct server *server;
	struct metrics metrics;
	ev_tstamp started;
	bool is_stopping;
};
