/* output.h: answers on their way to a client, and descriptors that go along. */

#pragma once

#include "buffer.h"
#include "list.h"

struct output {
	struct buffer buffer; /* answers are appended here */
	struct list passings; /* of passing::link, in the order of the bytes */
	uint64_t n_sent;      /* bytes */
	size_t n_fds;         /* descriptors that are not sent */
	size_t *n_fds_of_user;
};

/* `n_fds_of_user` stays the caller's; what is not sent is counted in it too. */
void output_init(struct output *output, size_t *n_fds_of_user);
void output_deinit(struct output *output);

/*
 * Passes `fds`, at most 253, with the last `size` bytes that were appended: they come with the
 * first of them, which is sent apart from what is before and behind. Takes over the descriptors,
 * also on failure. 0 or -ENOMEM.
 */
int output_pass_fds(struct output *output, size_t size, const int fds[], size_t n);

/* Sends what goes without blocking. 0, also if not all of it went; or -errno. */
int output_send(struct output *output, int fd);
