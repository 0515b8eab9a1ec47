#include "outcome.h"

#include <stddef.h>

static const struct {
	enum status status;
	enum reason reason;
} meanings[] = {
	[OUTCOME_ACCEPTED] = { STATUS_OPEN, REASON_ACCEPTED },
	[OUTCOME_REFUSED] = { STATUS_CLOSED, REASON_REFUSED },
	[OUTCOME_TIMEOUT] = { STATUS_CLOSED, REASON_TIMEOUT },
	[OUTCOME_BACKLOG_FULL] = { STATUS_OPEN, REASON_BACKLOG_FULL },
	[OUTCOME_LISTENING] = { STATUS_OPEN, REASON_LISTENING },
	[OUTCOME_NOT_LISTENING] = { STATUS_CLOSED, REASON_NOT_LISTENING },
	[OUTCOME_IN_USE] = { STATUS_OPEN, REASON_IN_USE },
	[OUTCOME_BINDABLE] = { STATUS_CLOSED, REASON_BINDABLE },
	[OUTCOME_STARVED] = { 0 },
};

enum status outcome_status(enum outcome outcome)
{
	return meanings[outcome].status;
}

enum reason outcome_reason(enum outcome outcome)
{
	return meanings[outcome].reason;
}
