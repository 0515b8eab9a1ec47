#include "proc.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Entries of directories looked at in one turn of the loop: some half a millisecond. */
#define SLICE 128

/* systemd, which listens for services that don't run yet. */
#define PID_INIT 1

static struct proc_socket *find(const struct proc_walk *walk, uint32_t inode)
{
	size_t low = 0, high = walk->n_sockets;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (walk->sockets[middle].inode == inode)
			return &walk->sockets[middle];
		if (walk->sockets[middle].inode < inode)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Its arguments, or of a thread of the kernel the name. What isn't plain ASCII becomes a '?'. */
static void read_command(int process_fd, char ret_command[COMMAND_SIZE])
{
	static const char *const files[] = { "cmdline", "comm" };
	ssize_t size = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files) && size <= 0; i++) {
		_cleanup_(closep) int fd = openat(process_fd, files[i], O_RDONLY | O_CLOEXEC);

		size = fd < 0 ? 0 : read(fd, ret_command, COMMAND_SIZE - 1);
	}
	if (size < 0)
		size = 0;
	while (size > 0 && (ret_command[size - 1] == '\0' || ret_command[size - 1] == '\n'))
		size--;
	ret_command[size] = '\0';
	for (ssize_t i = 0; i < size; i++) {
		if (ret_command[i] == '\0')
			ret_command[i] = ' ';
		else if (ret_command[i] < ' ' || ret_command[i] > '~')
			ret_command[i] = '?';
	}
}

static void look_at_descriptor(struct proc_walk *walk, const char *name)
{
	char target[64];
	ssize_t size = readlinkat(dirfd(walk->descriptors), name, target, sizeof(target) - 1);
	struct proc_socket *proc_socket;
	unsigned inode;

	if (size <= 0)
		return;
	target[size] = '\0';
	if (sscanf(target, "socket:[%u]", &inode) != 1)
		return;
	proc_socket = find(walk, inode);
	if (!proc_socket || proc_socket->pid > PID_INIT || proc_socket->pid == walk->pid)
		return;
	proc_socket->pid = walk->pid;
	read_command(walk->process_fd, proc_socket->command);
	walk->n_found += walk->pid != PID_INIT;
}

static void leave_process(struct proc_walk *walk)
{
	if (!walk->descriptors)
		return;
	closedir(walk->descriptors);
	walk->descriptors = NULL;
	close(walk->process_fd);
}

/*
 * A process that is gone, or none of our business, is passed over; but one that can't be looked
 * at for want of memory or descriptors may be the one.
 */
static void fail_to_enter(struct proc_walk *walk, int error)
{
	if (error == ENOMEM || error == EMFILE || error == ENFILE)
		walk->error = -error;
}

static void enter_process(struct proc_walk *walk, const char *name)
{
	_cleanup_(closep) int process_fd = -EBADF;
	_cleanup_(closep) int fd = -EBADF;
	struct stat status;

	process_fd = openat(dirfd(walk->processes), name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (process_fd < 0)
		fail_to_enter(walk, errno);
	if (process_fd < 0 || fstat(process_fd, &status) < 0)
		return;
	if (walk->user->uid != 0 && status.st_uid != walk->user->uid)
		return;
	fd = openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		walk->descriptors = fdopendir(fd);
	if (!walk->descriptors) {
		fail_to_enter(walk, errno);
		return;
	}
	(void)steal_fd(&fd);
	walk->process_fd = steal_fd(&process_fd);
	walk->pid = (pid_t)strtol(name, NULL, 10);
}

/* Looks at one entry of a directory. False at the end. */
static bool step(struct proc_walk *walk)
{
	const struct dirent *entry =
		readdir(walk->descriptors ? walk->descriptors : walk->processes);

	if (walk->descriptors) {
		if (entry)
			look_at_descriptor(walk, entry->d_name);
		else
			leave_process(walk);
		return walk->n_found < walk->n_sockets;
	}
	if (entry && isdigit((unsigned char)entry->d_name[0]))
		enter_process(walk, entry->d_name);
	return entry && walk->error == 0;
}

static void on_turn(struct turn *turn)
{
	struct proc_walk *walk = container_of(turn, struct proc_walk, turn);

	for (int i = 0; i < SLICE; i++) {
		if (!step(walk)) {
			proc_walk_deinit(walk);
			walk->ended(walk);
			return;
		}
	}
	turn_queue(walk->turns, &walk->turn);
}

int proc_walk_start(struct proc_walk *walk, struct proc_socket *sockets, size_t n_sockets)
{
	walk->processes = opendir("/proc");
	if (!walk->processes)
		return -errno;
	walk->sockets = sockets;
	walk->n_sockets = n_sockets;
	turn_init(&walk->turn, walk->user, on_turn);
	turn_queue(walk->turns, &walk->turn);
	return 0;
}

void proc_walk_deinit(struct proc_walk *walk)
{
	if (!walk->processes)
		return;
	turn_deinit(&walk->turn);
	leave_process(walk);
	closedir(walk->processes);
	walk->processes = NULL;
}
