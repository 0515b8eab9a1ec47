/*
 * hash.h: a hash table with its links inside the members. It maps a 64-bit key to all members that
 * were put in under it; members with the same key are told apart by whoever asks.
 */

#pragma once

#include <stddef.h>
#include <stdint.h>

struct hash_link {
	struct hash_link *next;
	uint64_t key;
};

struct hash {
	struct hash_link **buckets;
	unsigned bits; /* 2^bits buckets */
	size_t n_members;
};

/* 0 or -ENOMEM. */
int hash_init(struct hash *hash);

/* Frees the table; the members stay with their owner. */
void hash_deinit(struct hash *hash);

/* Can't fail: a table that gets no memory to grow only has longer chains. */
void hash_add(struct hash *hash, struct hash_link *link, uint64_t key);

/* `link` must be in the table. */
void hash_remove(struct hash *hash, struct hash_link *link);

/* The first member under `key`, and the one after `link` under the same; NULL at the end. */
struct hash_link *hash_find(const struct hash *hash, uint64_t key);
struct hash_link *hash_find_next(const struct hash_link *link);
