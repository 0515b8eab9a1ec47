/* target.h: the host of a request: from what was asked for to addresses. */

#pragma once

#include "address.h"
#include "request.h"
#include "resolver.h"

struct target {
	const char *host; /* borrowed from the request */
	struct request *request;
	struct address_list addresses;
	struct lookup *lookup;
	/* The addresses are there, and may be probed. Else the request is aborted. */
	void (*ready)(struct target *target);
};

/*
 * Finds the addresses of `host` for `request`, whose work the target is a part of, and calls ready()
 * or aborts the request: before it returns, where nobody has to be asked. The target may be gone
 * then. 0 or -ENOMEM.
 */
int target_start(struct target *target, struct request *request, const char *host);

/*
 * Calls ready() again, or aborts the request if the client may not probe these addresses any more:
 * what was this host's own may be another's by now.
 */
void target_judge(struct target *target);

/* Ends what is under way. All zeroes is allowed. */
void target_deinit(struct target *target);
