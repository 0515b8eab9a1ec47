/* sockdiag_message.h: what goes to and comes from the kernel, packed and unpacked. Pure. */

#pragma once

#include "sockdiag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

/* The kernel fills at most 32 KiB at a time, whatever the reader offers. */
#define SOCKDIAG_BUFFER_SIZE 32768

/* Ports that one dump can be limited to. */
#define SOCKDIAG_PORTS_MAX 32

/*
 * The kernel's little language: is the port at least this, is it at most this (the operand of
 * each is in the operation after it), and if so on to the end.
 */
struct sockdiag_port_test {
	struct inet_diag_bc_op at_least[2], at_most[2], accept;
};

/* A request for a dump; of `filter` there is only as much as the length in the header says. */
struct sockdiag_dump_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
	struct {
		struct nlattr attribute;
		struct sockdiag_port_test tests[SOCKDIAG_PORTS_MAX];
	} filter;
};

struct sockdiag_exact_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
};

struct sockdiag_route_request {
	struct nlmsghdr header;
	struct rtmsg route;
	struct rtattr attribute;
	uint8_t address[16];
};

/* `states` is a set of 1 << state; `n_ports` is 0 for all, and at most SOCKDIAG_PORTS_MAX. */
void sockdiag_pack_dump(struct sockdiag_dump_request *ret, uint32_t sequence, int family,
			int protocol, uint32_t states, const uint16_t *ports, size_t n_ports);

/* The TCP listener for address:port on `interface`. */
void sockdiag_pack_exact(struct sockdiag_exact_request *ret, uint32_t sequence, int family,
			 const void *address, uint16_t port, uint32_t interface);

/* The routing table's entry for an address. */
void sockdiag_pack_route(struct sockdiag_route_request *ret, uint32_t sequence, int family,
			 const void *address);

/*
 * The message at `position`, which is moved behind it, or NULL at the end of the bytes. A message
 * that claims to be longer than what is there ends them.
 */
const struct nlmsghdr *sockdiag_next_message(const uint8_t *bytes, size_t length, size_t *position);

/* The error in a NLMSG_ERROR or NLMSG_DONE: 0 or -errno; -EBADMSG if it is too short. */
int sockdiag_unpack_error(const struct nlmsghdr *message);

/* 0, or -EBADMSG. */
int sockdiag_unpack_socket(const struct nlmsghdr *message, int protocol,
			   struct sockdiag_socket *ret);

/* 0 and the type (RTN_*) and the interface's index; or -EBADMSG. */
int sockdiag_unpack_route(const struct nlmsghdr *message, unsigned *ret_type,
			  uint32_t *ret_interface);

/* What an error says about this kernel: -EOPNOTSUPP if it is about a module that isn't there. */
int sockdiag_map_error(int error);

/*
 * What connect() makes of a destination: IPv4 behind an IPv4-mapped one, loopback for none at all.
 * Returns the family, and the address (16 bytes), or -EAFNOSUPPORT.
 */
int sockdiag_destination(int family, const void *address, uint8_t ret_address[static 16]);

/* lo has it in every network namespace. */
#define SOCKDIAG_LOOPBACK_INTERFACE 1
