/*
 * local.h: what the kernel of this host says of one of its ports, at once: by its table of
 * listeners, or by binding.
 */

#pragma once

#include "address.h"
#include "outcome.h"

struct prober;
struct sockdiag;

/*
 * `address` with its port. LISTENING, NOT_LISTENING; UNREACHABLE (*ret_error is EADDRNOTAVAIL if
 * the address isn't one of this host, EOPNOTSUPP if the kernel can't be asked) or STARVED. Some
 * 3 us.
 */
enum outcome local_look_up(struct sockdiag *sockdiag, const union address *address, int *ret_error);

/*
 * IN_USE, BINDABLE, DENIED; UNREACHABLE or STARVED, as above. Some 8 us. What `prober` has bound for
 * itself does not count: it lets go of it.
 */
enum outcome local_bind(struct prober *prober, const union address *address, int *ret_error);
