#include "sockdiag_helpers.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

void table_init(struct table *table)
{
	table->loop = ev_loop_new(EVFLAG_AUTO);
	ck_assert_ptr_nonnull(table->loop);
	ck_assert_int_eq(sockdiag_new(&table->sockdiag, table->loop), 0);
}

void table_deinit(struct table *table)
{
	sockdiag_free(table->sockdiag);
	ev_loop_destroy(table->loop);
}

static void on_done(struct sockdiag_query *query, int result, const struct sockdiag_socket *sockets,
		    size_t n_sockets)
{
	struct listing *listing = container_of(query, struct listing, query);

	listing->calls++;
	listing->result = result;
	listing->n = n_sockets;
	free(listing->sockets);
	listing->sockets = calloc(n_sockets + 1, sizeof(*sockets));
	ck_assert_ptr_nonnull(listing->sockets);
	if (n_sockets > 0)
		memcpy(listing->sockets, sockets, n_sockets * sizeof(*sockets));
}

void listing_start(struct table *table, struct listing *listing, unsigned what, uint16_t port)
{
	listing->query = (struct sockdiag_query){ .what = what, .port = port, .done = on_done };
	listing->calls = 0;
	sockdiag_query_start(table->sockdiag, &listing->query);
}

void listing_run(struct table *table, struct listing *listing)
{
	while (listing->calls == 0)
		ev_run(table->loop, EVRUN_ONCE);
	ck_assert_uint_eq(listing->calls, 1);
}

void listing_free(struct listing *listing)
{
	free(listing->sockets);
	listing->sockets = NULL;
}

size_t listing_count(const struct listing *listing, uint16_t port)
{
	size_t count = 0;

	for (size_t i = 0; i < listing->n; i++)
		count += listing->sockets[i].port == port;
	return count;
}

const uint8_t *address_bytes(int family, const char *text, uint8_t buffer[static 16])
{
	memset(buffer, 0, 16);
	ck_assert_int_eq(inet_pton(family, text, buffer), 1);
	return buffer;
}

/* The two families' addresses in one. */
union any_address {
	struct sockaddr generic;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t fill_address(union any_address *ret, int family, const char *text, uint16_t port)
{
	*ret = (union any_address){ 0 };
	ret->generic.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		ret->v4.sin_port = htons(port);
		ck_assert_int_eq(inet_pton(family, text, &ret->v4.sin_addr), 1);
		return sizeof(ret->v4);
	}
	ret->v6.sin6_port = htons(port);
	ck_assert_int_eq(inet_pton(family, text, &ret->v6.sin6_addr), 1);
	return sizeof(ret->v6);
}

int open_bound(const struct bind_to *to, int type, uint16_t *ret_port)
{
	union any_address address;
	socklen_t length = fill_address(&address, to->family, to->address, 0);
	_cleanup_(closep) int fd = -EBADF;

	fd = socket(to->family, type | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	if (to->v6only >= 0)
		ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &to->v6only,
					    sizeof(to->v6only)),
				 0);
	if (to->device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, to->device,
				     (socklen_t)strlen(to->device)) < 0)
		return -1;
	if (bind(fd, &address.generic, length) < 0)
		return -1;

	length = sizeof(address);
	ck_assert_int_eq(getsockname(fd, &address.generic, &length), 0);
	*ret_port = ntohs(to->family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
	return steal_fd(&fd);
}

int open_listener(const struct bind_to *to, uint16_t *ret_port)
{
	int fd = open_bound(to, SOCK_STREAM, ret_port);

	if (fd >= 0)
		ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

int connects(int family, const char *text, uint16_t port)
{
	static const struct linger reset = { .l_onoff = 1 };
	union any_address address, self;
	socklen_t length = fill_address(&address, family, text, port), self_length = sizeof(self);
	_cleanup_(closep) int fd = -EBADF;

	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	if (connect(fd, &address.generic, length) < 0) {
		if (errno == ECONNREFUSED)
			return 0;
		ck_assert_msg(errno == ENETUNREACH || errno == EADDRNOTAVAIL ||
				      errno == EHOSTUNREACH || errno == EACCES,
			      "connect: %s", strerror(errno));
		return -EADDRNOTAVAIL;
	}

	/* To itself, that is. */
	ck_assert_int_eq(getsockname(fd, &self.generic, &self_length), 0);
	return ntohs(family == AF_INET ? self.v4.sin_port : self.v6.sin6_port) != port;
}

bool enter_network(void)
{
	if (unshare(CLONE_NEWNET) < 0) {
		printf("skipped: a network namespace needs root: %s\n", strerror(errno));
		return false;
	}
	if (system("ip link set lo up && ip addr add 10.98.0.1/32 dev lo && "
		   "{ ip link add portscan0 type dummy 2>/dev/null || "
		   "ip link add portscan0 type veth peer name portscan1; } && "
		   "ip link set portscan0 up && ip addr add 10.99.0.1/24 dev portscan0 && "
		   "ip addr add fd00:99::1/64 dev portscan0 nodad && "
		   "ip addr add 127.0.0.9/32 dev portscan0") != 0) {
		printf("skipped: ip(8) can't make an interface\n");
		return false;
	}
	/* A new IPv6 address is of no use for a moment. */
	for (int i = 0; i < 200 && connects(AF_INET6, "fd00:99::1", 1) != 0; i++)
		usleep(10000);
	return true;
}
