/*
 * connection.h: what is behind a handle. Calls are started here, in any number, and completed
 * from here; what they are is methods.c's.
 */

#pragma once

#include "arrivals.h"
#include "frame.h"
#include "outcome.h"
#include "pending.h"

/* How the result of a method is made. */
struct method {
	size_t result_size;
	/* 0 and a filled result; -ENOMEM or -EBADMSG. */
	int (*decode)(const json_t *json, void *ret_result);
	/* Frees what decode() allocated; does nothing to a zeroed result. */
	void (*clear)(void *result);
	/*
	 * Moves the descriptors that came along into a decoded result, which clear() closes then.
	 * 0 or -errno, and then the result is of no use. NULL: none come.
	 */
	int (*take)(struct portscan *p, void *result, struct descriptors *descriptors);
};

struct portscan {
	int fd;
	int failure;     /* a negative errno once the connection is over */
	bool is_blocked; /* the last send() found no room */
	bool is_deaf;    /* the daemon reads no more, though there may still be answers */
	bool is_busy;    /* completions may be running */
	bool is_freed;   /* by a completion: memory goes when no longer busy */
	/* Calls yet to come that don't look for their answer awake; how many there were last. */
	unsigned n_to_sleep, n_slept;
	uint64_t last_id;
	struct buffer output;
	struct frame_reader reader;
	struct arrivals arrivals;
	struct descriptors claimed; /* by the answer in hand */
	struct pending pending;
	struct outcome last;
	char received[64 * 1024]; /* by one recvmsg() */
};

/*
 * Starts a call of `name` with `params` as for message_put_call(); `call` is complete but for its
 * id. 0 or -errno as in portscan.h.
 */
int connection_start(struct portscan *p, struct pending_call call, const char *name,
		     const struct field *fields, const void *params, uint64_t *ret_id);

/*
 * Starts a call and waits for its end; in `call` `done` and `userdata` are free, unless there is
 * on_progress. The result is moved to *ret_result.
 */
int connection_call(struct portscan *p, struct pending_call call, const char *name,
		    const struct field *fields, const void *params, void *ret_result);
