#include "sysctl_ports.h"

#include "util.h"

#include <stdio.h>
#include <string.h>

#define DIRECTORY "/proc/sys/net/ipv4/"

/* The caller frees *ret_line, without its LF. 0 or -errno. */
static int read_line(char **ret_line, const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (!file)
		return -errno;
	n = getline(&line, &size, file);
	fclose(file);
	if (n < 0) {
		free(line);
		return -ENODATA;
	}
	line[strcspn(line, "\n")] = '\0';
	*ret_line = line;
	return 0;
}

uint16_t sysctl_first_unprivileged_port(void)
{
	_cleanup_(freep) char *line = NULL;
	unsigned port;

	if (read_line(&line, DIRECTORY "ip_unprivileged_port_start") < 0 ||
	    sscanf(line, "%u", &port) != 1 || port > PORT_MAX)
		return 1024;
	return (uint16_t)port;
}

/* An empty list where nothing is reserved. */
static void read_reserved(struct portlist *ret_list)
{
	_cleanup_(freep) char *line = NULL;
	const char *why;

	*ret_list = (struct portlist){ 0 };
	if (read_line(&line, DIRECTORY "ip_local_reserved_ports") >= 0 && line[0])
		(void)portlist_parse(ret_list, line, &why);
}

uint16_t sysctl_find_ephemeral(const struct portlist *list)
{
	_cleanup_(freep) char *line = NULL;
	struct portlist_cursor cursor = { 0 };
	struct portlist reserved;
	unsigned first, last;
	uint16_t port;

	if (read_line(&line, DIRECTORY "ip_local_port_range") < 0 ||
	    sscanf(line, "%u %u", &first, &last) != 2)
		return 0;
	read_reserved(&reserved);
	do
		port = portlist_next(list, &cursor);
	while (port != 0 && (port < first || port > last || portlist_contains(&reserved, port)));
	portlist_deinit(&reserved);
	return port;
}
