/* clock.h: the time that only ever goes on, whatever the host's clock is set to. */

#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t monotonic_us(void)
{
	return monotonic_ns() / 1000;
}

/* In seconds, as the loop has its timers; its own ev_now() is the wall clock's time. */
static inline double monotonic_now(void)
{
	return (double)monotonic_us() / 1e6;
}
