/*
 * sockdiag_lookup.h: questions that the kernel answers within the system call, on sockets of their
 * own, so that the answers never mix with those of a dump.
 */

#pragma once

#include "sockdiag_message.h"

struct sockdiag_lookup {
	int diag_fd, route_fd;
	uint32_t sequence;
	int unsupported; /* 0, or the error that tells that this kernel can't be asked */

	/* The address that was last asked about: scans ask for one again and again. */
	int family; /* AF_UNSPEC: none */
	uint8_t address[16];
	int interface; /* or -errno */
	uint64_t looked_at_ns;
};

/* Embedded: returns 0, or -errno after which deinit is allowed and not needed. May block. */
int sockdiag_lookup_init(struct sockdiag_lookup *lookup);
void sockdiag_lookup_deinit(struct sockdiag_lookup *lookup);

/* The functions of sockdiag.h. */
int sockdiag_lookup_find(struct sockdiag_lookup *lookup, int family, const void *address,
			 uint16_t port, struct sockdiag_socket *ret);
int sockdiag_lookup_interface(struct sockdiag_lookup *lookup, int family, const void *address);
