/*
 * message.h: the envelopes of the dialects, packed and unpacked, for both sides. What is in them
 * (params and results) is schema.h's. Pure.
 */

#pragma once

#include "frame.h"
#include "schema.h"

enum dialect {
	DIALECT_JSONRPC,
	DIALECT_VARLINK,
};

/* What of a request its answer depends on. */
struct envelope {
	enum dialect dialect;
	/* JSON-RPC: "jsonrpc":"2.0" was there, and the answer has it too. */
	bool versioned;
	/* A notification, or Varlink's oneway: nobody waits for an answer. */
	bool silent;
	/* Varlink: more than one reply is welcome. */
	bool more;
	/* JSON-RPC: a reference of its own, or NULL for none. */
	json_t *id;
};

void envelope_deinit(struct envelope *envelope);

struct call {
	struct envelope envelope;
	/* Both belong to the message. `params` is an object, or NULL. */
	const char *method;
	const json_t *params;
};

/*
 * The JSON of one message. 0 and a reference of the caller's; -ENOMEM; or -EBADMSG and
 * *ret_error (ERROR_PARSE, with line and column).
 */
int message_parse(json_t **ret_message, const char *data, size_t size, struct error *ret_error);

/*
 * The call in `message`, or in one element of a batch. 0, and the caller ends *ret_call with
 * envelope_deinit(); or -EBADMSG, *ret_error (ERROR_INVALID_REQUEST or ERROR_INVALID_PARAMETER),
 * and the envelope to answer it with: to be ended all the same.
 */
int call_unpack(struct call *ret_call, json_t *message, enum dialect dialect,
		struct error *ret_error);

/*
 * These append one answer, with its ending unless `in_batch`. 0, or as schema_encode_result(),
 * and then nothing was appended. `result` is a struct that `fields` describes, or a const json_t *
 * where `fields` is NULL. With `continues` (Varlink) it is not the last one.
 */
int message_put_result(struct buffer *buffer, const struct envelope *envelope, bool in_batch,
		       const struct field *fields, const void *result, bool continues);
int message_put_error(struct buffer *buffer, const struct envelope *envelope, bool in_batch,
		      const struct error *error);

/* Appends a progress notification for the request of `envelope`. */
int message_put_progress(struct buffer *buffer, const struct envelope *envelope,
			 const struct field *fields, const void *progress);

/* For clients: appends a call. `params` as for message_put_result(); returns the same. */
int message_put_call(struct buffer *buffer, const char *method, json_int_t id,
		     const struct field *fields, const void *params);

/* For clients: what came back. Everything in it belongs to the message. */
struct answer {
	json_int_t id;
	/* One of the three. */
	const json_t *result;
	const json_t *error;
	const json_t *progress;
};

/* 0, or -EBADMSG if it is none. */
int answer_unpack(struct answer *ret_answer, const json_t *message);

/* What is in an answer's error, borrowed from the message. */
struct answer_error {
	json_int_t code;
	const char *name;
	const char *message;
	/* An object with the error's members, "error" (the name) among them; or NULL. */
	const json_t *data;
};

/* Strings that are not there are "". */
void answer_error_unpack(struct answer_error *ret_error, const json_t *error);

/* The members of an error as JSON text: `data` without the name. The caller frees it; or NULL. */
char *answer_error_members(const struct answer_error *error);
