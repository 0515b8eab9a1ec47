/* outcome.h: the last answer, from which portscan_last_error() and _result() are told. */

#pragma once

#include "message.h"
#include "portscan.h"

/* All zeroes is none. */
struct outcome {
	json_t *message; /* owns the strings of the error */
	const json_t *result;
	bool is_error;
	struct portscan_error error;
	char *members; /* of the error */
	char *text;    /* of the result, made when asked for */
};

void outcome_deinit(struct outcome *outcome);

/* Replaces what was there by what `answer`, unpacked from `message`, says. 0 or -ENOMEM. */
int outcome_set(struct outcome *outcome, json_t *message, const struct answer *answer);

/* The same for an error of our own making. */
int outcome_set_error(struct outcome *outcome, const struct error *error);
