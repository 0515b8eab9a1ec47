#include "look.h"

#include "daemon.h"

#include <stdio.h>
#include <string.h>

static bool on_decided(void *userdata, const struct verdict *verdict)
{
	struct look *look = userdata;

	look->verdict = *verdict;
	return true;
}

static void on_ended(void *userdata, const struct sweep_result *result)
{
	struct look *look = userdata;

	sweep_free(steal(look->sweep));
	look->ended(look, result);
}

int look_start(struct look *look, struct request *request, const struct address_list *addresses,
	       uint16_t port, enum via via, int timeout_ms, int patience_ms)
{
	struct sweep_config config = {
		.turns = &request->daemon->turns,
		.user = request->connection->user,
		.prober = request->daemon->prober,
		.windows = &request->daemon->windows,
		.sockdiag = request->daemon->sockdiag,
		.via = via,
		.array = &look->port,
		.n_ports = 1,
		.addresses = addresses,
		.timeout_ms = timeout_ms,
		.patience_ms = patience_ms,
		.decided = on_decided,
		.ended = on_ended,
		.userdata = look,
	};
	int r;

	look->port = port;
	r = sweep_new(&look->sweep, &config);
	if (r < 0)
		return r;
	sweep_start(look->sweep);
	return 0;
}

void look_deinit(struct look *look)
{
	sweep_free(look->sweep);
	look->sweep = NULL;
}

/* The errors of connect() that tell of the network and not of the port. */
static const char *error_symbol(int error)
{
	static const struct {
		int error;
		const char *symbol;
	} symbols[] = {
		{ ENETUNREACH, "ENETUNREACH" },
		{ EHOSTUNREACH, "EHOSTUNREACH" },
		{ ENETDOWN, "ENETDOWN" },
		{ EHOSTDOWN, "EHOSTDOWN" },
		{ EACCES, "EACCES" },
		{ EPERM, "EPERM" },
		{ EADDRNOTAVAIL, "EADDRNOTAVAIL" },
		{ EAFNOSUPPORT, "EAFNOSUPPORT" },
		{ EINVAL, "EINVAL" },
		{ ENOPROTOOPT, "ENOPROTOOPT" },
		{ EPROTO, "EPROTO" },
		{ ENONET, "ENONET" },
		{ EPROTONOSUPPORT, "EPROTONOSUPPORT" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++)
		if (symbols[i].error == error)
			return symbols[i].symbol;
	return strerror(error);
}

static void fail_unreachable(struct request *request, const char *host,
			     const struct sweep_result *result, bool with_status)
{
	json_t *members = json_pack("{ss,si,ss}", "host", host, "port", (int)result->port, "errno",
				    error_symbol(result->error));

	if (with_status && request->envelope.dialect == DIALECT_JSONRPC)
		json_object_set_new(members, "status",
				    json_string(status_names[STATUS_CLOSED - 1]));
	request_fail(request, ERROR_UNREACHABLE, members,
		     "%.80s can't be reached (%s); check the address and the route to it", host,
		     strerror(result->error));
}

void request_fail_unsupported(struct request *request, const char *host, enum via via, int error)
{
	char detail[256];

	if (error == EOPNOTSUPP)
		snprintf(detail, sizeof(detail),
			 "this kernel doesn't tell its sockets "
			 "(NETLINK_SOCK_DIAG, modules tcp_diag and udp_diag)");
	else
		snprintf(detail, sizeof(detail), "%.80s is no address of this host", host);
	request_fail(request, ERROR_NOT_SUPPORTED, json_pack("{ss}", "detail", detail),
		     "via %s can't tell: %s; ask via %s", via_names[via - 1], detail,
		     via_names[VIA_CONNECT - 1]);
}

void sweep_fail_request(struct request *request, const char *host, enum via via,
			const struct sweep_result *result, bool with_status)
{
	char detail[96];

	switch (result->end) {
	case SWEEP_STARVED:
		request_fail_errno(request, result->error);
		break;
	case SWEEP_CROWDED:
		request_fail_exhausted(request, "probes to one host");
		break;
	case SWEEP_DENIED:
		snprintf(detail, sizeof(detail),
			 "port %d may be bound by a privileged process only", (int)result->port);
		request_fail(request, ERROR_PERMISSION_DENIED, json_pack("{ss}", "detail", detail),
			     "%s; ask via %s without strict, or for ports from %d on", detail,
			     via_names[VIA_TABLE - 1], IPPORT_RESERVED);
		break;
	case SWEEP_UNREACHABLE:
	case SWEEP_DONE:
		if (via == VIA_CONNECT)
			fail_unreachable(request, host, result, with_status);
		else
			request_fail_unsupported(request, host, via, result->error);
		break;
	}
}

void request_fail_listing(struct request *request, const char *host, int error)
{
	if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == EOPNOTSUPP)
		request_fail_unsupported(request, host, VIA_TABLE, error);
	else
		request_fail_errno(request, error);
}
