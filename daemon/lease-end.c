/* How leases go on and end: renewal, listeners, deadlines, quarantine. */

#include "lease-internal.h"

void lease_drop_ports(struct lease_table *table, struct lease *lease)
{
	if (lease_is_over(lease))
		return;

	for (size_t i = 0; i < lease->n_ports; i++) {
		struct lease_port *port = &lease->ports[i];

		if (!port->lost)
			table->ops->drop(table->userdata, lease, port->port, port->holder);
		port->holder = NULL;
	}
}

void lease_remember(struct lease_table *table, const struct lease *lease)
{
	uint16_t ports[NAMES_PORTS_MAX];
	size_t n = 0;

	if (!lease->name)
		return;

	for (; n < lease->n_ports && n < NAMES_PORTS_MAX; n++)
		ports[n] = lease->ports[n].port;
	names_remember(&table->names, lease->uid, lease->name, ports, n);
}

int lease_table_renew(struct lease_table *table, struct lease *lease, int64_t ttl_ms,
		      int64_t now_ms)
{
	struct lease renewed = *lease;
	int r;

	if (ttl_ms < 0)
		return -EINVAL;
	if (lease_is_over(lease))
		return -ENOENT;

	if (ttl_ms > 0)
		renewed.ttl_ms = ttl_ms;
	if (renewed.ttl_ms == 0)
		return 0;
	if (lease->until != LEASE_CLAIMED || lease->state != LEASE_IN_USE)
		renewed.expires_ms = lease_deadline(now_ms, renewed.ttl_ms);

	r = lease_record(table, &renewed);
	if (r < 0)
		return r;

	lease->ttl_ms = renewed.ttl_ms;
	lease_set_expiry(table, lease, renewed.expires_ms);
	return 0;
}

/* Sets lease_port::listening anew. 0, or the error of what could not be told and is as it was. */
static int look(struct lease_table *table, struct lease *lease)
{
	int result = 0;

	for (size_t i = 0; i < lease->n_ports; i++) {
		struct lease_port *port = &lease->ports[i];
		int r = 0;

		/* Whoever listens on a lost port is not the one it was leased to. */
		if (!port->lost)
			r = table->ops->listens(table->userdata, lease, port->port);
		if (r < 0) {
			result = r;
			continue;
		}
		lease->n_listening -= port->listening;
		port->listening = r > 0;
		lease->n_listening += port->listening;
	}
	return result;
}

/* Ports that nobody listens on leave quarantine; as long as there are others it goes on. */
static void settle_quarantine(struct lease_table *table, struct lease *lease, int64_t now_ms)
{
	int64_t again = table->quarantine_ms;
	int r;

	r = look(table, lease);
	/* Without a quarantine, who listens is for whoever binds the port next to find out. */
	if (r >= 0 ? lease->n_listening == 0 : table->quarantine_ms == 0) {
		lease_erase(table, lease);
		return;
	}

	for (size_t i = lease->n_ports; r >= 0 && i > 0; i--)
		if (!lease->ports[i - 1].listening)
			lease_remove_port(table, lease, i - 1);

	if (again < LEASE_RECHECK_MS)
		again = LEASE_RECHECK_MS;
	lease_set_expiry(table, lease, lease_deadline(now_ms, again));
	lease_record(table, lease);
}

void lease_table_end(struct lease_table *table, struct lease *lease, int64_t now_ms)
{
	if (lease_is_over(lease))
		return;

	lease_drop_ports(table, lease);
	lease_set_state(table, lease, LEASE_QUARANTINED);
	lease_set_expiry(table, lease, lease_deadline(now_ms, table->quarantine_ms));
	lease_remember(table, lease);
	table->counts.ended++;

	/*
	 * Whether it could be written or not: the connection is closed or the process gone, and
	 * nobody is there to be told. A journal that missed it makes up for it before the next
	 * lease.
	 */
	lease_record(table, lease);
	if (table->quarantine_ms == 0)
		settle_quarantine(table, lease, now_ms);
}

void lease_table_end_owned(struct lease_table *table, struct list *owner, int64_t now_ms)
{
	while (!list_empty(owner))
		lease_table_end(table, list_first(owner, struct lease, owner_link), now_ms);
}

/* A lease that isn't over is told what look() saw. */
static void settle(struct lease_table *table, struct lease *lease, int64_t now_ms)
{
	bool claimed = lease->until == LEASE_CLAIMED;
	int64_t grace = table->claim_grace_ms;

	if (lease->n_listening > 0 && lease->state == LEASE_HELD) {
		lease_set_state(table, lease, LEASE_IN_USE);
		if (claimed)
			lease_set_expiry(table, lease, LEASE_NEVER);
	} else if (lease->n_listening == 0 && lease->state == LEASE_IN_USE) {
		if (lease->ttl_ms < grace)
			grace = lease->ttl_ms;
		lease_set_state(table, lease, LEASE_HELD);
		if (claimed)
			lease_set_expiry(table, lease, lease_deadline(now_ms, grace));
	} else {
		return;
	}

	/* Not written, it is only seen again after a restart. */
	lease_record(table, lease);
}

void lease_table_look(struct lease_table *table, struct lease *lease, int64_t now_ms)
{
	look(table, lease);
	if (!lease_is_over(lease))
		settle(table, lease, now_ms);
}

void lease_table_look_at_all(struct lease_table *table, int64_t now_ms)
{
	struct lease *lease;

	list_for_each (lease, &table->leases, link)
		lease_table_look(table, lease, now_ms);
}

int64_t lease_table_next_deadline(const struct lease_table *table)
{
	const struct heap_entry *first = heap_first(&table->deadlines);

	return first ? first->at_ms : LEASE_NEVER;
}

static void expire(struct lease_table *table, struct lease *lease, int64_t now_ms)
{
	int r;

	if (lease_is_over(lease)) {
		settle_quarantine(table, lease, now_ms);
		return;
	}

	if (lease->until == LEASE_CLAIMED) {
		r = look(table, lease);
		settle(table, lease, now_ms);
		if (lease->expires_ms > now_ms)
			return;

		/* Somebody may be listening, and then it would be wrong to end it. */
		if (r < 0) {
			lease_set_expiry(table, lease, now_ms + LEASE_RECHECK_MS);
			return;
		}
	}

	table->counts.expired++;
	lease_table_end(table, lease, now_ms);
}

size_t lease_table_expire(struct lease_table *table, int64_t now_ms, size_t max)
{
	size_t n = 0;

	for (; n < max && lease_table_next_deadline(table) <= now_ms; n++)
		expire(table, container_of(heap_first(&table->deadlines), struct lease, deadline),
		       now_ms);
	return n;
}
