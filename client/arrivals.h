/* arrivals.h: descriptors that came in, until the answer is read that they belong to. */

#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Descriptors of one owner. All zeroes is none. */
struct descriptors {
	int *fds; /* -EMFILE: here some could not be received */
	size_t n;
};

/* Closes what is still in there, and frees it. */
void descriptors_deinit(struct descriptors *descriptors);

struct arrival {
	int fd;
	uint64_t end; /* bytes received from the beginning to that which it came with */
};

/* In the order they came. All zeroes is none. */
struct arrivals {
	struct arrival *items;
	size_t n;
	uint64_t n_received; /* bytes */
};

void arrivals_deinit(struct arrivals *arrivals);

/* As recv(), without blocking; descriptors that come along are appended. Or -errno. */
ssize_t arrivals_receive(struct arrivals *arrivals, int fd, void *space, size_t size);

/*
 * Moves those that came with the first `end` bytes to *ret_descriptors, all zeroes before.
 * 0, or -ENOMEM and they stay.
 */
int arrivals_claim(struct arrivals *arrivals, uint64_t end, struct descriptors *ret_descriptors);
