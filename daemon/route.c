#include "route.h"

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

static size_t fill_request(struct route_request *request, const union address *address)
{
	bool is_in6 = address->sa.sa_family == AF_INET6;
	size_t size = is_in6 ? 16 : 4;

	*request = (struct route_request){
		.header = { .nlmsg_len = offsetof(struct route_request, attributes),
			    .nlmsg_type = RTM_GETROUTE,
			    .nlmsg_flags = NLM_F_REQUEST },
		.route = { .rtm_family = (unsigned char)address->sa.sa_family,
			   .rtm_dst_len = (unsigned char)(size * 8) },
	};
	put_attribute(request, RTA_DST, address_bytes(address), size);
	/* What is this host's own on one interface may be another's on the next. */
	if (is_in6 && address->in6.sin6_scope_id != 0)
		put_attribute(request, RTA_OIF, &address->in6.sin6_scope_id,
			      sizeof(address->in6.sin6_scope_id));
	return request->header.nlmsg_len;
}

bool route_is_local(const union address *address)
{
	_cleanup_(closep) int fd = -EBADF;
	struct route_request request;
	union {
		struct nlmsghdr header;
		char bytes[1024];
	} reply;
	const struct rtmsg *route = NLMSG_DATA(&reply.header);
	size_t request_size;
	ssize_t size;

	if (address_is_loopback(address))
		return true;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0)
		return false;
	request_size = fill_request(&request, address);
	if (send(fd, &request, request_size, 0) < 0)
		return false;
	/* The kernel has answered before send() returned. */
	size = recv(fd, &reply, sizeof(reply), 0);
	return size >= (ssize_t)NLMSG_LENGTH(sizeof(*route)) &&
	       reply.header.nlmsg_type == RTM_NEWROUTE && route->rtm_type == RTN_LOCAL;
}
