#include "heap.h"

#include "util.h"

int heap_reserve(struct heap *heap, size_t n)
{
	size_t n_allocated = heap->n_allocated ? heap->n_allocated : 64;
	struct heap_entry **entries;

	if (n < heap->n_allocated)
		return 0;

	while (n >= n_allocated)
		n_allocated += n_allocated / 2;

	entries = realloc(heap->entries, n_allocated * sizeof(struct heap_entry *));
	if (!entries)
		return -ENOMEM;

	heap->entries = entries;
	heap->n_allocated = n_allocated;
	return 0;
}

void heap_deinit(struct heap *heap)
{
	free(heap->entries);
	*heap = (struct heap){ 0 };
}

static void place(struct heap *heap, struct heap_entry *entry, size_t position)
{
	heap->entries[position] = entry;
	entry->position = position;
}

static void move_up(struct heap *heap, struct heap_entry *entry)
{
	size_t position = entry->position;

	while (position > 1 && heap->entries[position / 2]->at_ms > entry->at_ms) {
		place(heap, heap->entries[position / 2], position);
		position /= 2;
	}
	place(heap, entry, position);
}

static void move_down(struct heap *heap, struct heap_entry *entry)
{
	size_t position = entry->position;

	for (;;) {
		size_t child = position * 2;

		if (child < heap->n_entries &&
		    heap->entries[child + 1]->at_ms < heap->entries[child]->at_ms)
			child++;
		if (child > heap->n_entries || heap->entries[child]->at_ms >= entry->at_ms)
			break;
		place(heap, heap->entries[child], position);
		position = child;
	}
	place(heap, entry, position);
}

void heap_set(struct heap *heap, struct heap_entry *entry, int64_t at_ms)
{
	entry->at_ms = at_ms;
	if (!entry->position)
		place(heap, entry, ++heap->n_entries);
	move_up(heap, entry);
	move_down(heap, entry);
}

void heap_remove(struct heap *heap, struct heap_entry *entry)
{
	size_t position = entry->position;
	struct heap_entry *last;

	if (!position)
		return;

	last = heap->entries[heap->n_entries--];
	entry->position = 0;
	if (last == entry)
		return;

	place(heap, last, position);
	move_up(heap, last);
	move_down(heap, last);
}

struct heap_entry *heap_first(const struct heap *heap)
{
	return heap->n_entries ? heap->entries[1] : NULL;
}
