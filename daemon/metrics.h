/* metrics.h: counters since the daemon started, and their text in the OpenMetrics format. */

#pragma once

#include "buffer.h"
#include "protocol.h"

#include <stdint.h>

struct daemon;

#define METRICS_METHODS_MAX 16

struct metrics {
	uint64_t requests[METRICS_METHODS_MAX]; /* by the method's place in its table */
	uint64_t errors[ERRORS_MAX];            /* by error_index() */
	uint64_t cancelled;                     /* because the client went away */
	uint64_t connections;                   /* accepted */
	uint64_t accept_pauses;                 /* times there was no descriptor for a client */
};

void metrics_count_error(struct metrics *metrics, enum error_code code);

/* Appends the text. 0 or -ENOMEM. */
int metrics_put(struct buffer *buffer, const struct daemon *daemon);
