/*
 * user.h: what the daemon keeps of each user who asks something of it: how much it has under way,
 * and its works that wait for their turn. Pure but for memory.
 */

#pragma once

#include "list.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What is charged to a user. */
enum charge {
	CHARGE_CONNECTIONS,
	CHARGE_REQUESTS,
	CHARGE_PROBES,
	CHARGE_LOOKUPS,     /* of names */
	CHARGE_WHO,         /* calls of that method that are being worked on */
	CHARGE_DESCRIPTORS, /* on their way to clients */
	N_CHARGES,
};

struct user {
	struct list link;      /* users::list */
	struct list turns;     /* of turn::link, while something waits for its turn */
	struct list turn_link; /* turns::users */
	uid_t uid;
	size_t n_references;
	size_t charges[N_CHARGES];
};

/* All users that there is something of. All zeroes but for the list to begin with. */
struct users {
	struct list list; /* of user::link */
	size_t limits[N_CHARGES];
};

void users_init(struct users *users);

/* The user with one reference more; NULL if there is no memory. */
struct user *user_get(struct users *users, uid_t uid);
struct user *user_ref(struct user *user);
void user_unref(struct user *user);

/* Takes one more of it: 0, or -EDQUOT if the user has as much as one may. Root always may. */
int user_charge(const struct users *users, struct user *user, enum charge charge);
void user_discharge(struct user *user, enum charge charge);
