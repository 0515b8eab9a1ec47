/* outcome.h: what one way of asking says of one port on one address. */

#pragma once

#include "calls.h"

#include <stdbool.h>

enum outcome {
	/* Of connect() */
	OUTCOME_ACCEPTED,
	OUTCOME_REFUSED,
	OUTCOME_TIMEOUT,
	OUTCOME_BACKLOG_FULL, /* a timeout, although the kernel's table has a listener */
	/* Of the kernel's table */
	OUTCOME_LISTENING,
	OUTCOME_NOT_LISTENING,
	/* Of bind() */
	OUTCOME_IN_USE,
	OUTCOME_BINDABLE,
	OUTCOME_DENIED, /* a port below 1024, which we may not bind */
	/* These say nothing about the port: */
	OUTCOME_UNREACHABLE, /* the host can't be reached, or not asked that way */
	OUTCOME_PENDING,
	OUTCOME_STARVED, /* we ran short of something */
};

/* 0 for those that say nothing about the port. */
enum status outcome_status(enum outcome outcome);
enum reason outcome_reason(enum outcome outcome);
