/* lease_call.c: the method lease, from its members to ports, or to what is wrong with them. */

#include "daemon.h"
#include "lease_info.h"
#include "leases.h"
#include "methods.h"

#include <netinet/tcp.h>
#include <string.h>

/* A request whose one port may be in TIME_WAIT: the table is asked first. */
struct lease_call {
	struct request *request;
	struct sockdiag_query query;
};

void lease_cancel(struct request *request)
{
	struct lease_call *call = request->work;

	if (!call)
		return;
	sockdiag_query_cancel(&call->query);
	free(call);
}

/* Whether the members go with each other. False: the request was failed. */
static bool check_params(struct request *request)
{
	const struct lease_params *params = request->params;
	union address address;

	if (params->pid && params->until != UNTIL_PROCESS)
		lease_refuse_member(request, "pid",
				    "goes with \"until\":\"process\"; leave it out");
	else if (params->listen && !params->pass_fd)
		lease_refuse_member(request, "listen",
				    "goes with \"pass_fd\":true; give that as well");
	else if (params->pass_fd && request->batch)
		lease_refuse_member(request, "pass_fd",
				    "can't be in a batch; send the call by itself");
	else if (params->name && (!params->name[0] || strlen(params->name) > LEASE_NAME_MAX))
		lease_refuse_member(request, "name", "must have 1 to 255 bytes");
	else if (params->address && strcmp(params->address, "*") != 0 &&
		 (strlen(params->address) > LEASE_ADDRESS_MAX ||
		  address_parse(&address, params->address) < 0))
		lease_refuse_member(
			request, "address",
			"must be \"*\" or an IP address of this host, such as 127.0.0.1");
	else if (params->pass_fd && params->hold == HOLD_NONE)
		request_fail(request, ERROR_NOT_SUPPORTED,
			     json_pack("{ss}", "detail", "hold none has no socket"),
			     "there is no descriptor to pass with hold none; take shared or "
			     "exclusive");
	else if (params->listen && params->protocol == PROTOCOL_UDP)
		request_fail(request, ERROR_NOT_SUPPORTED,
			     json_pack("{ss}", "detail", "UDP sockets do not listen"),
			     "nothing listens on UDP; leave listen out");
	else if (params->pass_fd &&
		 params->count * (params->protocol == PROTOCOL_BOTH ? 2 : 1) > LEASES_FDS_MAX)
		lease_refuse_member(request, "count",
				    "is more than can be passed; 253 descriptors can");
	else
		return true;
	return false;
}

/* Who wants no answer gets no descriptors either. */
static bool passes_fds(const struct request *request)
{
	const struct lease_params *params = request->params;

	return params->pass_fd && !request->envelope.silent;
}

/* Whether so many descriptors more may wait for this user to receive them. */
static bool check_descriptors(struct request *request)
{
	const struct lease_params *params = request->params;
	const struct users *users = &request->daemon->users;
	const struct user *user = request->connection->user;
	size_t n = (size_t)params->count * (params->protocol == PROTOCOL_BOTH ? 2 : 1);

	if (!passes_fds(request) || user->uid == 0 ||
	    user->charges[CHARGE_DESCRIPTORS] + n <= users->limits[CHARGE_DESCRIPTORS])
		return true;
	request_fail(request, ERROR_QUOTA_EXCEEDED,
		     json_pack("{ss,si}", "resource", "descriptors", "limit",
			       (int)users->limits[CHARGE_DESCRIPTORS]),
		     "%zu descriptors wait for you to receive them; read the answers first",
		     user->charges[CHARGE_DESCRIPTORS]);
	return false;
}

static void send_lease(struct request *request, struct lease *lease, bool is_new)
{
	const struct lease_params *params = request->params;
	struct leases *leases = request->daemon->leases;
	int fds[LEASES_FDS_MAX];
	uint16_t ports[LEASES_FDS_MAX];
	struct lease_result result = { .port = lease->ports[0].port, .fds = ports };
	struct lease_text text;
	int r = 0;

	if (passes_fds(request))
		r = leases_descriptors(leases, lease, params->listen, fds, ports, &result.n_fds);
	if (r >= 0)
		r = lease_text_init(&text, lease, leases_now());
	if (r < 0) {
		for (size_t i = 0; i < result.n_fds; i++)
			close(fds[i]);
		/* Who has no descriptor can do nothing with the ports. */
		if (is_new)
			lease_table_end(leases_table(leases), lease, leases_now());
		leases_changed(leases);
		lease_fail(request, -r, params);
		return;
	}
	if (passes_fds(request))
		leases_handed_over(leases, lease);
	result.lease = text.info;
	request_reply_with_fds(request, &result, fds, result.n_fds);
	lease_text_deinit(&text);
}

static int grant(struct request *request, bool allow_time_wait, struct lease **ret_lease)
{
	const struct lease_params *params = request->params;
	struct connection *connection = request->connection;
	struct lease_request wanted = {
		.uid = connection->user->uid,
		.pid = params->pid ? params->pid : connection->pid,
		.ports = params->ports.ranges,
		.n_ports = params->ports.n_ranges,
		.exclude = params->exclude.ranges,
		.n_exclude = params->exclude.n_ranges,
		.count = (size_t)params->count,
		.contiguous = params->contiguous,
		.protocol = (enum lease_protocol)(params->protocol - 1),
		.hold = (enum lease_hold)(params->hold - 1),
		.until = (enum lease_until)(params->until - 1),
		.name = params->name,
		.address = params->address ? params->address : "*",
		.ttl_ms = params->ttl_ms,
		.limit = connection->user->uid == 0 ? 0 : request->daemon->config.leases_per_user,
		.passes = passes_fds(request),
		.owner = params->until == UNTIL_CONNECTION ? &connection->leases : NULL,
	};

	return leases_grant(request->daemon->leases, &wanted, params->pid ? -EBADF : connection->fd,
			    allow_time_wait, ret_lease);
}

/* Grants and answers. */
static void finish(struct request *request, bool allow_time_wait)
{
	struct lease *lease;
	int r = grant(request, allow_time_wait, &lease);

	if (r < 0)
		lease_fail(request, -r, request->params);
	else
		send_lease(request, lease, r == 0);
}

static void on_listed(struct sockdiag_query *query, int result,
		      const struct sockdiag_socket *sockets, size_t n_sockets)
{
	struct lease_call *call = container_of(query, struct lease_call, query);
	struct request *request = call->request;
	bool is_time_wait = result >= 0 && n_sockets > 0;

	for (size_t i = 0; i < n_sockets; i++)
		if (sockets[i].protocol != IPPROTO_TCP || sockets[i].state != TCP_TIME_WAIT)
			is_time_wait = false;
	request->work = NULL;
	free(call);
	finish(request, is_time_wait);
}

/* Just one port was asked for, and it isn't leased: an earlier server's TIME_WAIT may be all. */
static int look_for_time_wait(struct request *request, uint16_t port)
{
	struct lease_call *call = calloc(1, sizeof(*call));

	if (!call)
		return -ENOMEM;
	call->request = request;
	call->query.what = SOCKDIAG_TCP_ALL | SOCKDIAG_UDP;
	call->query.port = port;
	call->query.done = on_listed;
	request->work = call;
	sockdiag_query_start(request->daemon->sockdiag, &call->query);
	return 0;
}

/* Nobody else's, that is. */
static bool may_be_time_wait(const struct request *request)
{
	const struct lease_params *params = request->params;
	const struct lease *other = lease_table_find_port(leases_table(request->daemon->leases),
							  params->ports.ranges[0].first);

	return !other || (params->name && other->state == LEASE_QUARANTINED);
}

int lease_start(struct request *request)
{
	const struct lease_params *params = request->params;
	struct lease *lease;
	int r;

	if (!request_has_leases(request) || !check_params(request) || !check_descriptors(request))
		return 0;
	r = grant(request, false, &lease);
	if (r == -EADDRNOTAVAIL && params->ports.n_ports == 1 && params->count == 1 &&
	    may_be_time_wait(request))
		return look_for_time_wait(request, params->ports.ranges[0].first);
	if (r < 0)
		lease_fail(request, -r, params);
	else
		send_lease(request, lease, r == 0);
	return 0;
}
