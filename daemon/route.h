/* route.h: what the kernel's routing table says about an address. */

#pragma once

#include "address.h"

#include <stdint.h>

/* A descriptor to ask with, kept for when there is none left to be had. */
struct route {
	int fd; /* negative: there is no such table here, or it is not for us */
	uint32_t sequence;
};

/* 0; or -errno if the daemon is short of something. */
int route_init(struct route *route);
void route_deinit(struct route *route);

/*
 * Whether `address` is this host: asked each time, so that there is nothing to keep up to date.
 * Some microseconds; never blocks. 1; 0, also where the kernel does not say; or -ENOBUFS if it had
 * no memory for its answer.
 */
int route_is_local(struct route *route, const union address *address);
