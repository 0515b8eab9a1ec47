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
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	*route = (struct route){ .fd = fd };
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
		return negative_errno();
	return 0;
}

void route_deinit(struct route *route)
{
	closep(&route->fd);
	route->fd = -EBADF;
}

/* The kernel has answered before send() returned: its answer is there, or none will come. */
static ssize_t exchange(struct route *route, const struct route_request *request,
			struct nlmsghdr *reply, size_t reply_size)
{
	ssize_t size;

	if (send(route->fd, request, request->header.nlmsg_len, 0) < 0)
		return negative_errno();
	do
		size = recv(route->fd, reply, reply_size, 0);
	/* What an earlier one left behind when it failed. */
	while (size >= (ssize_t)sizeof(*reply) && reply->nlmsg_seq != route->sequence);
	return size < 0 ? negative_errno() : size;
}

int route_is_local(struct route *route, const union address *address)
{
	struct route_request request;
	union {
		struct nlmsghdr header;
		char bytes[1024];
	} reply;
	const struct rtmsg *data = NLMSG_DATA(&reply.header);
	ssize_t size;

	if (address_is_loopback(address))
		return 1;
	if (route->fd < 0)
		return 0;
	fill_request(&request, ++route->sequence, address);
	size = exchange(route, &request, &reply.header, sizeof(reply));
	if (size == -ENOBUFS || size == -ENOMEM)
		return -ENOBUFS;
	return size >= (ssize_t)NLMSG_LENGTH(sizeof(*data)) &&
	       reply.header.nlmsg_type == RTM_NEWROUTE && data->rtm_type == RTN_LOCAL;
}
