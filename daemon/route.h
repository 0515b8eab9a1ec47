/* route.h: what the kernel's routing table says about an address. */

#pragma once

#include "address.h"

/*
 * Whether `address` is this host: asked each time, so that there is nothing to keep up to date.
 * Some microseconds; never blocks. False too where the kernel does not say.
 */
bool route_is_local(const union address *address);
