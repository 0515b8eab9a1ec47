/* passed.h: the descriptors that the service manager passed in. */

#pragma once

#include <stddef.h>

struct passed {
	int *fds;
	char **names; /* the same number; a socket unit's FileDescriptorName=, or "unknown" */
	size_t n;
};

/* Takes them, once: they are all of ours to close. 0 or -errno. */
int passed_take(struct passed *ret_passed);

/* Frees the lists, and closes what has not been taken: fds[i] is negative where it has. */
void passed_deinit(struct passed *passed);
