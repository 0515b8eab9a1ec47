/* holder.c: bound sockets that keep a port from everybody else. */

#include "holder.h"

#include "address.h"

#include <linux/filter.h>
#include <string.h>

/* How often a port of the kernel's choice for TCP may turn out to be taken for UDP. */
#define KERNEL_PORT_TRIES 32

static int address_fill(union address *ret_address, const struct sockaddr *source, uint16_t port)
{
	union address address = { 0 };

	switch (source->sa_family) {
	case AF_INET:
		memcpy(&address.in, source, sizeof(address.in));
		break;
	case AF_INET6:
		memcpy(&address.in6, source, sizeof(address.in6));
		break;
	default:
		return -EAFNOSUPPORT;
	}

	address_set_port(&address, port);
	*ret_address = address;
	return 0;
}

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? negative_errno() : 0;
}

/* `type` is SOCK_STREAM or SOCK_DGRAM; on success the caller closes *ret_fd. */
static int bind_address(int *ret_fd, const union address *address, int type, bool reuse)
{
	_cleanup_(closep) int fd = -EBADF;
	int r;

	fd = socket(address->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return negative_errno();

	/* Said explicitly: net.ipv6.bindv6only decides otherwise. */
	if (address->sa.sa_family == AF_INET6) {
		r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
		if (r < 0)
			return r;
	}
	if (reuse) {
		r = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		if (r < 0)
			return r;
	}
	if (bind(fd, &address->sa, address_size(address)) < 0)
		return negative_errno();

	*ret_fd = steal_fd(&fd);
	return 0;
}

/* As bind_address(), with NULL for every address of the host. */
static int bind_port(int *ret_fd, const struct sockaddr *address, uint16_t port, int type,
		     bool reuse)
{
	union address local = { .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
	int r;

	if (address) {
		r = address_fill(&local, address, port);
		if (r < 0)
			return r;
		return bind_address(ret_fd, &local, type, reuse);
	}

	r = bind_address(ret_fd, &local, type, reuse);
	/* No IPv6 in this kernel, or not for this service (RestrictAddressFamilies=). */
	if (r == -EAFNOSUPPORT) {
		local = (union address){ .in = { .sin_family = AF_INET, .sin_port = htons(port) } };
		r = bind_address(ret_fd, &local, type, reuse);
	}
	return r;
}

static int bound_port(int fd, uint16_t *ret_port)
{
	union address address = { 0 };
	socklen_t size = sizeof(address);

	if (getsockname(fd, &address.sa, &size) < 0)
		return negative_errno();
	*ret_port = address_port(&address);
	return 0;
}

/*
 * Nobody reads a held UDP socket: without a filter it would take in datagrams until its buffer is
 * full, and whoever gets the socket later would be served what was sent to somebody before.
 */
static int drop_datagrams(int fd)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { .len = 1, .filter = &drop };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0
		       ? negative_errno()
		       : 0;
}

static int hold_tcp(struct holder *holder, const struct holder_request *request, uint16_t port)
{
	bool shared = request->mode == HOLDER_SHARED;
	bool reuse = request->allow_time_wait || request->beside;
	int r;

	r = bind_port(&holder->tcp, request->address, port, SOCK_STREAM, reuse);
	if (r < 0)
		return r;

	/*
	 * Shared only now: with SO_REUSEADDR from the start, bind() would also succeed on a port
	 * that another process has bound and is about to listen on.
	 */
	if (shared != reuse) {
		r = set_option(holder->tcp, SOL_SOCKET, SO_REUSEADDR, shared);
		if (r < 0)
			return r;
	}
	return port ? 0 : bound_port(holder->tcp, &holder->port);
}

static int hold_udp(struct holder *holder, const struct holder_request *request, uint16_t port)
{
	int r;

	/* There is no TIME_WAIT in UDP. */
	r = bind_port(&holder->udp, request->address, port, SOCK_DGRAM, request->beside);
	if (r < 0)
		return r;
	r = drop_datagrams(holder->udp);
	if (r < 0)
		return r;
	if (request->mode == HOLDER_SHARED) {
		r = set_option(holder->udp, SOL_SOCKET, SO_REUSEADDR, 1);
		if (r < 0)
			return r;
	}
	return port ? 0 : bound_port(holder->udp, &holder->port);
}

static int hold(struct holder *ret_holder, const struct holder_request *request)
{
	_cleanup_(holder_deinit) struct holder holder = HOLDER_INIT;
	int r;

	holder.port = request->port;
	if (request->protocol != HOLDER_UDP) {
		r = hold_tcp(&holder, request, request->port);
		if (r < 0)
			return r;
	}
	if (request->protocol != HOLDER_TCP) {
		r = hold_udp(&holder, request, holder.port);
		if (r < 0)
			return r;
	}

	ret_holder->port = holder.port;
	/* Nothing is held: they close when they go out of scope. */
	if (request->mode == HOLDER_NONE)
		return 0;
	ret_holder->tcp = steal_fd(&holder.tcp);
	ret_holder->udp = steal_fd(&holder.udp);
	return 0;
}

int holder_bind(struct holder *holder, const struct holder_request *request)
{
	int r;

	for (unsigned tries = 0; tries < KERNEL_PORT_TRIES; tries++) {
		r = hold(holder, request);
		/* Free for TCP is not free for UDP: let the kernel choose another. */
		if (r != -EADDRINUSE || request->port != 0)
			break;
	}
	return r;
}

void holder_deinit(struct holder *holder)
{
	closep(&holder->tcp);
	closep(&holder->udp);
	*holder = (struct holder)HOLDER_INIT;
}

unsigned holder_fds(const struct holder *holder, int fds[static 2])
{
	unsigned n = 0;

	if (holder->tcp >= 0)
		fds[n++] = holder->tcp;
	if (holder->udp >= 0)
		fds[n++] = holder->udp;
	return n;
}

int holder_hand_over(struct holder *holder)
{
	if (holder->udp < 0)
		return 0;
	/* ENOENT: it has been handed over before. */
	if (setsockopt(holder->udp, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int)) < 0 &&
	    errno != ENOENT)
		return negative_errno();
	return 0;
}

static int get_option(int fd, int level, int option, int *ret_value)
{
	socklen_t size = sizeof(*ret_value);

	return getsockopt(fd, level, option, ret_value, &size) < 0 ? negative_errno() : 0;
}

/* [::] that is not v6-only: IPv4 as well. */
static int covers_everything(int fd, const union address *address, bool *ret_covers)
{
	int only = 1, r;

	if (address->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr)) {
		r = get_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only);
		if (r < 0)
			return r;
	}
	*ret_covers = only == 0;
	return 0;
}

int holder_identify(int fd, struct holder_identity *ret_identity)
{
	struct holder_identity identity = { 0 };
	union address address = { 0 };
	socklen_t size = sizeof(address);
	int protocol, listening, r;

	r = get_option(fd, SOL_SOCKET, SO_PROTOCOL, &protocol);
	if (r < 0)
		return r;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return -EINVAL;
	r = get_option(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening);
	if (r < 0)
		return r;
	if (getsockname(fd, &address.sa, &size) < 0)
		return negative_errno();
	if (address.sa.sa_family != AF_INET && address.sa.sa_family != AF_INET6)
		return -EINVAL;
	if (address_port(&address) == 0)
		return -EINVAL;
	r = covers_everything(fd, &address, &identity.every_address);
	if (r < 0)
		return r;

	identity.protocol = protocol == IPPROTO_TCP ? HOLDER_TCP : HOLDER_UDP;
	identity.port = address_port(&address);
	identity.listening = listening != 0;
	memcpy(&identity.address, &address, sizeof(address));
	*ret_identity = identity;
	return 0;
}

int holder_adopt(struct holder *holder, int fd)
{
	struct holder_identity identity = { 0 };
	int *slot, r;

	r = holder_identify(fd, &identity);
	if (r < 0)
		return r;
	slot = identity.protocol == HOLDER_TCP ? &holder->tcp : &holder->udp;
	if (*slot >= 0)
		return -EEXIST;
	if ((holder->tcp >= 0 || holder->udp >= 0) && holder->port != identity.port)
		return -EINVAL;

	*slot = fd;
	holder->port = identity.port;
	return 0;
}

static int try_type(const struct sockaddr *address, uint16_t port, int type)
{
	_cleanup_(closep) int fd = -EBADF;

	return bind_port(&fd, address, port, type, false);
}

int bind_try(const struct sockaddr *address, uint16_t port, enum holder_protocol protocol)
{
	int r = 0;

	if (port == 0)
		return -EINVAL;
	if (protocol != HOLDER_UDP)
		r = try_type(address, port, SOCK_STREAM);
	if (r == 0 && protocol != HOLDER_TCP)
		r = try_type(address, port, SOCK_DGRAM);
	return r;
}
