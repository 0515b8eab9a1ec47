/*
 * memory.h: what libraries do without memory is not left to them. libev ends the process: it gets
 * a reserve. jansson loses characters of what it reads, and ends the process over that: it gets one
 * too.
 */

#pragma once

#include <stdbool.h>

/* Once, before any of them is used. 0 or -ENOMEM. */
int memory_init(void);

/*
 * Around each text that jansson reads. memory_parse_end() is false if there was not enough memory:
 * what was read is not to be trusted then, and all that was allocated since memory_parse_begin()
 * is to be freed before it is begun again.
 */
void memory_parse_begin(void);
bool memory_parse_end(void);
