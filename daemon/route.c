#include "route.h"

#include "netlink.h"

#include <linux/rtnetlink.h>
#include <string.h>

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

static void fill_request(struct route_request *request, uint32_t sequence,
			 const union address *address)
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

int route_init(struct route *route)
{
	int r = netlink_open(NETLINK_ROUTE);

	*route = (struct route){ .fd = r };
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS ? r : 0;
}

void route_deinit(struct route *route)
{
	closep(&route->fd);
	route->fd = -EBADF;
}

int route_is_local(struct route *route, const union address *address)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[1024];
	struct route_request request;
	const struct nlmsghdr *answer = NULL;
	const struct rtmsg *data;
	int r;

	if (address_is_loopback(address))
		return 1;
	if (route->fd < 0)
		return 0;
	fill_request(&request, ++route->sequence, address);
	r = netlink_exchange(route->fd, &request.header, buffer, sizeof(buffer), &answer);
	if (r == -ENOBUFS || r == -ENOMEM)
		return -ENOBUFS;
	if (r < 0 || !answer || answer->nlmsg_type != RTM_NEWROUTE ||
	    answer->nlmsg_len < NLMSG_LENGTH(sizeof(*data)))
		return 0;
	data = NLMSG_DATA(answer);
	return data->rtm_type == RTN_LOCAL;
}
