#include "cgroup.h"
#include "daemon.h"
#include "lease_info.h"
#include "leases.h"
#include "methods.h"
#include "proc.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>

/* What is told of a socket, with its strings. */
struct who_socket {
	struct sockdiag_socket socket;
	char address[ADDRESS_SIZE];
	char *cgroup;
	char unit[CGROUP_UNIT_SIZE];
};

struct who {
	struct request *request;
	struct sockdiag_query query;
	struct who_socket *sockets;
	size_t n_sockets;
	struct proc_socket *owners; /* by inode */
	size_t n_owners;
	struct proc_walk walk;
};

static void who_free(struct who *who)
{
	sockdiag_query_cancel(&who->query);
	proc_walk_deinit(&who->walk);
	for (size_t i = 0; i < who->n_sockets; i++)
		free(who->sockets[i].cgroup);
	free(who->sockets);
	free(who->owners);
	free(who);
}

void who_cancel(struct request *request)
{
	who_free(request->work);
}

/* Who waits for clients first, then who could, then the connections. */
static int rank(const struct sockdiag_socket *socket)
{
	if (socket->state == SOCKDIAG_LISTEN)
		return 0;
	if (socket->protocol == IPPROTO_UDP && socket->state == SOCKDIAG_CLOSE)
		return 1;
	return socket->state == SOCKDIAG_BOUND_INACTIVE ? 2 : 3;
}

static int compare_sockets(const void *a, const void *b)
{
	const struct sockdiag_socket *one = a, *other = b;
	int r = rank(one) - rank(other);

	return r != 0 ? r : (one->inode > other->inode) - (one->inode < other->inode);
}

static int compare_owners(const void *a, const void *b)
{
	const struct proc_socket *one = a, *other = b;

	return (one->inode > other->inode) - (one->inode < other->inode);
}

static const struct proc_socket *owner_of(const struct who *who, uint32_t inode)
{
	const struct proc_socket key = { .inode = inode };

	if (inode == 0 || who->n_owners == 0)
		return NULL;
	return bsearch(&key, who->owners, who->n_owners, sizeof(key), compare_owners);
}

/* A process is told of to its own user, and to root. */
static bool may_see(const struct request *request, const struct proc_socket *owner)
{
	uid_t uid = request->connection->user->uid;

	return owner && owner->pid != 0 && (uid == 0 || uid == owner->uid);
}

static void describe(const struct who *who, const struct who_socket *from,
		     struct socket_info *ret_info)
{
	const struct proc_socket *owner = owner_of(who, from->socket.inode);
	bool is_seen = may_see(who->request, owner);

	*ret_info = (struct socket_info){
		.protocol = from->socket.protocol == IPPROTO_UDP ? PROTOCOL_UDP : PROTOCOL_TCP,
		.address = from->address,
		.port = from->socket.port,
		.state = sockdiag_state_name(from->socket.state),
		.uid = from->socket.uid,
		.inode = from->socket.inode,
		.cgroup = from->cgroup,
		.unit = from->unit[0] ? from->unit : NULL,
		.pid = is_seen ? owner->pid : 0,
		.command = is_seen ? owner->command : NULL,
	};
}

/* The lease of the port, for who may see it. */
static bool find_lease(const struct who *who, struct lease_text *ret_text)
{
	const struct request *request = who->request;
	const struct who_params *params = request->params;
	const struct lease *lease = NULL;

	if (request->daemon->leases)
		lease = lease_table_find_port(leases_table(request->daemon->leases), params->port);
	if (!lease ||
	    (request->connection->user->uid != 0 && request->connection->user->uid != lease->uid))
		return false;
	return lease_text_init(ret_text, lease, leases_now()) >= 0;
}

static void reply(struct who *who)
{
	struct request *request = who->request;
	struct who_result result = { .n_sockets = who->n_sockets };
	struct lease_text text = { 0 };

	if (find_lease(who, &text))
		result.lease = text.info;
	result.sockets = calloc(who->n_sockets + 1, sizeof(*result.sockets));
	for (size_t i = 0; result.sockets && i < who->n_sockets; i++)
		describe(who, &who->sockets[i], &result.sockets[i]);
	/* The strings are needed until the answer is written: what is freed comes after. */
	request->work = NULL;
	if (result.sockets)
		request_reply(request, &result);
	else
		request_fail_errno(request, ENOMEM);
	who_free(who);
	lease_text_deinit(&text);
	free(result.sockets);
}

static void on_walked(struct proc_walk *walk)
{
	reply(container_of(walk, struct who, walk));
}

static int find_processes(struct who *who)
{
	size_t n = 0;

	who->owners = calloc(who->n_sockets + 1, sizeof(*who->owners));
	if (!who->owners)
		return -ENOMEM;
	for (size_t i = 0; i < who->n_sockets; i++)
		if (who->sockets[i].socket.inode != 0)
			who->owners[n++].inode = who->sockets[i].socket.inode;
	qsort(who->owners, n, sizeof(*who->owners), compare_owners);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || who->owners[i].inode != who->owners[who->n_owners - 1].inode)
			who->owners[who->n_owners++].inode = who->owners[i].inode;
	if (who->n_owners == 0) {
		reply(who);
		return 0;
	}
	return proc_walk_start(&who->walk, who->owners, who->n_owners);
}

/* Names of cgroups are bytes; JSON takes UTF-8. */
static char *copy_as_utf8(const char *text)
{
	json_t *value = json_string(text);
	char *copy = strdup(text);

	for (char *c = value ? NULL : copy; c && *c; c++)
		if (*c & 0x80)
			*c = '?';
	json_decref(value);
	return copy;
}

static int add_socket(struct who *who, const struct sockdiag_socket *socket)
{
	struct who_socket *added = &who->sockets[who->n_sockets];
	const char *path;

	*added = (struct who_socket){ .socket = *socket };
	inet_ntop(socket->family, socket->address, added->address, sizeof(added->address));
	if (socket->cgroup != 0 &&
	    cgroups_path(who->request->daemon->cgroups, socket->cgroup, &path) >= 0) {
		added->cgroup = copy_as_utf8(path);
		if (!added->cgroup)
			return -ENOMEM;
		if (cgroup_unit(added->cgroup, added->unit, sizeof(added->unit)) < 0)
			added->unit[0] = '\0';
	}
	who->n_sockets++;
	return 0;
}

/* The first of them, by rank; `sockets` are the kernel's own and stay in their order. */
static int add_sockets(struct who *who, const struct sockdiag_socket *sockets, size_t n)
{
	_cleanup_(freep)
	struct sockdiag_socket *sorted = NULL;
	size_t n_told = n < SOCKETS_TOLD_MAX ? n : SOCKETS_TOLD_MAX;
	int r = 0;

	sorted = calloc(n + 1, sizeof(*sorted));
	who->sockets = calloc(n_told + 1, sizeof(*who->sockets));
	if (!sorted || !who->sockets)
		return -ENOMEM;
	if (n > 0)
		memcpy(sorted, sockets, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_sockets);
	for (size_t i = 0; i < n_told && r >= 0; i++)
		r = add_socket(who, &sorted[i]);
	return r < 0 ? r : find_processes(who);
}

static void on_listed(struct sockdiag_query *query, int result,
		      const struct sockdiag_socket *sockets, size_t n_sockets)
{
	struct who *who = container_of(query, struct who, query);
	struct request *request = who->request;
	int r = result;

	if (r >= 0)
		r = add_sockets(who, sockets, n_sockets);
	if (r >= 0)
		return;
	who_free(who);
	if (r == -EOPNOTSUPP)
		request_fail(request, ERROR_NOT_SUPPORTED,
			     json_pack("{ss}", "detail", "no NETLINK_SOCK_DIAG"),
			     "this kernel doesn't tell its sockets; load the modules tcp_diag and "
			     "udp_diag");
	else
		request_fail_errno(request, -r);
}

int who_start(struct request *request)
{
	const struct who_params *params = request->params;
	struct who *who = calloc(1, sizeof(*who));

	if (!who)
		return -ENOMEM;
	who->request = request;
	who->walk.turns = &request->daemon->turns;
	who->walk.user = request->connection->user;
	who->walk.ended = on_walked;
	who->query.port = params->port;
	if (params->protocol != PROTOCOL_UDP)
		who->query.what |= SOCKDIAG_TCP_ALL;
	if (params->protocol != PROTOCOL_TCP)
		who->query.what |= SOCKDIAG_UDP;
	who->query.done = on_listed;
	request->work = who;
	sockdiag_query_start(request->daemon->sockdiag, &who->query);
	return 0;
}
