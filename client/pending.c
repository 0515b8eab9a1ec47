#include "pending.h"

#include "util.h"

#define BITS_MIN 4

static size_t n_slots(const struct pending *pending)
{
	return pending->slots ? (size_t)1 << pending->bits : 0;
}

/*
 * Ids are consecutive. Spread over the table they don't form one long run, which a call that
 * stays while thousands come and go would make every search walk along.
 */
static size_t home_of(const struct pending *pending, uint64_t id)
{
	return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> (64 - pending->bits));
}

static size_t next_of(const struct pending *pending, size_t slot)
{
	return (slot + 1) & (n_slots(pending) - 1);
}

void pending_deinit(struct pending *pending)
{
	free(pending->slots);
	*pending = (struct pending){ 0 };
}

/* The slot of `id`, or the free one where it would be. */
static size_t search(const struct pending *pending, uint64_t id)
{
	size_t slot = home_of(pending, id);

	while (pending->slots[slot].id != 0 && pending->slots[slot].id != id)
		slot = next_of(pending, slot);
	return slot;
}

static int grow(struct pending *pending)
{
	struct pending larger = { .bits = pending->slots ? pending->bits + 1 : BITS_MIN };

	larger.slots = calloc((size_t)1 << larger.bits, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < n_slots(pending); i++)
		if (pending->slots[i].id != 0)
			larger.slots[search(&larger, pending->slots[i].id)] = pending->slots[i];
	free(pending->slots);
	pending->slots = larger.slots;
	pending->bits = larger.bits;
	return 0;
}

int pending_add(struct pending *pending, const struct pending_call *call)
{
	int r;

	if (pending->n_calls + 1 > n_slots(pending) / 2) {
		r = grow(pending);
		if (r < 0)
			return r;
	}
	pending->slots[search(pending, call->id)] = *call;
	pending->n_calls++;
	return 0;
}

const struct pending_call *pending_find(const struct pending *pending, uint64_t id)
{
	const struct pending_call *call;

	if (id == 0 || pending->n_calls == 0)
		return NULL;
	call = &pending->slots[search(pending, id)];
	return call->id == id ? call : NULL;
}

/* Frees a slot, and moves up those behind it that a search would no longer reach. */
static void vacate(struct pending *pending, size_t hole)
{
	size_t mask = n_slots(pending) - 1;

	for (size_t slot = next_of(pending, hole); pending->slots[slot].id != 0;
	     slot = next_of(pending, slot)) {
		size_t home = home_of(pending, pending->slots[slot].id);

		if (((slot - home) & mask) < ((slot - hole) & mask))
			continue;
		pending->slots[hole] = pending->slots[slot];
		hole = slot;
	}
	pending->slots[hole].id = 0;
	pending->n_calls--;
}

bool pending_take(struct pending *pending, uint64_t id, struct pending_call *ret_call)
{
	const struct pending_call *call = pending_find(pending, id);

	if (!call)
		return false;
	*ret_call = *call;
	vacate(pending, (size_t)(call - pending->slots));
	return true;
}

const struct pending_call *pending_next(const struct pending *pending, size_t *cursor)
{
	while (*cursor < n_slots(pending)) {
		const struct pending_call *call = &pending->slots[(*cursor)++];

		if (call->id != 0)
			return call;
	}
	return NULL;
}
