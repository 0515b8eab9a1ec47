#include "bitmap.h"
#include "daemon.h"
#include "leases.h"
#include "listing.h"
#include "local.h"
#include "look.h"
#include "methods.h"
#include "route.h"
#include "target.h"

#include <sys/random.h>

struct find {
	struct request *request;
	struct target target;
	struct sweep *sweep;
	struct listing listing; /* via table */
	struct portlist ports;  /* without the excluded ones */
	uint16_t *shuffled;     /* the same in a random order, or NULL */
	/* By their place in the order of the sweep. */
	struct bitmap decided, matching;
	struct portlist_cursor cursor; /* of the first that is not decided */
	size_t first_undecided;
	bool is_local;               /* leases are for ports of this host */
	struct sweep_result failure; /* of a strict look at a closed port */
	struct find_result result;
};

static void find_free(struct find *find)
{
	sweep_free(find->sweep);
	listing_deinit(&find->listing);
	target_deinit(&find->target);
	portlist_deinit(&find->ports);
	free(find->shuffled);
	bitmap_deinit(&find->decided);
	bitmap_deinit(&find->matching);
	free(find->result.ports);
	free(find);
}

void find_cancel(struct request *request)
{
	find_free(request->work);
}

/*
 * Whether a port that is closed can also be had. True for a foreign host, where nobody can tell;
 * what keeps us from telling on this host ends the find.
 */
static bool is_bindable(struct find *find, uint16_t port)
{
	const struct address_list *addresses = &find->target.addresses;

	for (size_t i = 0; i < addresses->n_addresses; i++) {
		union address address = addresses->addresses[i];
		enum outcome outcome;
		int error;

		address_set_port(&address, port);
		outcome = local_bind(find->request->daemon->prober, &address, &error);
		if (outcome == OUTCOME_DENIED || outcome == OUTCOME_STARVED) {
			find->failure = (struct sweep_result){
				.end = outcome == OUTCOME_DENIED ? SWEEP_DENIED : SWEEP_STARVED,
				.error = error,
				.port = port,
			};
			return false;
		}
		if (outcome == OUTCOME_IN_USE)
			return false;
	}
	return true;
}

static bool matches(struct find *find, const struct verdict *verdict)
{
	const struct find_params *params = find->request->params;

	if (verdict->status != params->status)
		return false;
	if (params->status == STATUS_CLOSED && !params->include_leased && find->is_local &&
	    find->request->daemon->leases &&
	    leases_have(find->request->daemon->leases, verdict->port))
		return false;
	if (!params->strict || verdict->status != STATUS_CLOSED)
		return true;
	/* A port that did not answer may well be in use. */
	if (verdict->reason == REASON_TIMEOUT)
		return false;
	if (params->via == VIA_TABLE)
		return !bitmap_get(&find->listing.listening, verdict->port);
	return params->via == VIA_BIND || is_bindable(find, verdict->port);
}

/* Appends to what is found. Whether that is enough. */
static bool found(struct find *find, uint16_t port)
{
	const struct find_params *params = find->request->params;
	struct find_result *result = &find->result;

	result->ports[result->n_ports++] = port;
	return result->n_ports == (size_t)params->count;
}

static uint16_t next_in_order(struct find *find)
{
	if (find->shuffled)
		return find->shuffled[find->first_undecided];
	return portlist_next(&find->ports, &find->cursor);
}

static bool on_decided(void *userdata, const struct verdict *verdict)
{
	struct find *find = userdata;
	const struct find_params *params = find->request->params;
	bool is_match = matches(find, verdict);

	if (find->failure.end != SWEEP_DONE)
		return true;
	find->result.checked++;
	if (params->order == ORDER_ANY)
		return is_match && found(find, verdict->port);

	/* A match counts once all that come before it in the order are decided. */
	bitmap_set(&find->decided, verdict->index);
	if (is_match)
		bitmap_set(&find->matching, verdict->index);
	while (find->first_undecided < find->ports.n_ports &&
	       bitmap_get(&find->decided, find->first_undecided)) {
		uint16_t port = next_in_order(find);

		if (bitmap_get(&find->matching, find->first_undecided++) && found(find, port))
			return true;
	}
	return false;
}

static void reply_now(struct request *request)
{
	struct find *find = request->work;
	struct find_result result = find->result;

	find->result.ports = NULL;
	find_free(find);
	result.port = result.n_ports > 0 ? result.ports[0] : 0;
	result.elapsed_us = request_elapsed_us(request);
	request_reply(request, &result);
	free(result.ports);
}

/* Up to 380 KB: not at once for a client that doesn't read what it has. */
static void reply(struct find *find)
{
	sweep_free(steal(find->sweep));
	listing_deinit(&find->listing);
	bitmap_deinit(&find->decided);
	bitmap_deinit(&find->matching);
	if (!request_defer(find->request, reply_now))
		reply_now(find->request);
}

static void on_ended(void *userdata, const struct sweep_result *result)
{
	struct find *find = userdata;
	struct request *request = find->request;
	const struct find_params *params = request->params;
	struct sweep_result end = result->end == SWEEP_DONE ? find->failure : *result;

	if (end.end == SWEEP_DONE) {
		reply(find);
		return;
	}
	find_free(find);
	sweep_fail_request(request, params->host, params->via, &end, false);
}

/* Every order is as likely as every other; in place, from the end on. */
static int shuffle(struct find *find)
{
	struct portlist_cursor cursor = { 0 };
	size_t n = find->ports.n_ports;
	uint32_t dice[256] = { 0 };

	find->shuffled = calloc(n, sizeof(*find->shuffled));
	if (!find->shuffled)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		find->shuffled[i] = portlist_next(&find->ports, &cursor);
	for (size_t i = n; i > 1; i--) {
		size_t throw = (n - i) % ARRAY_SIZE(dice), other;
		uint16_t port = find->shuffled[i - 1];

		if (throw == 0 && getrandom(dice, sizeof(dice), 0) < 0)
			return -errno;
		/* 32 bits onto at most 65,535 places: none is likelier by more than 1 in 65,536. */
		other = (size_t)((uint64_t)dice[throw] * i >> 32);
		find->shuffled[i - 1] = find->shuffled[other];
		find->shuffled[other] = port;
	}
	return 0;
}

static int prepare(struct find *find)
{
	const struct find_params *params = find->request->params;
	size_t n, count;
	int r;

	r = portlist_exclude(&find->ports, &params->ports, &params->exclude);
	if (r < 0)
		return r;
	n = find->ports.n_ports;
	count = (size_t)params->count < n ? (size_t)params->count : n;
	request_weigh(find->request, sizeof(*find) + 3 * n / 8 + count * PORT_WEIGHT);
	find->result.ports = calloc(count + 1, sizeof(*find->result.ports));
	if (!find->result.ports)
		return -ENOMEM;
	r = bitmap_init(&find->decided, n);
	if (r >= 0)
		r = bitmap_init(&find->matching, n);
	if (r >= 0 && params->order == ORDER_RANDOM && n > 0)
		r = shuffle(find);
	return r;
}

static int start_sweep(struct find *find, enum via via)
{
	const struct find_params *params = find->request->params;
	struct daemon *daemon = find->request->daemon;
	struct sweep_config config = {
		.turns = &daemon->turns,
		.user = find->request->connection->user,
		.prober = daemon->prober,
		.windows = &daemon->windows,
		.sockdiag = daemon->sockdiag,
		.via = via,
		.array = find->shuffled,
		.ports = &find->ports,
		.n_ports = find->ports.n_ports,
		.addresses = &find->target.addresses,
		.timeout_ms = params->timeout_ms,
		.patience_ms = SWEEP_PATIENCE_MS + params->timeout_ms,
		.decided = on_decided,
		.ended = on_ended,
		.userdata = find,
	};
	int r;

	r = sweep_new(&find->sweep, &config);
	if (r < 0)
		return r;
	sweep_start(find->sweep);
	return 0;
}

static void on_listed(struct listing *listing, int error)
{
	struct find *find = container_of(listing, struct find, listing);
	struct request *request = find->request;
	const struct find_params *params = request->params;
	struct portlist_cursor cursor = { 0 };
	struct verdict verdict = { 0 };

	if (error) {
		find_free(find);
		request_fail_listing(request, params->host, error);
		return;
	}
	if (params->strict && params->status == STATUS_CLOSED) {
		/* Who doesn't listen may have bound the port all the same. */
		int r = start_sweep(find, VIA_BIND);

		if (r < 0)
			request_abort_errno(request, -r);
		return;
	}
	for (; verdict.index < find->ports.n_ports; verdict.index++) {
		verdict.port = find->shuffled ? find->shuffled[verdict.index]
					      : portlist_next(&find->ports, &cursor);
		verdict.status =
			bitmap_get(&listing->listening, verdict.port) ? STATUS_OPEN : STATUS_CLOSED;
		if (on_decided(find, &verdict))
			break;
	}
	reply(find);
}

static void on_ready(struct target *target)
{
	struct find *find = container_of(target, struct find, target);
	const struct find_params *params = find->request->params;
	int r = 0;

	for (size_t i = 0; i < target->addresses.n_addresses && r >= 0; i++) {
		r = route_is_local(&find->request->daemon->route, &target->addresses.addresses[i]);
		find->is_local |= r > 0;
	}
	if (r >= 0 && params->via == VIA_TABLE)
		r = listing_start(&find->listing, &target->addresses);
	else if (r >= 0)
		r = start_sweep(find, params->via);
	if (r < 0)
		request_abort_errno(find->request, -r);
}

int find_start(struct request *request)
{
	const struct find_params *params = request->params;
	struct find *find = calloc(1, sizeof(*find));
	int r;

	if (!find)
		return -ENOMEM;
	find->request = request;
	find->listing.sockdiag = request->daemon->sockdiag;
	find->listing.turns = &request->daemon->turns;
	find->listing.user = request->connection->user;
	find->listing.ended = on_listed;
	find->target.ready = on_ready;
	request->work = find;
	r = prepare(find);
	if (r >= 0)
		r = target_start(&find->target, request, params->host);
	if (r < 0)
		find_free(find);
	return r;
}
