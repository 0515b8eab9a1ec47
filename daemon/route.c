#include "route.h"

#include "sockdiag_lookup.h"

#include <string.h>

struct routes {
	int fd; /* negative: the kernel can't be asked */
	uint32_t sequence;
};

struct route_request {
	struct nlmsghdr header;
	struct rtmsg route;
	struct rtattr attributes[8]; /* room for an address and an interface */
};

static void put_attribute(struct route_request *request, unsigned short type, const void *data,
			  size_t size)
{
	struct rtattr *attribute = (struct rtattr *)((char *)request + request->header.nlmsg_len);

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(size);
	memcpy(RTA_DATA(attribute), data, size);
	request->header.nlmsg_len += (uint32_t)RTA_SPACE(size);
}

static void fill_request(struct route_request *request, const union address *address,
			 uint32_t sequence)
{
	bool is_in6 = address->sa.sa_family == AF_INET6;
	size_t size = is_in6 ? 16 : 4;

	*request = (struct route_request){
		.header = { .nlmsg_len = offsetof(struct route_request, attributes),
			    .nlmsg_type = RTM_GETROUTE,
			    .nlmsg_flags = NLM_F_REQUEST,
			    .nlmsg_seq = sequence },
		.route = { .rtm_family = (unsigned char)address->sa.sa_family,
			   .rtm_dst_len = (unsigned char)(size * 8) },
	};
	put_attribute(request, RTA_DST, address_bytes(address), size);
	/* What is this host's own on one interface may be another's on the next. */
	if (is_in6 && address->in6.sin6_scope_id != 0)
		put_attribute(request, RTA_OIF, &address->in6.sin6_scope_id,
			      sizeof(address->in6.sin6_scope_id));
}

int routes_new(struct routes **ret_routes)
{
	struct routes *routes = calloc(1, sizeof(*routes));

	if (!routes)
		return -ENOMEM;
	routes->fd = sockdiag_open(NETLINK_ROUTE);
	if (routes->fd < 0 && sockdiag_map_error(routes->fd) != -EOPNOTSUPP) {
		int r = routes->fd;

		free(routes);
		return r;
	}
	*ret_routes = routes;
	return 0;
}

void routes_free(struct routes *routes)
{
	if (!routes)
		return;
	closep(&routes->fd);
	free(routes);
}

int route_is_local(struct routes *routes, const union address *address)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[4096];
	const struct nlmsghdr *answer = NULL;
	struct route_request request;
	uint32_t interface;
	unsigned type;
	int r;

	if (address_is_loopback(address))
		return 1;
	if (routes->fd < 0)
		return 0;
	fill_request(&request, address, ++routes->sequence);
	r = sockdiag_exchange(routes->fd, &request.header, buffer, sizeof(buffer), &answer);
	if (r == -ENOMEM || r == -ENOBUFS || r == -EIO)
		return -ENOBUFS;
	return r >= 0 && sockdiag_unpack_route(answer, &type, &interface) >= 0 && type == RTN_LOCAL;
}
