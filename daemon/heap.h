/* heap.h: which deadline comes first. A binary heap with its entries inside the members. */

#pragma once

#include <stddef.h>
#include <stdint.h>

/* All zeroes is in no heap. */
struct heap_entry {
	int64_t at_ms;
	size_t position; /* counted from 1; 0: in no heap */
};

/* All zeroes is empty. */
struct heap {
	struct heap_entry **entries; /* entries[0] is not used */
	size_t n_entries;
	size_t n_allocated;
};

/* Makes room for `n` entries in all, so that heap_set() can't fail. 0 or -ENOMEM. */
int heap_reserve(struct heap *heap, size_t n);
void heap_deinit(struct heap *heap);

/* Puts the entry in, or moves it to another time. O(log n). */
void heap_set(struct heap *heap, struct heap_entry *entry, int64_t at_ms);

/* An entry in no heap is left alone. O(log n). */
void heap_remove(struct heap *heap, struct heap_entry *entry);

/* The earliest, or NULL. */
struct heap_entry *heap_first(const struct heap *heap);
