/* config.h: command line to one struct that doesn't change any more. */

#pragma once

#include "portlist.h"

#include <stddef.h>
#include <stdint.h>

#define WINDOW_DEFAULT     1024
#define POOL_DEFAULT       "20000-29999"
#define QUARANTINE_DEFAULT 10000
#define LEASES_PER_USER    1024
/* Milliseconds that a claimed port is kept after its server is gone: it may be restarting. */
#define CLAIM_GRACE_MS 5000
#define SOCKETS_MAX    16

struct config {
	/* Where to listen, if no socket is passed in; "@name" is abstract. Borrowed from argv. */
	const char *sockets[SOCKETS_MAX];
	size_t n_sockets;
	const char *runtime_dir; /* of the journal; NULL: there is none to be had */
	struct portlist pool;
	int64_t quarantine_ms;
	unsigned leases_per_user;
	unsigned window;
	int log_priority; /* -1: not given */
};

/*
 * Returns 1 to go on; 0 if all was done (--help, --version); -EINVAL, and what is wrong was
 * written to stderr.
 */
int config_parse(struct config *ret_config, int argc, char *argv[]);

/* Frees what config_parse() allocated. */
void config_deinit(struct config *config);
