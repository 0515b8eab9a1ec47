#include "cli.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum column {
	COLUMN_PROTOCOL,
	COLUMN_ADDRESS,
	COLUMN_STATE,
	COLUMN_UNIT,
	COLUMN_USER,
	COLUMN_PID,
	COLUMN_COMMAND,
	N_COLUMNS,
};

static const char *const heads[] = {
	"PROTO", "ADDRESS", "STATE", "UNIT", "USER", "PID", "COMMAND"
};

/* One line of the table; what isn't known is "-". */
struct line {
	char cells[N_COLUMNS][256];
};

static void fill_cell(struct line *line, enum column column, const char *text)
{
	snprintf(line->cells[column], sizeof(line->cells[column]), "%s", *text ? text : "-");
}

/* The sockets of a port are mostly one user's: `before` is the line before, or NULL. */
static void fill_user(struct line *line, const struct portscan_socket *sockets, size_t i,
		      const struct line *before)
{
	const struct passwd *user;

	if (before && sockets[i].uid == sockets[i - 1].uid) {
		fill_cell(line, COLUMN_USER, before->cells[COLUMN_USER]);
		return;
	}
	user = getpwuid((uid_t)sockets[i].uid);
	if (user)
		fill_cell(line, COLUMN_USER, user->pw_name);
	else
		snprintf(line->cells[COLUMN_USER], sizeof(line->cells[COLUMN_USER]), "%lld",
			 (long long)sockets[i].uid);
}

static void fill_line(struct line *line, const struct portscan_socket *sockets, size_t i,
		      const struct line *before)
{
	const struct portscan_socket *socket = &sockets[i];
	const char *protocol = portscan_protocol_name(socket->protocol);
	bool is_ipv6 = strchr(socket->address, ':');
	char pid[24] = "";

	if (socket->pid)
		snprintf(pid, sizeof(pid), "%lld", (long long)socket->pid);
	fill_cell(line, COLUMN_PROTOCOL, protocol ? protocol : "");
	snprintf(line->cells[COLUMN_ADDRESS], sizeof(line->cells[COLUMN_ADDRESS]), "%s%s%s:%u",
		 is_ipv6 ? "[" : "", socket->address, is_ipv6 ? "]" : "", (unsigned)socket->port);
	fill_cell(line, COLUMN_STATE, socket->state);
	fill_cell(line, COLUMN_UNIT, socket->unit);
	fill_user(line, sockets, i, before);
	fill_cell(line, COLUMN_PID, pid);
	fill_cell(line, COLUMN_COMMAND, socket->command);
}

static void print_lines(const struct line *lines, size_t n)
{
	int widths[N_COLUMNS];

	for (enum column column = 0; column < N_COLUMNS; column++) {
		widths[column] = (int)strlen(heads[column]);
		for (size_t i = 0; i < n; i++) {
			int width = (int)strlen(lines[i].cells[column]);

			if (width > widths[column])
				widths[column] = width;
		}
	}
	/* Nothing is behind the last. */
	widths[COLUMN_COMMAND] = 0;
	for (enum column column = 0; column < N_COLUMNS; column++)
		printf("%-*s%s", widths[column], heads[column],
		       column == COLUMN_COMMAND ? "\n" : "  ");
	for (size_t i = 0; i < n; i++)
		for (enum column column = 0; column < N_COLUMNS; column++)
			printf("%-*s%s", widths[column], lines[i].cells[column],
			       column == COLUMN_COMMAND ? "\n" : "  ");
}

static enum exit_status print_sockets(const struct portscan_who_result *result)
{
	struct line *lines = calloc(result->n_sockets, sizeof(*lines));

	if (!lines) {
		complain("out of memory");
		return EXIT_ERROR;
	}
	for (size_t i = 0; i < result->n_sockets; i++)
		fill_line(&lines[i], result->sockets, i, i > 0 ? &lines[i - 1] : NULL);
	print_lines(lines, result->n_sockets);
	free(lines);
	return EXIT_YES;
}

enum exit_status run_who(struct portscan *p, const struct options *options)
{
	struct portscan_who_args args = { .port = options->port, .protocol = options->protocol };
	struct portscan_who_result result;
	enum exit_status status;
	int r;

	r = portscan_who(p, &args, &result);
	if (r < 0)
		return complain_of(p, r);
	status = result.n_sockets > 0 ? EXIT_YES : EXIT_NO;
	if (options->json)
		print_json(p);
	else if (result.n_sockets > 0)
		status = print_sockets(&result);
	else
		printf("nobody has port %u\n", (unsigned)options->port);
	portscan_who_result_clear(&result);
	return status;
}
