/* Where leases are linked, by id, name, port, user and deadline; and the counts that go with it. */

#include "lease-internal.h"

int lease_table_reserve(struct lease_table *table)
{
	return heap_reserve(&table->deadlines, table->by_id.n_members + 1);
}

static void count_state(struct lease_table *table, const struct lease *lease, bool in)
{
	size_t one = in ? 1 : SIZE_MAX; /* adding SIZE_MAX takes one away */

	table->counts.by_state[lease->state] += one;
	if (!lease_is_over(lease) && lease->until == LEASE_CLAIMED)
		table->counts.claimed += one;
}

static void link_live(struct lease_table *table, struct lease *lease)
{
	lease->user->n_ports += lease->n_ports;
	table->counts.lost += lease->n_lost;
	if (!lease->name)
		return;

	names_forget(&table->names, lease->uid, lease->name);
	hash_add(&table->by_name, &lease->by_name,
		 names_key(&table->names, lease->uid, lease->name));
}

static void unlink_live(struct lease_table *table, struct lease *lease)
{
	lease->user->n_ports -= lease->n_ports;
	table->counts.lost -= lease->n_lost;
	lease->n_lost = 0;
	for (size_t i = 0; i < lease->n_ports; i++)
		lease->ports[i].lost = false;

	list_remove(&lease->owner_link);
	if (lease->name)
		hash_remove(&table->by_name, &lease->by_name);
}

static void take_from_quarantine(struct lease_table *table, struct lease *lease, uint16_t port,
				 bool tell)
{
	if (lease->n_ports == 1) {
		if (tell)
			lease_erase(table, lease);
		else
			lease_remove(table, lease);
		return;
	}

	for (size_t i = 0; i < lease->n_ports; i++) {
		if (lease->ports[i].port == port) {
			lease_remove_port(table, lease, i);
			return;
		}
	}
}

void lease_insert(struct lease_table *table, struct lease *lease, struct lease_user *user,
		  bool tell)
{
	/*
	 * First, because a quarantined lease that loses its last port below takes its user with it
	 * if that has no other; and because erase() may be the moment to write down all leases.
	 */
	lease->user = user;
	list_append(&user->leases, &lease->user_link);
	list_append(&table->leases, &lease->link);

	for (size_t i = 0; i < lease->n_ports; i++) {
		uint16_t port = lease->ports[i].port;

		if (table->by_port[port])
			take_from_quarantine(table, table->by_port[port], port, tell);
		table->by_port[port] = lease;
		pool_take(&table->pool, port);
	}

	hash_add(&table->by_id, &lease->by_id, lease->id);
	count_state(table, lease, true);
	lease_set_expiry(table, lease, lease->expires_ms);
	if (!lease_is_over(lease))
		link_live(table, lease);
}

void lease_remove(struct lease_table *table, struct lease *lease)
{
	struct lease_user *user = lease->user;

	if (!lease_is_over(lease))
		unlink_live(table, lease);

	for (size_t i = 0; i < lease->n_ports; i++) {
		table->by_port[lease->ports[i].port] = NULL;
		pool_put(&table->pool, lease->ports[i].port);
	}

	count_state(table, lease, false);
	heap_remove(&table->deadlines, &lease->deadline);
	hash_remove(&table->by_id, &lease->by_id);
	list_remove(&lease->link);
	list_remove(&lease->user_link);
	lease_user_put(table, user);
	free(lease);
}

void lease_erase(struct lease_table *table, struct lease *lease)
{
	if (table->ops->erase)
		table->ops->erase(table->userdata, lease);
	lease_remove(table, lease);
}

void lease_remove_port(struct lease_table *table, struct lease *lease, size_t i)
{
	uint16_t port = lease->ports[i].port;

	table->by_port[port] = NULL;
	pool_put(&table->pool, port);
	lease->n_listening -= lease->ports[i].listening;
	lease->n_ports--;
	for (; i < lease->n_ports; i++)
		lease->ports[i] = lease->ports[i + 1];
}

void lease_set_state(struct lease_table *table, struct lease *lease, enum lease_state state)
{
	count_state(table, lease, false);
	if (state == LEASE_QUARANTINED)
		unlink_live(table, lease);
	lease->state = state;
	count_state(table, lease, true);
}

void lease_set_expiry(struct lease_table *table, struct lease *lease, int64_t expires_ms)
{
	lease->expires_ms = expires_ms;
	if (expires_ms == LEASE_NEVER)
		heap_remove(&table->deadlines, &lease->deadline);
	else
		heap_set(&table->deadlines, &lease->deadline, expires_ms);
}

void lease_table_set_owner(struct lease *lease, struct list *owner)
{
	list_remove(&lease->owner_link);
	if (owner)
		list_append(owner, &lease->owner_link);
}

int lease_record(struct lease_table *table, const struct lease *lease)
{
	return table->ops->record ? table->ops->record(table->userdata, lease) : 0;
}
