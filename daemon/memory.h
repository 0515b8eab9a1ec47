/*
 * memory.h: what libraries do without memory is not left to them. libev ends the process: it gets
 * a reserve. jansson loses characters of what it reads, and ends the process over that: it gets one
 * too.
 */

#pragma once

#include "message.h"

/* Once, before any of them is used. 0 or -ENOMEM. */
int memory_init(void);

/* message_parse(), but that what was read without memory is not trusted: -ENOMEM. */
int memory_parse(json_t **ret_message, const char *data, size_t size, struct error *ret_error);
