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

/* All from `first` to `last`, first <= last. */
static inline void portset_add(struct portset *set, uint16_t first, uint16_t last)
{
	uint64_t from = UINT64_MAX << (first % 64), to = UINT64_MAX >> (63 - last % 64);

	if (first / 64 == last / 64) {
		set->words[first / 64] |= from & to;
		return;
	}

	set->words[first / 64] |= from;
	for (size_t i = (size_t)first / 64 + 1; i < (size_t)last / 64; i++)
		set->words[i] = UINT64_MAX;
	set->words[last / 64] |= to;
}

/* How many are in `set` and not in `without`, which may be NULL. */
static inline size_t portset_count(const struct portset *set, const struct portset *without)
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof(set->words) / sizeof(set->words[0]); i++)
		n += (size_t)__builtin_popcountll(set->words[i] &
						  ~(without ? without->words[i] : 0));
	return n;
}
