/* methods.h: what the files share that bind the methods to the structs of portscan.h. */

#pragma once

#include "calls.h"
#include "connection.h"

/* The name of an enum's value, NULL for one that is none. */
const char *name_of(const char *const *names, int value);

/* A result by its table, as method::decode(). */
int result_decode(const struct field *fields, const json_t *json, void *ret_result);

/* method::clear() of a result that owns nothing. */
void result_clear_nothing(void *result);
