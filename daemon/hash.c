#include "hash.h"

#include "util.h"

#define FIRST_BITS 6

static size_t bucket_of(uint64_t key, unsigned bits)
{
	/* Fibonacci hashing: small numbers, such as uids, spread over the upper bits. */
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - bits));
}

int hash_init(struct hash *hash)
{
	struct hash_link **buckets;

	buckets = calloc((size_t)1 << FIRST_BITS, sizeof(struct hash_link *));
	if (!buckets)
		return -ENOMEM;

	*hash = (struct hash){ .buckets = buckets, .bits = FIRST_BITS };
	return 0;
}

void hash_deinit(struct hash *hash)
{
	free(hash->buckets);
	*hash = (struct hash){ 0 };
}

static void grow(struct hash *hash)
{
	size_t n_buckets = (size_t)1 << hash->bits;
	struct hash_link **buckets;

	buckets = calloc(n_buckets * 2, sizeof(struct hash_link *));
	if (!buckets)
		return;

	for (size_t i = 0; i < n_buckets; i++) {
		struct hash_link *link, *next;

		for (link = hash->buckets[i]; link; link = next) {
			struct hash_link **bucket = &buckets[bucket_of(link->key, hash->bits + 1)];

			next = link->next;
			link->next = *bucket;
			*bucket = link;
		}
	}

	free(hash->buckets);
	hash->buckets = buckets;
	hash->bits++;
}

void hash_add(struct hash *hash, struct hash_link *link, uint64_t key)
{
	struct hash_link **bucket;

	if (hash->n_members >= (size_t)1 << hash->bits)
		grow(hash);

	bucket = &hash->buckets[bucket_of(key, hash->bits)];
	link->key = key;
	link->next = *bucket;
	*bucket = link;
	hash->n_members++;
}

void hash_remove(struct hash *hash, struct hash_link *link)
{
	struct hash_link **at = &hash->buckets[bucket_of(link->key, hash->bits)];

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	link->next = NULL;
	hash->n_members--;
}

static struct hash_link *first_with(struct hash_link *link, uint64_t key)
{
	while (link && link->key != key)
		link = link->next;
	return link;
}

struct hash_link *hash_find(const struct hash *hash, uint64_t key)
{
	return first_with(hash->buckets[bucket_of(key, hash->bits)], key);
}

struct hash_link *hash_find_next(const struct hash_link *link)
{
	return first_with(link->next, link->key);
}
