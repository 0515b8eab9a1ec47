/* bitmap.h: a bit for each port. */

#pragma once

#include "util.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct bitmap {
	uint64_t *words;
};

/* `n` bits, none of them set. 0 or -ENOMEM. */
static inline int bitmap_init(struct bitmap *bitmap, size_t n)
{
	bitmap->words = calloc(n / 64 + 1, sizeof(*bitmap->words));
	return bitmap->words ? 0 : -ENOMEM;
}

static inline void bitmap_deinit(struct bitmap *bitmap)
{
	free(bitmap->words);
	bitmap->words = NULL;
}

static inline void bitmap_clear(struct bitmap *bitmap, size_t n)
{
	memset(bitmap->words, 0, (n / 64 + 1) * sizeof(*bitmap->words));
}

static inline void bitmap_copy(struct bitmap *to, const struct bitmap *from, size_t n)
{
	memcpy(to->words, from->words, (n / 64 + 1) * sizeof(*to->words));
}

static inline void bitmap_set(struct bitmap *bitmap, size_t index)
{
	bitmap->words[index / 64] |= UINT64_C(1) << (index % 64);
}

static inline void bitmap_unset(struct bitmap *bitmap, size_t index)
{
	bitmap->words[index / 64] &= ~(UINT64_C(1) << (index % 64));
}

static inline bool bitmap_get(const struct bitmap *bitmap, size_t index)
{
	return bitmap->words[index / 64] >> (index % 64) & 1;
}

/* The first from `from` on, but before `end`, that is `value`; `end` if there is none. */
static inline size_t bitmap_next(const struct bitmap *bitmap, size_t from, size_t end, bool value)
{
	while (from < end) {
		uint64_t word = bitmap->words[from / 64];

		word = (value ? word : ~word) >> (from % 64);
		if (word) {
			from += (size_t)__builtin_ctzll(word);
			return from < end ? from : end;
		}
		from = (from / 64 + 1) * 64;
	}
	return end;
}
