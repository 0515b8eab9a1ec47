/* sysctl_ports.h: what this host's settings say of its ports. Files of /proc: for start-up. */

#pragma once

#include "portlist.h"

/* The first port that users other than root may bind; without the sysctl as it always was, 1024. */
uint16_t sysctl_first_unprivileged_port(void);

/*
 * A port of `list` that the kernel may choose for any connection of this host: of
 * ip_local_port_range, and not reserved. 0 if there is none, or if nobody says.
 */
uint16_t sysctl_find_ephemeral(const struct portlist *list);
