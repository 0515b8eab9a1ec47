#include "holding.h"

#include <string.h>
#include <sys/stat.h>

int lease_address(const struct lease *lease, union address *ret_address)
{
	if (strcmp(lease->address, "*") == 0)
		return 0;
	return address_parse(ret_address, lease->address) < 0 ? -ENODEV : 1;
}

enum holder_protocol lease_holder_protocol(const struct lease *lease)
{
	switch (lease->protocol) {
	case LEASE_UDP:
		return HOLDER_UDP;
	case LEASE_BOTH:
		return HOLDER_BOTH;
	case LEASE_TCP:
		break;
	}
	return HOLDER_TCP;
}

static void holding_freep(struct holding **holding)
{
	holding_free(*holding);
}

static struct holding *holding_alloc(uint16_t port)
{
	struct holding *holding = calloc(1, sizeof(*holding));

	if (!holding)
		return NULL;
	holding->holder = (struct holder)HOLDER_INIT;
	holding->holder.port = port;
	parked_init(&holding->tcp);
	parked_init(&holding->udp);
	return holding;
}

static int park(struct holding *holding, struct parking *parking)
{
	int r = 0;

	if (parking && holding->holder.tcp >= 0)
		r = parking_add(parking, &holding->tcp, holding->holder.tcp);
	if (parking && holding->holder.udp >= 0 && r >= 0)
		r = parking_add(parking, &holding->udp, holding->holder.udp);
	return r;
}

int holding_new(struct holding **ret_holding, const struct lease *lease, uint16_t port,
		bool allow_time_wait, struct parking *parking)
{
	_cleanup_(holding_freep) struct holding *holding = NULL;
	union address address;
	struct holder_request request = {
		.port = port,
		.protocol = lease_holder_protocol(lease),
		.mode = lease->hold == LEASE_SHARED      ? HOLDER_SHARED
			: lease->hold == LEASE_EXCLUSIVE ? HOLDER_EXCLUSIVE
							 : HOLDER_NONE,
		.allow_time_wait = allow_time_wait,
	};
	int r;

	r = lease_address(lease, &address);
	if (r < 0)
		return r;
	request.address = r > 0 ? &address.sa : NULL;
	holding = holding_alloc(port);
	if (!holding)
		return -ENOMEM;
	r = holder_bind(&holding->holder, &request);
	if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT)
		/* That word is taken in the table: no port is to be had. */
		return -ENODEV;
	if (r < 0)
		return r;
	if (lease->hold == LEASE_UNHELD) {
		*ret_holding = NULL;
		return 0;
	}
	r = park(holding, parking);
	if (r < 0)
		return r;
	*ret_holding = steal(holding);
	return 0;
}

struct find_entry {
	struct holder_identity identity;
	struct parking_socket *socket;
};

static int compare_entries(const void *a, const void *b)
{
	const struct find_entry *one = a, *other = b;

	return (int)one->identity.port - (int)other->identity.port;
}

int finds_init(struct finds *finds, const struct parking_sockets *sockets)
{
	finds->sockets = *sockets;
	finds->entries = calloc(sockets->n + 1, sizeof(*finds->entries));
	if (!finds->entries)
		return -ENOMEM;
	for (size_t i = 0; i < sockets->n; i++) {
		struct find_entry *entry = &finds->entries[finds->n];

		if (holder_identify(sockets->items[i].fd, &entry->identity) < 0)
			continue;
		entry->socket = &sockets->items[i];
		finds->n++;
	}
	qsort(finds->entries, finds->n, sizeof(*finds->entries), compare_entries);
	return 0;
}

void finds_deinit(struct finds *finds)
{
	parking_sockets_free(&finds->sockets);
	free(finds->entries);
	*finds = (struct finds){ 0 };
}

/* The first one of the port, or behind the last of a lower one. */
static size_t finds_first(const struct finds *finds, uint16_t port)
{
	size_t low = 0, high = finds->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (finds->entries[middle].identity.port < port)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool fits(const struct lease *lease, const struct holder_identity *identity)
{
	union address wanted, found = { 0 };
	int r = lease_address(lease, &wanted);

	if (lease->protocol != LEASE_BOTH &&
	    identity->protocol != (lease->protocol == LEASE_UDP ? HOLDER_UDP : HOLDER_TCP))
		return false;
	if (r < 0)
		return false;
	if (r == 0)
		/* Where there is no IPv6, every address is every one of IPv4. */
		return identity->every_address ||
		       identity->address.in.sin_addr.s_addr == htonl(INADDR_ANY);
	memcpy(&found, &identity->address,
	       identity->address.any.sa_family == AF_INET ? sizeof(found.in) : sizeof(found.in6));
	address_set_port(&found, 0);
	return address_compare(&found, &wanted) == 0;
}

int holding_new_found(struct holding **ret_holding, const struct lease *lease, uint16_t port,
		      struct finds *finds)
{
	_cleanup_(holding_freep) struct holding *holding = NULL;
	unsigned wanted = lease->protocol == LEASE_BOTH ? 2 : 1;

	holding = holding_alloc(port);
	if (!holding)
		return -ENOMEM;
	for (size_t i = finds_first(finds, port);
	     i < finds->n && finds->entries[i].identity.port == port && wanted > 0; i++) {
		struct find_entry *entry = &finds->entries[i];
		bool is_udp = entry->identity.protocol == HOLDER_UDP;
		int fd = entry->socket->fd;

		/* One that listens was handed over: ours is a copy that nobody would accept on. */
		if (fd < 0 || entry->identity.listening || !fits(lease, &entry->identity) ||
		    (is_udp ? holding->holder.udp : holding->holder.tcp) >= 0)
			continue;
		parking_claim(entry->socket, is_udp ? &holding->udp : &holding->tcp);
		if (holder_adopt(&holding->holder, fd) < 0) {
			parked_remove(is_udp ? &holding->udp : &holding->tcp);
			close(fd);
			continue;
		}
		wanted--;
	}
	if (wanted > 0)
		return -ENOENT;
	*ret_holding = steal(holding);
	return 0;
}

void holding_free(struct holding *holding)
{
	if (!holding)
		return;
	parked_remove(&holding->tcp);
	parked_remove(&holding->udp);
	holder_deinit(&holding->holder);
	free(holding);
}

bool holding_is_parked(const struct holding *holding)
{
	return holding->tcp.message || holding->udp.message;
}

bool holding_has_inode(const struct holding *holding, uint32_t inode)
{
	int fds[2];
	unsigned n = holder_fds(&holding->holder, fds);
	struct stat status;

	for (unsigned i = 0; i < n; i++)
		if (fstat(fds[i], &status) == 0 && status.st_ino == inode)
			return true;
	return false;
}
