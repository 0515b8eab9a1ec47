/* listing.h: which ports of some addresses of this host have listeners, by one look. */

#pragma once

#include "address.h"
#include "bitmap.h"
#include "sockdiag.h"
#include "turn.h"

struct listing {
	struct sockdiag *sockdiag;
	struct turns *turns;
	struct user *user; /* who asks */
	/*
	 * `error`: 0, and `listening` is filled; EADDRNOTAVAIL if none of the addresses is one of
	 * this host; EOPNOTSUPP; or another errno. The listing may be freed here.
	 */
	void (*ended)(struct listing *listing, int error);

	struct sockdiag_query query;
	struct turn turn; /* to go through what was found */
	const struct address_list *addresses;
	struct bitmap listening; /* by port */
	int error;
};

/*
 * Looks, and calls ended() from the loop, in the user's turn: many may have waited for the same
 * look. What stands before and with `ended` is set, the rest is zero; `addresses` stay the caller's. 0 or -ENOMEM.
 */
int listing_start(struct listing *listing, const struct address_list *addresses);

/* Ends what is under way. All zeroes is allowed. */
void listing_deinit(struct listing *listing);
