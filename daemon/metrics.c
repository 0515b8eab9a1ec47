#include "metrics.h"

#include "clock.h"
#include "daemon.h"
#include "leases.h"
#include "methods.h"
#include "openmetrics.h"
#include "server.h"

void metrics_count_error(struct metrics *metrics, enum error_code code)
{
	metrics->errors[error_index(code)]++;
}

static int put_requests(struct buffer *buffer, const struct metrics *metrics)
{
	const struct method *method;
	int r = openmetrics_put_family(buffer, "requests", "counter", "Calls of a method.");

	for (size_t i = 0; r >= 0 && (method = method_at(i)); i++)
		r = openmetrics_put_sample(buffer, "requests_total", "method",
					   method->names->jsonrpc ? method->names->jsonrpc
								  : method->names->varlink,
					   metrics->requests[i]);
	return r;
}

static int put_errors(struct buffer *buffer, const struct metrics *metrics)
{
	const char *name;
	int r = openmetrics_put_family(buffer, "errors", "counter",
				       "Calls answered with an error.");

	for (size_t i = 0; r >= 0 && (name = error_name_at(i)); i++)
		r = openmetrics_put_sample(buffer, "errors_total", "error", name,
					   metrics->errors[i]);
	return r;
}

static int put_probes(struct buffer *buffer, const struct prober_counters *counters)
{
	int r = openmetrics_put_family(buffer, "probes", "counter",
				       "Connections tried, by what came of it.");

	if (r >= 0)
		r = openmetrics_put_sample(buffer, "probes_total", "outcome", "open",
					   counters->open);
	if (r >= 0)
		r = openmetrics_put_sample(buffer, "probes_total", "outcome", "refused",
					   counters->refused);
	if (r >= 0)
		r = openmetrics_put_sample(buffer, "probes_total", "outcome", "timeout",
					   counters->timeout);
	if (r >= 0)
		r = openmetrics_put_sample(buffer, "probes_total", "outcome", "unreachable",
					   counters->unreachable);
	if (r >= 0)
		r = openmetrics_put_counter(
			buffer, "self_connections",
			"Probes that the kernel connected to themselves; closed ports.",
			counters->self_connections);
	return r < 0 ? r
		     : openmetrics_put_counter(buffer, "probes_put_off",
					       "Probes tried again later, for want of a socket.",
					       counters->starved);
}

static int put_table(struct buffer *buffer, const struct sockdiag_stats *stats)
{
	int r = openmetrics_put_counter(
		buffer, "table_dumps",
		"Lists of sockets read from the kernel, each for one call or several.",
		stats->dumps);

	return r < 0 ? r
		     : openmetrics_put_counter(buffer, "table_lookups",
					       "Single ports looked up in the kernel's table.",
					       stats->lookups);
}

int metrics_put(struct buffer *buffer, const struct daemon *daemon)
{
	const struct metrics *metrics = &daemon->metrics;
	int r = put_requests(buffer, metrics);

	if (r >= 0)
		r = put_errors(buffer, metrics);
	if (r >= 0)
		r = openmetrics_put_counter(buffer, "abandoned", "Calls whose client went away.",
					    metrics->cancelled);
	if (r >= 0)
		r = put_probes(buffer, prober_counters(daemon->prober));
	if (r >= 0)
		r = put_table(buffer, sockdiag_stats(daemon->sockdiag));
	if (r >= 0)
		r = openmetrics_put_counter(buffer, "connections_accepted",
					    "Clients that have connected.", metrics->connections);
	if (r >= 0)
		r = openmetrics_put_gauge(buffer, "connections", "Clients that are connected.",
					  (double)server_n_connections(daemon->server));
	if (r >= 0)
		r = openmetrics_put_counter(buffer, "accept_pauses",
					    "Times that no client could be accepted.",
					    metrics->accept_pauses);
	if (r >= 0 && daemon->leases)
		r = leases_put_metrics(buffer, daemon->leases);
	if (r >= 0)
		r = openmetrics_put_gauge(buffer, "uptime_seconds",
					  "Time since the daemon started.",
					  monotonic_now() - daemon->started);
	return r < 0 ? r : buffer_puts(buffer, "# EOF\n");
}
