#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const synopses[] = {
	[ARGUMENTS_NONE] = "",
	[ARGUMENTS_PORT] = " [HOST] PORT",
	[ARGUMENTS_PORTS] = " [HOST] PORTS",
	[ARGUMENTS_OPTIONAL_PORTS] = " [HOST] [PORTS]",
	[ARGUMENTS_LOCAL_PORT] = " PORT",
	[ARGUMENTS_LOCAL_PORTS] = " [PORTS]",
	[ARGUMENTS_LEASE] = " LEASE",
	[ARGUMENTS_RUN] = " [PORTS] -- COMMAND",
	[ARGUMENTS_CALL] = " METHOD [JSON]",
};

const char *arguments_synopsis(const struct command *command)
{
	return synopses[command->arguments];
}

static bool is_digits(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

static bool is_port_list(const char *text)
{
	return isdigit((unsigned char)text[0]) && text[strspn(text, "0123456789-,")] == '\0';
}

/* Whether somebody meant ports by it: nothing but what lists are made of, and blanks. */
static bool is_meant_as_ports(const char *text)
{
	return *text && text[strspn(text, "0123456789-, \t")] == '\0';
}

/* The address in "[::1]", as it is printed and as it is in URLs. */
static char *strip_brackets(char *text)
{
	size_t last = strlen(text) - 1;

	if (text[0] != '[' || text[last] != ']' || !strchr(text, ':'))
		return text;
	text[last] = '\0';
	return text + 1;
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

static bool takes_one(const struct command *command)
{
	return command->arguments == ARGUMENTS_PORT || command->arguments == ARGUMENTS_LOCAL_PORT;
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
	const char *what = takes_one(command) ? "PORT" : "PORTS";

	if (!text)
		complain("%s needs %s, as in: portscan %s 8080", command->name, what,
			 command->name);
	else if (!*text || (isdigit((unsigned char)text[0]) && !strpbrk(text, ".:")))
		complain("\"%s\" is no port; a port is digits and nothing else, 1 to 65535", text);
	else
		complain("%s needs %s after the host \"%s\", as in: portscan %s %s 8080",
			 command->name, what, text, command->name, text);
}

static int take_host(struct options *options, const struct command *command, char *text)
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
	options->host = *text ? strip_brackets(text) : text;
	return 0;
}

static int complain_of_list(const struct command *command, const char *text)
{
	if (takes_one(command))
		complain("\"%s\" is no port; a port is digits and nothing else, 1 to 65535", text);
	else
		complain(
			"\"%s\" are no ports; write them as 3000-3010,8080, without blanks, and up to one "
			"as 1-3010",
			text);
	return -EINVAL;
}

/* [HOST] and the ports, whichever way round: which is which can be seen. */
static int take_target(struct options *options, const struct command *command, int n, char **words)
{
	for (int i = 0; i < n; i++) {
		if (!is_port_list(words[i]) && is_meant_as_ports(words[i])) {
			return complain_of_list(command, words[i]);
		} else if (!is_port_list(words[i])) {
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
	if (takes_one(command))
		return parse_port(command, options->ports, &options->port);
	return 0;
}

/* [PORTS], of this host. */
static int take_ports(struct options *options, const struct command *command, int n, char **words)
{
	if (n == 0)
		return 0;
	if (!is_port_list(words[0]) && is_meant_as_ports(words[0]))
		return complain_of_list(command, words[0]);
	if (!is_port_list(words[0])) {
		complain("\"%s\" are no ports; write them as 3000-3010 or 80,443, or see 'portscan "
			 "help %s'",
			 words[0], command->name);
		return -EINVAL;
	}
	options->ports = words[0];
	return 0;
}

static int take_lease_id(struct options *options, const struct command *command, int n,
			 char **words)
{
	if (n == 0 || !*words[0]) {
		complain("%s needs a LEASE; 'portscan leases' tells which there are",
			 command->name);
		return -EINVAL;
	}
	options->lease = words[0];
	return 0;
}

static int take_call(struct options *options, int n, char **words)
{
	if (n == 0 || !*words[0]) {
		complain("call needs a METHOD, as in: portscan call info");
		return -EINVAL;
	}
	options->method = words[0];
	options->params = n > 1 ? words[1] : NULL;
	return 0;
}

/* Which word is the first of the command to run can't be seen but by the "--". */
static int take_command(struct options *options, const struct command *command, struct words *words)
{
	if (words->n == words->n_before) {
		complain("%s needs -- and a COMMAND, as in: portscan %s -- ./server --port {port}",
			 command->name, command->name);
		return -EINVAL;
	}
	options->command = words->words + words->n_before;
	words->n = words->n_before;
	return 0;
}

int arguments_take(struct options *options, const struct command *command,
		   const struct words *words_)
{
	static const int n_max[] = {
		[ARGUMENTS_NONE] = 0,       [ARGUMENTS_PORT] = 2,
		[ARGUMENTS_PORTS] = 2,      [ARGUMENTS_OPTIONAL_PORTS] = 2,
		[ARGUMENTS_LOCAL_PORT] = 1, [ARGUMENTS_LEASE] = 1,
		[ARGUMENTS_RUN] = 1,        [ARGUMENTS_LOCAL_PORTS] = 1,
		[ARGUMENTS_CALL] = 2,
	};
	struct words words = *words_;
	char **arguments = words.words + 1;
	int n;

	if (command->arguments == ARGUMENTS_RUN && take_command(options, command, &words) < 0)
		return -EINVAL;
	n = words.n - 1;
	if (n > n_max[command->arguments]) {
		complain("\"%s\" is one argument too many; usage: portscan %s%s",
			 arguments[n_max[command->arguments]], command->name,
			 arguments_synopsis(command));
		return -EINVAL;
	}
	switch (command->arguments) {
	case ARGUMENTS_NONE:
		break;
	case ARGUMENTS_PORT:
	case ARGUMENTS_PORTS:
	case ARGUMENTS_OPTIONAL_PORTS:
	case ARGUMENTS_LOCAL_PORT:
		return take_target(options, command, n, arguments);
	case ARGUMENTS_LOCAL_PORTS:
	case ARGUMENTS_RUN:
		return take_ports(options, command, n, arguments);
	case ARGUMENTS_LEASE:
		return take_lease_id(options, command, n, arguments);
	case ARGUMENTS_CALL:
		return take_call(options, n, arguments);
	}
	return 0;
}
