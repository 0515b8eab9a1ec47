/* address.h: addresses of IPv4 and IPv6 hosts, with a port or without. */

#pragma once

#include "protocol.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Several of them, in an array of the list's own. All zeroes is an empty list. */
struct address_list {
	union address *addresses;
	size_t n_addresses;
};

/* Appends a copy; 0 or -ENOMEM. */
int address_list_add(struct address_list *list, const union address *address);
void address_list_deinit(struct address_list *list);

/*
 * Makes IPv4 of IPv4 mapped into IPv6, without the port: it is the same host, connect() goes there,
 * and it is to be judged and counted as the same wherever it comes from. Others stay as they are.
 */
void address_unmap(union address *address);

/*
 * An address as the kernel writes it, IPv6 with %interface where it needs one; IPv4 mapped into
 * IPv6 becomes IPv4. The port is 0. Returns 0; -ENODEV if there is no such interface; -EMFILE if
 * there was no descriptor to ask for it with; -EINVAL if `text` is no address.
 */
int address_parse(union address *ret_address, const char *text);

/* Without the port. */
void address_format(const union address *address, char ret_text[ADDRESS_SIZE]);

/* The address itself, 4 or 16 bytes in network order. */
const void *address_bytes(const union address *address);

socklen_t address_size(const union address *address);
void address_set_port(union address *address, uint16_t port);
uint16_t address_port(const union address *address);

/* An order over family, address, scope and port; 0 if all of them are equal. */
int address_compare(const union address *a, const union address *b);

/* 0.0.0.0 and ::. */
bool address_is_any(const union address *address);

/*
 * The address that a connection to `address` would have here, and a port of the range that source
 * ports are taken from, free for datagrams at least. Sends nothing, and leaves nothing bound. 0, or
 * -errno of connect() or socket(): -EADDRNOTAVAIL if there is no such address (::1 where IPv6 is
 * switched off).
 */
int address_source(const union address *address, union address *ret_source);

/* Where connect() to `address` goes: of the any-addresses that is loopback. */
union address address_destination(const union address *address);

/* 127.0.0.0/8 and ::1, and the any-addresses, which connect() takes for them. */
bool address_is_loopback(const union address *address);
