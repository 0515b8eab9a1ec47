#include "sockdiag_message.h"

#include <arpa/inet.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static size_t address_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

/*
 * Jumps are relative, in bytes; what jumps 4 past the end is refused. id.idiag_sport would be
 * shorter for one port, but the kernel's walk through BOUND_INACTIVE sockets does not look at it,
 * and a test for equality (INET_DIAG_BC_S_EQ) is younger than the rest of this.
 */
static void pack_port_test(struct sockdiag_port_test *ret, uint16_t port, size_t n_following)
{
	const size_t operation = sizeof(struct inet_diag_bc_op);
	size_t end = sizeof(*ret) * (n_following + 1);
	/* Where it goes on if this is not the port. */
	size_t next = n_following > 0 ? sizeof(*ret) : end + 4;

	*ret = (struct sockdiag_port_test){
		.at_least[0].code = INET_DIAG_BC_S_GE,
		.at_least[0].yes = (uint8_t)(2 * operation),
		.at_least[0].no = (uint16_t)next,
		.at_least[1].no = port,
		.at_most[0].code = INET_DIAG_BC_S_LE,
		.at_most[0].yes = (uint8_t)(2 * operation),
		.at_most[0].no = (uint16_t)(next - 2 * operation),
		.at_most[1].no = port,
		.accept.code = INET_DIAG_BC_JMP,
		.accept.yes = (uint8_t)operation,
		.accept.no = (uint16_t)(end - 4 * operation),
	};
}

void sockdiag_pack_dump(struct sockdiag_dump_request *ret, uint32_t sequence, int family,
			int protocol, uint32_t states, const uint16_t *ports, size_t n_ports)
{
	size_t length = offsetof(struct sockdiag_dump_request, filter), filter;

	*ret = (struct sockdiag_dump_request){
		.header.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.header.nlmsg_seq = sequence,
		.request.sdiag_family = (uint8_t)family,
		.request.sdiag_protocol = (uint8_t)protocol,
		.request.idiag_states = states,
	};
	if (n_ports > 0) {
		filter = sizeof(ret->filter.attribute) + n_ports * sizeof(*ret->filter.tests);
		ret->filter.attribute.nla_type = INET_DIAG_REQ_BYTECODE;
		ret->filter.attribute.nla_len = (uint16_t)filter;
		for (size_t i = 0; i < n_ports; i++)
			pack_port_test(&ret->filter.tests[i], ports[i], n_ports - i - 1);
		length += filter;
	}
	ret->header.nlmsg_len = (uint32_t)length;
}

void sockdiag_pack_exact(struct sockdiag_exact_request *ret, uint32_t sequence, int family,
			 const void *address, uint16_t port, uint32_t interface)
{
	*ret = (struct sockdiag_exact_request){
		.header.nlmsg_len = sizeof(*ret),
		.header.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.header.nlmsg_flags = NLM_F_REQUEST,
		.header.nlmsg_seq = sequence,
		.request.sdiag_family = (uint8_t)family,
		.request.sdiag_protocol = IPPROTO_TCP,
		.request.id.idiag_sport = htons(port),
		.request.id.idiag_if = interface,
		.request.id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE },
	};
	memcpy(ret->request.id.idiag_src, address, address_size(family));
}

void sockdiag_pack_route(struct sockdiag_route_request *ret, uint32_t sequence, int family,
			 const void *address)
{
	size_t size = address_size(family);

	*ret = (struct sockdiag_route_request){
		.header.nlmsg_len =
			(uint32_t)(offsetof(struct sockdiag_route_request, address) + size),
		.header.nlmsg_type = RTM_GETROUTE,
		.header.nlmsg_flags = NLM_F_REQUEST,
		.header.nlmsg_seq = sequence,
		.route.rtm_family = (uint8_t)family,
		.route.rtm_dst_len = (uint8_t)(size * 8),
		/*
		 * The entry itself: of a local address it names the interface that has it, where
		 * the route that is made from it says lo.
		 */
		.route.rtm_flags = RTM_F_FIB_MATCH,
		.attribute.rta_type = RTA_DST,
		.attribute.rta_len = (uint16_t)(sizeof(ret->attribute) + size),
	};
	memcpy(ret->address, address, size);
}

const struct nlmsghdr *sockdiag_next_message(const uint8_t *bytes, size_t length, size_t *position)
{
	const struct nlmsghdr *message = (const void *)(bytes + *position);
	size_t left = length - *position;

	if (left < sizeof(*message) || message->nlmsg_len < sizeof(*message) ||
	    message->nlmsg_len > left)
		return NULL;

	*position += NLMSG_ALIGN(message->nlmsg_len);
	if (*position > length)
		*position = length;
	return message;
}

int sockdiag_unpack_error(const struct nlmsghdr *message)
{
	int error;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(error)))
		return -EBADMSG;
	memcpy(&error, NLMSG_DATA(message), sizeof(error));
	return error <= 0 ? error : -EBADMSG;
}

/* The attribute at `position`, which is moved behind it; NULL at the end. */
static const struct nlattr *next_attribute(const struct nlmsghdr *message, size_t *position)
{
	const struct nlattr *attribute = (const void *)((const uint8_t *)message + *position);
	size_t left;

	if (*position >= message->nlmsg_len)
		return NULL;
	left = message->nlmsg_len - *position;
	if (left < sizeof(*attribute) || attribute->nla_len < sizeof(*attribute) ||
	    attribute->nla_len > left)
		return NULL;
	*position += (attribute->nla_len + 3U) & ~3U; /* NLA_ALIGN() is signed */
	return attribute;
}

static void copy_attribute(const struct nlattr *attribute, void *ret, size_t size)
{
	if (attribute->nla_len >= sizeof(*attribute) + size)
		memcpy(ret, (const uint8_t *)attribute + sizeof(*attribute), size);
}

int sockdiag_unpack_socket(const struct nlmsghdr *message, int protocol,
			   struct sockdiag_socket *ret)
{
	const struct inet_diag_msg *data = NLMSG_DATA(message);
	size_t position = NLMSG_SPACE(sizeof(*data));
	const struct nlattr *attribute;
	uint8_t v6only = 0;

	if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    message->nlmsg_len < NLMSG_LENGTH(sizeof(*data)))
		return -EBADMSG;
	if (data->idiag_family != AF_INET && data->idiag_family != AF_INET6)
		return -EBADMSG;

	*ret = (struct sockdiag_socket){
		.family = data->idiag_family,
		.protocol = protocol,
		.state = data->idiag_state,
		.port = ntohs(data->id.idiag_sport),
		.remote_port = ntohs(data->id.idiag_dport),
		.interface = data->id.idiag_if,
		.uid = data->idiag_uid,
		.inode = data->idiag_inode,
	};
	memcpy(ret->address, data->id.idiag_src, address_size(ret->family));
	memcpy(ret->remote_address, data->id.idiag_dst, address_size(ret->family));

	while ((attribute = next_attribute(message, &position))) {
		if (attribute->nla_type == INET_DIAG_SKV6ONLY)
			copy_attribute(attribute, &v6only, sizeof(v6only));
		else if (attribute->nla_type == INET_DIAG_CGROUP_ID)
			copy_attribute(attribute, &ret->cgroup, sizeof(ret->cgroup));
	}
	ret->v6only = v6only != 0;

	/*
	 * Asked for as BOUND_INACTIVE, told of as TCP_CLOSE, which for TCP means nothing else: only
	 * bound sockets are in the kernel's tables in that state.
	 */
	if (protocol == IPPROTO_TCP && ret->state == SOCKDIAG_CLOSE)
		ret->state = SOCKDIAG_BOUND_INACTIVE;
	return 0;
}

int sockdiag_unpack_route(const struct nlmsghdr *message, unsigned *ret_type,
			  uint32_t *ret_interface)
{
	const struct rtmsg *data = NLMSG_DATA(message);
	size_t position = NLMSG_SPACE(sizeof(*data));
	const struct nlattr *attribute;
	uint32_t interface = 0;

	if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH(sizeof(*data)))
		return -EBADMSG;

	while ((attribute = next_attribute(message, &position))) {
		if (attribute->nla_type == RTA_OIF)
			copy_attribute(attribute, &interface, sizeof(interface));
	}
	*ret_type = data->rtm_type;
	*ret_interface = interface;
	return 0;
}

int sockdiag_map_error(int error)
{
	switch (error) {
	case -ENOENT: /* no handler for this family or protocol */
	case -EOPNOTSUPP:
	case -EPROTONOSUPPORT: /* no NETLINK_SOCK_DIAG */
	case -EAFNOSUPPORT:    /* no AF_NETLINK, or RestrictAddressFamilies= */
		return -EOPNOTSUPP;
	default:
		return error;
	}
}

static bool is_any(const uint8_t *address, size_t size)
{
	static const uint8_t any[16];

	return memcmp(address, any, size) == 0;
}

/* The family that handles it, and the address as that one sees it, padded with zeros. */
static int unmap(int family, const void *address, uint8_t ret_address[static 16])
{
	memset(ret_address, 0, 16);
	switch (family) {
	case AF_INET:
		memcpy(ret_address, address, 4);
		return AF_INET;
	case AF_INET6:
		if (memcmp(address, mapped_prefix, sizeof(mapped_prefix)) == 0) {
			memcpy(ret_address, (const uint8_t *)address + 12, 4);
			return AF_INET;
		}
		memcpy(ret_address, address, 16);
		return AF_INET6;
	default:
		return -EAFNOSUPPORT;
	}
}

int sockdiag_destination(int family, const void *address, uint8_t ret_address[static 16])
{
	family = unmap(family, address, ret_address);
	if (family < 0 || !is_any(ret_address, address_size(family)))
		return family;

	if (family == AF_INET)
		ret_address[0] = 127;
	ret_address[address_size(family) - 1] = 1;
	return family;
}

bool sockdiag_covers(const struct sockdiag_socket *socket, int family, const void *address)
{
	uint8_t destination[16], bound[16];
	int bound_family;

	family = sockdiag_destination(family, address, destination);
	bound_family = unmap(socket->family, socket->address, bound);
	if (family < 0 || bound_family < 0)
		return false;

	if (is_any(bound, address_size(bound_family)))
		return family == bound_family || (bound_family == AF_INET6 && !socket->v6only);
	return family == bound_family && memcmp(bound, destination, address_size(family)) == 0;
}

bool sockdiag_listens_on(const struct sockdiag_socket *socket, int family, const void *address,
			 uint32_t interface)
{
	if (socket->protocol != IPPROTO_TCP || socket->state != SOCKDIAG_LISTEN)
		return false;
	if (socket->interface != 0 && socket->interface != interface)
		return false;
	return sockdiag_covers(socket, family, address);
}

const char *sockdiag_state_name(int state)
{
	static const char *const names[] = {
		[1] = "ESTAB",           [2] = "SYN-SENT",
		[3] = "SYN-RECV",        [4] = "FIN-WAIT-1",
		[5] = "FIN-WAIT-2",      [6] = "TIME-WAIT",
		[7] = "UNCONN",          [8] = "CLOSE-WAIT",
		[9] = "LAST-ACK",        [10] = "LISTEN",
		[11] = "CLOSING",        [12] = "SYN-RECV", /* not yet a socket */
		[13] = "BOUND-INACTIVE",
	};

	if (state < 0 || (size_t)state >= ARRAY_SIZE(names) || !names[state])
		return "UNKNOWN";
	return names[state];
}
