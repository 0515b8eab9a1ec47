#include "places.h"

#include "util.h"

static bool has_room(const struct places *places, const struct user *user)
{
	return user->uid == 0 ? places->n_free > 0 : user->charges[places->charge] < places->n_free;
}

static void give_back(struct place *place)
{
	place->is_taken = false;
	place->places->n_free++;
	user_discharge(place->user, place->places->charge);
	user_unref(place->user);
}

static void take(struct place *place)
{
	place->is_taken = true;
	place->places->n_free--;
	user_ref(place->user)->charges[place->places->charge]++;
	if (!place->taken(place))
		give_back(place);
}

void places_init(struct places *places, unsigned n, enum charge charge)
{
	list_init(&places->waiting);
	places->n_free = n;
	places->charge = charge;
}

void place_take(struct places *places, struct place *place)
{
	place->places = places;
	list_init(&place->link);
	if (has_room(places, place->user))
		take(place);
	else
		list_append(&places->waiting, &place->link);
}

void place_leave(struct place *place)
{
	struct places *places = place->places;
	struct place *other, *following;

	if (!places)
		return;
	list_remove(&place->link);
	if (!place->is_taken)
		return;
	give_back(place);
	list_for_each_safe (other, following, &places->waiting, link) {
		if (!has_room(places, other->user))
			continue;
		list_remove(&other->link);
		take(other);
	}
}
