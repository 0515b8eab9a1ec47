/* process.c: pidfds, one for each process however many watch it. */

#include "process.h"

#include "util.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BUCKETS 256 /* a power of two */

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446
#endif

/* linux/pidfd.h has these from 6.13 on; the size is part of the ioctl's number. */
#define INFO_CREDENTIALS (1ULL << 1)

struct process_info {
	uint64_t mask;
	uint64_t cgroup_id;
	uint32_t pid, tgid, ppid;
	uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};

#define GET_INFO _IOWR(0xff, 11, struct process_info)

struct process {
	struct list link; // process_table::buckets, or alone when it is gone
	struct list watches;
	struct ev_loop *loop;
	ev_io readable;
	pid_t pid;
	int fd;
};

struct process_table {
	struct ev_loop *loop;
	struct list buckets[BUCKETS];
};

/* The kernel makes a pidfd readable at exit, zombies included. */
static bool pidfd_is_gone(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, 0) > 0;
}

static void process_free(struct process *process)
{
	if (!process)
		return;
	list_remove(&process->link);
	ev_io_stop(process->loop, &process->readable);
	closep(&process->fd);
	free(process);
}

static void process_end(struct process *process)
{
	struct process_watch *watch;

	/* Out of the table: the number may belong to another process from now on. */
	list_remove(&process->link);
	ev_io_stop(process->loop, &process->readable);

	while (!list_empty(&process->watches)) {
		watch = list_first(&process->watches, struct process_watch, link);
		list_remove(&watch->link);
		watch->process = NULL;
		watch->gone(watch);
	}
	process_free(process);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	(void)loop;
	(void)revents;
	process_end(container_of(watcher, struct process, readable));
}

int process_table_new(struct process_table **ret_table, struct ev_loop *loop)
{
	struct process_table *table;

	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	table->loop = loop;
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&table->buckets[i]);

	*ret_table = table;
	return 0;
}

void process_table_free(struct process_table *table)
{
	free(table);
}

static struct list *bucket_of(struct process_table *table, pid_t pid)
{
	return &table->buckets[(unsigned)pid % BUCKETS];
}

/* The living process of this number, if it is known. */
static struct process *find(struct process_table *table, pid_t pid)
{
	struct process *process;

	list_for_each (process, bucket_of(table, pid), link)
		/* One that is gone and not yet reported may share its number with a new one. */
		if (process->pid == pid && !pidfd_is_gone(process->fd))
			return process;
	return NULL;
}

static void attach(struct process_watch *watch, struct process *process, process_gone *gone)
{
	list_init(&watch->link);
	list_append(&process->watches, &watch->link);
	watch->process = process;
	watch->gone = gone;
}

/* Takes over *fd, the pidfd of `pid`, on success. */
static int adopt(struct process_watch *watch, struct process_table *table, pid_t pid, int *fd,
		 process_gone *gone)
{
	struct process *process;

	if (pidfd_is_gone(*fd))
		return -ESRCH;

	process = calloc(1, sizeof(*process));
	if (!process)
		return -ENOMEM;
	list_init(&process->watches);
	list_init(&process->link);
	list_append(bucket_of(table, pid), &process->link);
	process->loop = table->loop;
	process->pid = pid;
	process->fd = steal_fd(fd);
	ev_io_init(&process->readable, on_readable, process->fd, EV_READ);
	ev_io_start(process->loop, &process->readable);

	attach(watch, process, gone);
	return 0;
}

void process_watch_init(struct process_watch *watch)
{
	memset(watch, 0, sizeof(*watch));
	list_init(&watch->link);
}

int process_watch_start(struct process_watch *watch, struct process_table *table, pid_t pid,
			process_gone *gone)
{
	_cleanup_(closep) int fd = -EBADF;
	struct process *process;

	if (pid <= 0)
		return -EINVAL;
	process = find(table, pid);
	if (process) {
		attach(watch, process, gone);
		return 0;
	}

	fd = pidfd_open(pid, 0);
	/* A number that is a thread's and no process's: EINVAL, or ENOENT in newer kernels. */
	if (fd < 0 && (errno == EINVAL || errno == ENOENT))
		return -ESRCH;
	if (fd < 0)
		return -errno;
	return adopt(watch, table, pid, &fd, gone);
}

int process_watch_start_peer(struct process_watch *watch, struct process_table *table,
			     int connection, process_gone *gone)
{
	_cleanup_(closep) int fd = -EBADF;
	struct process *process;
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	/* 0: a process that our pid namespace does not show. */
	if (peer.pid <= 0)
		return -ESRCH;

	size = sizeof(fd);
	if (getsockopt(connection, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) < 0) {
		fd = -EBADF;
		if (errno == ENOPROTOOPT)
			return process_watch_start(watch, table, peer.pid, gone);
		/* Gone and reaped is EINVAL here. */
		return errno == EINVAL ? -ESRCH : -errno;
	}
	if (pidfd_is_gone(fd))
		return -ESRCH;

	/* It lives and no two living processes share a number: the known one is the same. */
	process = find(table, peer.pid);
	if (process) {
		attach(watch, process, gone);
		return 0;
	}
	return adopt(watch, table, peer.pid, &fd, gone);
}

void process_watch_stop(struct process_watch *watch)
{
	struct process *process = watch->process;

	if (!process)
		return;
	list_remove(&watch->link);
	watch->process = NULL;

	/* Active no more: process_end() is telling the others, and will free it. */
	if (list_empty(&process->watches) && ev_is_active(&process->readable))
		process_free(process);
}

static int uid_of_proc(pid_t pid, uid_t *ret_uid)
{
	char path[sizeof("/proc/") + 3 * sizeof(pid_t)];
	struct stat status;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &status) < 0)
		return -errno;
	*ret_uid = status.st_uid;
	return 0;
}

int process_watch_uid(const struct process_watch *watch, uid_t *ret_uid)
{
	struct process_info info = { .mask = INFO_CREDENTIALS };
	const struct process *process = watch->process;
	uid_t uid = (uid_t)-1;
	int r = 0;

	if (ioctl(process->fd, GET_INFO, &info) == 0 && info.mask & INFO_CREDENTIALS)
		uid = info.euid;
	else
		r = uid_of_proc(process->pid, &uid);
	/* Asked after: it lived all the time, so what was read is about this very process. */
	if (pidfd_is_gone(process->fd))
		return -ESRCH;
	if (r < 0)
		return r;

	*ret_uid = uid;
	return 0;
}

uint64_t process_watch_tag(const struct process_watch *watch)
{
	struct statfs file_system;
	struct stat status;

	if (fstatfs(watch->process->fd, &file_system) < 0 || file_system.f_type != PID_FS_MAGIC ||
	    fstat(watch->process->fd, &status) < 0)
		return 0;
	return status.st_ino;
}
