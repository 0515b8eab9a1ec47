/* route.h: what the kernel's routing table says about an address. */

#pragma once

#include "address.h"

struct routes;

/*
 * Opens the socket to ask through, once: a question must not depend on whether there is a
 * descriptor left. A kernel that can't be asked is no error. The caller frees *ret_routes. 0 or
 * -errno.
 */
int routes_new(struct routes **ret_routes);
void routes_free(struct routes *routes);

/*
 * Whether `address` is this host: asked each time, so that there is nothing to keep up to date.
 * Some microseconds; never blocks. 1; 0, also where the kernel does not say; or -ENOBUFS, it is
 * short of memory.
 */
int route_is_local(struct routes *routes, const union address *address);
