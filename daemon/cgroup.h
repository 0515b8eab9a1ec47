/*
 * cgroup.h: which cgroup and which systemd unit a socket belongs to. The cgroup id that the
 * kernel tells of a socket is the inode number of a directory in cgroup2; nothing of /proc is
 * read, and no privilege needed.
 */

#pragma once

#include <stddef.h>
#include <stdint.h>

/* Longest name of a unit, with the NUL. */
#define CGROUP_UNIT_SIZE 256

struct cgroups;

/*
 * `root` is where cgroup2 is mounted; NULL: find it, at /sys/fs/cgroup or, on hosts that have both
 * versions, /sys/fs/cgroup/unified. No cgroup2 is no error: nothing is found then.
 * Reads nothing yet. Returns 0, or -errno.
 */
int cgroups_new(struct cgroups **ret, const char *root);

/* NULL is allowed. */
void cgroups_free(struct cgroups *cgroups);

/*
 * The path of a cgroup below the mount point, such as "/system.slice/nginx.service", or "/".
 * Valid until the next call. An id that is not known yet has the directories read, which blocks for
 * 5 µs for each, 15 µs if there are others below it; but only once in 100 ms, and for a fiftieth
 * of the time at most: until then it is -ENOENT. A cgroup that is gone may still be found.
 * Returns 0; -ENOENT if there is none that this process can see; or -errno.
 */
int cgroups_path(struct cgroups *cgroups, uint64_t id, const char **ret_path);

/* How often the directories were read. */
uint64_t cgroups_walks(const struct cgroups *cgroups);

/*
 * The unit of a path, as the system's manager and `systemctl status PID` call it: the outermost
 * unit that is not a slice. For a process of a user's own manager that is "user@1000.service".
 * Pure.
 * Returns 0; -ENOENT if the path is in no unit; -ENOBUFS if `size` is too small (CGROUP_UNIT_SIZE
 * is enough).
 */
int cgroup_unit(const char *path, char *buffer, size_t size);
