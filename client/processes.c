/*
 * processes.c: whose a socket is, for who, where the daemon may not see it. As a user of its own,
 * without privileges, it sees no process but its own; whoever asks sees theirs, and root all.
 */

#include "cli.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* systemd, which listens for services that don't run yet: anybody else goes before it. */
#define PID_INIT 1

/* Its arguments, with blanks between. What isn't plain ASCII becomes a '?'. */
static void read_command(const char *pid, char *ret_command, size_t size)
{
	char path[sizeof("/proc//cmdline") + NAME_MAX];
	ssize_t length = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		length = read(fd, ret_command, size - 1);
		close(fd);
	}
	while (length > 0 && ret_command[length - 1] == '\0')
		length--;
	ret_command[length > 0 ? length : 0] = '\0';
	for (ssize_t i = 0; i < length; i++) {
		if (ret_command[i] == '\0')
			ret_command[i] = ' ';
		else if (ret_command[i] < ' ' || ret_command[i] > '~')
			ret_command[i] = '?';
	}
}

static void give(struct portscan_who_result *result, int64_t inode, const char *pid)
{
	for (size_t i = 0; i < result->n_sockets; i++) {
		struct portscan_socket *socket = &result->sockets[i];

		if (socket->inode != inode || socket->pid > PID_INIT)
			continue;
		socket->pid = strtol(pid, NULL, 10);
		read_command(pid, socket->command, sizeof(socket->command));
	}
}

static void look_at_process(struct portscan_who_result *result, const char *pid)
{
	const struct dirent *entry;
	char path[64], target[64];
	DIR *descriptors;
	ssize_t size;
	long long inode;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	descriptors = opendir(path);
	/* Another's, or gone. */
	if (!descriptors)
		return;
	while ((entry = readdir(descriptors))) {
		size = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof(target) - 1);
		if (size <= 0)
			continue;
		target[size] = '\0';
		if (sscanf(target, "socket:[%lld]", &inode) == 1 && inode > 0)
			give(result, inode, pid);
	}
	closedir(descriptors);
}

void find_processes(struct portscan_who_result *result)
{
	const struct dirent *entry;
	bool is_complete = true;
	DIR *processes;

	for (size_t i = 0; i < result->n_sockets; i++)
		is_complete = is_complete && (result->sockets[i].pid || !result->sockets[i].inode);
	processes = is_complete ? NULL : opendir("/proc");
	if (!processes)
		return;
	while ((entry = readdir(processes)))
		if (isdigit((unsigned char)entry->d_name[0]))
			look_at_process(result, entry->d_name);
	closedir(processes);
}
