/*
 * fake_manager.h: a service manager as far as its descriptor store goes, played by the test on a
 * real notification socket. For tests that run in a process each.
 */

#pragma once

#include "parking.h"

#define STORE_MAX 32

struct manager {
	char folder[64];
	char path[96];
	int fd;
	unsigned messages;
	unsigned n;
	int fds[STORE_MAX];
	char *names[STORE_MAX];
};

extern struct manager manager;

/* Sets NOTIFY_SOCKET; stopping drops the store. */
void manager_start(void);
void manager_stop(void);

/* Handles the notifications there are; a service manager need not be quick. */
void manager_run(void);

/* Drops one descriptor of the store. */
void manager_forget(unsigned i);

/* parking_restore() as the next daemon would call it, in an order that says nothing. */
int manager_restore(struct parking *parking, struct parking_sockets *ret_sockets);
