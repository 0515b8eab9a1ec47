/* parking.c: which socket pairs there are, and what the service manager is told of them. */

#include "parking.h"

#include "parking-pair.h"
#include "util.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>

#define NAME_PREFIX "portscand-parking-"

struct parking {
	parking_notify *notify;
	void *data;
	struct list pairs;
	struct pair *open;   // in pairs, or NULL
	struct pair *sealed; // in pairs, or NULL; all others are to be emptied and given up
};

int parking_notify_manager(void *data, const char *state, const int fds[], unsigned n_fds)
{
	int r;

	(void)data;
	r = sd_pid_notify_with_fds(0, 0, state, fds, n_fds);
	if (r < 0)
		return r;
	return r == 0 ? -ENOTCONN : 0;
}

int parking_new(struct parking **ret_parking, parking_notify *notify, void *data)
{
	struct parking *parking;

	parking = calloc(1, sizeof(*parking));
	if (!parking)
		return -ENOMEM;
	parking->notify = notify;
	parking->data = data;
	list_init(&parking->pairs);

	*ret_parking = parking;
	return 0;
}

void parking_free(struct parking *parking)
{
	struct pair *pair, *next;

	if (!parking)
		return;
	list_for_each_safe (pair, next, &parking->pairs, link)
		pair_free(pair);
	free(parking);
}

static int store(struct parking *parking, const struct pair *pair)
{
	const int ends[] = { pair->in, pair->out };
	char state[PAIR_NAME_SIZE + 64];

	/* FDPOLL=0: the manager is not to drop it for what poll() says of it. */
	snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", pair->name);
	return parking->notify(parking->data, state, ends, ARRAY_SIZE(ends));
}

static int unstore(struct parking *parking, const struct pair *pair)
{
	char state[PAIR_NAME_SIZE + 64];

	snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", pair->name);
	return parking->notify(parking->data, state, NULL, 0);
}

/* Makes *slot a pair that is stored, if it is none yet. */
static int provide(struct parking *parking, struct pair **slot)
{
	char name[PAIR_NAME_SIZE];
	struct pair *pair;
	uint64_t id;
	int r;

	if (*slot)
		return 0;

	/* Random: never a name that is in the store already, whatever became of its owner. */
	if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != (ssize_t)sizeof(id))
		return -EIO;
	snprintf(name, sizeof(name), NAME_PREFIX "%016" PRIx64, id);

	r = pair_new(&pair, name);
	if (r < 0)
		return r;
	r = store(parking, pair);
	if (r < 0) {
		pair_free(pair);
		return r;
	}
	list_append(&parking->pairs, &pair->link);
	*slot = pair;
	return 0;
}

static int seal(struct parking *parking)
{
	unsigned everything = UINT_MAX;
	bool packed = false;
	int r;

	r = provide(parking, &parking->sealed);
	if (r < 0)
		return r;

	pair_trim(parking->open);
	while (!list_empty(&parking->open->messages)) {
		r = pair_move(parking->open, parking->sealed);
		if (r == -EAGAIN && !packed) {
			packed = true;
			r = pair_pass(parking->sealed, &everything, true);
			if (r == 0)
				continue;
		}
		if (r == -EAGAIN)
			return -ENOBUFS;
		if (r < 0)
			return r;
		/* Unclaimed: what is in front can't be moved. */
		if (r == 0)
			return -ENOBUFS;
	}
	return 0;
}

int parking_add(struct parking *parking, struct parked *parked, int fd)
{
	int r;

	r = provide(parking, &parking->open);
	if (r < 0)
		return r;

	parked_init(parked);
	parked->fd = fd;
	r = pair_add(parking->open, parked);
	if (r == -EAGAIN) {
		r = seal(parking);
		if (r == 0)
			r = pair_add(parking->open, parked);
	}
	return r == -EAGAIN ? -ENOBUFS : r;
}

static bool is_given_up(const struct parking *parking, const struct pair *pair)
{
	return pair != parking->open && pair != parking->sealed;
}

/* Returns 1 if the budget is used up; frees the pair when it is empty. */
static int give_up(struct parking *parking, struct pair *pair, unsigned *budget)
{
	int r;

	pair_trim(pair);
	while (!list_empty(&pair->messages)) {
		if (*budget == 0)
			return 1;
		/* Stored before this one is removed. */
		r = provide(parking, &parking->open);
		if (r < 0)
			return r;
		r = pair_move(pair, parking->open);
		if (r == -EAGAIN) {
			r = seal(parking);
			if (r < 0)
				return r;
			continue;
		}
		if (r < 0)
			return r;
		if (r == 0)
			return 1;
		*budget -= (unsigned)r < *budget ? (unsigned)r : *budget;
	}

	r = unstore(parking, pair);
	if (r < 0)
		return r;
	pair_free(pair);
	return 0;
}

bool parking_is_untidy(const struct parking *parking)
{
	const struct pair *pair;

	list_for_each (pair, &parking->pairs, link)
		if (pair->dead > 0 || pair->passing || is_given_up(parking, pair))
			return true;
	return false;
}

int parking_tidy(struct parking *parking, unsigned budget)
{
	struct pair *pair, *next;
	int r;

	list_for_each_safe (pair, next, &parking->pairs, link) {
		if (is_given_up(parking, pair))
			r = give_up(parking, pair, &budget);
		else
			r = pair_pass(pair, &budget, false);
		if (r != 0)
			return r;
	}
	return parking_is_untidy(parking);
}

bool parking_is_ours(const char *name)
{
	return strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) == 0 &&
	       strlen(name) < PAIR_NAME_SIZE;
}

/* The emptier of two whole pairs goes on as the open one, the other as the sealed one. */
static void choose(struct parking *parking)
{
	struct pair *pair, *swap;

	list_for_each (pair, &parking->pairs, link) {
		if (pair->out < 0)
			continue;
		if (!parking->open)
			parking->open = pair;
		else if (!parking->sealed)
			parking->sealed = pair;
	}
	if (parking->sealed && parking->sealed->n_messages < parking->open->n_messages) {
		swap = parking->open;
		parking->open = parking->sealed;
		parking->sealed = swap;
	}
}

static struct pair *find_pair(struct parking *parking, const char *name)
{
	struct pair *pair;

	list_for_each (pair, &parking->pairs, link)
		if (strcmp(pair->name, name) == 0)
			return pair;
	return NULL;
}

/* Takes over `fd` in any case. */
static int collect(struct parking *parking, const char *name, int fd)
{
	_cleanup_(closep) int end = fd;
	struct pair *pair = find_pair(parking, name);
	int r;

	/* Not what we stored under this name. */
	if (sd_is_socket(end, AF_UNIX, SOCK_SEQPACKET, 0) <= 0)
		return 0;
	if (!pair) {
		r = pair_new_restored(&pair, name, steal_fd(&end), -EBADF);
		if (r < 0)
			return r;
		list_append(&parking->pairs, &pair->link);
	} else if (pair->out < 0) {
		pair->out = steal_fd(&end);
	}
	return 0;
}

static void forget_all(struct parking *parking)
{
	struct pair *pair, *next;

	list_for_each_safe (pair, next, &parking->pairs, link)
		pair_free(pair);
}

int parking_restore(struct parking *parking, const int fds[], char *const names[], size_t n,
		    struct parking_sockets *ret_sockets)
{
	struct parking_sockets sockets = { 0 };
	struct pair *pair;
	int r = 0, s;

	for (size_t i = 0; i < n; i++) {
		if (!parking_is_ours(names[i]))
			continue;
		s = collect(parking, names[i], fds[i]);
		if (s < 0)
			r = s;
	}

	list_for_each (pair, &parking->pairs, link)
		if (r == 0)
			r = pair_restore(pair, &sockets);
	if (r < 0) {
		parking_sockets_free(&sockets);
		forget_all(parking);
		return r;
	}

	choose(parking);
	*ret_sockets = sockets;
	return 0;
}

void parking_count(const struct parking *parking, struct parking_counts *ret_counts)
{
	const struct pair *pair;

	*ret_counts = (struct parking_counts){ 0 };
	list_for_each (pair, &parking->pairs, link) {
		ret_counts->pairs++;
		ret_counts->messages += pair->n_messages;
		ret_counts->alive += pair->alive;
		ret_counts->dead += pair->dead;
	}
}
