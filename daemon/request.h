/* request.h: one call: who asked, how to answer, how to end it. Answered exactly once. */

#pragma once

#include "connection.h"
#include "list.h"
#include "message.h"

#define SHUTTING_DOWN_MESSAGE "the daemon is stopping; ask again once it runs again"

struct daemon;
struct method;

struct request {
	struct list link;          /* connection::requests */
	struct list deferred_link; /* connection::deferred */
	struct connection *connection;
	struct daemon *daemon;
	const struct method *method;
	struct envelope envelope;
	struct batch *batch; /* that it came in, or NULL */
	json_t *message;     /* what `params` point into */
	void *params;        /* a struct that method->params describes */
	uint64_t started;    /* monotonic, in microseconds */
	void *work;          /* of the method */
	bool is_charged;     /* to the user */
	size_t weight;       /* see request_weigh() */
	void (*resume)(struct request *request);
};

/* Microseconds since the request came. */
int64_t request_elapsed_us(const struct request *request);

/*
 * Starts what `message` (a reference is taken) asks for: an element of `batch`, or a message of
 * its own where that is NULL. It may be answered, and over, when this returns. 0; -ENOMEM; or
 * -EBADMSG if it is no request and its dialect has no answer to that.
 */
int request_start(struct connection *connection, struct batch *batch, json_t *message,
		  enum dialect dialect);

/*
 * These answer, and end the request: it is gone when they return. `result` is a struct that the
 * method's table describes, or a const json_t * where it has none.
 */
void request_reply(struct request *request, const void *result);
/* The same with descriptors, which it takes over. */
void request_reply_with_fds(struct request *request, const void *result, const int fds[], size_t n);
void request_fail(struct request *request, enum error_code code, json_t *members,
		  const char *format, ...) _printf_(4, 5);
void request_fail_error(struct request *request, const struct error *error);

/* For -errno of ours: ResourcesExhausted where it says so, else Internal. */
void request_fail_errno(struct request *request, int error);

/* One of several replies; more will come. For who asked for them (Varlink's more). */
void request_reply_more(struct request *request, const void *result);

/* A progress notification, for who asked for a stream. */
void request_put_progress(struct request *request, const struct field *fields,
			  const void *progress);

/*
 * Whether a large answer had better wait, as the client is behind with reading: resume() is
 * called when it has caught up. False: answer now.
 */
bool request_defer(struct request *request, void (*resume)(struct request *request));

/* Bytes for a port of a result: in an array, and in the answer. */
#define PORT_WEIGHT 8

/*
 * Says how many bytes it takes, its answer included, for as long as it is under way: they count
 * as unsent answers, up to WEIGHT_MAX, so that nobody has the daemon keep hundreds of large ones.
 */
void request_weigh(struct request *request, size_t weight);

/* Ends it with an error, from outside: what it has under way is stopped. */
void request_cancel(struct request *request, enum error_code code, const char *message);

/* Ends it without an answer: nobody is there any more. */
void request_drop(struct request *request);
