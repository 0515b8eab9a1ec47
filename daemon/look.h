/* look.h: one look at one port of a host, for check and for each turn of wait. */

#pragma once

#include "request.h"
#include "sweep.h"

struct look {
	struct sweep *sweep;
	uint16_t port;
	struct verdict verdict;
	void *userdata;
	/* `result` says whether the verdict is one. The look may be started anew, or freed. */
	void (*ended)(struct look *look, const struct sweep_result *result);
};

/*
 * Asks all of `addresses`, which stay the caller's, for at most `timeout_ms`. ended() may come
 * before this returns, and the look be gone then. 0 or -ENOMEM.
 */
int look_start(struct look *look, struct request *request, const struct address_list *addresses,
	       uint16_t port, enum via via, int timeout_ms, int patience_ms);

/* Ends what is under way. All zeroes is allowed. */
void look_deinit(struct look *look);

/*
 * Fails the request with what kept a sweep from its end. `with_status`: as the npm module, JSON-RPC
 * tells of a single port that can't be reached also that it is closed.
 */
void sweep_fail_request(struct request *request, const char *host, enum via via,
			const struct sweep_result *result, bool with_status);

/* Fails it as `via` can't serve this host; `error` as local_look_up() tells it. */
void request_fail_unsupported(struct request *request, const char *host, enum via via, int error);

/* The same for what a listing ended with. */
void request_fail_listing(struct request *request, const char *host, int error);
