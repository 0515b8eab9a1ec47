#include "address.h"

#include <arpa/inet.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

int address_list_add(struct address_list *list, const union address *address)
{
	union address *addresses;

	addresses = reallocarray(list->addresses, list->n_addresses + 1, sizeof(*addresses));
	if (!addresses)
		return -ENOMEM;
	addresses[list->n_addresses++] = *address;
	list->addresses = addresses;
	return 0;
}

void address_list_deinit(struct address_list *list)
{
	free(list->addresses);
	*list = (struct address_list){ 0 };
}

void address_unmap(union address *address)
{
	struct in_addr mapped;

	if (address->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr))
		return;
	memcpy(&mapped, &address->in6.sin6_addr.s6_addr[12], sizeof(mapped));
	*address = (union address){ .in = { .sin_family = AF_INET, .sin_addr = mapped } };
}

/* By its name, or else by its number, as getaddrinfo() has it. 0, -ENODEV or -EMFILE. */
static int interface_index(const char *text, uint32_t *ret_index)
{
	char *end, name[IF_NAMESIZE];
	unsigned long number;

	*ret_index = if_nametoindex(text);
	if (*ret_index != 0)
		return 0;
	/* Without a descriptor to ask with glibc says ENOENT. */
	if (errno != ENODEV)
		return -EMFILE;
	number = strtoul(text, &end, 10);
	if (text[0] < '1' || text[0] > '9' || *end != '\0' || number > INT_MAX)
		return -ENODEV;
	if (!if_indextoname((unsigned)number, name))
		return errno == ENXIO ? -ENODEV : -EMFILE;
	*ret_index = (uint32_t)number;
	return 0;
}

static int parse_in6(union address *ret_address, const char *text)
{
	union address address = { .in6.sin6_family = AF_INET6 };
	const char *percent = strchr(text, '%');
	char literal[INET6_ADDRSTRLEN];
	size_t size = percent ? (size_t)(percent - text) : strlen(text);

	if (size >= sizeof(literal))
		return -EINVAL;
	memcpy(literal, text, size);
	literal[size] = '\0';
	if (inet_pton(AF_INET6, literal, &address.in6.sin6_addr) != 1)
		return -EINVAL;
	if (percent) {
		int r = interface_index(percent + 1, &address.in6.sin6_scope_id);

		if (r < 0)
			return r;
	}
	address_unmap(&address);
	*ret_address = address;
	return 0;
}

int address_parse(union address *ret_address, const char *text)
{
	union address address = { .in.sin_family = AF_INET };

	if (strchr(text, ':'))
		return parse_in6(ret_address, text);
	if (inet_pton(AF_INET, text, &address.in.sin_addr) != 1)
		return -EINVAL;
	*ret_address = address;
	return 0;
}

void address_format(const union address *address, char ret_text[ADDRESS_SIZE])
{
	char interface[IF_NAMESIZE];
	size_t size;

	if (address->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address->in.sin_addr, ret_text, ADDRESS_SIZE);
		return;
	}
	inet_ntop(AF_INET6, &address->in6.sin6_addr, ret_text, ADDRESS_SIZE);
	if (address->in6.sin6_scope_id == 0)
		return;
	size = strlen(ret_text);
	if (if_indextoname(address->in6.sin6_scope_id, interface))
		snprintf(ret_text + size, ADDRESS_SIZE - size, "%%%s", interface);
	else
		snprintf(ret_text + size, ADDRESS_SIZE - size, "%%%u", address->in6.sin6_scope_id);
}

const void *address_bytes(const union address *address)
{
	return address->sa.sa_family == AF_INET ? (const void *)&address->in.sin_addr
						: &address->in6.sin6_addr;
}

socklen_t address_size(const union address *address)
{
	return address->sa.sa_family == AF_INET ? sizeof(address->in) : sizeof(address->in6);
}

void address_set_port(union address *address, uint16_t port)
{
	if (address->sa.sa_family == AF_INET)
		address->in.sin_port = htons(port);
	else
		address->in6.sin6_port = htons(port);
}

uint16_t address_port(const union address *address)
{
	return ntohs(address->sa.sa_family == AF_INET ? address->in.sin_port
						      : address->in6.sin6_port);
}

int address_compare(const union address *a, const union address *b)
{
	int r;

	if (a->sa.sa_family != b->sa.sa_family)
		return a->sa.sa_family < b->sa.sa_family ? -1 : 1;
	if (a->sa.sa_family == AF_INET) {
		r = memcmp(&a->in.sin_addr, &b->in.sin_addr, sizeof(a->in.sin_addr));
	} else {
		r = memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
		if (r == 0 && a->in6.sin6_scope_id != b->in6.sin6_scope_id)
			r = a->in6.sin6_scope_id < b->in6.sin6_scope_id ? -1 : 1;
	}
	return r != 0 ? r : (int)address_port(a) - (int)address_port(b);
}

int address_source(const union address *address, union address *ret_source)
{
	_cleanup_(closep) int fd = -EBADF;
	union address source = { 0 };
	socklen_t size = sizeof(source);

	fd = socket(address->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, &address->sa, address_size(address)) < 0 ||
	    getsockname(fd, &source.sa, &size) < 0)
		return negative_errno();
	*ret_source = source;
	return 0;
}

bool address_is_any(const union address *address)
{
	return address->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr)
						 : address->in.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool address_is_loopback(const union address *address)
{
	if (address_is_any(address))
		return true;
	if (address->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
	return ntohl(address->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

union address address_destination(const union address *address)
{
	union address result = *address;

	if (!address_is_any(address))
		return result;
	if (address->sa.sa_family == AF_INET)
		result.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		result.in6.sin6_addr = in6addr_loopback;
	return result;
}
