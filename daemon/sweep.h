/*
 * sweep.h: many probes for one question: each of these ports on each of these addresses. One
 * that is only pending gets a watcher; they share one timer, as all have the same time to answer.
 */

#pragma once

#include "calls.h"
#include "probe.h"
#include "turn.h"
#include "window.h"

/* Milliseconds that a sweep waits for room without getting on, its timeout apart. */
#define SWEEP_PATIENCE_MS 30000

/* What is known of one port, over all addresses of the host. */
struct verdict {
	uint16_t port;
	size_t index; /* its place in the order of the sweep */
	enum status status;
	enum reason reason;
	const union address *address; /* which decided */
};

enum sweep_end {
	SWEEP_DONE,        /* every port is decided, or decided() had enough */
	SWEEP_UNREACHABLE, /* `error` says why, `port` where */
	SWEEP_DENIED,      /* we may not bind `port` */
	SWEEP_STARVED,     /* of `error` for as long as the request may take */
	SWEEP_CROWDED,     /* the same of room for probes to the host: others have it all */
};

struct sweep_result {
	enum sweep_end end;
	int error; /* errno */
	uint16_t port;
};

/* All that a sweep is asked for. What it points to stays the caller's, until the sweep is freed. */
struct sweep_config {
	struct turns *turns;
	struct user *user; /* who asks */
	struct prober *prober;
	struct windows *windows;
	struct sockdiag *sockdiag;
	enum via via;
	/* The ports in their order: an array if it is there, else the list. */
	const uint16_t *array;
	const struct portlist *ports;
	size_t n_ports;
	const struct address_list *addresses;
	int timeout_ms;
	/* Milliseconds without getting on after which it is SWEEP_STARVED, or SWEEP_CROWDED. */
	int patience_ms;
	/* A port is decided, in any order. Returns true if enough is known. */
	bool (*decided)(void *userdata, const struct verdict *verdict);
	/* Once, and the last thing that is heard: the sweep may be freed there. */
	void (*ended)(void *userdata, const struct sweep_result *result);
	void *userdata;
};

struct sweep;

/*
 * 0 or -ENOMEM. Nothing happens before sweep_start(), which does the first slice at once, so that
 * both callbacks may come before it returns; it doesn't touch the sweep after ended().
 */
int sweep_new(struct sweep **ret_sweep, const struct sweep_config *config);
void sweep_start(struct sweep *sweep);

/* Whether it lacks room, with nothing under way; *ret_result is how it ends if that lasts. */
bool sweep_is_starved(const struct sweep *sweep, struct sweep_result *ret_result);

/* Ends it without a further callback; probes that are under way are given up. NULL is allowed. */
void sweep_free(struct sweep *sweep);
