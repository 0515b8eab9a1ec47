/* sockdiag_helpers.h: real sockets to look for, and a loop that runs until a listing is there. */

#pragma once

#include "sockdiag.h"

#include <check.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* One listing, and a copy of what it said. */
struct listing {
	struct sockdiag_query query;
	unsigned calls;
	int result;
	struct sockdiag_socket *sockets;
	size_t n;
};

struct table {
	struct ev_loop *loop;
	struct sockdiag *sockdiag;
};

/* Aborts the test on failure, as all of these do. */
void table_init(struct table *table);
void table_deinit(struct table *table);

void listing_start(struct table *table, struct listing *listing, unsigned what, uint16_t port);
void listing_run(struct table *table, struct listing *listing);
void listing_free(struct listing *listing);

/* Those with this local port. */
size_t listing_count(const struct listing *listing, uint16_t port);

/* What a socket is bound to. */
struct bind_to {
	int family;
	const char *address;
	int v6only;         /* -1: as it comes */
	const char *device; /* NULL: none */
};

/* A bound socket, or listener, on a port of the kernel's choice; -1 if the host can't. */
int open_bound(const struct bind_to *to, int type, uint16_t *ret_port);
int open_listener(const struct bind_to *to, uint16_t *ret_port);

/* The truth: does connect() find somebody? -EADDRNOTAVAIL: it can't even try. */
int connects(int family, const char *address, uint16_t port);

/* The 16 bytes of an address. */
const uint8_t *address_bytes(int family, const char *text, uint8_t buffer[static 16]);

/*
 * Gives this process a network of its own, with 10.99.0.1 and fd00:99::1 on "portscan0" and
 * 10.98.0.1 on lo. False, with a word on why, where that is not allowed.
 */
bool enter_network(void);
