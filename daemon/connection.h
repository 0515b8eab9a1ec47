/*
 * connection.h: one client: its input, its answers, and its requests. Closing it ends them all;
 * nothing of it is touched afterwards.
 */

#pragma once

#include "batch.h"
#include "frame.h"
#include "hangup.h"
#include "list.h"
#include "output.h"
#include "protocol.h"
#include "turn.h"
#include "user.h"

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

struct daemon;
struct request;

/* Why there is input that is not worked off, though its turn has come. */
enum blocked_by {
	BLOCKED_BY_NOTHING,
	BLOCKED_BY_THROTTLE,
	BLOCKED_BY_ORDER,
	BLOCKED_BY_BATCHES,
};

struct connection {
	struct list link; /* server::connections */
	struct daemon *daemon;
	int fd;
	struct user *user; /* of the client, as of its connect() */
	pid_t pid;
	ev_io readable, writable;
	struct hangup hangup;
	struct turn turn; /* has input that is not worked off */
	struct frame_reader input;
	struct output output;
	struct list requests; /* of request::link */
	struct list deferred; /* of request::deferred_link */
	struct list batches;  /* of batch::link */
	struct list leases;   /* that end with the connection, of lease::owner_link */
	struct batch *batch;  /* whose calls are being started */
	size_t n_under_way;
	size_t weight;       /* of what is under way, in bytes: see request_weigh() */
	size_t n_discarded;  /* bytes of input */
	bool is_input_ended; /* the client has half-closed, or is not listened to any more */
	bool is_discarding;  /* what still comes in is of no interest */
	bool is_throttled;
	enum blocked_by blocked_by;
	bool is_working;      /* answers are sent at the end of it, all at once */
	bool is_varlink_busy; /* Varlink calls are answered in order: one at a time */
	bool has_lost_answer; /* for want of memory; its client waits for it in vain */
	bool ends_daemon;     /* it was handed to the daemon at its start */
};

/*
 * Takes over `fd`, connected and nonblocking, even on failure. 0; -ENOMEM; or -EDQUOT if the
 * client's user has as many connections as one may.
 */
int connection_new(struct connection **ret_connection, struct daemon *daemon, int fd);

/* Closes it and ends its requests. */
void connection_free(struct connection *connection);

/* Answers ShuttingDown to what is under way; the connection goes once that is sent. */
void connection_shut_down(struct connection *connection);

/*
 * Where the answer to a request is to be appended: to the batch's answers (behind a comma), or
 * to the connection's output. NULL if there is no memory.
 */
struct buffer *connection_answer_begin(struct connection *connection, struct batch *batch);

/*
 * An answer could not be written, -errno says why: the connection is closed when it next goes on,
 * so that nobody waits for that answer, or takes the next one for it.
 */
void connection_lose_answer(struct connection *connection, int error);

/* A request was taken off connection::requests. May free the connection. */
void connection_request_ended(struct connection *connection, struct batch *batch, bool is_varlink);

/* Sends what was appended, unless that is going to happen anyway. May free the connection. */
void connection_flush(struct connection *connection);

/* Whether the client is behind with reading. */
bool connection_is_behind(const struct connection *connection);
