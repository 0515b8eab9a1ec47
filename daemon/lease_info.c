#include "lease_info.h"

#include <stdio.h>
#include <string.h>

int lease_text_init(struct lease_text *ret_text, const struct lease *lease, int64_t now_ms)
{
	uint16_t *ports = calloc(lease->n_ports * 2 + 1, sizeof(*ports));
	struct lease_info *info = &ret_text->info;

	if (!ports)
		return -ENOMEM;
	snprintf(ret_text->id, sizeof(ret_text->id), "%016llx", (unsigned long long)lease->id);
	*info = (struct lease_info){
		.lease = ret_text->id,
		.name = lease->name,
		.protocol = (enum protocol)(lease->protocol + 1),
		.address = lease->address,
		.ports = ports,
		.n_ports = lease->n_ports,
		.hold = (enum hold)(lease->hold + 1),
		.until = (enum until)(lease->until + 1),
		.state = (enum state)(lease->state + 1),
		.uid = lease->uid,
		.pid = lease->pid,
		.age_ms = now_ms - lease->created_ms,
		.expires_in_ms = -1,
		.lost = ports + lease->n_ports,
	};
	if (lease->expires_ms != LEASE_NEVER)
		info->expires_in_ms = lease->expires_ms > now_ms ? lease->expires_ms - now_ms : 0;
	for (size_t i = 0; i < lease->n_ports; i++) {
		info->ports[i] = lease->ports[i].port;
		if (lease->ports[i].lost)
			info->lost[info->n_lost++] = lease->ports[i].port;
	}
	return 0;
}

void lease_text_deinit(struct lease_text *text)
{
	free(text->info.ports);
	text->info.ports = NULL;
}

int lease_id_parse(const char *text, uint64_t *ret_id)
{
	uint64_t id = 0;

	if (strlen(text) != 16)
		return -EINVAL;
	for (; *text; text++) {
		unsigned digit;

		if (*text >= '0' && *text <= '9')
			digit = (unsigned)(*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			digit = (unsigned)(*text - 'a' + 10);
		else
			return -EINVAL;
		id = id << 4 | digit;
	}
	*ret_id = id;
	return 0;
}
