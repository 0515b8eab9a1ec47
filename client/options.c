#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_type {
	TYPE_NONE, /* of the program itself */
	TYPE_FLAG,
	TYPE_TEXT,
	TYPE_COUNT,
	TYPE_VIA,
	TYPE_ORDER,
	TYPE_PROTOCOL,
};

static const struct option_row {
	const char *name, *argument, *help;
	enum option_type type;
	size_t offset;
} option_table[N_OPTIONS] = {
	[OPTION_HELP] = { "help", NULL, "print this and exit" },
	[OPTION_VERSION] = { "version", NULL, "print the version and exit" },
	[OPTION_SOCKET] = { "socket", "ADDRESS", "of the daemon: a path, or @NAME", TYPE_TEXT,
			    offsetof(struct options, socket) },
	[OPTION_JSON] = { "json", NULL, "print the result as one line of JSON", TYPE_FLAG,
			  offsetof(struct options, json) },
	[OPTION_TIMEOUT] = { "timeout", "MS", "wait so long for a port's answer (400)", TYPE_COUNT,
			     offsetof(struct options, timeout_ms) },
	[OPTION_VIA] = { "via", "V", "how: connect, or on this host table or bind (connect)",
			 TYPE_VIA, offsetof(struct options, via) },
	[OPTION_OPEN] = { "open", NULL, "look for open ports", TYPE_FLAG,
			  offsetof(struct options, open) },
	[OPTION_CLOSED] = { "closed", NULL, "look for closed ports", TYPE_FLAG,
			    offsetof(struct options, closed) },
	[OPTION_COUNT] = { "count", "N", "find so many ports (1)", TYPE_COUNT,
			   offsetof(struct options, count) },
	[OPTION_ORDER] = { "order", "O", "which: first, any or random (first)", TYPE_ORDER,
			   offsetof(struct options, order) },
	[OPTION_EXCLUDE] = { "exclude", "PORTS", "leave these out", TYPE_TEXT,
			     offsetof(struct options, exclude) },
	[OPTION_STRICT] = { "strict", NULL, "a port that does not answer is not closed", TYPE_FLAG,
			    offsetof(struct options, strict) },
	[OPTION_INCLUDE_LEASED] = { "include-leased", NULL, "leased ports are closed, too",
				    TYPE_FLAG, offsetof(struct options, include_leased) },
	[OPTION_DEADLINE] = { "deadline", "MS", "give up after this (30000)", TYPE_COUNT,
			      offsetof(struct options, deadline_ms) },
	[OPTION_INTERVAL] = { "interval", "MS", "look so often (50)", TYPE_COUNT,
			      offsetof(struct options, interval_ms) },
	[OPTION_PROTOCOL] = { "protocol", "P", "tcp, udp or both (both)", TYPE_PROTOCOL,
			      offsetof(struct options, protocol) },
};

static const char *const synopses[] = {
	[ARGUMENTS_NONE] = "",
	[ARGUMENTS_PORT] = " [HOST] PORT",
	[ARGUMENTS_PORTS] = " [HOST] PORTS",
	[ARGUMENTS_OPTIONAL_PORTS] = " [HOST] [PORTS]",
	[ARGUMENTS_LOCAL_PORT] = " PORT",
	[ARGUMENTS_CALL] = " METHOD [JSON]",
};

const char *arguments_synopsis(const struct command *command)
{
	return synopses[command->arguments];
}

void options_print(unsigned options)
{
	for (int id = 0; id < N_OPTIONS; id++) {
		char text[40];

		if (!(options & BIT(id)))
			continue;
		snprintf(text, sizeof(text), "--%s%s%s", option_table[id].name,
			 option_table[id].argument ? " " : "",
			 option_table[id].argument ? option_table[id].argument : "");
		printf("  %-18s %s\n", text, option_table[id].help);
	}
}

/* Takes a whole number from 1 on; what is the most is the daemon's to say. */
static int parse_count(const char *option, const char *text, int *ret)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || value < 1 || value > INT_MAX) {
		complain("--%s is \"%s\"; it must be a whole number, 1 or more", option, text);
		return -EINVAL;
	}
	*ret = (int)value;
	return 0;
}

typedef const char *name_fn(int value);

static const char *via_name(int value)
{
	return portscan_via_name((enum portscan_via)value);
}

static const char *order_name(int value)
{
	return portscan_order_name((enum portscan_order)value);
}

static const char *protocol_name(int value)
{
	return portscan_protocol_name((enum portscan_protocol)value);
}

/* The value that `text` names; 0 is none of them. */
static int parse_name(const char *option, const char *text, name_fn *name)
{
	for (int value = 1; name(value); value++)
		if (strcmp(name(value), text) == 0)
			return value;
	fprintf(stderr, "portscan: --%s is \"%s\"; it must be one of", option, text);
	for (int value = 1; name(value); value++)
		fprintf(stderr, "%s %s", value > 1 ? "," : "", name(value));
	fputc('\n', stderr);
	return 0;
}

static int take_option(struct options *options, enum option_id id, const char *text)
{
	const struct option_row *row = &option_table[id];
	void *member = (char *)options + row->offset;

	switch (row->type) {
	case TYPE_NONE:
		return 0;
	case TYPE_FLAG:
		*(bool *)member = true;
		return 0;
	case TYPE_TEXT:
		*(const char **)member = text;
		return 0;
	case TYPE_COUNT:
		return parse_count(row->name, text, member);
	case TYPE_VIA:
		options->via = (enum portscan_via)parse_name(row->name, text, via_name);
		return options->via ? 0 : -EINVAL;
	case TYPE_ORDER:
		options->order = (enum portscan_order)parse_name(row->name, text, order_name);
		return options->order ? 0 : -EINVAL;
	case TYPE_PROTOCOL:
		options->protocol =
			(enum portscan_protocol)parse_name(row->name, text, protocol_name);
		return options->protocol ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static void complain_of_option(int c, char *const *argv)
{
	/* What getopt_long() stopped at: of a long option the whole word, of letters the one. */
	const char *word = argv[optind - 1];

	if (c == ':')
		complain("%s needs an argument; see 'portscan --help'", word);
	else if (optopt >= 1 && optopt <= N_OPTIONS)
		complain("%s takes no argument; see 'portscan --help'", word);
	else if (optopt)
		complain("there is no option -%c; see 'portscan --help'", optopt);
	else
		complain("there is no option %s; see 'portscan --help'", word);
}

/*
 * All options, in any order and before the command too; what is left of `argv` from optind on are
 * the command and its arguments. The bits of those given are in *ret_given.
 */
int options_parse(struct options *options, int argc, char **argv, unsigned *ret_given)
{
	struct option table[N_OPTIONS + 1] = { 0 };
	unsigned given = 0;
	int c;

	/* From 1 on: 0 and '?' mean something else to getopt_long(). */
	for (int id = 0; id < N_OPTIONS; id++)
		table[id] = (struct option){
			.name = option_table[id].name,
			.has_arg = option_table[id].argument ? required_argument : no_argument,
			.val = id + 1,
		};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
		enum option_id id = c == 'h' ? OPTION_HELP : (enum option_id)(c - 1);

		if (c == '?' || c == ':') {
			complain_of_option(c, argv);
			return -EINVAL;
		}
		if (take_option(options, id, optarg) < 0)
			return -EINVAL;
		given |= BIT(id);
	}
	*ret_given = given;
	return 0;
}

/* Arguments */

static bool is_digits(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

static bool is_port_list(const char *text)
{
	return isdigit((unsigned char)text[0]) && text[strspn(text, "0123456789-,")] == '\0';
}

/* Where in "localhost:8080" or "[::1]:8080" the colon before the port is, or NULL. */
static const char *find_port_part(const char *text)
{
	const char *colon = strrchr(text, ':');

	if (!colon || colon == text || !is_digits(colon + 1))
		return NULL;
	if (strchr(text, ':') != colon && colon[-1] != ']')
		return NULL;
	return colon;
}

static int parse_port(const struct command *command, const char *text, uint16_t *ret_port)
{
	unsigned long port;

	if (!is_digits(text)) {
		complain(
			"%s takes one port, and \"%s\" is more than one; 'portscan help scan' looks "
			"at many",
			command->name, text);
		return -EINVAL;
	}
	port = strtoul(text, NULL, 10);
	if (port < 1 || port > UINT16_MAX) {
		complain("\"%s\" is no port; ports are 1 to 65535", text);
		return -EINVAL;
	}
	*ret_port = (uint16_t)port;
	return 0;
}

/* For an argument that is no port, where there should be one. */
static void complain_of_port(const struct command *command, const char *text)
{
	bool is_one =
		command->arguments == ARGUMENTS_PORT || command->arguments == ARGUMENTS_LOCAL_PORT;
	const char *what = is_one ? "PORT" : "PORTS";

	if (!text)
		complain("%s needs %s, as in: portscan %s 8080", command->name, what,
			 command->name);
	else if (!*text || (isdigit((unsigned char)text[0]) && !strpbrk(text, ".:")))
		complain("\"%s\" is no port; a port is digits and nothing else, 1 to 65535", text);
	else
		complain("%s needs %s after the host \"%s\", as in: portscan %s %s 8080",
			 command->name, what, text, command->name, text);
}

static int take_host(struct options *options, const struct command *command, const char *text)
{
	const char *colon = find_port_part(text);
	bool is_bracketed = text[0] == '[' && colon && colon[-1] == ']';

	if (command->arguments == ARGUMENTS_LOCAL_PORT) {
		complain("\"%s\" is no port; %s takes a port of this host, 1 to 65535", text,
			 command->name);
		return -EINVAL;
	}
	if (colon) {
		complain(
			"\"%s\" is a host and a port in one; write them apart: portscan %s %.*s %s",
			text, command->name, (int)(colon - text) - 2 * is_bracketed,
			text + is_bracketed, colon + 1);
		return -EINVAL;
	}
	if (options->host) {
		complain("\"%s\" and \"%s\" are two hosts, or one of them is no port; see "
			 "'portscan help %s'",
			 options->host, text, command->name);
		return -EINVAL;
	}
	options->host = text;
	return 0;
}

/* [HOST] and the ports, whichever way round: which is which can be seen. */
static int take_target(struct options *options, const struct command *command, int n, char **words)
{
	for (int i = 0; i < n; i++) {
		if (!is_port_list(words[i])) {
			if (take_host(options, command, words[i]) < 0)
				return -EINVAL;
		} else if (options->ports) {
			complain("\"%s\" and \"%s\" are both ports; write them as one, such as "
				 "3000-3010 or 80,443",
				 options->ports, words[i]);
			return -EINVAL;
		} else {
			options->ports = words[i];
		}
	}
	if (!options->ports && command->arguments != ARGUMENTS_OPTIONAL_PORTS) {
		complain_of_port(command, options->host);
		return -EINVAL;
	}
	if (command->arguments == ARGUMENTS_PORT || command->arguments == ARGUMENTS_LOCAL_PORT)
		return parse_port(command, options->ports, &options->port);
	return 0;
}

int arguments_take(struct options *options, const struct command *command, int n, char **words)
{
	static const int n_max[] = {
		[ARGUMENTS_NONE] = 0,  [ARGUMENTS_PORT] = 2,           [ARGUMENTS_CALL] = 2,
		[ARGUMENTS_PORTS] = 2, [ARGUMENTS_OPTIONAL_PORTS] = 2, [ARGUMENTS_LOCAL_PORT] = 1,
	};

	if (n > n_max[command->arguments]) {
		complain("\"%s\" is one argument too many; usage: portscan %s%s",
			 words[n_max[command->arguments]], command->name,
			 arguments_synopsis(command));
		return -EINVAL;
	}
	if (command->arguments == ARGUMENTS_NONE)
		return 0;
	if (command->arguments != ARGUMENTS_CALL)
		return take_target(options, command, n, words);
	if (n == 0) {
		complain("call needs a METHOD, as in: portscan call info");
		return -EINVAL;
	}
	options->method = words[0];
	options->params = n > 1 ? words[1] : NULL;
	return 0;
}

int options_check(const struct command *command, unsigned given)
{
	for (int id = 0; id < N_OPTIONS; id++) {
		if (!(given & BIT(id) & ~command->options))
			continue;
		complain("%s does not take --%s; 'portscan help %s' lists what it takes",
			 command->name, option_table[id].name, command->name);
		return -EINVAL;
	}
	if (given & BIT(OPTION_OPEN) && given & BIT(OPTION_CLOSED)) {
		complain("--open and --closed exclude each other; leave one out");
		return -EINVAL;
	}
	return 0;
}
