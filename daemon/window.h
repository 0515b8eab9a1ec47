/*
 * window.h: how many probes are under way to one foreign host, whoever they are for. A window is
 * shared by all that ask about the same address at the same time.
 */

#pragma once

#include "probe.h"

struct route;

/* All there are. `limit` is its owner's to change at any time. */
struct windows {
	struct route *route;
	unsigned limit; /* probes at once to one host */
	void *tree;     /* tsearch() tree of host_window */
};

struct host_window;

/* `route` stays the caller's. There is nothing to free once all windows were given back. */
static inline void windows_init(struct windows *windows, struct route *route, unsigned limit)
{
	*windows = (struct windows){ .route = route, .limit = limit };
}

/*
 * The window for the host of `address`, NULL in *ret_window if it is this host, which needs none.
 * The caller gives it back. 0 or -ENOMEM.
 */
int host_window_get(struct windows *windows, const union address *address,
		    struct host_window **ret_window);
void host_window_put(struct host_window *window);

/* One more under way, unless there are as many as there may be; NULL always has room. */
bool host_window_enter(struct host_window *window);
void host_window_leave(struct host_window *window);

/* As prober_wait(), for room in the window. */
void host_window_wait(struct host_window *window, struct prober_waiter *waiter);

/* For who was told of room and doesn't take it: the next one is told. */
void host_window_pass_on(struct host_window *window);
