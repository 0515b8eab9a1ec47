/* peer.h: who is at the other end of a socket, as of its connect(). */

#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Whether the peer is in the group, by its main group or a supplementary one. */
bool peer_is_in_group(int fd, gid_t group);
