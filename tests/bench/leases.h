/* leases.h: the rows about leases. */

#pragma once

#include "bench.h"

extern const struct row lease_rows[];
extern const size_t n_lease_rows;
