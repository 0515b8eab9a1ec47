#include "peer.h"

#include "util.h"

#include <sys/socket.h>

/* More than the kernel lets a process have. */
#define GROUPS_MAX 65537

bool peer_is_in_group(int fd, gid_t group)
{
	_cleanup_(freep) gid_t *groups = NULL;
	socklen_t size = 64 * sizeof(*groups);
	struct ucred peer;
	socklen_t peer_size = sizeof(peer);
	int r;

	if (group == (gid_t)-1)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0 && peer.gid == group)
		return true;
	groups = malloc(size);
	if (!groups)
		return false;
	r = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
	if (r < 0 && errno == ERANGE && size < GROUPS_MAX * sizeof(*groups)) {
		gid_t *more = realloc(groups, size);

		if (!more)
			return false;
		groups = more;
		r = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
	}
	for (size_t i = 0; r == 0 && i < size / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}
