#include "calls.h"
#include "leases_internal.h"
#include "openmetrics.h"
#include "parking.h"

static int put_states(struct buffer *buffer, const struct lease_counts *counts)
{
	int r = openmetrics_put_family(buffer, "leases", "gauge", "Leases, by state.");

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(counts->by_state); i++)
		r = openmetrics_put_sample(buffer, "leases", "state", state_names[i],
					   counts->by_state[i]);
	return r;
}

static int put_counters(struct buffer *buffer, const struct leases *leases,
			const struct lease_counts *counts)
{
	int r = openmetrics_put_counter(buffer, "leases_granted", "Leases granted.",
					counts->granted);

	if (r >= 0)
		r = openmetrics_put_counter(buffer, "leases_refused",
					    "Leases asked for and not granted.", leases->n_refused);
	if (r >= 0)
		r = openmetrics_put_counter(buffer, "leases_ended",
					    "Leases that are over, expired ones included.",
					    counts->ended);
	if (r >= 0)
		r = openmetrics_put_counter(buffer, "leases_expired",
					    "Leases that ended by their time.", counts->expired);
	return r;
}

static int put_ports(struct buffer *buffer, const struct lease_counts *counts)
{
	int r = openmetrics_put_gauge(buffer, "lease_pool_ports", "Ports in the pool.",
				      (double)counts->pool_size);

	if (r >= 0)
		r = openmetrics_put_gauge(buffer, "lease_pool_free_ports",
					  "Ports of the pool that can be leased.",
					  (double)counts->pool_free);
	if (r >= 0)
		r = openmetrics_put_gauge(buffer, "lease_pool_refused_ports",
					  "Ports of the pool that somebody has without a lease, "
					  "as of a few seconds ago.",
					  (double)counts->pool_refused);
	if (r >= 0)
		r = openmetrics_put_gauge(buffer, "lease_lost_ports",
					  "Leased ports that somebody else took.",
					  (double)counts->lost);
	return r;
}

static int put_parking(struct buffer *buffer, const struct leases *leases)
{
	struct parking_counts counts = { 0 };

	if (leases->parking)
		parking_count(leases->parking, &counts);
	return openmetrics_put_gauge(buffer, "lease_parked_sockets",
				     "Sockets that the service manager keeps over a restart.",
				     (double)counts.alive);
}

int leases_put_metrics(struct buffer *buffer, const struct leases *leases)
{
	struct lease_counts counts;
	int r;

	lease_table_count(leases->table, &counts);
	r = put_states(buffer, &counts);
	if (r >= 0)
		r = put_counters(buffer, leases, &counts);
	if (r >= 0)
		r = put_ports(buffer, &counts);
	return r < 0 ? r : put_parking(buffer, leases);
}
