/*
 * sockdiag.h: the kernel's table of sockets, over NETLINK_SOCK_DIAG. No packet is sent, and no
 * service sees a connection.
 *
 * Two ways to ask: a listing (struct sockdiag_query), answered by callback, and an exact look-up
 * of one listener, answered at once. Ports are in host byte order; addresses are 16 bytes in
 * network byte order, of which AF_INET uses the first 4 and the others are zero.
 *
 * A kernel that can't be asked (no inet_diag, no NETLINK_SOCK_DIAG, AF_NETLINK forbidden) is no
 * error of sockdiag_new(): every question is then answered with -EOPNOTSUPP.
 */

#pragma once

#include "list.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct sockdiag;

/* What a listing asks for; combine them. The kernel filters, so little is cheap. */
enum {
	SOCKDIAG_TCP_LISTENERS = 1 << 0,
	/* Bound, neither connected nor listening: state 13, told by Linux 6.8 and later. */
	SOCKDIAG_TCP_BOUND = 1 << 1,
	/* Every other TCP state, TIME-WAIT included. */
	SOCKDIAG_TCP_CONNECTIONS = 1 << 2,
	SOCKDIAG_TCP_ALL = SOCKDIAG_TCP_LISTENERS | SOCKDIAG_TCP_BOUND | SOCKDIAG_TCP_CONNECTIONS,
	SOCKDIAG_UDP = 1 << 3,
};

/* The kernel's numbers for some states; <netinet/tcp.h> has the others, up to 11. */
enum {
	SOCKDIAG_CLOSE = 7, /* UDP: not connected */
	SOCKDIAG_LISTEN = 10,
	SOCKDIAG_BOUND_INACTIVE = 13,
};

struct sockdiag_socket {
	int family;   /* the socket's own: a dual-stack one is AF_INET6 */
	int protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	int state;    /* TCP_ESTABLISHED (1) … SOCKDIAG_BOUND_INACTIVE (13) */
	uint8_t address[16];
	uint16_t port;
	uint8_t remote_address[16];
	uint16_t remote_port; /* 0: not connected */
	bool v6only;          /* told of unconnected sockets only; else false */
	uint32_t interface;   /* index of the one that it is bound to; 0: none */
	uint32_t uid;
	uint32_t inode;  /* 0: no process has it, such as in TIME-WAIT */
	uint64_t cgroup; /* id in cgroup2, see cgroup.h; 0: unknown */
};

/*
 * One listing that is asked for. It belongs to the caller, who fills `what`, `port` and `done` and
 * zeroes the rest; sockdiag writes nothing but `link` and frees nothing.
 */
struct sockdiag_query {
	unsigned what; /* SOCKDIAG_* */
	uint16_t port; /* only sockets with this local port; 0: all */
	/*
	 * Called once, from the loop, never from sockdiag_query_start(), unless it is cancelled
	 * before. `result` is 0, or why there is no listing: -EOPNOTSUPP, -E2BIG (more than
	 * SOCKDIAG_SOCKETS_MAX sockets), -ENOBUFS (interrupted again and again), or another
	 * -errno. The sockets are valid during the call, and NULL if there are none. It may free
	 * the query, and start and cancel any query, but not free the sockdiag.
	 */
	void (*done)(struct sockdiag_query *query, int result,
		     const struct sockdiag_socket *sockets, size_t n_sockets);
	struct list link; /* sockdiag::waiting or sockdiag::asking */
};

#define SOCKDIAG_SOCKETS_MAX 1048576

struct sockdiag_stats {
	uint64_t queries;
	uint64_t dumps;   /* listings read from the kernel: each may answer several queries */
	uint64_t retries; /* of them asked again, because they were interrupted */
	uint64_t lookups;
};

/*
 * Opens the netlink sockets, and has the kernel load its modules: the one call here that may block,
 * so it is for start-up. Watches nothing while nothing is asked. Returns 0, or -errno.
 * Everything is asked of the network namespace that the caller is in now.
 */
int sockdiag_new(struct sockdiag **ret, struct ev_loop *loop);

/* NULL is allowed. Queries that are under way are dropped: `done` is not called. */
void sockdiag_free(struct sockdiag *sockdiag);

/*
 * Asks for a listing. Queries for the same `what` that are started in one turn of the loop share
 * one dump, if all of them are for all ports, or up to 32 of them each for a port of its own. It
 * begins after the turn: it shows what was so when the query was started, or later. Never
 * blocks.
 *
 * Long listings are read in slices of about a millisecond a turn. They are not atomic: a
 * connection that comes or goes meanwhile may be missing or there twice. But a walk through one
 * of the kernel's tables in which it finds little can't be sliced: measured on a host with 20,000
 * sockets in connections, 1 to 3 ms a family for SOCKDIAG_TCP_CONNECTIONS and 3 to 6 ms for
 * SOCKDIAG_TCP_BOUND, even for a single port; on an idle host 0.3 ms each. Listeners and UDP have
 * no such price: 30 µs.
 */
void sockdiag_query_start(struct sockdiag *sockdiag, struct sockdiag_query *query);

/* `done` is not called any more. Allowed at any time, also for a query that was never started. */
void sockdiag_query_cancel(struct sockdiag_query *query);

/*
 * Would a TCP connection from this host to `address`:`port` find a listener? Routing and network
 * namespaces count, packet filters don't. 0.0.0.0 and :: mean loopback, as they do to connect();
 * an IPv4-mapped address means IPv4. Never blocks; 2 to 3 µs, and 1 µs more where the address is
 * not that of the call before.
 * Returns 0 and the listener that would get it (in a SO_REUSEPORT group: one of them); -ENOENT if
 * there is none; -EADDRNOTAVAIL if the address isn't one of this host; -EAFNOSUPPORT;
 * -EOPNOTSUPP; or -errno.
 */
int sockdiag_lookup_listener(struct sockdiag *sockdiag, int family, const void *address,
			     uint16_t port, struct sockdiag_socket *ret);

/*
 * Through which interface does a packet from this host to `address` seem to come in? That is the
 * one that has the address, although all of them travel through lo. May be up to 10 ms old. Never
 * blocks.
 * Returns its index; -EADDRNOTAVAIL if the address isn't one of this host (broadcast addresses
 * aren't); or -errno as above.
 */
int sockdiag_address_interface(struct sockdiag *sockdiag, int family, const void *address);

/*
 * Is `address` the one that this listed socket is bound to, or one of those, if it is bound to all?
 * Pure. 0.0.0.0 and :: mean loopback here too.
 */
bool sockdiag_covers(const struct sockdiag_socket *socket, int family, const void *address);

/*
 * Would this listed socket accept connections to `address`, coming in through `interface`? Pure.
 * The same rules as for sockdiag_lookup_listener(); false for anything that isn't a TCP listener.
 */
bool sockdiag_listens_on(const struct sockdiag_socket *socket, int family, const void *address,
			 uint32_t interface);

/*
 * The name that ss(8) prints for a state: "LISTEN", "ESTAB", "TIME-WAIT", "BOUND-INACTIVE"; UDP
 * has "UNCONN" and "ESTAB" only. "UNKNOWN" for anything else. Never NULL.
 */
const char *sockdiag_state_name(int state);

const struct sockdiag_stats *sockdiag_stats(const struct sockdiag *sockdiag);
