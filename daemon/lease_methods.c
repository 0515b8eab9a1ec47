/* lease_methods.c: what can be done with leases once they are there. */

#include "daemon.h"
#include "lease_info.h"
#include "leases.h"
#include "methods.h"

bool request_has_leases(struct request *request)
{
	if (request->daemon->leases)
		return true;
	request_fail(request, ERROR_NOT_SUPPORTED,
		     json_pack("{ss}", "detail", "a daemon of one client's own"),
		     "leases need the daemon that all share; start it with systemctl start "
		     "portscand.socket, or by hand");
	return false;
}

/* The caller's lease of that id; NULL: there is none, and the request was failed. */
static struct lease *find_lease(struct request *request, const char *text)
{
	struct lease *lease = NULL;
	uint64_t id;

	if (!request_has_leases(request))
		return NULL;
	if (lease_id_parse(text, &id) >= 0) {
		struct lease_table *table = leases_table(request->daemon->leases);

		lease = request->connection->user->uid == 0
				? lease_table_find(table, id)
				: lease_table_find_for(table, id, request->connection->user->uid);
	}
	if (!lease)
		request_fail(request, ERROR_NO_SUCH_LEASE, json_pack("{ss}", "lease", text),
			     "you have no lease \"%.32s\"; leases tells which you have", text);
	return lease;
}

int renew_start(struct request *request)
{
	const struct renew_params *params = request->params;
	struct leases *leases = request->daemon->leases;
	struct lease *lease = find_lease(request, params->lease);
	struct renew_result result;
	struct lease_text text;
	int r;

	if (!lease)
		return 0;
	r = lease_table_renew(leases_table(leases), lease, params->ttl_ms, leases_now());
	leases_changed(leases);
	if (r >= 0)
		r = lease_text_init(&text, lease, leases_now());
	if (r < 0) {
		lease_fail(request, -r, NULL);
		return 0;
	}
	result.lease = text.info;
	request_reply(request, &result);
	lease_text_deinit(&text);
	return 0;
}

int release_start(struct request *request)
{
	const struct release_params *params = request->params;
	struct leases *leases = request->daemon->leases;
	struct lease *lease = find_lease(request, params->lease);

	if (!lease)
		return 0;
	lease_table_end(leases_table(leases), lease, leases_now());
	leases_changed(leases);
	request_reply(request, NULL);
	return 0;
}

struct leases_call {
	struct request *request;
	struct leases_look look;
	struct turn turn;
};

static void leases_call_free(struct leases_call *call)
{
	leases_look_cancel(&call->look);
	turn_deinit(&call->turn);
	free(call);
}

void leases_cancel(struct request *request)
{
	leases_call_free(request->work);
}

static size_t count(struct lease_table *table)
{
	struct lease_counts counts;

	lease_table_count(table, &counts);
	return counts.by_state[LEASE_HELD] + counts.by_state[LEASE_IN_USE] +
	       counts.by_state[LEASE_QUARANTINED];
}

/* Root sees everybody's, if asked for all. */
static void reply_leases(struct request *request)
{
	const struct leases_params *params = request->params;
	struct lease_table *table = leases_table(request->daemon->leases);
	uid_t uid = request->connection->user->uid;
	bool sees_all = uid == 0 && params->all;
	size_t n_max = count(table), n = 0;
	struct lease_text *texts = calloc(n_max + 1, sizeof(*texts));
	struct leases_result result = { .leases = calloc(n_max + 1, sizeof(*result.leases)) };
	struct lease *lease = NULL;
	int r = texts && result.leases ? 0 : -ENOMEM;

	leases_call_free(steal(request->work));
	while (r >= 0 && (lease = sees_all ? lease_table_next(table, lease)
					   : lease_table_next_of(table, uid, lease))) {
		r = lease_text_init(&texts[n], lease, leases_now());
		if (r >= 0)
			result.leases[result.n_leases++] = texts[n++].info;
	}
	if (r >= 0)
		request_reply(request, &result);
	else
		request_fail_errno(request, -r);
	while (n > 0)
		lease_text_deinit(&texts[--n]);
	free(texts);
	free(result.leases);
}

/* Some 300 bytes for each: not at once for a client that doesn't read what it has. */
static void on_turn(struct turn *turn)
{
	struct request *request = container_of(turn, struct leases_call, turn)->request;

	if (!request_defer(request, reply_leases))
		reply_leases(request);
}

/* In turn: thousands of calls may have waited for this look. */
static void on_looked(struct leases_look *look)
{
	struct leases_call *call = container_of(look, struct leases_call, look);

	turn_queue(&call->request->daemon->turns, &call->turn);
}

int leases_start(struct request *request)
{
	struct leases_call *call;

	if (!request_has_leases(request))
		return 0;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	call->request = request;
	call->look.done = on_looked;
	turn_init(&call->turn, request->connection->user, on_turn);
	request->work = call;
	leases_look(request->daemon->leases, &call->look);
	return 0;
}
