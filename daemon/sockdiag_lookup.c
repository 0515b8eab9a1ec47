#include "sockdiag_lookup.h"

#include "clock.h"
#include "netlink.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define INTERFACE_LASTS_NS 10000000U

/*
 * Has the kernel load the protocol's module, and sees whether it is there: to a look-up, "no such
 * module" and "no such socket" are both ENOENT. A dump of sockets in no state tells, and walks
 * through none.
 */
static int check_support(struct sockdiag_lookup *lookup, int protocol)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[512];
	struct sockdiag_dump_request request;
	const struct nlmsghdr *answer = NULL;

	sockdiag_pack_dump(&request, ++lookup->sequence, AF_INET, protocol, 0, NULL, 0);
	return netlink_exchange(lookup->diag_fd, &request.header, buffer, sizeof(buffer), &answer);
}

int sockdiag_lookup_init(struct sockdiag_lookup *lookup)
{
	int r;

	*lookup = (struct sockdiag_lookup){ .diag_fd = -EBADF, .route_fd = -EBADF };

	r = netlink_open(NETLINK_SOCK_DIAG);
	if (r >= 0) {
		lookup->diag_fd = r;
		r = check_support(lookup, IPPROTO_TCP);
	}
	/* Only to have it loaded now: a listing of UDP tells for itself whether it is there. */
	if (r >= 0)
		(void)check_support(lookup, IPPROTO_UDP);
	if (r >= 0) {
		r = netlink_open(NETLINK_ROUTE);
		lookup->route_fd = r;
	}
	if (r >= 0)
		return 0;

	sockdiag_lookup_deinit(lookup);
	lookup->unsupported = sockdiag_map_error(r);
	return lookup->unsupported == -EOPNOTSUPP ? 0 : r;
}

void sockdiag_lookup_deinit(struct sockdiag_lookup *lookup)
{
	closep(&lookup->diag_fd);
	closep(&lookup->route_fd);
	lookup->diag_fd = lookup->route_fd = -EBADF;
}

/* The interface that has the address, from the routing table; or -EADDRNOTAVAIL. */
static int ask_route(struct sockdiag_lookup *lookup, int family, const uint8_t *address)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[4096];
	struct sockdiag_route_request request;
	const struct nlmsghdr *answer = NULL;
	uint32_t interface;
	unsigned type;
	int r;

	sockdiag_pack_route(&request, ++lookup->sequence, family, address);
	r = netlink_exchange(lookup->route_fd, &request.header, buffer, sizeof(buffer), &answer);
	switch (r) {
	case 0:
		break;
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -EACCES: /* a "prohibit" route */
	case -EINVAL: /* a "blackhole" route; IPv6: no address to have a route to */
	case -EAFNOSUPPORT:
	case -EOPNOTSUPP: /* IPv6 is switched off */
		return -EADDRNOTAVAIL;
	default:
		return r;
	}

	r = sockdiag_unpack_route(answer, &type, &interface);
	if (r < 0)
		return r;
	if (type != RTN_LOCAL)
		return -EADDRNOTAVAIL;
	return (int)interface;
}

/* 127.0.0.1 and ::1 are no exceptions: lo may be down, and IPv6 switched off. */
static int interface_of(struct sockdiag_lookup *lookup, int family, const uint8_t *address)
{
	uint64_t now = monotonic_ns();

	if (lookup->family != family || now - lookup->looked_at_ns > INTERFACE_LASTS_NS ||
	    memcmp(lookup->address, address, 16) != 0) {
		lookup->interface = ask_route(lookup, family, address);
		lookup->family = family;
		lookup->looked_at_ns = now;
		memcpy(lookup->address, address, 16);
	}
	return lookup->interface;
}

int sockdiag_lookup_interface(struct sockdiag_lookup *lookup, int family, const void *address)
{
	uint8_t destination[16];

	if (lookup->unsupported < 0)
		return lookup->unsupported;
	family = sockdiag_destination(family, address, destination);
	if (family < 0)
		return family;
	return interface_of(lookup, family, destination);
}

/*
 * The kernel answers with its own look-up for incoming SYNs, so that wildcards, dual-stack and
 * mapped listeners, SO_REUSEPORT and BPF's sk_lookup are right by construction, and no case needs
 * a dump. Measured, and minded here and in sockdiag_destination():
 *
 * - With an interface of 0, sockets bound to a device are never found; with an interface, those
 *   bound to it are, besides those bound to none. A packet to an address of eth0 counts as having
 *   come in on eth0 though it went through lo, so one bound to lo does not get it.
 * - An IPv4-mapped destination is looked up as IPv6 unless the other address is mapped too, and
 *   then finds v6-only listeners and no IPv4 ones. As IPv4 it is right.
 * - 0.0.0.0 and :: find wildcards only, but connect() means loopback by them.
 * - Addresses that are not ours, broadcasts included, find wildcards, but no SYN gets there.
 * - A connection is found only by its remote address and port, which are zero here.
 */
int sockdiag_lookup_find(struct sockdiag_lookup *lookup, int family, const void *address,
			 uint16_t port, struct sockdiag_socket *ret)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[4096];
	struct sockdiag_exact_request request;
	const struct nlmsghdr *answer = NULL;
	struct sockdiag_socket found;
	uint8_t destination[16];
	int interface, r;

	if (lookup->unsupported < 0)
		return lookup->unsupported;
	family = sockdiag_destination(family, address, destination);
	if (family < 0)
		return family;
	interface = interface_of(lookup, family, destination);
	if (interface < 0)
		return interface;

	sockdiag_pack_exact(&request, ++lookup->sequence, family, destination, port,
			    (uint32_t)interface);
	r = netlink_exchange(lookup->diag_fd, &request.header, buffer, sizeof(buffer), &answer);
	if (r < 0)
		return r;
	r = sockdiag_unpack_socket(answer, IPPROTO_TCP, &found);
	if (r < 0)
		return r;
	if (found.state != SOCKDIAG_LISTEN)
		return -ENOENT;

	*ret = found;
	return 0;
}
