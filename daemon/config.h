/* config.h: command line to one struct that doesn't change any more. */

#pragma once

#include <stddef.h>

#define WINDOW_DEFAULT 1024
#define SOCKETS_MAX    16

struct config {
	/* Where to listen, if no socket is passed in; "@name" is abstract. Borrowed from argv. */
	const char *sockets[SOCKETS_MAX];
	size_t n_sockets;
	unsigned window;
	int log_priority; /* -1: not given */
};

/*
 * Returns 1 to go on; 0 if all was done (--help, --version); -EINVAL, and what is wrong was
 * written to stderr.
 */
int config_parse(struct config *ret_config, int argc, char *argv[]);
