/*
 * hangup.h: tells when a client is gone while nothing is read from it. The loop can only watch
 * for reading or writing, and after a half-close both are always true; an epoll set of its own,
 * which asks for nothing, hears of nothing but the hang-up.
 */

#pragma once

#include <ev.h>
#include <stdbool.h>

struct hangups;

/* Embedded in who wants to know; all zeroes but for `gone` to begin with. */
struct hangup {
	/* The other side is gone for good. May free the struct. */
	void (*gone)(struct hangup *hangup);
	int fd;
	bool is_watched;
};

int hangups_new(struct hangups **ret_hangups, struct ev_loop *loop);
void hangups_free(struct hangups *hangups);

/* 0 or -errno. A descriptor must be unwatched before it is closed. Both may be called twice. */
int hangup_watch(struct hangups *hangups, struct hangup *hangup, int fd);
void hangup_unwatch(struct hangups *hangups, struct hangup *hangup);
