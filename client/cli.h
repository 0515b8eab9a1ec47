/* cli.h: what the files of the command line share. Of ours they use portscan.h, and no more. */

#pragma once

#include "portscan.h"

enum exit_status {
	EXIT_YES = 0, /* open, found, done */
	EXIT_NO = 1,  /* closed, none found, deadline over */
	EXIT_USAGE = 2,
	EXIT_ERROR = 3,
	EXIT_NO_DAEMON = 4,
	/* Of run alone; all others are the command's. */
	EXIT_NOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
};

/* What was given, zeroed where it was not. */
struct options {
	const char *socket;
	bool json;
	int timeout_ms;
	enum portscan_via via;
	bool open, closed;
	int count;
	enum portscan_order order;
	const char *exclude;
	bool strict, include_leased;
	int deadline_ms, interval_ms;
	enum portscan_protocol protocol;
	int64_t ttl_ms;
	const char *name, *address;
	enum portscan_hold hold;
	enum portscan_until until;
	int pid;
	bool contiguous, listen, all;
	/* Arguments, of commands that have them. */
	const char *host;
	const char *ports;
	uint16_t port;
	const char *method;
	const char *params;
	const char *lease;
	char **command; /* NULL at its end */
};

/* Their names and what they do are in options.c. */
enum option_id {
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_SOCKET,
	OPTION_JSON,
	OPTION_TIMEOUT,
	OPTION_VIA,
	OPTION_OPEN,
	OPTION_CLOSED,
	OPTION_COUNT,
	OPTION_ORDER,
	OPTION_EXCLUDE,
	OPTION_STRICT,
	OPTION_INCLUDE_LEASED,
	OPTION_DEADLINE,
	OPTION_INTERVAL,
	OPTION_PROTOCOL,
	OPTION_TTL,
	OPTION_NAME,
	OPTION_ADDRESS,
	OPTION_HOLD,
	OPTION_UNTIL,
	OPTION_PID,
	OPTION_CONTIGUOUS,
	OPTION_LISTEN,
	OPTION_ALL,
	N_OPTIONS,
};

#define BIT(id) (1u << (id))

enum arguments {
	ARGUMENTS_NONE,
	ARGUMENTS_PORT,           /* [HOST] PORT */
	ARGUMENTS_PORTS,          /* [HOST] PORTS */
	ARGUMENTS_OPTIONAL_PORTS, /* [HOST] [PORTS] */
	ARGUMENTS_LOCAL_PORT,     /* PORT */
	ARGUMENTS_LOCAL_PORTS,    /* [PORTS] */
	ARGUMENTS_LEASE,          /* LEASE */
	ARGUMENTS_RUN,            /* [PORTS] -- COMMAND [ARGUMENT...] */
	ARGUMENTS_CALL,           /* METHOD [JSON] */
};

typedef enum exit_status command_fn(struct portscan *p, const struct options *options);

command_fn run_check, run_find, run_scan, run_wait, run_who, run_lease, run_run, run_renew,
	run_release, run_leases, run_info, run_metrics, run_call;

struct command {
	const char *name;
	enum arguments arguments;
	unsigned options; /* bits of those it takes */
	command_fn *run;
	const char *summary;
	const char *help;
	bool is_shared; /* a daemon of its own would be of no use to it */
};

/* What is no option. Together with a NULL they are an array. */
struct words {
	char **words;
	int n;        /* all of them, the command word being the first */
	int n_before; /* those before "--" */
};

/*
 * Takes all options out of `argv`, wherever they are before a "--"; *ret_words are in there. 0 and
 * the bits of those given; or -EINVAL, complained of.
 */
int options_parse(struct options *options, int argc, char **argv, unsigned *ret_given,
		  struct words *ret_words);

/* Whether `command` takes those given: 0, or -EINVAL, complained of. */
int options_check(const struct command *command, unsigned given);

/* Describes those options, one a line. */
void options_print(unsigned options);

/* Takes the arguments of `command` from the words. 0, or -EINVAL, complained of. */
int arguments_take(struct options *options, const struct command *command,
		   const struct words *words);

/* " [HOST] PORT" and the like. */
const char *arguments_synopsis(const struct command *command);

/* Prints the last call's result as one line of JSON. */
void print_json(struct portscan *p);

/* Prints "portscan: …" to stderr. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Complains of what a function of portscan.h returned, and says how to exit. */
enum exit_status complain_of(const struct portscan *p, int r);

/* Lines of cells, in columns that are as wide as they need to be. */
struct table {
	size_t n_columns;
	char **cells;
	size_t n_cells, n_rooms;
	bool is_short; /* of memory */
	int64_t last_uid;
	char last_user[64];
};

/* The heads are the first line. */
void table_init(struct table *table, const char *const *heads, size_t n_columns);
void table_deinit(struct table *table);

/* The next cell; what is empty is shown as "-". */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_add_user(struct table *table, int64_t uid);

/* EXIT_YES; or EXIT_ERROR, complained of. */
enum exit_status table_print(const struct table *table);

/* A table of leases; the same. */
enum exit_status print_leases(const struct portscan_lease_info *leases, size_t n);

/*
 * Adds pids and commands that the daemon didn't tell, of processes that this one may see: a user's
 * own, or for root all. The daemon is on this host. May block for as long as /proc takes.
 */
void find_processes(struct portscan_who_result *result);

/*
 * Takes the lease of the options, but `until`. 0 and *ret_result for the caller to clear; or
 * -errno, complained of, and how to exit.
 */
int take_lease(struct portscan *p, const struct options *options, enum portscan_until until,
	       struct portscan_lease_result *ret_result, enum exit_status *ret_status);

/* A line on a terminal's stderr that comes after half a second and goes at the end. */
struct progress {
	bool is_terminal;
	bool is_shown;
	int64_t start_ms;
};

void progress_init(struct progress *progress);

/* How long to wait before the line is to be drawn again, in milliseconds; -1: for ever. */
int progress_timeout(const struct progress *progress);

/* Draws the line, if it is time for one, cut off at the terminal's width. */
void progress_draw(struct progress *progress, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Takes the line away. */
void progress_clear(struct progress *progress);

/* Milliseconds since progress_init(). */
int64_t progress_elapsed_ms(const struct progress *progress);
