#include "bitmap.h"
#include "daemon.h"
#include "look.h"
#include "methods.h"
#include "target.h"

#include <sys/random.h>

struct find {
	struct request *request;
	struct target target;
	struct sweep *sweep;
	struct portlist ports; /* without the excluded ones */
	uint16_t *shuffled;    /* the same in a random order, or NULL */
	/* By their place in the order of the sweep. */
	struct bitmap decided, matching;
	struct portlist_cursor cursor; /* of the first that is not decided */
	size_t first_undecided;
	struct find_result result;
};

static void find_free(struct find *find)
{
	sweep_free(find->sweep);
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

static bool matches(const struct find_params *params, const struct verdict *verdict)
{
	/* A port that did not answer may well be in use. */
	if (params->strict && verdict->reason == REASON_TIMEOUT)
		return false;
	return verdict->status == params->status;
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
	bool is_match = matches(params, verdict);

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

static void on_ended(void *userdata, const struct sweep_result *result)
{
	struct find *find = userdata;
	struct request *request = find->request;
	const struct find_params *params = request->params;
	struct find_result reply = find->result;

	if (result->end != SWEEP_DONE) {
		find_free(find);
		sweep_fail_request(request, params->host, result, false);
		return;
	}
	find->result.ports = NULL;
	find_free(find);
	reply.port = reply.n_ports > 0 ? reply.ports[0] : 0;
	reply.elapsed_us = request_elapsed_us(request);
	request_reply(request, &reply);
	free(reply.ports);
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

static int start_sweep(struct find *find)
{
	const struct find_params *params = find->request->params;
	struct daemon *daemon = find->request->daemon;
	struct sweep_config config = {
		.turns = &daemon->turns,
		.prober = daemon->prober,
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

static void on_ready(struct target *target)
{
	struct find *find = container_of(target, struct find, target);
	struct request *request = find->request;
	int r = start_sweep(find);

	if (r < 0) {
		find_free(find);
		request_fail_errno(request, -r);
	}
}

static void on_failed(struct target *target, const struct error *error)
{
	struct find *find = container_of(target, struct find, target);
	struct request *request = find->request;

	find_free(find);
	request_fail_error(request, error);
}

int find_start(struct request *request)
{
	const struct find_params *params = request->params;
	struct find *find = calloc(1, sizeof(*find));
	int r;

	if (!find)
		return -ENOMEM;
	find->request = request;
	find->target.ready = on_ready;
	find->target.failed = on_failed;
	request->work = find;
	r = prepare(find);
	if (r >= 0)
		r = target_start(&find->target, request, params->host);
	if (r < 0)
		find_free(find);
	return r;
}
