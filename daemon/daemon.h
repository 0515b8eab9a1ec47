/* daemon.h: what all requests of the daemon share. */

#pragma once

#include "cgroup.h"
#include "config.h"
#include "descriptors.h"
#include "hangup.h"
#include "metrics.h"
#include "places.h"
#include "probe.h"
#include "resolver.h"
#include "route.h"
#include "sockdiag.h"
#include "turn.h"
#include "user.h"
#include "window.h"

#include <ev.h>

/* Besides root and the daemon's own user. */
#define TRUSTED_GROUP "portscan"

struct leases;
struct passed;
struct server;

struct daemon {
	struct config config;
	struct ev_loop *loop;
	struct descriptors descriptors;
	struct turns turns;
	struct users users;
	gid_t trusted_group; /* whose members may probe foreign hosts; -1: there is none */
	struct route route;
	struct windows windows;
	struct prober *prober;
	struct resolver *resolver;
	struct hangups *hangups;
	struct sockdiag *sockdiag;
	struct cgroups *cgroups;
	struct places who_places;
	struct leases *leases; /* NULL: one client's own daemon has none */
	struct server *server;
	struct metrics metrics;
	double started; /* see monotonic_now() */
	bool is_stopping;
};

/*
 * Opens what all requests share, by daemon->config; the rest of the daemon is zero before.
 * daemon_open_service() then takes the sockets passed in, or opens those of the configuration, and
 * the leases. 0; or -errno, and daemon_close() is due all the same.
 */
int daemon_open(struct daemon *daemon);
int daemon_open_service(struct daemon *daemon, struct passed *passed);

/* Frees all there is of it, the configuration too. */
void daemon_close(struct daemon *daemon);

/* What one user may have at once, from now on. */
void daemon_set_limits(struct daemon *daemon, const struct config *config);
