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
	char address[ADDRESS_SIZE];
	char *cgroup;
	char unit[CGROUP_UNIT_SIZE];
};

struct who {
	struct request *request;
	struct place place;
	struct leases_look look; /* so that the state of the lease is that of the sockets */
	struct sockdiag_query query;
	struct sockdiag_socket *sockets; /* those to tell of, by rank */
	struct who_socket *strings;      /* of each of them */
	size_t n_sockets, n_strings;
	struct proc_socket *owners; /* by inode */
	size_t n_owners;
	struct proc_walk walk;
};

static void who_free(struct who *who)
{
	leases_look_cancel(&who->look);
	sockdiag_query_cancel(&who->query);
	proc_walk_deinit(&who->walk);
	for (size_t i = 0; i < who->n_strings; i++)
		free(who->strings[i].cgroup);
	free(who->strings);
	free(who->sockets);
	free(who->owners);
	place_leave(&who->place);
	free(who);
}

void who_cancel(struct request *request)
{
	who_free(request->work);
}

/* Who waits for clients first, then who could, then the connections, the dead ones last. */
enum rank {
	RANK_LISTENS,
	RANK_RECEIVES,
	RANK_BOUND,
	RANK_CONNECTED,
	RANK_DEAD,
	N_RANKS,
};

static enum rank rank_of(const struct sockdiag_socket *socket)
{
	if (socket->state == SOCKDIAG_LISTEN)
		return RANK_LISTENS;
	if (socket->protocol == IPPROTO_UDP && socket->state == SOCKDIAG_CLOSE)
		return RANK_RECEIVES;
	if (socket->state == SOCKDIAG_BOUND_INACTIVE)
		return RANK_BOUND;
	return socket->inode != 0 ? RANK_CONNECTED : RANK_DEAD;
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

static void describe(const struct who *who, size_t i, struct socket_info *ret_info)
{
	const struct sockdiag_socket *socket = &who->sockets[i];
	const struct who_socket *strings = &who->strings[i];
	const struct proc_socket *owner = owner_of(who, socket->inode);
	bool has_owner = owner && owner->pid != 0;

	*ret_info = (struct socket_info){
		.protocol = socket->protocol == IPPROTO_UDP ? PROTOCOL_UDP : PROTOCOL_TCP,
		.address = strings->address,
		.port = socket->port,
		.state = sockdiag_state_name(socket->state),
		.uid = socket->uid,
		.inode = socket->inode,
		.cgroup = strings->cgroup,
		.unit = strings->unit[0] ? strings->unit : NULL,
		.pid = has_owner ? owner->pid : 0,
		.command = has_owner ? owner->command : NULL,
	};
}

/* The lease of the port, for who may see it; or NULL. */
static const struct lease *find_lease(const struct request *request)
{
	const struct who_params *params = request->params;
	const struct lease *lease = NULL;
	uid_t uid = request->connection->user->uid;

	if (request->daemon->leases)
		lease = lease_table_find_port(leases_table(request->daemon->leases), params->port);
	return lease && (uid == 0 || uid == lease->uid) ? lease : NULL;
}

static void reply(struct who *who)
{
	struct request *request = who->request;
	struct who_result result = { .n_sockets = who->n_sockets };
	const struct lease *lease = find_lease(request);
	struct lease_text text = { 0 };
	int r = lease ? lease_text_init(&text, lease, leases_now()) : 0;

	if (lease && r >= 0)
		result.lease = text.info;
	result.sockets = calloc(who->n_sockets + 1, sizeof(*result.sockets));
	for (size_t i = 0; result.sockets && i < who->n_sockets; i++)
		describe(who, i, &result.sockets[i]);
	/* The strings are needed until the answer is written: what is freed comes after. */
	request->work = NULL;
	if (result.sockets && r >= 0)
		request_reply(request, &result);
	else
		request_fail_errno(request, ENOMEM);
	who_free(who);
	lease_text_deinit(&text);
	free(result.sockets);
}

static void fail(struct who *who, int error)
{
	struct request *request = who->request;

	who_free(who);
	if (error == EOPNOTSUPP)
		request_fail(request, ERROR_NOT_SUPPORTED,
			     json_pack("{ss}", "detail", "no NETLINK_SOCK_DIAG"),
			     "this kernel doesn't tell its sockets; load the modules tcp_diag and "
			     "udp_diag");
	else
		request_fail_errno(request, error);
}

static void on_walked(struct proc_walk *walk)
{
	struct who *who = container_of(walk, struct who, walk);

	if (walk->error < 0)
		fail(who, -walk->error);
	else
		reply(who);
}

static int find_processes(struct who *who)
{
	size_t n = 0;

	who->owners = calloc(who->n_sockets + 1, sizeof(*who->owners));
	if (!who->owners)
		return -ENOMEM;
	for (size_t i = 0; i < who->n_sockets; i++)
		if (who->sockets[i].inode != 0)
			who->owners[n++].inode = who->sockets[i].inode;
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

static int make_strings(struct who *who, const struct sockdiag_socket *socket)
{
	struct who_socket *strings = &who->strings[who->n_strings];
	const char *path;
	int r = -ENOENT;

	inet_ntop(socket->family, socket->address, strings->address, sizeof(strings->address));
	if (socket->cgroup != 0)
		r = cgroups_path(who->request->daemon->cgroups, socket->cgroup, &path);
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	if (r >= 0) {
		strings->cgroup = copy_as_utf8(path);
		if (!strings->cgroup)
			return -ENOMEM;
		if (cgroup_unit(strings->cgroup, strings->unit, sizeof(strings->unit)) < 0)
			strings->unit[0] = '\0';
	}
	who->n_strings++;
	return 0;
}

static int make_all_strings(struct who *who)
{
	int r = 0;

	who->strings = calloc(who->n_sockets + 1, sizeof(*who->strings));
	if (!who->strings)
		return -ENOMEM;
	for (size_t i = 0; i < who->n_sockets && r >= 0; i++)
		r = make_strings(who, &who->sockets[i]);
	return r;
}

/* Adds `sockets` to those there are: the first by rank, as many as are told. */
static int add_sockets(struct who *who, const struct sockdiag_socket *sockets, size_t n_sockets)
{
	size_t n_all = who->n_sockets + n_sockets, n = 0;
	size_t n_max = n_all < SOCKETS_TOLD_MAX ? n_all : SOCKETS_TOLD_MAX;
	struct sockdiag_socket *chosen = calloc(n_max + 1, sizeof(*chosen));

	if (!chosen)
		return -ENOMEM;
	for (enum rank rank = 0; rank < N_RANKS; rank++) {
		for (size_t i = 0; i < who->n_sockets && n < n_max; i++)
			if (rank_of(&who->sockets[i]) == rank)
				chosen[n++] = who->sockets[i];
		for (size_t i = 0; i < n_sockets && n < n_max; i++)
			if (rank_of(&sockets[i]) == rank)
				chosen[n++] = sockets[i];
	}
	free(who->sockets);
	who->sockets = chosen;
	who->n_sockets = n;
	return 0;
}

/*
 * Whether to ask for sockets that are only bound, which takes the kernel longer than all others:
 * where a listener has the port, nobody asks for those beside it.
 */
static bool wants_bound(const struct who *who)
{
	bool has_listener = who->n_sockets > 0 && rank_of(&who->sockets[0]) == RANK_LISTENS;

	return who->query.what & SOCKDIAG_TCP_CONNECTIONS && !has_listener;
}

static void on_listed(struct sockdiag_query *query, int result,
		      const struct sockdiag_socket *sockets, size_t n_sockets)
{
	struct who *who = container_of(query, struct who, query);
	int r = result;

	if (r >= 0)
		r = add_sockets(who, sockets, n_sockets);
	if (r >= 0 && wants_bound(who)) {
		/* Once more also who listens: one of the bound may have begun to, meanwhile. */
		query->what = SOCKDIAG_TCP_BOUND | SOCKDIAG_TCP_LISTENERS;
		sockdiag_query_start(who->request->daemon->sockdiag, query);
		return;
	}
	if (r >= 0)
		r = make_all_strings(who);
	if (r >= 0)
		r = find_processes(who);
	if (r < 0)
		fail(who, -r);
}

static void on_looked(struct leases_look *look)
{
	struct who *who = container_of(look, struct who, look);

	sockdiag_query_start(who->request->daemon->sockdiag, &who->query);
}

/*
 * As its user has a place for it: what is found takes memory and descriptors, which thousands of
 * calls must not take at once.
 */
static void take_place(struct request *request)
{
	struct who *who = request->work;

	place_take(&request->daemon->who_places, &who->place);
}

static bool on_place(struct place *place)
{
	struct who *who = container_of(place, struct who, place);
	struct request *request = who->request;

	/* Up to 500 KB: not for a client that doesn't read what it has. */
	if (request_defer(request, take_place))
		return false;
	if (find_lease(request))
		leases_look(request->daemon->leases, &who->look);
	else
		sockdiag_query_start(request->daemon->sockdiag, &who->query);
	return true;
}

int who_start(struct request *request)
{
	const struct who_params *params = request->params;
	struct who *who = calloc(1, sizeof(*who));

	if (!who)
		return -ENOMEM;
	who->request = request;
	who->place.user = request->connection->user;
	who->place.taken = on_place;
	who->walk.turns = &request->daemon->turns;
	who->walk.user = request->connection->user;
	who->walk.ended = on_walked;
	who->query.port = params->port;
	if (params->protocol != PROTOCOL_UDP)
		who->query.what |= SOCKDIAG_TCP_LISTENERS | SOCKDIAG_TCP_CONNECTIONS;
	if (params->protocol != PROTOCOL_TCP)
		who->query.what |= SOCKDIAG_UDP;
	who->query.done = on_listed;
	who->look.done = on_looked;
	request->work = who;
	take_place(request);
	return 0;
}
