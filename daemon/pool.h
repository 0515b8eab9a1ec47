/*
 * pool.h: the ports that a lease comes from when it isn't told. Which of them are free is kept as
 * an array in no order, with an index by port: to choose one at random, to take it out and to put
 * it back cost the same whether ten or ten thousand are left.
 *
 * A port that the kernel refused is laid aside for POOL_REFUSED_MS, so that a pool in which other
 * programs sit does not have each lease try their ports again. It comes back by itself.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_REFUSED_MS 5000

struct port_range;
struct pool_slot;

struct pool {
	uint16_t *free;
	size_t n_free;
	size_t n_refused;
	size_t size;
	struct pool_slot *slots; /* by port */
};

/* All ports of `ranges` are free; one that comes twice counts once. 0, -EINVAL or -ENOMEM. */
int pool_init(struct pool *pool, const struct port_range *ranges, size_t n_ranges);
void pool_deinit(struct pool *pool);

bool pool_has(const struct pool *pool, uint16_t port);

/* Of the pool, not taken, and not laid aside. */
bool pool_is_free(const struct pool *pool, uint16_t port);

/* These three leave alone what isn't in the pool. */
void pool_take(struct pool *pool, uint16_t port);
void pool_put(struct pool *pool, uint16_t port);
void pool_refuse(struct pool *pool, uint16_t port, int64_t now_ms);

/* What was refused long enough ago is free again. Constant cost for each port refused. */
void pool_readmit(struct pool *pool, int64_t now_ms);

/* The port that was refused longest ago; 0 for none. */
uint16_t pool_oldest_refused(const struct pool *pool);

/*
 * To try free ports in turn, each once: of free[0 … *left - 1], moves free[i] out to the end and
 * counts *left down. Begins with *left = n_free. The port itself stays free until it is taken or
 * refused, either of which leaves free[0 … *left - 1] as it is.
 */
uint16_t pool_draw(struct pool *pool, size_t i, size_t *left);
