#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What getopt_long() returns for an option is its id and this: 0, 1 and '?' mean something else. */
#define VALUE_FIRST 2

enum option_type {
	TYPE_NONE, /* of the program itself */
	TYPE_FLAG,
	TYPE_TEXT,
	TYPE_COUNT,
	TYPE_TIME,
	TYPE_VIA,
	TYPE_ORDER,
	TYPE_PROTOCOL,
	TYPE_HOLD,
	TYPE_UNTIL,
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
	[OPTION_COUNT] = { "count", "N", "so many ports (1)", TYPE_COUNT,
			   offsetof(struct options, count) },
	[OPTION_ORDER] = { "order", "O", "which: first, any or random (first)", TYPE_ORDER,
			   offsetof(struct options, order) },
	[OPTION_EXCLUDE] = { "exclude", "PORTS", "leave these out", TYPE_TEXT,
			     offsetof(struct options, exclude) },
	[OPTION_STRICT] = { "strict", NULL,
			    "nor is a port closed that is silent, or can't be bound", TYPE_FLAG,
			    offsetof(struct options, strict) },
	[OPTION_INCLUDE_LEASED] = { "include-leased", NULL, "leased ports are closed, too",
				    TYPE_FLAG, offsetof(struct options, include_leased) },
	[OPTION_DEADLINE] = { "deadline", "MS", "give up after this (30000)", TYPE_COUNT,
			      offsetof(struct options, deadline_ms) },
	[OPTION_INTERVAL] = { "interval", "MS", "look so often (50)", TYPE_COUNT,
			      offsetof(struct options, interval_ms) },
	[OPTION_PROTOCOL] = { "protocol", "P", "tcp, udp or both (of a lease: tcp)", TYPE_PROTOCOL,
			      offsetof(struct options, protocol) },
	[OPTION_TTL] = { "ttl", "MS", "how long it lasts (60000, where it has to be claimed)",
			 TYPE_TIME, offsetof(struct options, ttl_ms) },
	[OPTION_NAME] = { "name", "N", "asked for again, it is the same port", TYPE_TEXT,
			  offsetof(struct options, name) },
	[OPTION_ADDRESS] = { "address", "A", "of this host, to take it on (all)", TYPE_TEXT,
			     offsetof(struct options, address) },
	[OPTION_HOLD] = { "hold", "H", "shared, exclusive or none (shared)", TYPE_HOLD,
			  offsetof(struct options, hold) },
	[OPTION_UNTIL] = { "until", "U", "what ends it: claimed, process or released (claimed)",
			   TYPE_UNTIL, offsetof(struct options, until) },
	[OPTION_PID] = { "pid", "PID", "it lasts as long as this process", TYPE_COUNT,
			 offsetof(struct options, pid) },
	[OPTION_CONTIGUOUS] = { "contiguous", NULL, "ports in a row", TYPE_FLAG,
				offsetof(struct options, contiguous) },
	[OPTION_LISTEN] = { "listen", NULL, "hand over listening sockets, too", TYPE_FLAG,
			    offsetof(struct options, listen) },
	[OPTION_ALL] = { "all", NULL, "root: those of all users", TYPE_FLAG,
			 offsetof(struct options, all) },
};

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
static int parse_number(const char *option, const char *text, int64_t max, int64_t *ret)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || value < 1) {
		complain("--%s is \"%s\"; it must be a whole number, 1 or more", option, text);
		return -EINVAL;
	}
	if (errno || value > max) {
		complain("--%s is %s, which is more than can be asked for", option, text);
		return -EINVAL;
	}
	*ret = value;
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

static const char *hold_name(int value)
{
	return portscan_hold_name((enum portscan_hold)value);
}

static const char *until_name(int value)
{
	return portscan_until_name((enum portscan_until)value);
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
	int64_t number;

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
		if (parse_number(row->name, text, INT_MAX, &number) < 0)
			return -EINVAL;
		*(int *)member = (int)number;
		return 0;
	case TYPE_TIME:
		return parse_number(row->name, text, INT64_MAX, member);
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
	case TYPE_HOLD:
		options->hold = (enum portscan_hold)parse_name(row->name, text, hold_name);
		return options->hold ? 0 : -EINVAL;
	case TYPE_UNTIL:
		options->until = (enum portscan_until)parse_name(row->name, text, until_name);
		return options->until ? 0 : -EINVAL;
	}
	return -EINVAL;
}

/* "-3000": meant as ports. getopt_long() is behind the word only if it had but one digit. */
static const char *ports_with_dash(char *const *argv)
{
	const char *word = argv[optind];

	if (!word || word[0] != '-' || word[1] != optopt || !word[2])
		word = argv[optind - 1];
	return isdigit(optopt) && !word[1 + strspn(word + 1, "0123456789-,")] ? word : NULL;
}

static void complain_of_option(int c, char *const *argv)
{
	/* What getopt_long() stopped at: of a long option the whole word, of letters the one. */
	const char *word = argv[optind - 1];
	const char *ports = ports_with_dash(argv);

	if (c == ':')
		complain("%s needs an argument; see 'portscan --help'", word);
	else if (optopt >= VALUE_FIRST && optopt < VALUE_FIRST + N_OPTIONS)
		complain("%s takes no argument; see 'portscan --help'", word);
	else if (ports)
		complain("\"%s\" is no option; ports up to one are written 1%s", ports, ports);
	else if (optopt)
		complain("there is no option -%c; see 'portscan --help'", optopt);
	else
		complain("there is no option %s; see 'portscan --help'", word);
}

int options_parse(struct options *options, int argc, char **argv, unsigned *ret_given,
		  struct words *ret_words)
{
	struct option table[N_OPTIONS + 1] = { 0 };
	struct words words = { .words = argv + 1 };
	unsigned given = 0;
	int c;

	for (int id = 0; id < N_OPTIONS; id++)
		table[id] = (struct option){
			.name = option_table[id].name,
			.has_arg = option_table[id].argument ? required_argument : no_argument,
			.val = id + VALUE_FIRST,
		};
	opterr = 0;
	/* "-": words come as they are, each as the argument of an option 1. */
	while ((c = getopt_long(argc, argv, "-:h", table, NULL)) != -1) {
		enum option_id id = c == 'h' ? OPTION_HELP : (enum option_id)(c - VALUE_FIRST);

		if (c == 1) {
			words.words[words.n++] = optarg;
			continue;
		}
		if (c == '?' || c == ':') {
			complain_of_option(c, argv);
			return -EINVAL;
		}
		if (take_option(options, id, optarg) < 0)
			return -EINVAL;
		given |= BIT(id);
	}
	words.n_before = words.n;
	while (optind < argc)
		words.words[words.n++] = argv[optind++];
	words.words[words.n] = NULL;
	*ret_given = given;
	*ret_words = words;
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
