#include "proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Descriptors looked at in one turn of the loop: some half a millisecond. */
#define SLICE 256

static struct proc_socket *find(struct proc_walk *walk, uint32_t inode)
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
		_cleanup_(closep)
		int fd = openat(process_fd, files[i], O_RDONLY | O_CLOEXEC);

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

static void found(struct proc_walk *walk, struct proc_socket *proc_socket, int process_fd,
		  pid_t pid)
{
	struct stat status;

	if (proc_socket->pid != 0 || fstat(process_fd, &status) < 0)
		return;
	proc_socket->pid = pid;
	proc_socket->uid = status.st_uid;
	read_command(process_fd, proc_socket->command);
	walk->n_found++;
}

/* How many descriptors were looked at. */
static int look_at_process(struct proc_walk *walk, const char *name)
{
	_cleanup_(closep)
	int process_fd = -EBADF;
	struct dirent *entry;
	DIR *descriptors;
	int fd, n = 1;

	process_fd = openat(dirfd(walk->directory), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = process_fd < 0 ? -1 : openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	descriptors = fd < 0 ? NULL : fdopendir(fd);
	if (!descriptors) {
		/* Gone, or none of our business. */
		if (fd >= 0)
			close(fd);
		return n;
	}
	while ((entry = readdir(descriptors))) {
		char target[64];
		ssize_t size = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);
		struct proc_socket *proc_socket;
		unsigned inode;

		n++;
		if (size <= 0)
			continue;
		target[size] = '\0';
		if (sscanf(target, "socket:[%u]", &inode) != 1)
			continue;
		proc_socket = find(walk, inode);
		if (proc_socket)
			found(walk, proc_socket, process_fd, (pid_t)strtol(name, NULL, 10));
	}
	closedir(descriptors);
	return n;
}

static void on_turn(struct turn *turn)
{
	struct proc_walk *walk = container_of(turn, struct proc_walk, turn);
	int n = 0;

	while (n < SLICE) {
		struct dirent *entry =
			walk->n_found < walk->n_sockets ? readdir(walk->directory) : NULL;

		if (!entry) {
			proc_walk_deinit(walk);
			walk->ended(walk);
			return;
		}
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			n += look_at_process(walk, entry->d_name);
	}
	turn_queue(walk->turns, &walk->turn);
}

int proc_walk_start(struct proc_walk *walk, struct proc_socket *sockets, size_t n_sockets)
{
	walk->directory = opendir("/proc");
	if (!walk->directory)
		return -errno;
	walk->sockets = sockets;
	walk->n_sockets = n_sockets;
	turn_init(&walk->turn, walk->user, on_turn);
	turn_queue(walk->turns, &walk->turn);
	return 0;
}

void proc_walk_deinit(struct proc_walk *walk)
{
	if (!walk->directory)
		return;
	turn_deinit(&walk->turn);
	closedir(walk->directory);
	walk->directory = NULL;
}
