/*
 * log.h: what the administrator should know, on stderr: with the journal's priority prefixes
 * where stderr is the journal, and with the program's name elsewhere.
 */

#pragma once

#include "util.h"

#include <stdbool.h>
#include <syslog.h>

/* LOG_ERR … LOG_DEBUG: what is less urgent isn't written. */
void log_open(int max_priority);

/* The priority that `name` (err, warning, notice, info, debug) stands for, or -EINVAL. */
int log_priority_parse(const char *name);

void log_write(int priority, const char *format, ...) _printf_(2, 3);

#define log_error(...)   log_write(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)

/*
 * For what clients can cause again and again: all zeroes to begin with. True at most once in
 * five seconds; `now` is in seconds, see monotonic_now().
 */
struct log_limit {
	double next;
};

bool log_limit_allows(struct log_limit *limit, double now);
