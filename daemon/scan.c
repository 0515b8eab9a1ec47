#include "bitmap.h"
#include "daemon.h"
#include "listing.h"
#include "look.h"
#include "methods.h"
#include "target.h"

struct scan {
	struct request *request;
	struct target target;
	struct sweep *sweep; /* or, via table: */
	struct listing listing;
	struct portlist all; /* where no ports were given */
	const struct portlist *ports;
	/* By their place in the order: all, and those that no progress has told of. */
	struct bitmap matching, untold;
	size_t n_matching, n_untold;
	struct scan_result result; /* without the ports */
	ev_timer progress;
	int64_t elapsed_us;
};

static void scan_free(struct scan *scan)
{
	sweep_free(scan->sweep);
	listing_deinit(&scan->listing);
	ev_timer_stop(scan->request->daemon->loop, &scan->progress);
	target_deinit(&scan->target);
	portlist_deinit(&scan->all);
	bitmap_deinit(&scan->matching);
	bitmap_deinit(&scan->untold);
	free(scan);
}

void scan_cancel(struct request *request)
{
	scan_free(request->work);
}

static bool on_decided(void *userdata, const struct verdict *verdict)
{
	struct scan *scan = userdata;
	const struct scan_params *params = scan->request->params;
	struct counts *counts = &scan->result.counts;

	scan->result.done++;
	if (verdict->status == STATUS_OPEN)
		counts->open++;
	else if (verdict->reason == REASON_TIMEOUT)
		counts->timeout++;
	else
		counts->closed++;
	if (verdict->status == params->status) {
		bitmap_set(&scan->matching, verdict->index);
		bitmap_set(&scan->untold, verdict->index);
		scan->n_matching++;
		scan->n_untold++;
	}
	return false;
}

/* The result so far, with the `n` ports that `bitmap` marks, in their order. 0 or -ENOMEM. */
static int make_result(const struct scan *scan, const struct bitmap *bitmap, size_t n,
		       struct scan_result *ret_result)
{
	struct scan_result result = scan->result;
	size_t begin = 0, end;

	result.ports = calloc(n + 1, sizeof(*result.ports));
	if (!result.ports)
		return -ENOMEM;
	for (size_t r = 0; r < scan->ports->n_ranges; r++, begin = end) {
		const struct port_range *range = &scan->ports->ranges[r];
		size_t i = begin;

		end = begin + range->last - range->first + 1u;
		while ((i = bitmap_next(bitmap, i, end, true)) < end)
			result.ports[result.n_ports++] = (uint16_t)(range->first + i++ - begin);
	}
	*ret_result = result;
	return 0;
}

static void reply(struct request *request)
{
	struct scan *scan = request->work;
	/* Each of Varlink's replies carries what was found since the last, the last one too. */
	bool is_rest = request->envelope.more;
	struct scan_result result;
	int r;

	r = make_result(scan, is_rest ? &scan->untold : &scan->matching,
			is_rest ? scan->n_untold : scan->n_matching, &result);
	scan_free(scan);
	if (r < 0) {
		request_fail_errno(request, -r);
		return;
	}
	request_reply(request, &result);
	free(result.ports);
}

/* Up to 380 KB: not at once for a client that doesn't read what it has. */
static void reply_soon(struct request *request)
{
	struct scan *scan = request->work;

	ev_timer_stop(request->daemon->loop, &scan->progress);
	scan->result.elapsed_us = request_elapsed_us(request);
	if (!request_defer(request, reply))
		reply(request);
}

static void on_ended(void *userdata, const struct sweep_result *result)
{
	struct scan *scan = userdata;
	struct request *request = scan->request;
	const struct scan_params *params = request->params;

	if (result->end != SWEEP_DONE) {
		scan_free(scan);
		sweep_fail_request(request, params->host, params->via, result, false);
		return;
	}
	sweep_free(steal(scan->sweep));
	reply_soon(request);
}

/* All ports at once: one by one, 65,535 would take longer than the kernel's list does. */
static void take_listing(struct scan *scan)
{
	const struct scan_params *params = scan->request->params;
	struct counts *counts = &scan->result.counts;
	bool wants_open = params->status == STATUS_OPEN;
	size_t index = 0, n_others;

	for (size_t r = 0; r < scan->ports->n_ranges; r++) {
		const struct port_range *range = &scan->ports->ranges[r];
		size_t port = range->first, end = range->last + 1u;

		while ((port = bitmap_next(&scan->listing.listening, port, end, wants_open)) <
		       end) {
			bitmap_set(&scan->matching, index + port++ - range->first);
			scan->n_matching++;
		}
		index += end - range->first;
	}
	bitmap_copy(&scan->untold, &scan->matching, scan->ports->n_ports);
	scan->n_untold = scan->n_matching;
	n_others = scan->ports->n_ports - scan->n_matching;
	counts->open = (int64_t)(wants_open ? scan->n_matching : n_others);
	counts->closed = (int64_t)(wants_open ? n_others : scan->n_matching);
	scan->result.done = scan->result.total;
}

static void on_listed(struct listing *listing, int error)
{
	struct scan *scan = container_of(listing, struct scan, listing);
	struct request *request = scan->request;
	const struct scan_params *params = request->params;

	if (error) {
		scan_free(scan);
		request_fail_listing(request, params->host, error);
		return;
	}
	take_listing(scan);
	reply_soon(request);
}

static void on_progress(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct scan *scan = container_of(watcher, struct scan, progress);
	struct request *request = scan->request;
	struct scan_result result;

	(void)loop;
	(void)revents;
	/* Who is behind with reading gets to know with the next one. */
	if (connection_is_behind(request->connection) ||
	    make_result(scan, &scan->untold, scan->n_untold, &result) < 0)
		return;
	bitmap_clear(&scan->untold, scan->ports->n_ports);
	scan->n_untold = 0;
	result.elapsed_us = request_elapsed_us(request);
	if (request->envelope.dialect == DIALECT_VARLINK)
		request_reply_more(request, &result);
	else
		request_put_progress(request, scan_progress_fields, &result);
	free(result.ports);
}

static int start_sweep(struct scan *scan)
{
	const struct scan_params *params = scan->request->params;
	struct daemon *daemon = scan->request->daemon;
	struct sweep_config config = {
		.turns = &daemon->turns,
		.user = scan->request->connection->user,
		.prober = daemon->prober,
		.windows = &daemon->windows,
		.sockdiag = daemon->sockdiag,
		.via = params->via,
		.ports = scan->ports,
		.n_ports = scan->ports->n_ports,
		.addresses = &scan->target.addresses,
		.timeout_ms = params->timeout_ms,
		.patience_ms = SWEEP_PATIENCE_MS + params->timeout_ms,
		.decided = on_decided,
		.ended = on_ended,
		.userdata = scan,
	};
	int r;

	r = sweep_new(&scan->sweep, &config);
	if (r < 0)
		return r;
	/* A batch's answers are one array, which has no room for progress. */
	if (!scan->request->batch && !scan->request->envelope.silent &&
	    (params->stream || scan->request->envelope.more))
		ev_timer_start(daemon->loop, &scan->progress);
	sweep_start(scan->sweep);
	return 0;
}

static void on_ready(struct target *target)
{
	struct scan *scan = container_of(target, struct scan, target);
	struct request *request = scan->request;
	const struct scan_params *params = request->params;
	int r = params->via == VIA_TABLE ? listing_start(&scan->listing, &target->addresses)
					 : start_sweep(scan);

	if (r < 0)
		request_abort_errno(request, -r);
}

static int prepare(struct scan *scan)
{
	const struct scan_params *params = scan->request->params;
	const char *why;
	size_t n;
	int r = 0;

	scan->ports = &params->ports;
	if (params->ports.n_ports == 0) {
		r = portlist_parse(&scan->all, SCAN_PORTS_DEFAULT, &why);
		scan->ports = &scan->all;
	}
	n = scan->ports->n_ports;
	/* Of open ports there are few. */
	request_weigh(scan->request,
		      sizeof(*scan) + 3 * n / 8 +
			      (params->status == STATUS_CLOSED ? n * PORT_WEIGHT : 0));
	if (r >= 0)
		r = bitmap_init(&scan->matching, n);
	if (r >= 0)
		r = bitmap_init(&scan->untold, n);
	scan->result.total = (int64_t)n;
	return r;
}

int scan_start(struct request *request)
{
	const struct scan_params *params = request->params;
	struct scan *scan = calloc(1, sizeof(*scan));
	int r;

	if (!scan)
		return -ENOMEM;
	scan->request = request;
	scan->listing.sockdiag = request->daemon->sockdiag;
	scan->listing.turns = &request->daemon->turns;
	scan->listing.user = request->connection->user;
	scan->listing.ended = on_listed;
	scan->target.ready = on_ready;
	ev_timer_init(&scan->progress, on_progress, PROGRESS_INTERVAL, PROGRESS_INTERVAL);
	request->work = scan;
	r = prepare(scan);
	if (r >= 0)
		r = target_start(&scan->target, request, params->host);
	if (r < 0)
		scan_free(scan);
	return r;
}
