#include "user.h"

void users_init(struct users *users)
{
	list_init(&users->list);
}

/* By walking through them: they are those who are connected, and those are few. */
struct user *user_get(struct users *users, uid_t uid)
{
	struct user *user;

	list_for_each (user, &users->list, link)
		if (user->uid == uid)
			return user_ref(user);
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	user->n_references = 1;
	list_init(&user->turns);
	list_init(&user->turn_link);
	list_append(&users->list, &user->link);
	return user;
}

struct user *user_ref(struct user *user)
{
	user->n_references++;
	return user;
}

void user_unref(struct user *user)
{
	if (!user || --user->n_references > 0)
		return;
	list_remove(&user->turn_link);
	list_remove(&user->link);
	free(user);
}

int user_charge(const struct users *users, struct user *user, enum charge charge)
{
	if (user->uid != 0 && user->charges[charge] >= users->limits[charge])
		return -EDQUOT;
	user->charges[charge]++;
	return 0;
}

void user_discharge(struct user *user, enum charge charge)
{
	user->charges[charge]--;
}
