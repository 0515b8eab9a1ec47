#include "cli.h"

#include <stdio.h>
#include <string.h>

static const char *const heads[] = {
	"PROTO", "ADDRESS", "STATE", "UNIT", "USER", "PID", "COMMAND"
};

static void add_socket(struct table *table, const struct portscan_socket *socket)
{
	const char *protocol = portscan_protocol_name(socket->protocol);
	bool is_ipv6 = strchr(socket->address, ':');

	table_add(table, "%s", protocol ? protocol : "");
	table_add(table, "%s%s%s:%u", is_ipv6 ? "[" : "", socket->address, is_ipv6 ? "]" : "",
		  (unsigned)socket->port);
	table_add(table, "%s", socket->state);
	table_add(table, "%s", socket->unit);
	table_add_user(table, socket->uid);
	if (socket->pid)
		table_add(table, "%lld", (long long)socket->pid);
	else
		table_add(table, "-");
	table_add(table, "%s", socket->command);
}

static enum exit_status print_sockets(const struct portscan_who_result *result)
{
	enum exit_status status;
	struct table table;

	table_init(&table, heads, sizeof(heads) / sizeof(heads[0]));
	for (size_t i = 0; i < result->n_sockets; i++)
		add_socket(&table, &result->sockets[i]);
	status = table_print(&table);
	table_deinit(&table);
	return status;
}

static enum exit_status print_all(const struct portscan_who_result *result, bool is_leased)
{
	enum exit_status status = EXIT_YES;

	if (result->n_sockets > 0)
		status = print_sockets(result);
	if (result->n_sockets > 0 && is_leased)
		putchar('\n');
	if (is_leased && status == EXIT_YES)
		status = print_leases(&result->lease, 1);
	return status;
}

enum exit_status run_who(struct portscan *p, const struct options *options)
{
	struct portscan_who_args args = { .port = options->port, .protocol = options->protocol };
	struct portscan_who_result result;
	enum exit_status status = EXIT_YES;
	bool is_leased;
	int r;

	r = portscan_who(p, &args, &result);
	if (r < 0)
		return complain_of(p, r);
	if (!options->json)
		find_processes(&result);
	is_leased = result.lease.lease[0];
	if (result.n_sockets == 0 && !is_leased)
		status = EXIT_NO;
	if (options->json)
		print_json(p);
	else if (status == EXIT_YES)
		status = print_all(&result, is_leased);
	else
		printf("nobody has port %u\n", (unsigned)options->port);
	portscan_who_result_clear(&result);
	return status;
}
