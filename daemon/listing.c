#include "listing.h"

#include "portlist.h"

/* Marks the ports that one address has. -EADDRNOTAVAIL if it isn't one of this host. */
static int mark(struct listing *listing, const union address *address,
		const struct sockdiag_socket *sockets, size_t n_sockets)
{
	union address to = address_destination(address);
	int family = to.sa.sa_family;
	const void *bytes = address_bytes(&to);
	int interface = sockdiag_address_interface(listing->sockdiag, family, bytes);

	if (interface < 0)
		return interface;
	for (size_t i = 0; i < n_sockets; i++)
		if (sockdiag_listens_on(&sockets[i], family, bytes, (uint32_t)interface))
			bitmap_set(&listing->listening, sockets[i].port);
	return 0;
}

static void on_listed(struct sockdiag_query *query, int result,
		      const struct sockdiag_socket *sockets, size_t n_sockets)
{
	struct listing *listing = container_of(query, struct listing, query);
	const struct address_list *addresses = listing->addresses;
	size_t n_ours = 0;
	int r = result;

	for (size_t i = 0; i < addresses->n_addresses && result == 0; i++) {
		r = mark(listing, &addresses->addresses[i], sockets, n_sockets);
		n_ours += r >= 0;
		/* Of a name with several, those that are not ours count for nothing. */
		if (r < 0 && r != -EADDRNOTAVAIL && r != -EAFNOSUPPORT)
			result = r;
	}
	if (result < 0)
		listing->error = -result;
	else
		listing->error = n_ours > 0 ? 0 : -r;
	turn_queue(listing->turns, &listing->turn);
}

static void on_turn(struct turn *turn)
{
	struct listing *listing = container_of(turn, struct listing, turn);

	listing->ended(listing, listing->error);
}

int listing_start(struct listing *listing, const struct address_list *addresses)
{
	int r = bitmap_init(&listing->listening, PORT_MAX + 1);

	if (r < 0)
		return r;
	turn_init(&listing->turn, listing->user, on_turn);
	listing->addresses = addresses;
	listing->query.what = SOCKDIAG_TCP_LISTENERS;
	listing->query.done = on_listed;
	sockdiag_query_start(listing->sockdiag, &listing->query);
	return 0;
}

void listing_deinit(struct listing *listing)
{
	sockdiag_query_cancel(&listing->query);
	turn_deinit(&listing->turn);
	bitmap_deinit(&listing->listening);
}
