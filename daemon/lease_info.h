/* lease_info.h: a lease as it is told on the wire. */

#pragma once

#include "calls.h"
#include "lease.h"

/* With what it points to. */
struct lease_text {
	struct lease_info info;
	char id[17];
};

/* 0 or -ENOMEM. The name and the address stay the lease's. Ended by lease_text_deinit(). */
int lease_text_init(struct lease_text *ret_text, const struct lease *lease, int64_t now_ms);
void lease_text_deinit(struct lease_text *text);

/* The id that 16 hex digits stand for: 0, or -EINVAL. */
int lease_id_parse(const char *text, uint64_t *ret_id);
