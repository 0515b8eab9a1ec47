/* tally.h: how one port stands where several addresses are asked: what they have said. Pure. */

#pragma once

#include "outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tally {
	uint16_t unanswered; /* addresses */
	uint16_t address;    /* that has said `outcome` */
	uint8_t outcome;
	bool is_closed;
	bool is_decided;
};

/* One for each port, for so many addresses; NULL without memory. The caller frees it. */
struct tally *tallies_new(size_t n_ports, uint16_t n_addresses);

/*
 * One address more has said something. True if that decides the port: tally->outcome is what came
 * of it, and tally->address who said so. Open if one address is, closed if all have answered and
 * not all of them are unreachable.
 */
bool tally_add(struct tally *tally, uint16_t address, enum outcome outcome);
