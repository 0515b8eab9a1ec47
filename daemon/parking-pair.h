/*
 * parking-pair.h: one socket pair that holds parked sockets in its messages, and our record of
 * what is in which. Only parking.c uses it.
 */

#pragma once

#include "parking.h"

#define PAIR_NAME_SIZE 40

/* One message in flight, in the order of pair::messages. */
struct parking_message {
	struct list link;    // pair::messages
	struct list sockets; // parked::link, the living ones
	struct pair *pair;
	unsigned dead;
	unsigned unclaimed;
	unsigned pass; /* pair::pass when it was sent */
};

struct pair {
	struct list link; // parking::pairs
	struct list messages;
	char name[PAIR_NAME_SIZE]; /* in the descriptor store */
	int in;                    /* where messages are taken out */
	int out;                   /* where they are sent; negative: given up, only to be emptied */
	int usual_room;            /* of SO_SNDBUF; there is more, kept for moving */
	unsigned n_messages;
	unsigned alive;
	unsigned dead;
	unsigned pass;
	bool passing;
};

/* In no list and not stored anywhere yet; pair_free() closes our ends only. */
int pair_new(struct pair **ret_pair, const char *name);

/* Takes over both ends in any case. `b` may be negative: the pair can then only be emptied. */
int pair_new_restored(struct pair **ret_pair, const char *name, int a, int b);
void pair_free(struct pair *pair);

/* Reads all messages without taking them out; appends to `sockets`. */
int pair_restore(struct pair *pair, struct parking_sockets *sockets);

/* -EAGAIN: it is full. */
int pair_add(struct pair *pair, struct parked *parked);

/* Pops what has no living socket off the front. */
void pair_trim(struct pair *pair);

/*
 * Moves the sockets at the front of `from`, as many as one message takes, to the end of `to`, and
 * pops what is empty then. Returns how many. -EAGAIN: `to` is full.
 */
int pair_move(struct pair *from, struct pair *to);

/*
 * Goes on with moving all messages to the end of their own pair, without gaps, until there are no
 * dead left, or with `all` to the last message. Returns 0 when that is done; 1 when
 * *budget, which counts sockets down, is used up.
 */
int pair_pass(struct pair *pair, unsigned *budget, bool all);
