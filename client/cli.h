/* cli.h: what the files of the command line share. Of ours they use portscan.h, and no more. */

#pragma once

#include "portscan.h"

enum exit_status {
	EXIT_YES = 0, /* open, found, done */
	EXIT_NO = 1,  /* closed, none found, deadline over */
	EXIT_USAGE = 2,
	EXIT_ERROR = 3,
	EXIT_NO_DAEMON = 4,
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
	/* Arguments, of commands that have them. */
	const char *host;
	const char *ports;
	uint16_t port;
	const char *method;
	const char *params;
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
	N_OPTIONS,
};

#define BIT(id) (1u << (id))

enum arguments {
	ARGUMENTS_NONE,
	ARGUMENTS_PORT,           /* [HOST] PORT */
	ARGUMENTS_PORTS,          /* [HOST] PORTS */
	ARGUMENTS_OPTIONAL_PORTS, /* [HOST] [PORTS] */
	ARGUMENTS_LOCAL_PORT,     /* PORT */
	ARGUMENTS_CALL,           /* METHOD [JSON] */
};

typedef enum exit_status command_fn(struct portscan *p, const struct options *options);

command_fn run_check, run_find, run_scan, run_wait, run_who, run_info, run_metrics, run_call;

struct command {
	const char *name;
	enum arguments arguments;
	unsigned options; /* bits of those it takes */
	command_fn *run;
	const char *summary;
	const char *help;
};

/*
 * Takes all options out of the words, wherever they are; what is left of `argv` from optind on are
 * the command and its arguments. 0 and the bits of those given; or -EINVAL, complained of.
 */
int options_parse(struct options *options, int argc, char **argv, unsigned *ret_given);

/* Whether `command` takes those given: 0, or -EINVAL, complained of. */
int options_check(const struct command *command, unsigned given);

/* Describes those options, one a line. */
void options_print(unsigned options);

/* Takes the `n` arguments of `command`. 0, or -EINVAL, complained of. */
int arguments_take(struct options *options, const struct command *command, int n, char **words);

/* " [HOST] PORT" and the like. */
const char *arguments_synopsis(const struct command *command);

/* Prints the last call's result as one line of JSON. */
void print_json(struct portscan *p);

/* Prints "portscan: …" to stderr. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Complains of what a function of portscan.h returned, and says how to exit. */
enum exit_status complain_of(const struct portscan *p, int r);

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
