/*
 * config.h: command line and file to one struct that doesn't change any more. The file has the
 * same words as the command line, which has the last say.
 */

#pragma once

#include "policy.h"
#include "portlist.h"

#include <stddef.h>
#include <stdint.h>

#define CONFIG_FILE                  "/etc/portscand.conf"
#define POOL_DEFAULT                 "20000-29999"
#define QUARANTINE_MS_DEFAULT        10000
#define WINDOW_DEFAULT               1024
#define CONNECTIONS_PER_USER_DEFAULT 512
#define REQUESTS_PER_USER_DEFAULT    4096
#define LEASES_PER_USER_DEFAULT      1024
/* Milliseconds that a claimed port is kept after its server is gone: it may be restarting. */
#define CLAIM_GRACE_MS 5000
#define SOCKETS_MAX    16

/* Owns what it points to. */
struct config {
	/* Where to listen, if no socket is passed in; "@name" is abstract. */
	char *sockets[SOCKETS_MAX];
	size_t n_sockets;
	char *runtime_dir; /* of the journal; NULL: there is none to be had */
	struct portlist pool;
	unsigned quarantine_ms;
	unsigned window;
	unsigned connections_per_user;
	unsigned requests_per_user;
	unsigned leases_per_user;
	struct policy policy;
	int log_priority; /* -1: not given */
};

/*
 * Reads the file (--config, else CONFIG_FILE if it is there) and the command line. Returns 1 to go
 * on; 0 if all was done (--help, --version); or -EINVAL or another -errno, and what is wrong was
 * logged: with file and line, or the option. Called again with the same arguments, it reads the
 * file again.
 */
int config_load(struct config *ret_config, int argc, char *argv[]);

/* Frees what it owns. All zeroes is allowed. */
void config_deinit(struct config *config);
