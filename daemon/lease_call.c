/* lease_call.c: the method lease, from its members to ports, or to what is wrong with them. */

#include "daemon.h"
#include "lease_info.h"
#include "leases.h"
#include "methods.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

static void refuse_member(struct request *request, const char *member, const char *what)
{
	request_fail(request, ERROR_INVALID_PARAMETER, json_pack("{ss}", "parameter", member),
		     "%s %s", member, what);
}

/* Whether the members go with each other. False: the request was failed. */
static bool check_params(struct request *request)
{
	const struct lease_params *params = request->params;
	union address address;

	if (params->pid && params->until != UNTIL_PROCESS)
		refuse_member(request, "pid", "goes with \"until\":\"process\"; leave it out");
	else if (params->listen && !params->pass_fd)
		refuse_member(request, "listen", "goes with \"pass_fd\":true; give that as well");
	else if (params->pass_fd && request->batch)
		refuse_member(request, "pass_fd", "can't be in a batch; send the call by itself");
	else if (params->name && (!params->name[0] || strlen(params->name) > LEASE_NAME_MAX))
		refuse_member(request, "name", "must have 1 to 255 bytes");
	else if (params->address && strcmp(params->address, "*") != 0 &&
		 (strlen(params->address) > LEASE_ADDRESS_MAX ||
		  address_parse(&address, params->address) < 0))
		refuse_member(request, "address",
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
		refuse_member(request, "count", "is more than can be passed; 253 descriptors can");
	else
		return true;
	return false;
}

/* Whether so many descriptors more may wait for this user to read them. */
static bool check_descriptors(struct request *request)
{
	const struct lease_params *params = request->params;
	const struct users *users = &request->daemon->users;
	const struct user *user = request->connection->user;
	size_t n = (size_t)params->count * (params->protocol == PROTOCOL_BOTH ? 2 : 1);

	if (!params->pass_fd || user->uid == 0 ||
	    user->charges[CHARGE_DESCRIPTORS] + n <= users->limits[CHARGE_DESCRIPTORS])
		return true;
	request_fail(request, ERROR_QUOTA_EXCEEDED,
		     json_pack("{ss,si}", "resource", "descriptors", "limit",
			       (int)users->limits[CHARGE_DESCRIPTORS]),
		     "%zu descriptors wait for you to receive them; read the answers first",
		     user->charges[CHARGE_DESCRIPTORS]);
	return false;
}

/* A process is waited for by its own user, or by root. 0, -ESRCH or -EPERM. */
static int check_process(struct request *request, pid_t pid)
{
	const struct connection *connection = request->connection;
	struct stat status;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &status) < 0)
		return -ESRCH;
	return connection->user->uid == 0 || connection->user->uid == status.st_uid ? 0 : -EPERM;
}

void lease_fail(struct request *request, int error, const struct lease_params *params)
{
	struct leases *leases = request->daemon->leases;
	const struct config *config = &request->daemon->config;
	size_t checked;

	switch (error) {
	case EADDRNOTAVAIL:
		checked = lease_table_choice(leases_table(leases));
		request_fail(request, ERROR_NO_PORT_AVAILABLE,
			     json_pack("{sI}", "checked", (json_int_t)checked),
			     "of %zu ports there are not %d free%s; release some, or give other "
			     "ports",
			     checked, params->count, params->contiguous ? " in a row" : "");
		break;
	case EDQUOT:
		request_fail(request, ERROR_QUOTA_EXCEEDED,
			     json_pack("{ss,si}", "resource", "leases", "limit",
				       (int)config->leases_per_user),
			     "you have %u leased ports, as many as one user may have; release "
			     "some",
			     config->leases_per_user);
		break;
	case EEXIST:
		refuse_member(request, "name",
			      "is that of a lease of yours with other ports; release that, or "
			      "take another name");
		break;
	case ESRCH:
		refuse_member(request, "pid", "is no process; it may have ended");
		break;
	case EPERM:
		request_fail(request, ERROR_PERMISSION_DENIED,
			     json_pack("{ss}", "detail", "pid is a process of another user"),
			     "only root may lease for a process of another user");
		break;
	case ENODEV:
		request_fail(request, ERROR_NOT_SUPPORTED,
			     json_pack("{ss}", "detail", "address is none of this host"),
			     "%.64s is no address of this host; give one, or \"*\"",
			     params->address ? params->address : "*");
		break;
	case EACCES:
		request_fail(request, ERROR_PERMISSION_DENIED,
			     json_pack("{ss}", "detail", "ports below 1024 are privileged"),
			     "the daemon may not bind ports below 1024; give others");
		break;
	case EIO:
		request_fail(request, ERROR_RESOURCES_EXHAUSTED,
			     json_pack("{ss}", "resource", "runtime directory"),
			     "the lease can't be written down in %.128s: %s; nothing was leased",
			     config->runtime_dir ? config->runtime_dir : "the runtime directory",
			     strerror(leases_problem(leases)));
		break;
	case ETOOMANYREFS:
		request_fail_errno(request, EMFILE);
		break;
	default:
		request_fail_errno(request, error);
		break;
	}
}

static void send_lease(struct request *request, struct lease *lease)
{
	const struct lease_params *params = request->params;
	struct leases *leases = request->daemon->leases;
	int fds[LEASES_FDS_MAX];
	uint16_t ports[LEASES_FDS_MAX];
	struct lease_result result = { .port = lease->ports[0].port, .fds = ports };
	struct lease_text text;
	int r = 0;

	if (params->pass_fd)
		r = leases_descriptors(leases, lease, params->listen, fds, ports, &result.n_fds);
	if (r >= 0)
		r = lease_text_init(&text, lease, leases_now());
	if (r < 0) {
		for (size_t i = 0; i < result.n_fds; i++)
			close(fds[i]);
		/* Who has no descriptor can do nothing with the ports. */
		lease_table_end(leases_table(leases), lease, leases_now());
		leases_changed(leases);
		lease_fail(request, -r, params);
		return;
	}
	if (params->pass_fd)
		leases_handed_over(leases, lease);
	result.lease = text.info;
	request_reply_with_fds(request, &result, fds, result.n_fds);
	lease_text_deinit(&text);
}

static int grant(struct request *request, bool allow_time_wait, struct lease **ret_lease)
{
	const struct lease_params *params = request->params;
	struct connection *connection = request->connection;
	pid_t pid = params->pid ? params->pid : connection->pid;
	struct lease_request wanted = {
		.uid = connection->user->uid,
		.pid = pid,
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
		.owner = params->until == UNTIL_CONNECTION ? &connection->leases : NULL,
	};
	int r = params->until == UNTIL_PROCESS ? check_process(request, pid) : 0;

	return r < 0 ? r
		     : leases_grant(request->daemon->leases, &wanted, allow_time_wait, ret_lease);
}

static void on_listed(struct sockdiag_query *query, int result,
		      const struct sockdiag_socket *sockets, size_t n_sockets)
{
	struct lease_call *call = container_of(query, struct lease_call, query);
	struct request *request = call->request;
	bool is_time_wait = result >= 0 && n_sockets > 0;
	struct lease *lease;
	int r = -EADDRNOTAVAIL;

	for (size_t i = 0; i < n_sockets; i++)
		if (sockets[i].protocol != IPPROTO_TCP || sockets[i].state != TCP_TIME_WAIT)
			is_time_wait = false;
	request->work = NULL;
	free(call);
	if (is_time_wait)
		r = grant(request, true, &lease);
	if (r < 0)
		lease_fail(request, -r, request->params);
	else
		send_lease(request, lease);
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

int lease_start(struct request *request)
{
	const struct lease_params *params = request->params;
	struct lease *lease;
	int r;

	if (!request_has_leases(request) || !check_params(request) || !check_descriptors(request))
		return 0;
	r = grant(request, false, &lease);
	if (r == -EADDRNOTAVAIL && params->ports.n_ports == 1 && params->count == 1 &&
	    !leases_have(request->daemon->leases, params->ports.ranges[0].first))
		return look_for_time_wait(request, params->ports.ranges[0].first);
	if (r < 0)
		lease_fail(request, -r, params);
	else
		send_lease(request, lease);
	return 0;
}
