#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An error that is an answer to what was asked makes "no"; the sentence is told all the same. */
static enum exit_status complain_or_no(const struct portscan *p, int r, int code)
{
	const struct portscan_error *error = portscan_last_error(p);
	bool is_no = r == -EREMOTEIO && error && error->code == code;
	enum exit_status status = complain_of(p, r);

	return is_no ? EXIT_NO : status;
}

int take_lease(struct portscan *p, const struct options *options, enum portscan_until until,
	       struct portscan_lease_result *ret_result, enum exit_status *ret_status)
{
	struct portscan_lease_args args = {
		.ports = options->ports,
		.exclude = options->exclude,
		.count = options->count,
		.contiguous = options->contiguous,
		.protocol = options->protocol,
		.address = options->address,
		.hold = options->hold,
		.until = until,
		.pid = options->pid,
		.ttl_ms = options->ttl_ms,
		.name = options->name,
		.pass_fd = options->listen,
		.listen = options->listen,
	};
	int r;

	r = portscan_lease(p, &args, ret_result);
	if (r < 0)
		*ret_status = complain_or_no(p, r, PORTSCAN_ERROR_NO_PORT_AVAILABLE);
	return r;
}

/* What a command that ends at once can't be the reason for. */
static int check_until(const struct options *options)
{
	switch (options->until) {
	case PORTSCAN_UNTIL_CONNECTION:
		complain("--until connection would end with this command; use 'portscan run', or "
			 "--pid with the process that needs the port");
		return -EINVAL;
	case PORTSCAN_UNTIL_PROCESS:
		if (options->pid)
			return 0;
		complain("--until process needs to know which; in a shell: --pid $$");
		return -EINVAL;
	case PORTSCAN_UNTIL_CLAIMED:
	case PORTSCAN_UNTIL_RELEASED:
		break;
	}
	return 0;
}

enum exit_status run_lease(struct portscan *p, const struct options *options)
{
	enum portscan_until until = options->until;
	struct portscan_lease_result result;
	enum exit_status status;

	if (check_until(options) < 0)
		return EXIT_USAGE;
	if (options->pid && !until)
		until = PORTSCAN_UNTIL_PROCESS;
	if (take_lease(p, options, until, &result, &status) < 0)
		return status;
	if (options->json)
		print_json(p);
	for (size_t i = 0; !options->json && i < result.lease.n_ports; i++)
		printf("%u\n", (unsigned)result.lease.ports[i]);
	portscan_lease_result_clear(&result);
	return EXIT_YES;
}

enum exit_status run_renew(struct portscan *p, const struct options *options)
{
	struct portscan_renew_args args = { .lease = options->lease, .ttl_ms = options->ttl_ms };
	struct portscan_renew_result result;
	int r;

	r = portscan_renew(p, &args, &result);
	if (r < 0)
		return complain_or_no(p, r, PORTSCAN_ERROR_NO_SUCH_LEASE);
	portscan_renew_result_clear(&result);
	if (options->json)
		print_json(p);
	return EXIT_YES;
}

enum exit_status run_release(struct portscan *p, const struct options *options)
{
	struct portscan_release_args args = { .lease = options->lease };
	int r;

	r = portscan_release(p, &args);
	if (r < 0)
		return complain_or_no(p, r, PORTSCAN_ERROR_NO_SUCH_LEASE);
	if (options->json)
		print_json(p);
	return EXIT_YES;
}

/* Tables of leases */

/* How many characters of ports a column has before the rest is left out. */
#define PORTS_WIDTH 30

static const char *const heads[] = { "LEASE", "PORTS", "PROTO", "ADDRESS", "STATE",   "HOLD",
				     "UNTIL", "USER",  "PID",   "AGE",     "EXPIRES", "NAME" };

/*
 * Sorted ports as "3000-3010,8080", in memory of the caller's; NULL if there is none. Of very many
 * only the first, as in "3000,3002,... (200)": they are for people here.
 */
static char *describe_ports(const uint16_t *ports, size_t n)
{
	size_t size = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return NULL;
	for (size_t i = 0, last; i < n; i = last + 1) {
		if (i > 0 && ftell(stream) > PORTS_WIDTH) {
			fprintf(stream, ",... (%zu)", n);
			break;
		}
		for (last = i; last + 1 < n && ports[last + 1] == ports[last] + 1; last++)
			;
		fprintf(stream, "%s%u", i > 0 ? "," : "", (unsigned)ports[i]);
		if (last > i)
			fprintf(stream, "-%u", (unsigned)ports[last]);
	}
	if (fclose(stream) == 0)
		return text;
	free(text);
	return NULL;
}

static void add_ports(struct table *table, const char *before, const uint16_t *ports, size_t n)
{
	char *text = describe_ports(ports, n);

	if (text)
		table_add(table, "%s%s", before, text);
	else
		table->is_short = true;
	free(text);
}

/* As in "12s", "5m03s", "2h10m" and "3d04h"; -1: never. */
static void add_time(struct table *table, int64_t ms)
{
	long long s = (long long)(ms / 1000);

	if (ms < 0)
		table_add(table, "-");
	else if (s < 60)
		table_add(table, "%llds", s);
	else if (s < 3600)
		table_add(table, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		table_add(table, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		table_add(table, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

static void add_name_of(struct table *table, const char *name)
{
	table_add(table, "%s", name ? name : "");
}

static void add_lease(struct table *table, const struct portscan_lease_info *lease)
{
	table_add(table, "%s", lease->lease);
	add_ports(table, "", lease->ports, lease->n_ports);
	add_name_of(table, portscan_protocol_name(lease->protocol));
	table_add(table, "%s", lease->address);
	if (lease->n_lost > 0)
		add_ports(table, "lost:", lease->lost, lease->n_lost);
	else
		add_name_of(table, portscan_lease_state_name(lease->state));
	add_name_of(table, portscan_hold_name(lease->hold));
	add_name_of(table, portscan_until_name(lease->until));
	table_add_user(table, lease->uid);
	if (lease->pid)
		table_add(table, "%lld", (long long)lease->pid);
	else
		table_add(table, "-");
	add_time(table, lease->age_ms);
	add_time(table, lease->expires_in_ms);
	table_add(table, "%s", lease->name);
}

enum exit_status print_leases(const struct portscan_lease_info *leases, size_t n)
{
	enum exit_status status;
	struct table table;

	table_init(&table, heads, sizeof(heads) / sizeof(heads[0]));
	for (size_t i = 0; i < n; i++)
		add_lease(&table, &leases[i]);
	status = table_print(&table);
	table_deinit(&table);
	return status;
}

enum exit_status run_leases(struct portscan *p, const struct options *options)
{
	struct portscan_leases_args args = { .all = options->all };
	struct portscan_leases_result result;
	enum exit_status status = EXIT_YES;
	int r;

	r = portscan_leases(p, &args, &result);
	if (r < 0)
		return complain_of(p, r);
	if (options->json)
		print_json(p);
	else if (result.n_leases > 0)
		status = print_leases(result.leases, result.n_leases);
	portscan_leases_result_clear(&result);
	return status;
}
