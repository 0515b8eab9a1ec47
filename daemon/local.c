#include "local.h"

#include "holder.h"
#include "probe.h"
#include "sockdiag.h"

enum outcome local_look_up(struct sockdiag *sockdiag, const union address *address, int *ret_error)
{
	struct sockdiag_socket listener;
	int r;

	r = sockdiag_lookup_listener(sockdiag, address->sa.sa_family, address_bytes(address),
				     address_port(address), &listener);
	*ret_error = -r;
	switch (r) {
	case 0:
		return OUTCOME_LISTENING;
	case -ENOENT:
		return OUTCOME_NOT_LISTENING;
	case -EADDRNOTAVAIL:
	case -EAFNOSUPPORT:
	case -EOPNOTSUPP:
		return OUTCOME_UNREACHABLE;
	default:
		return OUTCOME_STARVED;
	}
}

enum outcome local_bind(struct prober *prober, const union address *address, int *ret_error)
{
	int r;

	prober_make_way(prober, address_port(address));
	r = bind_try(&address->sa, address_port(address), HOLDER_TCP);
	*ret_error = -r;
	switch (r) {
	case 0:
		return OUTCOME_BINDABLE;
	case -EADDRINUSE:
		return OUTCOME_IN_USE;
	case -EACCES:
	case -EPERM:
		return OUTCOME_DENIED;
	case -EMFILE:
	case -ENFILE:
	case -ENOBUFS:
	case -ENOMEM:
		return OUTCOME_STARVED;
	default:
		return OUTCOME_UNREACHABLE;
	}
}
