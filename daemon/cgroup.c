#include "cgroup.h"

#include "clock.h"
#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* From one walk to the next; or WALK_PART times what the last one took, if that is longer. */
#define WALK_INTERVAL_NS 100000000U
#define WALK_PART        50U

/*
 * A host with more, in number or in bytes of their paths, has lost count of them; the rest has no
 * name here. Users make what they like of those that were delegated to them.
 */
#define CGROUPS_MAX 65536
#define PATHS_MAX   (16U * 1024 * 1024)

struct entry {
	uint64_t id;
	char *path;
};

/* What one walk found. */
struct table {
	struct entry *entries;
	size_t n_entries, n_allocated;
	size_t n_bytes; /* of paths */
};

struct cgroups {
	int root_fd; /* negative: there is no cgroup2 */
	struct table table;
	uint64_t next_walk_ns; /* not before */
	uint64_t walks;
};

static void table_deinit(struct table *table)
{
	for (size_t i = 0; i < table->n_entries; i++)
		free(table->entries[i].path);
	free(table->entries);
	*table = (struct table){ 0 };
}

static int table_add(struct table *table, uint64_t id, const char *parent, const char *name)
{
	struct entry *entries;
	char *path;
	size_t n;

	if (table->n_entries == table->n_allocated) {
		n = table->n_allocated > 0 ? table->n_allocated * 2 : 64;
		entries = reallocarray(table->entries, n, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		table->entries = entries;
		table->n_allocated = n;
	}
	if (asprintf(&path, "%s/%s", parent, name) < 0)
		return -ENOMEM;
	table->entries[table->n_entries++] = (struct entry){ .id = id, .path = path };
	table->n_bytes += strlen(path) + 1;
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

static const char *table_find(const struct table *table, uint64_t id)
{
	const struct entry key = { .id = id };
	const struct entry *found;

	if (table->n_entries == 0)
		return NULL;
	found = bsearch(&key, table->entries, table->n_entries, sizeof(key), compare_entries);
	return found ? found->path : NULL;
}

static void closedirp(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

static int add_children(struct table *table, int root_fd, const char *parent)
{
	_cleanup_(closedirp) DIR *directory = NULL;
	_cleanup_(closep) int fd = -EBADF;
	const char *relative = parent[1] ? parent + 1 : ".";
	const struct dirent *child;
	struct stat status;
	int r;

	/* Most have no children, and to see that costs a tenth of reading forty files' names. */
	if (fstatat(root_fd, relative, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_nlink == 2)
		return 0;
	fd = openat(root_fd, relative,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		/* Gone since its name was read, none of our business, or nested too deep. */
		if (errno == ENOENT || errno == ENODEV || errno == EACCES || errno == EPERM ||
		    errno == ENAMETOOLONG)
			return 0;
		return -errno;
	}
	directory = fdopendir(fd);
	if (!directory)
		return -errno;
	(void)steal_fd(&fd);

	while (errno = 0, (child = readdir(directory))) {
		if (child->d_type != DT_DIR || strcmp(child->d_name, ".") == 0 ||
		    strcmp(child->d_name, "..") == 0)
			continue;
		if (table->n_entries >= CGROUPS_MAX || table->n_bytes >= PATHS_MAX)
			return 0;
		/* The root is "/", and its children are not "//child". */
		r = table_add(table, child->d_ino, parent[1] ? parent : "", child->d_name);
		if (r < 0)
			return r;
	}
	return errno == ENOENT || errno == ENODEV ? 0 : -errno;
}

/*
 * Breadth first: what has been found is also the queue of what is still to be read, so that only
 * one directory is open at a time, however deep they nest.
 */
static int table_walk(struct table *table, int root_fd)
{
	struct stat status;
	int r;

	if (fstat(root_fd, &status) < 0)
		return -errno;
	r = table_add(table, status.st_ino, "", "");
	if (r < 0)
		return r;

	for (size_t i = 0; i < table->n_entries; i++) {
		r = add_children(table, root_fd, table->entries[i].path);
		if (r < 0)
			return r;
	}
	qsort(table->entries, table->n_entries, sizeof(*table->entries), compare_entries);
	return 0;
}

static int walk(struct cgroups *cgroups)
{
	_cleanup_(table_deinit) struct table table = { 0 };
	struct table old = cgroups->table;
	uint64_t began = monotonic_ns(), ended, pause;
	int r;

	cgroups->walks++;
	r = table_walk(&table, cgroups->root_fd);
	ended = monotonic_ns();
	pause = (ended - began) * WALK_PART;
	cgroups->next_walk_ns = ended + (pause > WALK_INTERVAL_NS ? pause : WALK_INTERVAL_NS);
	if (r < 0)
		return r;

	cgroups->table = table;
	table = old;
	return 0;
}

static bool is_cgroup2(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

static int open_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

/* Returns the mount's descriptor; -ENOENT if there is none; or -errno. */
static int find_mount(void)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_(closep) int fd = open_directory(places[i]);

		if (fd >= 0 && is_cgroup2(fd))
			return steal_fd(&fd);
		if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR && fd != -EACCES)
			return fd;
	}
	return -ENOENT;
}

int cgroups_new(struct cgroups **ret, const char *root)
{
	struct cgroups *cgroups;
	int fd;

	fd = root ? open_directory(root) : find_mount();
	if (fd < 0 && (root || fd != -ENOENT))
		return fd;

	cgroups = calloc(1, sizeof(*cgroups));
	if (!cgroups) {
		closep(&fd);
		return -ENOMEM;
	}
	cgroups->root_fd = fd;
	*ret = cgroups;
	return 0;
}

void cgroups_free(struct cgroups *cgroups)
{
	if (!cgroups)
		return;
	table_deinit(&cgroups->table);
	closep(&cgroups->root_fd);
	free(cgroups);
}

int cgroups_path(struct cgroups *cgroups, uint64_t id, const char **ret_path)
{
	const char *path;
	int r;

	if (cgroups->root_fd < 0 || id == 0)
		return -ENOENT;

	/* An id is never given to another cgroup, so what was found once stays right. */
	path = table_find(&cgroups->table, id);
	if (!path) {
		if (monotonic_ns() < cgroups->next_walk_ns)
			return -ENOENT;
		r = walk(cgroups);
		if (r < 0)
			return r;
		path = table_find(&cgroups->table, id);
	}
	if (!path)
		return -ENOENT;

	*ret_path = path;
	return 0;
}

uint64_t cgroups_walks(const struct cgroups *cgroups)
{
	return cgroups->walks;
}
