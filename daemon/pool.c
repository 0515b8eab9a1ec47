#include "pool.h"

#include "lease.h"
#include "util.h"

enum slot_state {
	SLOT_OUTSIDE,
	SLOT_FREE,
	SLOT_REFUSED,
	SLOT_TAKEN,
};

struct pool_slot {
	int64_t refused_ms;
	uint16_t position;     /* in pool::free */
	uint16_t older, newer; /* among the refused: a ring through slot 0, which is no port */
	uint8_t state;
};

static void set_position(struct pool *pool, size_t position, uint16_t port)
{
	pool->free[position] = port;
	pool->slots[port].position = (uint16_t)position;
}

static void add_free(struct pool *pool, uint16_t port)
{
	set_position(pool, pool->n_free++, port);
	pool->slots[port].state = SLOT_FREE;
}

int pool_init(struct pool *pool, const struct port_range *ranges, size_t n_ranges)
{
	_cleanup_(pool_deinit) struct pool new = { 0 };

	new.slots = calloc(UINT16_MAX + 1, sizeof(struct pool_slot));
	if (!new.slots)
		return -ENOMEM;

	for (size_t i = 0; i < n_ranges; i++) {
		if (ranges[i].first == 0 || ranges[i].last < ranges[i].first)
			return -EINVAL;
		for (uint32_t port = ranges[i].first; port <= ranges[i].last; port++) {
			new.size += new.slots[port].state == SLOT_OUTSIDE;
			new.slots[port].state = SLOT_TAKEN;
		}
	}

	new.free = calloc(new.size ? new.size : 1, sizeof(uint16_t));
	if (!new.free)
		return -ENOMEM;
	for (uint32_t port = 1; port <= UINT16_MAX; port++)
		if (new.slots[port].state == SLOT_TAKEN)
			add_free(&new, (uint16_t)port);

	*pool = new;
	new = (struct pool){ 0 };
	return 0;
}

void pool_deinit(struct pool *pool)
{
	free(pool->free);
	free(pool->slots);
	*pool = (struct pool){ 0 };
}

bool pool_has(const struct pool *pool, uint16_t port)
{
	return pool->slots[port].state != SLOT_OUTSIDE;
}

bool pool_is_free(const struct pool *pool, uint16_t port)
{
	return pool->slots[port].state == SLOT_FREE;
}

void pool_take(struct pool *pool, uint16_t port)
{
	struct pool_slot *slot = &pool->slots[port];

	if (slot->state == SLOT_OUTSIDE)
		return;

	if (slot->state == SLOT_FREE) {
		set_position(pool, slot->position, pool->free[pool->n_free - 1]);
		pool->n_free--;
	} else if (slot->state == SLOT_REFUSED) {
		pool->slots[slot->older].newer = slot->newer;
		pool->slots[slot->newer].older = slot->older;
		pool->n_refused--;
	}
	slot->state = SLOT_TAKEN;
}

void pool_put(struct pool *pool, uint16_t port)
{
	if (pool->slots[port].state == SLOT_OUTSIDE)
		return;

	pool_take(pool, port);
	add_free(pool, port);
}

void pool_refuse(struct pool *pool, uint16_t port, int64_t now_ms)
{
	struct pool_slot *slot = &pool->slots[port], *ends = &pool->slots[0];

	if (slot->state == SLOT_OUTSIDE)
		return;

	pool_take(pool, port);
	slot->older = ends->older;
	slot->newer = 0;
	pool->slots[slot->older].newer = port;
	ends->older = port;
	slot->refused_ms = now_ms;
	slot->state = SLOT_REFUSED;
	pool->n_refused++;
}

uint16_t pool_oldest_refused(const struct pool *pool)
{
	return pool->slots[0].newer;
}

void pool_readmit(struct pool *pool, int64_t now_ms)
{
	uint16_t port;

	while ((port = pool_oldest_refused(pool)) != 0) {
		if (now_ms - pool->slots[port].refused_ms < POOL_REFUSED_MS)
			break;
		pool_put(pool, port);
	}
}

uint16_t pool_draw(struct pool *pool, size_t i, size_t *left)
{
	uint16_t port = pool->free[i];

	(*left)--;
	set_position(pool, i, pool->free[*left]);
	set_position(pool, *left, port);
	return port;
}
