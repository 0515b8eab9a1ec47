/* holding.h: what holds one leased port: its sockets, and their places in the parking. */

#pragma once

#include "address.h"
#include "holder.h"
#include "lease.h"
#include "parking.h"

struct holding {
	struct holder holder;
	struct parked tcp, udp;
};

/*
 * Binds the port as the lease says. `parking` may be NULL. *ret_holding is NULL for hold none. 0;
 * -EADDRINUSE; -ENODEV if the address is none of this host; or -errno. The caller frees it.
 */
int holding_new(struct holding **ret_holding, const struct lease *lease, uint16_t port,
		bool allow_time_wait, struct parking *parking);

/* The sockets that were parked before a restart, by their ports. All zeroes is none. */
struct finds {
	struct parking_sockets sockets;
	struct find_entry *entries;
	size_t n;
};

/* Takes over `sockets`. 0 or -ENOMEM. */
int finds_init(struct finds *finds, const struct parking_sockets *sockets);

/* What nobody has taken is closed, and no longer parked. */
void finds_deinit(struct finds *finds);

/* As it was before the restart, from those sockets. 0, -ENOENT or -ENOMEM. */
int holding_new_found(struct holding **ret_holding, const struct lease *lease, uint16_t port,
		      struct finds *finds);

/* Lets go of the port. NULL is allowed. */
void holding_free(struct holding *holding);

/* Whether one of its sockets is in the parking. */
bool holding_is_parked(const struct holding *holding);

/* Whether `inode` is that of one of its sockets. */
bool holding_has_inode(const struct holding *holding, uint32_t inode);

/*
 * The address of a lease: 1 and *ret_address; 0 if it is for every address; -ENODEV if it is on an
 * interface that isn't there any more.
 */
int lease_address(const struct lease *lease, union address *ret_address);

enum holder_protocol lease_holder_protocol(const struct lease *lease);
