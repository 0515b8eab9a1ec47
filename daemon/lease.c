#include "lease-internal.h"

#include <string.h>

int lease_new(struct lease **ret_lease, const char *name, const char *address, size_t max_ports)
{
	size_t name_size = name ? strlen(name) + 1 : 0, address_size = strlen(address) + 1;
	struct lease *lease;
	char *text;

	lease = calloc(1, sizeof(*lease) + max_ports * sizeof(struct lease_port) + name_size +
				  address_size);
	if (!lease)
		return -ENOMEM;

	lease->ports = (struct lease_port *)(lease + 1);
	text = (char *)(lease->ports + max_ports);
	lease->address = memcpy(text, address, address_size);
	if (name)
		lease->name = memcpy(text + address_size, name, name_size);
	lease->expires_ms = LEASE_NEVER;
	list_init(&lease->link);
	list_init(&lease->user_link);
	list_init(&lease->owner_link);

	*ret_lease = lease;
	return 0;
}

void lease_freep(struct lease **lease)
{
	free(*lease);
}

void lease_add_port(struct lease *lease, uint16_t port, void *holder)
{
	size_t i = lease->n_ports++;

	while (i > 0 && lease->ports[i - 1].port > port)
		i--;
	memmove(&lease->ports[i + 1], &lease->ports[i],
		(lease->n_ports - 1 - i) * sizeof(struct lease_port));
	lease->ports[i] = (struct lease_port){ .port = port, .holder = holder };
}

struct lease_port *lease_find_port(const struct lease *lease, uint16_t port)
{
	size_t low = 0, high = lease->n_ports;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (lease->ports[middle].port == port)
			return &lease->ports[middle];
		if (lease->ports[middle].port < port)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static struct lease_user *find_user(const struct lease_table *table, uid_t uid)
{
	struct hash_link *link = hash_find(&table->by_uid, uid);

	return link ? container_of(link, struct lease_user, by_uid) : NULL;
}

struct lease_user *lease_user_get(struct lease_table *table, uid_t uid)
{
	struct lease_user *user = find_user(table, uid);

	if (user)
		return user;

	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;

	user->uid = uid;
	list_init(&user->leases);
	hash_add(&table->by_uid, &user->by_uid, uid);
	return user;
}

void lease_user_put(struct lease_table *table, struct lease_user *user)
{
	if (!user || !list_empty(&user->leases))
		return;

	hash_remove(&table->by_uid, &user->by_uid);
	free(user);
}

int lease_table_configure(struct lease_table *table, const struct lease_config *config)
{
	struct lease *lease;
	struct pool pool;
	int r;

	r = pool_init(&pool, config->pool, config->n_pool);
	if (r < 0)
		return r;

	list_for_each (lease, &table->leases, link)
		for (size_t i = 0; i < lease->n_ports; i++)
			pool_take(&pool, lease->ports[i].port);

	pool_deinit(&table->pool);
	table->pool = pool;
	table->quarantine_ms = config->quarantine_ms;
	table->claim_grace_ms = config->claim_grace_ms;
	return 0;
}

static void table_freep(struct lease_table **table)
{
	lease_table_free(*table);
}

int lease_table_new(struct lease_table **ret_table, const struct lease_config *config,
		    const struct lease_ops *ops, void *userdata)
{
	_cleanup_(table_freep) struct lease_table *table = NULL;
	int r;

	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;

	table->ops = ops;
	table->userdata = userdata;
	list_init(&table->leases);

	table->by_port = calloc(UINT16_MAX + 1, sizeof(struct lease *));
	if (!table->by_port)
		return -ENOMEM;

	r = names_init(&table->names, ops->random(userdata));
	if (r < 0)
		return r;

	if (hash_init(&table->by_id) < 0 || hash_init(&table->by_name) < 0 ||
	    hash_init(&table->by_uid) < 0)
		return -ENOMEM;

	r = lease_table_configure(table, config);
	if (r < 0)
		return r;

	*ret_table = steal(table);
	return 0;
}

void lease_table_free(struct lease_table *table)
{
	struct lease *lease, *following;

	if (!table)
		return;

	list_for_each_safe (lease, following, &table->leases, link) {
		lease_drop_ports(table, lease);
		lease_remove(table, lease);
	}
	hash_deinit(&table->by_id);
	hash_deinit(&table->by_name);
	hash_deinit(&table->by_uid);
	heap_deinit(&table->deadlines);
	names_deinit(&table->names);
	pool_deinit(&table->pool);
	free(table->by_port);
	free(table);
}

static struct lease *find_id(const struct lease_table *table, uint64_t id)
{
	struct hash_link *link = hash_find(&table->by_id, id);

	return link ? container_of(link, struct lease, by_id) : NULL;
}

struct lease *lease_table_find(const struct lease_table *table, uint64_t id)
{
	struct lease *lease = find_id(table, id);

	return lease && !lease_is_over(lease) ? lease : NULL;
}

struct lease *lease_table_find_for(const struct lease_table *table, uint64_t id, uid_t uid)
{
	struct lease *lease = lease_table_find(table, id);

	return lease && (uid == 0 || lease->uid == uid) ? lease : NULL;
}

struct lease *lease_table_find_port(const struct lease_table *table, uint16_t port)
{
	return table->by_port[port];
}

struct lease *lease_find_named(const struct lease_table *table, uid_t uid, const char *name)
{
	struct hash_link *link = hash_find(&table->by_name, names_key(&table->names, uid, name));

	for (; link; link = hash_find_next(link)) {
		struct lease *lease = container_of(link, struct lease, by_name);

		if (lease->uid == uid && strcmp(lease->name, name) == 0)
			return lease;
	}
	return NULL;
}

struct lease *lease_table_next(const struct lease_table *table, const struct lease *lease)
{
	const struct list *link = lease ? &lease->link : &table->leases;

	return link->next == &table->leases ? NULL : list_first(link, struct lease, link);
}

struct lease *lease_table_next_of(const struct lease_table *table, uid_t uid,
				  const struct lease *lease)
{
	const struct lease_user *user = lease ? lease->user : find_user(table, uid);
	const struct list *link;

	if (!user)
		return NULL;

	link = lease ? &lease->user_link : &user->leases;
	return link->next == &user->leases ? NULL : list_first(link, struct lease, user_link);
}

size_t lease_table_charge(const struct lease_table *table, uid_t uid)
{
	const struct lease_user *user = find_user(table, uid);

	return user ? user->n_ports : 0;
}

void lease_table_count(const struct lease_table *table, struct lease_counts *ret_counts)
{
	*ret_counts = table->counts;
	ret_counts->names = table->names.hash.n_members;
	ret_counts->pool_size = table->pool.size;
	ret_counts->pool_free = table->pool.n_free;
	ret_counts->pool_refused = table->pool.n_refused;
}

size_t lease_table_choice(const struct lease_table *table)
{
	return table->choice;
}

const struct name *lease_table_next_name(const struct lease_table *table, const struct name *name)
{
	const struct list *link = name ? &name->age_link : &table->names.by_age;

	return link->next == &table->names.by_age ? NULL : list_first(link, struct name, age_link);
}
