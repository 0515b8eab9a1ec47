/* Leases from before a restart. */

#include "lease-internal.h"

#include <string.h>

static bool is_sound(const struct lease *lease)
{
	if (lease->id == 0 || lease->n_ports == 0 || lease->ttl_ms < 0 || lease->created_ms < 0 ||
	    lease->expires_ms < 0 || lease->address[0] == '\0' ||
	    strlen(lease->address) > LEASE_ADDRESS_MAX)
		return false;
	if (lease->name && (lease->name[0] == '\0' || strlen(lease->name) > LEASE_NAME_MAX))
		return false;

	/* One that never leaves quarantine would keep its ports for ever. */
	if (lease_is_over(lease) && lease->expires_ms == LEASE_NEVER)
		return false;

	for (size_t i = 0; i < lease->n_ports; i++)
		if (lease->ports[i].port <= (i ? lease->ports[i - 1].port : 0))
			return false;
	return true;
}

/* Whether `lease` can take the place of `old` (NULL: nothing) beside the others. */
static int check_conflicts(const struct lease_table *table, const struct lease *lease,
			   const struct lease *old)
{
	for (size_t i = 0; i < lease->n_ports; i++) {
		const struct lease *other = table->by_port[lease->ports[i].port];

		if (other && other != old && (!lease_is_over(other) || lease_is_over(lease)))
			return -EADDRINUSE;
	}

	if (lease->name && !lease_is_over(lease)) {
		const struct lease *other = lease_find_named(table, lease->uid, lease->name);

		if (other && other != old)
			return -EEXIST;
	}
	return 0;
}

static int copy(struct lease **ret_lease, const struct lease *from)
{
	struct lease *lease;
	int r;

	r = lease_new(&lease, from->name, from->address, from->n_ports);
	if (r < 0)
		return r;

	lease->id = from->id;
	lease->uid = from->uid;
	lease->pid = from->pid;
	lease->pid_tag = from->pid_tag;
	lease->passed = from->passed;
	lease->protocol = from->protocol;
	lease->hold = from->hold;
	lease->until = from->until;
	lease->state = from->state;
	lease->ttl_ms = from->ttl_ms;
	lease->created_ms = from->created_ms;
	lease->expires_ms = from->expires_ms;
	for (size_t i = 0; i < from->n_ports; i++)
		lease_add_port(lease, from->ports[i].port, NULL);

	/* Until lease_table_resume() nothing is held. */
	if (!lease_is_over(lease)) {
		lease->n_lost = lease->n_ports;
		for (size_t i = 0; i < lease->n_ports; i++)
			lease->ports[i].lost = true;
	}

	*ret_lease = lease;
	return 0;
}

int lease_table_restore(struct lease_table *table, const struct lease *from)
{
	_cleanup_(lease_freep) struct lease *lease = NULL;
	struct hash_link *link = hash_find(&table->by_id, from->id);
	struct lease *old = link ? container_of(link, struct lease, by_id) : NULL;
	struct lease_user *user;
	int r;

	if (!is_sound(from))
		return -EINVAL;

	r = check_conflicts(table, from, old);
	if (r < 0)
		return r;

	r = copy(&lease, from);
	if (r < 0)
		return r;

	r = lease_table_reserve(table);
	if (r < 0)
		return r;

	if (old)
		lease_remove(table, old);
	user = lease_user_get(table, lease->uid);
	if (!user)
		return -ENOMEM;

	lease_insert(table, lease, user, false);
	if (lease_is_over(lease))
		lease_remember(table, lease);
	steal(lease);
	return 0;
}

void lease_table_restore_gone(struct lease_table *table, uint64_t id)
{
	struct hash_link *link = hash_find(&table->by_id, id);

	if (link)
		lease_remove(table, container_of(link, struct lease, by_id));
}

int lease_table_restore_name(struct lease_table *table, uid_t uid, const char *name,
			     const uint16_t *ports, size_t n_ports)
{
	if (name[0] == '\0' || strlen(name) > LEASE_NAME_MAX || n_ports == 0)
		return -EINVAL;
	for (size_t i = 0; i < n_ports; i++)
		if (ports[i] == 0)
			return -EINVAL;

	return names_remember(&table->names, uid, name, ports, n_ports);
}

static void hold_missing(struct lease_table *table, struct lease *lease, bool listening_too)
{
	if (lease_is_over(lease))
		return;

	for (size_t i = 0; i < lease->n_ports; i++) {
		struct lease_port *port = &lease->ports[i];
		bool was_lost = port->lost;
		bool is_kept = !was_lost && !port->holder && lease->hold != LEASE_UNHELD;

		if (!was_lost && !(is_kept && (listening_too || !port->listening)))
			continue;
		port->lost = table->ops->hold_again(table->userdata, lease, port->port,
						    &port->holder) < 0;
		lease->n_lost += (size_t)port->lost - was_lost;
		table->counts.lost += (size_t)port->lost - was_lost;
	}
}

size_t lease_hold_lost(struct lease_table *table, struct lease *lease)
{
	/* The last look at who listens may be a while ago. */
	hold_missing(table, lease, true);
	return lease->n_lost;
}

size_t lease_table_hold_lost(struct lease_table *table)
{
	struct lease *lease;

	list_for_each (lease, &table->leases, link)
		hold_missing(table, lease, false);
	return table->counts.lost;
}

size_t lease_table_resume(struct lease_table *table, int64_t now_ms)
{
	struct lease *lease, *following;

	list_for_each_safe (lease, following, &table->leases, link)
		if (lease->until == LEASE_CONNECTION)
			lease_table_end(table, lease, now_ms);

	return lease_table_hold_lost(table);
}
