/*
 * names.h: which ports a name had, after its lease is over, so that who asks under that name again
 * gets them again. Names belong to users: two users' "web" are two names. The table is bounded;
 * what was remembered longest ago is forgotten first.
 */

#pragma once

#include "hash.h"
#include "list.h"

#include <stdint.h>
#include <sys/types.h>

#define NAMES_MAX       4096
#define NAMES_PORTS_MAX 16 /* of each name; the rest of a larger lease is chosen anew */

struct name {
	struct hash_link link;
	struct list age_link; // names::by_age
	uid_t uid;
	size_t n_ports;
	uint16_t *ports;
	char *text;
};

struct names {
	struct hash hash;
	struct list by_age; // name::age_link, the oldest first
	uint64_t seed;
};

/* `seed` is any number that clients can't guess. 0 or -ENOMEM. */
int names_init(struct names *names, uint64_t seed);
void names_deinit(struct names *names);

/* The key for struct hash that a name has, of these and of leases. */
uint64_t names_key(const struct names *names, uid_t uid, const char *text);

/* Remembers the first NAMES_PORTS_MAX of `ports`, in place of what was known. 0 or -ENOMEM. */
int names_remember(struct names *names, uid_t uid, const char *text, const uint16_t *ports,
		   size_t n_ports);
void names_forget(struct names *names, uid_t uid, const char *text);

/* NULL if there is none. */
const struct name *names_find(const struct names *names, uid_t uid, const char *text);
