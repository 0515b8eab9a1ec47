#include "spare.h"

#include <string.h>

void spare_reset(struct spare *spare)
{
	*spare = (struct spare){ .fd = -EBADF };
}

static bool is_same_host(const union address *a, const union address *b)
{
	size_t size =
		a->sa.sa_family == AF_INET ? sizeof(a->in.sin_addr) : sizeof(a->in6.sin6_addr);

	return a->sa.sa_family == b->sa.sa_family &&
	       memcmp(address_bytes(a), address_bytes(b), size) == 0;
}

bool spare_fits(const struct spare *spare, const union address *address)
{
	return spare->source == 0 || is_same_host(&spare->host, address);
}

/*
 * Only a port that bind() was given by its number stays with its socket over a refusal. Which one,
 * address_source() guesses: if it is not free, or anything runs short, connect() goes on to pick.
 */
static void take_source(struct spare *spare)
{
	union address source;

	if (address_source(&spare->host, &source) >= 0 &&
	    bind(spare->fd, &source.sa, address_size(&source)) == 0)
		spare->source = address_port(&source);
}

void spare_refused(struct spare *spare, const union address *address)
{
	if (!is_same_host(&spare->host, address)) {
		spare->host = *address;
		spare->n_refusals = 0;
	}
	if (++spare->n_refusals % SPARE_RUN == 0 && spare->source == 0)
		take_source(spare);
}
