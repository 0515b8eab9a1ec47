/*
 * embedded.h: the whole daemon inside a test: its own loop, a listening socket without a name in
 * the file system, leases in a directory that lasts as long as it does. Aborts where it can't.
 */

#pragma once

#include "daemon.h"

#include <sys/un.h>

struct embedded {
	struct daemon daemon;
	struct sockaddr_un address; /* in the abstract namespace, of the kernel's choice */
	socklen_t address_size;
	char directory[64];
	size_t n_fds; /* descriptors of this process, when nothing was under way */
};

/*
 * No name server is asked by this process from now on but a closed port of this host, and it is
 * in a network of its own where that is allowed.
 */
void embedded_isolate(void);

/* `options` as on the command line, NULL at the end. Foreign hosts are denied. */
void embedded_open(struct embedded *embedded, const char *const options[]);
void embedded_close(struct embedded *embedded);

/* A client: a nonblocking descriptor, of user `uid` where we are root. */
int embedded_connect(struct embedded *embedded, uid_t uid);

/* One turn of the loop. `may_wait`: it sleeps until something happens, 10 ms at most. */
void embedded_turn(struct embedded *embedded, bool may_wait);

/* Runs the loop until no client is connected. Aborts if that takes more than 10 s. */
void embedded_settle(struct embedded *embedded);

/*
 * After that: ends all leases, with nothing left of them. Aborts if anybody is still charged for
 * anything, or a descriptor is open that wasn't before.
 */
void embedded_end_leases(struct embedded *embedded);

/* Descriptors of this process. */
size_t count_descriptors(void);
