/* server.h: the listening sockets, and the connections that came in by them. */

#pragma once

#include "list.h"

#include <stdbool.h>
#include <stddef.h>

#include "passed.h"

struct daemon;
struct server;

/*
 * Serves the sockets that were passed in (listening ones and connected ones; it takes them), or
 * else opens those of the configuration. 0, or -errno after it has logged why.
 */
int server_new(struct server **ret_server, struct daemon *daemon, struct passed *passed);
void server_free(struct server *server);

/* Starts to accept. */
void server_start(struct server *server);

/*
 * Accepts no more, and tells all clients that it is over. The loop ends when the last has been
 * told.
 */
void server_shut_down(struct server *server);

/*
 * A connection is gone: a descriptor is free. `ends_daemon`: it was all there was to serve. NULL
 * is allowed.
 */
void server_connection_ended(struct server *server, bool ends_daemon);

size_t server_n_connections(const struct server *server);

/* Whether all there is to serve was handed over connected: one client's own daemon. */
bool server_is_private(const struct server *server);

/* Where it listens, or whom it serves, for people. The server's. */
const char *server_description(const struct server *server);
