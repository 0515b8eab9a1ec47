/*
 * holder.h: bound sockets that keep a port from everybody else, and the question whether a port
 * can be bound. See protocol/README.md, "Leases". Nothing here blocks, logs or needs a loop.
 */

#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum holder_protocol {
	HOLDER_TCP,
	HOLDER_UDP,
	HOLDER_BOTH,
};

enum holder_mode {
	/*
	 * A server that sets SO_REUSEADDR may bind the port over the holder, nobody else.
	 * TCP: once one listens, a second can't. UDP: the kernel lets any number of sockets with
	 * SO_REUSEADDR share the port; the one bound last is given the datagrams.
	 */
	HOLDER_SHARED,
	/* Only through the holder's own sockets. */
	HOLDER_EXCLUSIVE,
	/* Bound strictly to see that it is free, and let go again: nothing is held. */
	HOLDER_NONE,
};

struct holder_request {
	/* An address of this host, its port ignored; NULL is every address, IPv6 and IPv4. */
	const struct sockaddr *address;
	uint16_t port; /* 0: the kernel chooses one */
	enum holder_protocol protocol;
	enum holder_mode mode;
	/*
	 * Binds TCP with SO_REUSEADDR, which passes over the TIME_WAIT of an earlier server, and
	 * over sockets that are bound so and don't listen: for a port in whose table there is
	 * nothing but TIME_WAIT.
	 */
	bool allow_time_wait;
	/*
	 * Binds with SO_REUSEADDR, in both protocols: a second socket beside the one that holds
	 * a shared port, for somebody else to use.
	 */
	bool beside;
};

/* One leased port. Embedded by its owner; starts as HOLDER_INIT and ends with holder_deinit(). */
struct holder {
	int tcp; /* negative: no such socket */
	int udp;
	uint16_t port;
};

#define HOLDER_INIT                                                                                \
	{                                                                                          \
		.tcp = -EBADF, .udp = -EBADF                                                       \
	}

/*
 * Binds and keeps what `request` says, all of it or nothing. `holder` is HOLDER_INIT before.
 * -EADDRINUSE: somebody has the port in one of the protocols. -EACCES: it is below
 * net.ipv4.ip_unprivileged_port_start and the process may not. -EADDRNOTAVAIL: no address of this
 * host. -EAFNOSUPPORT: neither IPv4 nor IPv6, or a family that this host has not.
 * -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM: we ran short, which says nothing about the port.
 */
int holder_bind(struct holder *holder, const struct holder_request *request);

/* Closes the sockets and with them frees the port, unless somebody else has a descriptor. */
void holder_deinit(struct holder *holder);

/* The sockets, TCP first, in fds[]; returns how many (0 to 2). They stay the holder's. */
unsigned holder_fds(const struct holder *holder, int fds[static 2]);

/*
 * Makes the sockets fit to be given away; holder_fds() tells which. While it is held, a UDP
 * socket drops what arrives, as nobody would read it; from here on it receives.
 */
int holder_hand_over(struct holder *holder);

/* What getsockname() and SO_TYPE tell of a bound socket. */
struct holder_identity {
	enum holder_protocol protocol; /* HOLDER_TCP or HOLDER_UDP */
	uint16_t port;
	bool every_address; /* it covers IPv4 and IPv6 */
	bool listening;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address;
};

/* -EINVAL: not a bound TCP or UDP socket over IPv4 or IPv6; -ENOTSOCK, -EBADF. */
int holder_identify(int fd, struct holder_identity *ret_identity);

/*
 * Takes over a socket that is bound already, one that was parked or inherited; called for each
 * socket of a lease. On success `fd` is the holder's. -EINVAL: as holder_identify(), or another
 * port than the holder's; -EEXIST: the holder has a socket of this protocol.
 */
int holder_adopt(struct holder *holder, int fd);

/*
 * Can `port` be bound on `address` (NULL as above), right now? 0 if so; the errors are
 * holder_bind()'s, and -EINVAL for port 0. Decided by binding it without SO_REUSEADDR. Never
 * listens and leaves nothing behind. socket(), bind(), close(): some 8 us; a bound socket can't be
 * bound again (EINVAL, also after connect(AF_UNSPEC)), so each port takes a socket of its own.
 */
int bind_try(const struct sockaddr *address, uint16_t port, enum holder_protocol protocol);
