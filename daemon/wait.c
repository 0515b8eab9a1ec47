#include "clock.h"
#include "daemon.h"
#include "look.h"
#include "methods.h"
#include "target.h"

struct wait {
	struct request *request;
	struct target target;
	struct look look;
	struct verdict last; /* what the last look saw; status 0: there was none yet */
	ev_timer next;       /* look */
	struct turn turn;    /* for that look */
	ev_timer deadline;
	double looked; /* when the last look began */
	/* How the last look ended, if it was for lack of room; SWEEP_DONE: it was not. */
	struct sweep_result shortage;
};

static void wait_free(struct wait *wait)
{
	struct ev_loop *loop = wait->request->daemon->loop;

	ev_timer_stop(loop, &wait->next);
	ev_timer_stop(loop, &wait->deadline);
	turn_deinit(&wait->turn);
	look_deinit(&wait->look);
	target_deinit(&wait->target);
	free(wait);
}

void wait_cancel(struct request *request)
{
	wait_free(request->work);
}

/* What the last look saw, for the client. `address` is where its text is kept. */
static struct wait_result describe(const struct wait *wait, char address[ADDRESS_SIZE])
{
	const struct wait_params *params = wait->request->params;
	struct wait_result result = {
		.host = params->host,
		.address = address,
		.port = params->port,
		.status = wait->last.status,
		.reason = wait->last.reason,
		.waited_ms = request_elapsed_us(wait->request) / 1000,
	};

	address_format(wait->last.address, address);
	return result;
}

/* In turn: thousands of waits may be due at once. */
static void on_next(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct wait *wait = container_of(watcher, struct wait, next);

	(void)loop;
	(void)revents;
	turn_queue(&wait->request->daemon->turns, &wait->turn);
}

static void on_turn(struct turn *turn)
{
	/* What an address is, and who may probe it, may have changed: each look is judged. */
	target_judge(&container_of(turn, struct wait, turn)->target);
}

/* With what the error declares, and in JSON-RPC all else that a result has. */
static json_t *describe_last_seen(const struct wait *wait, enum status status, enum reason reason)
{
	const struct request *request = wait->request;
	const struct wait_params *params = request->params;
	json_t *members =
		json_pack("{ss,si,ss,ss}", "host", params->host, "port", (int)params->port,
			  "status", status_names[status - 1], "reason", reason_names[reason - 1]);
	char address[ADDRESS_SIZE];

	if (request->envelope.dialect != DIALECT_JSONRPC)
		return members;
	if (wait->last.status) {
		address_format(wait->last.address, address);
		json_object_set_new(members, "address", json_string(address));
	}
	json_object_set_new(members, "waited_ms", json_integer(request_elapsed_us(request) / 1000));
	return members;
}

/* Of a port whose host has no address yet nothing can be said. */
static void fail_unnamed(struct wait *wait)
{
	struct request *request = wait->request;
	const struct wait_params *params = request->params;
	const char *lacks = lookup_lacks(wait->target.lookup);

	wait_free(wait);
	if (lacks) {
		request_fail(request, ERROR_RESOURCES_EXHAUSTED,
			     json_pack("{ss}", "resource", lacks),
			     "no address of %.80s could be asked for in %d ms, as the daemon is "
			     "short of %s; try again later",
			     params->host, params->deadline_ms, lacks);
		return;
	}
	request_fail(request, ERROR_NAME_NOT_FOUND,
		     json_pack("{ss,ss}", "host", params->host, "detail",
			       "the name servers did not answer in time"),
		     "no address of %.80s was known after %d ms; check the name servers in "
		     "resolv.conf, or give a longer deadline_ms",
		     params->host, params->deadline_ms);
}

/* Whether the look that is, or that was last, lacks room: of the port that says nothing. */
static bool is_starved(const struct wait *wait, struct sweep_result *ret_shortage)
{
	if (wait->look.sweep && sweep_is_starved(wait->look.sweep, ret_shortage))
		return true;
	*ret_shortage = wait->shortage;
	return wait->shortage.end != SWEEP_DONE;
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct wait *wait = container_of(watcher, struct wait, deadline);
	struct request *request = wait->request;
	const struct wait_params *params = request->params;
	/* Nothing was seen in time: that is a timeout. */
	enum status status = wait->last.status ? wait->last.status : STATUS_CLOSED;
	enum reason reason = wait->last.status ? wait->last.reason : REASON_TIMEOUT;
	struct sweep_result shortage;
	json_t *members;

	(void)loop;
	(void)revents;
	if (wait->target.lookup) {
		fail_unnamed(wait);
		return;
	}
	if (!wait->last.status && is_starved(wait, &shortage)) {
		wait_free(wait);
		sweep_fail_request(request, params->host, params->via, &shortage, true);
		return;
	}
	members = describe_last_seen(wait, status, reason);
	wait_free(wait);
	request_fail(request, ERROR_DEADLINE_EXCEEDED, members,
		     "port %d of %.80s was still %s (%s) after %d ms; see whether the server "
		     "runs, or give a longer deadline_ms",
		     (int)params->port, params->host, status_names[status - 1],
		     reason_names[reason - 1], params->deadline_ms);
}

static void look_later(struct wait *wait)
{
	const struct wait_params *params = wait->request->params;
	struct ev_loop *loop = wait->request->daemon->loop;
	double after = wait->looked + params->interval_ms / 1e3 - monotonic_now();

	ev_timer_set(&wait->next, after > 0. ? after : 0., 0.);
	ev_timer_start(loop, &wait->next);
}

static void on_looked(struct look *look, const struct sweep_result *result)
{
	struct wait *wait = container_of(look, struct wait, look);
	struct request *request = wait->request;
	const struct wait_params *params = request->params;
	struct wait_result reply;
	char address[ADDRESS_SIZE];
	bool is_change;

	if (result->end == SWEEP_UNREACHABLE || result->end == SWEEP_DENIED) {
		wait_free(wait);
		sweep_fail_request(request, params->host, params->via, result, true);
		return;
	}
	if (result->end == SWEEP_STARVED || result->end == SWEEP_CROWDED) {
		/* Its own time is not over: the deadline is. */
		wait->shortage = *result;
		look_later(wait);
		return;
	}
	is_change = wait->last.status != look->verdict.status;
	if (is_change && request->envelope.more && look->verdict.status != params->until &&
	    connection_is_behind(request->connection)) {
		/* Told once the client has read what it was told before. */
		look_later(wait);
		return;
	}
	wait->last = look->verdict;
	reply = describe(wait, address);
	if (wait->last.status == params->until) {
		wait_free(wait);
		request_reply(request, &reply);
		return;
	}
	look_later(wait);
	/* Last, as the client may be gone by it. */
	if (is_change && request->envelope.more && !request->envelope.silent)
		request_reply_more(request, &reply);
}

static void look_again(struct wait *wait)
{
	struct request *request = wait->request;
	const struct wait_params *params = request->params;
	int r;

	wait->looked = monotonic_now();
	r = look_start(&wait->look, request, &wait->target.addresses, params->port, params->via,
		       params->timeout_ms, params->timeout_ms);
	if (r < 0)
		request_abort_errno(request, -r);
}

static void on_ready(struct target *target)
{
	look_again(container_of(target, struct wait, target));
}

int wait_start(struct request *request)
{
	const struct wait_params *params = request->params;
	struct wait *wait = calloc(1, sizeof(*wait));
	struct ev_loop *loop = request->daemon->loop;
	int r;

	if (!wait)
		return -ENOMEM;
	wait->request = request;
	wait->target.ready = on_ready;
	wait->look.ended = on_looked;
	request->work = wait;
	ev_timer_init(&wait->next, on_next, 0., 0.);
	turn_init(&wait->turn, request->connection->user, on_turn);
	/* From now on, and not from when the loop last woke up. */
	ev_now_update(loop);
	ev_timer_init(&wait->deadline, on_deadline, params->deadline_ms / 1e3, 0.);
	ev_timer_start(loop, &wait->deadline);
	r = target_start(&wait->target, request, params->host);
	if (r < 0)
		wait_free(wait);
	return r;
}
