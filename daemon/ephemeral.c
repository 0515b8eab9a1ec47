#include "ephemeral.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSCTL "/proc/sys/net/ipv4/"

/* 0, or -ENOENT where the kernel has no such setting. */
static int read_range(unsigned *ret_first, unsigned *ret_last)
{
	FILE *file = fopen(SYSCTL "ip_local_port_range", "re");
	int n;

	if (!file)
		return -ENOENT;
	n = fscanf(file, "%u %u", ret_first, ret_last);
	fclose(file);
	return n == 2 ? 0 : -ENOENT;
}

/* Written as our own lists are. What can't be read is none. */
static void read_reserved(struct portlist *ret_ports)
{
	FILE *file = fopen(SYSCTL "ip_local_reserved_ports", "re");
	char *line = NULL;
	const char *why;
	size_t size = 0;

	*ret_ports = (struct portlist){ 0 };
	if (!file)
		return;
	if (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		(void)portlist_parse(ret_ports, line, &why);
	}
	free(line);
	fclose(file);
}

void ephemeral_check_pool(const struct portlist *pool)
{
	struct portlist_cursor cursor = { 0 };
	struct portlist reserved;
	unsigned first, last;
	uint16_t port;

	if (read_range(&first, &last) < 0)
		return;
	read_reserved(&reserved);
	while ((port = portlist_next(pool, &cursor)))
		if (port >= first && port <= last && !portlist_contains(&reserved, port))
			break;
	if (port)
		log_warning(
			"the pool overlaps ip_local_port_range (%u-%u), and connections of this "
			"host may have ports of it; give another --pool, or put it into "
			"ip_local_reserved_ports",
			first, last);
	portlist_deinit(&reserved);
}
