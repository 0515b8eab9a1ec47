/* portserver.h: the protocol of portpicker's port server: a pid in, a port out. */

#pragma once

#include "connection.h"

/* Whether a line is one: a decimal number and nothing else. */
bool portserver_is_message(const char *data, size_t size);

/*
 * Leases a port for the process that the line names, and appends it to the connection's output; or
 * appends nothing, which is that protocol's only way to refuse. The connection is to be ended.
 */
void portserver_answer(struct connection *connection, const char *data, size_t size);
