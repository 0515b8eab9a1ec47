/*
 * spare.h: the socket that a refusal left as good as new, for the next port. In a run of refusals
 * from one host it gets a source port of its own: connect() looks for one each time, which is a
 * fifth of what a refusal costs. Nobody can listen there meanwhile, on that port of that address:
 * the probe of it, which meets itself, is not mistaken in taking it for closed.
 */

#pragma once

#include "address.h"

#include <stdbool.h>

/* Refusals in a row until a source port is worth what it costs. */
#define SPARE_RUN 64

struct spare {
	int fd;              /* negative: there is none, or it is in use */
	union address host;  /* that the run is with */
	unsigned n_refusals; /* of the run, so far */
	uint16_t source;     /* its own port; 0: it has none */
};

/* Without a socket. */
void spare_reset(struct spare *spare);

/* Whether the socket can connect to `address`. */
bool spare_fits(const struct spare *spare, const union address *address);

/*
 * `address` has refused, too, and the socket is here again: it is bound to a source port, at once or
 * after the next refusals. Only closing the socket frees that. Never fails: it is as good without.
 */
void spare_refused(struct spare *spare, const union address *address);
