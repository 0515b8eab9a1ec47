/* ephemeral.h: the ports that the kernel takes for connections of this host. */

#pragma once

#include "portlist.h"

/*
 * Logs a warning if the kernel may take ports of `pool` for connections: those in
 * ip_local_port_range that aren't in ip_local_reserved_ports. Reads both, so not for the loop, a
 * reload apart.
 */
void ephemeral_check_pool(const struct portlist *pool);
