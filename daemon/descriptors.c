#include "descriptors.h"

#include <errno.h>
#include <sys/resource.h>

/* What is left to clients, name servers and ourselves: a quarter, at most this. */
#define RESERVE_MAX 3072u
/* And however many clients there are, this part of all. */
#define RESERVE_MIN_PART 16u

static unsigned reserve(const struct descriptors *descriptors)
{
	unsigned quarter = descriptors->limit / 4;

	return quarter < RESERVE_MAX ? quarter : RESERVE_MAX;
}

int descriptors_init(struct descriptors *descriptors)
{
	struct rlimit limit;

	*descriptors = (struct descriptors){ .limit = 1024 };
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		getrlimit(RLIMIT_NOFILE, &limit);
	descriptors->limit = limit.rlim_cur > 1u << 20 ? 1u << 20 : (unsigned)limit.rlim_cur;
	return descriptors->limit < DESCRIPTORS_MIN ? -EMFILE : 0;
}

unsigned descriptors_for_probes(const struct descriptors *descriptors)
{
	return descriptors->limit - reserve(descriptors);
}

/* A new descriptor has the lowest number that is free: so all below it are in use. */
unsigned descriptors_left(const struct descriptors *descriptors, int fd)
{
	unsigned spare = descriptors->limit / RESERVE_MIN_PART;

	if (reserve(descriptors) > spare + descriptors->n_connections)
		spare = reserve(descriptors) - (unsigned)descriptors->n_connections;
	return (unsigned)fd < descriptors->limit - spare ? descriptors->limit - spare - (unsigned)fd
							 : 0;
}
