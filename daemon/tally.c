#include "tally.h"

#include <stdlib.h>

struct tally *tallies_new(size_t n_ports, uint16_t n_addresses)
{
	struct tally *tallies = calloc(n_ports, sizeof(*tallies));

	for (size_t i = 0; tallies && i < n_ports; i++)
		tallies[i].unanswered = n_addresses;
	return tallies;
}

bool tally_add(struct tally *tally, uint16_t address, enum outcome outcome)
{
	bool is_open = outcome_status(outcome) == STATUS_OPEN;

	tally->unanswered--;
	if (tally->is_decided)
		return false;
	/* A timeout is the less certain answer, so it is the one to tell. */
	if (is_open ||
	    (outcome != OUTCOME_UNREACHABLE && (!tally->is_closed || outcome == OUTCOME_TIMEOUT))) {
		tally->outcome = (uint8_t)outcome;
		tally->address = address;
		tally->is_closed = !is_open;
	}
	tally->is_decided = is_open || (tally->unanswered == 0 && tally->is_closed);
	return tally->is_decided;
}
