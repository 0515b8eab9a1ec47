#include "names.h"

#include <string.h>

int names_init(struct names *names, uint64_t seed)
{
	list_init(&names->by_age);
	names->seed = seed;
	return hash_init(&names->hash);
}

static void name_free(struct names *names, struct name *name)
{
	hash_remove(&names->hash, &name->link);
	list_remove(&name->age_link);
	free(name);
}

void names_deinit(struct names *names)
{
	struct name *name, *following;

	if (!names->hash.buckets)
		return;

	list_for_each_safe (name, following, &names->by_age, age_link)
		name_free(names, name);
	hash_deinit(&names->hash);
}

uint64_t names_key(const struct names *names, uid_t uid, const char *text)
{
	uint64_t key = names->seed ^ uid;

	for (; *text; text++)
		key = (key ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return key;
}

static struct name *find(const struct names *names, uid_t uid, const char *text)
{
	struct hash_link *link = hash_find(&names->hash, names_key(names, uid, text));

	for (; link; link = hash_find_next(link)) {
		struct name *name = container_of(link, struct name, link);

		if (name->uid == uid && strcmp(name->text, text) == 0)
			return name;
	}
	return NULL;
}

const struct name *names_find(const struct names *names, uid_t uid, const char *text)
{
	return find(names, uid, text);
}

void names_forget(struct names *names, uid_t uid, const char *text)
{
	struct name *name = find(names, uid, text);

	if (name)
		name_free(names, name);
}

int names_remember(struct names *names, uid_t uid, const char *text, const uint16_t *ports,
		   size_t n_ports)
{
	size_t size = strlen(text) + 1;
	struct name *name;

	if (n_ports > NAMES_PORTS_MAX)
		n_ports = NAMES_PORTS_MAX;

	name = malloc(sizeof(*name) + n_ports * sizeof(*ports) + size);
	if (!name)
		return -ENOMEM;

	/* Before the old one goes: `text` and `ports` may be its own. */
	name->uid = uid;
	name->n_ports = n_ports;
	name->ports = (uint16_t *)(name + 1);
	memcpy(name->ports, ports, n_ports * sizeof(*ports));
	name->text = (char *)(name->ports + n_ports);
	memcpy(name->text, text, size);

	names_forget(names, uid, name->text);
	if (names->hash.n_members >= NAMES_MAX)
		name_free(names, list_first(&names->by_age, struct name, age_link));

	hash_add(&names->hash, &name->link, names_key(names, uid, name->text));
	list_append(&names->by_age, &name->age_link);
	return 0;
}
