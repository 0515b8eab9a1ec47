/*
 * parking_world.h: a service manager, daemons that park leases and are killed, and what they tell
 * of themselves before. For tests that run in a process each.
 */

#pragma once

#include "fake_manager.h"
#include "holder.h"
#include "parking.h"

#include <stdint.h>
#include <sys/types.h>

#define MANY 10000

/* What a daemon that will be killed tells of itself. */
struct shared {
	volatile unsigned n;
	volatile unsigned attempts;
	volatile unsigned stolen;
	volatile int stop;
	volatile uint16_t ports[MANY];
	volatile unsigned char held[1 << 16]; /* 1: must be there after a crash; 2: may be */
};

extern struct shared *shared;

struct lease {
	struct holder holder;
	struct parked parked;
};

extern struct lease leases[MANY];

void world_start(void);
void world_stop(void);

/* A parking that tells the manager of the world. */
struct parking *parking_start(void);

/* A port of the kernel's choice, held and parked; or -errno. `protocol` is not HOLDER_BOTH. */
int lease_start(struct lease *lease, struct parking *parking, enum holder_protocol protocol);
void lease_end(struct lease *lease);

/* A daemon that parks `n` leases, counts them in shared->n and waits. */
pid_t start_killed_daemon(unsigned n, enum holder_protocol protocol);
void kill_and_reap(pid_t pid);

/* Fails the test after a minute. */
void wait_for(volatile unsigned *counter, unsigned value);

/* Every port that the daemon parked, once. */
void find_all(const struct parking_sockets *sockets, unsigned n);
