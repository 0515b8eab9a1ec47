/* portset.h: sets of ports, a bit each. All zeroes is the empty set. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct portset {
	uint64_t words[(UINT16_MAX + 1) / 64];
};

static inline bool portset_has(const struct portset *set, uint16_t port)
{
	return set->words[port / 64] >> (port % 64) & 1;
}

static inline void portset_add(struct portset *set, uint16_t port)
{
	set->words[port / 64] |= UINT64_C(1) << (port % 64);
}
