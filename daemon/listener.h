/* listener.h: a listening AF_UNIX socket: opened here, or passed in. */

#pragma once

#include <sys/stat.h>
#include <sys/un.h>

struct listening_socket {
	int fd;
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1]; /* "@name" is abstract */
	/* The file that listener_close() removes: st_ino 0 for none. */
	struct stat file;
};

/*
 * Listens at `address`, a path or "@name", for every user. A socket file that nobody listens at
 * any more is replaced. 0; -EBUSY if somebody does, or what is there is no socket; or -errno. All of
 * them logged.
 */
int listener_open(struct listening_socket *ret_socket, const char *address);

/* Takes over a socket that listens already; its file is not ours to remove. 0 or -errno. */
int listener_adopt(struct listening_socket *ret_socket, int fd);

/* Makes a descriptor that was passed in like one of ours: nonblocking, closed by exec. */
int listener_set_flags(int fd);

/* Removes the file, if it is still the one that was made, and closes the socket. */
void listener_close(struct listening_socket *socket);
