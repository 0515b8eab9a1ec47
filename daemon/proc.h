/*
 * proc.h: which process has a socket, from /proc: as far as we may look, some descriptors in a
 * turn of the loop.
 */

#pragma once

#include "turn.h"

#include <dirent.h>
#include <stdint.h>
#include <sys/types.h>

#define COMMAND_SIZE 256

/* A socket whose process is looked for; pid 0 as long as it isn't found. */
struct proc_socket {
	uint32_t inode;
	pid_t pid;
	char command[COMMAND_SIZE]; /* its arguments with blanks between, as ASCII */
};

/* A walk through /proc. */
struct proc_walk {
	struct turns *turns;
	struct user *user; /* who asks: told of own processes alone; root of all */
	/*
	 * Every process was looked at; or `error`, a negative errno, says what ran short. The walk
	 * may be freed here.
	 */
	void (*ended)(struct proc_walk *walk);

	struct turn turn;
	struct proc_socket *sockets; /* the caller's, by inode */
	size_t n_sockets, n_found;
	int error;
	DIR *processes;
	/* Of the process that is being looked at, if there is one: */
	DIR *descriptors;
	int process_fd;
	pid_t pid;
};

/*
 * Looks for the processes of `sockets`, an array of the caller's that is sorted by inode, without
 * doubles. `turns`, `user` and `ended` are set, the rest is zero. Of several processes that share
 * a socket it is the first, but not systemd where it only keeps the socket for another. Calls
 * ended() from the loop. 0 or -errno.
 */
int proc_walk_start(struct proc_walk *walk, struct proc_socket *sockets, size_t n_sockets);

/* Ends it early. All zeroes is allowed. */
void proc_walk_deinit(struct proc_walk *walk);
