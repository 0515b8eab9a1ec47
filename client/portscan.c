#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define COMMON_OPTIONS (BIT(OPTION_HELP) | BIT(OPTION_VERSION) | BIT(OPTION_SOCKET))
#define PROBE_OPTIONS  (COMMON_OPTIONS | BIT(OPTION_JSON) | BIT(OPTION_TIMEOUT) | BIT(OPTION_VIA))
#define LEASE_OPTIONS                                                                              \
	(COMMON_OPTIONS | BIT(OPTION_COUNT) | BIT(OPTION_EXCLUDE) | BIT(OPTION_CONTIGUOUS) |       \
	 BIT(OPTION_PROTOCOL) | BIT(OPTION_ADDRESS) | BIT(OPTION_HOLD) | BIT(OPTION_TTL) |         \
	 BIT(OPTION_NAME))

/* Of commands whose answer depends much on how it is found. */
#define ABOUT_VIA                                                                                  \
	"On this host --via table asks the kernel who listens: hundreds of times as fast,\n"       \
	"and no service sees a connection; but ports that a firewall blocks, or redirects,\n"      \
	"are told as if it were not there. --via bind tries to bind each port, and so finds\n"     \
	"also those that are taken without anybody listening.\n\n"

static const struct command commands[] = {
	{ "check", ARGUMENTS_PORT, PROBE_OPTIONS, run_check, "is a port open or closed?",
	  "Exits with 0 if the port is open, with 1 if it is closed.\n\n"
	  "  portscan check 8080\n"
	  "  portscan check example.org 443 --timeout 2000\n" },
	{ "find", ARGUMENTS_PORTS,
	  PROBE_OPTIONS | BIT(OPTION_OPEN) | BIT(OPTION_CLOSED) | BIT(OPTION_COUNT) |
		  BIT(OPTION_ORDER) | BIT(OPTION_EXCLUDE) | BIT(OPTION_STRICT) |
		  BIT(OPTION_INCLUDE_LEASED),
	  run_find, "find closed (free) or open ports",
	  "Prints closed ports, one a line, or with --open those in use. Exits with 0 if any was\n"
	  "found, with 1 if there is none.\n\n" ABOUT_VIA "  portscan find 3000-\n"
	  "  portscan find 3000-3010,8080 --count 2 --exclude 3003\n" },
	{ "scan", ARGUMENTS_OPTIONAL_PORTS, PROBE_OPTIONS | BIT(OPTION_OPEN) | BIT(OPTION_CLOSED),
	  run_scan, "look at all ports of a host",
	  "Prints a table of the open ports, or with --closed of the closed ones, and the counts\n"
	  "last. PORTS are 1-65535 if not given.\n\n" ABOUT_VIA "  portscan scan\n"
	  "  portscan scan localhost 1-1024\n" },
	{ "wait", ARGUMENTS_PORT,
	  PROBE_OPTIONS | BIT(OPTION_OPEN) | BIT(OPTION_CLOSED) | BIT(OPTION_DEADLINE) |
		  BIT(OPTION_INTERVAL),
	  run_wait, "wait until a port is open, or closed",
	  "Exits with 0 as soon as the port is open (with --closed: closed), and with 1 when the\n"
	  "deadline is over.\n\n"
	  "  portscan wait 5432 --deadline 10000 && ./migrate\n" },
	{ "lease", ARGUMENTS_LOCAL_PORTS,
	  LEASE_OPTIONS | BIT(OPTION_JSON) | BIT(OPTION_UNTIL) | BIT(OPTION_PID), run_lease,
	  "may I have a port?",
	  "Prints a port that is nobody else's from now on, of PORTS or the daemon's pool; with\n"
	  "--count more of them, one a line. It is kept for a minute (--ttl) until somebody\n"
	  "listens on it, and then for as long as somebody does; so it outlives this command.\n"
	  "With --pid it is kept as long as that process lives, and with --until released until\n"
	  "it is given back. Exits with 1 if no such port is free.\n\n"
	  "  port=$(portscan lease) && ./server --port $port\n"
	  "  port=$(portscan lease 3000-3999 --pid $$)\n",
	  .is_shared = true },
	{ "run", ARGUMENTS_RUN, LEASE_OPTIONS | BIT(OPTION_LISTEN), run_run,
	  "run a command on a port of its own",
	  "Leases a port for as long as the command runs, and tells it the port: as $PORT, and in\n"
	  "place of {port} in its arguments; with --count as $PORT1 and on, {port1} and on. With\n"
	  "--listen the listening sockets come along, as from a service manager ($LISTEN_FDS).\n"
	  "The command takes the place of portscan: it has its pid, its signals and its exit\n"
	  "status. 126 and 127: the command can't be run, or isn't there; the others above only\n"
	  "if it was not run.\n\n"
	  "  portscan run -- ./server --port {port}\n"
	  "  portscan run --name web 8000-8999 -- npm start\n"
	  "  portscan run --listen -- ./socket-activated-server\n",
	  .is_shared = true },
	{ "renew", ARGUMENTS_LEASE, COMMON_OPTIONS | BIT(OPTION_JSON) | BIT(OPTION_TTL), run_renew,
	  "start the time of a lease anew", "Exits with 1 if you have no such lease.\n",
	  .is_shared = true },
	{ "release", ARGUMENTS_LEASE, COMMON_OPTIONS | BIT(OPTION_JSON), run_release,
	  "give a lease back", "Exits with 1 if you have no such lease.\n", .is_shared = true },
	{ "leases", ARGUMENTS_NONE, COMMON_OPTIONS | BIT(OPTION_JSON) | BIT(OPTION_ALL), run_leases,
	  "which leases have I?",
	  "Prints a table of your leases, and of those that are over but whose ports are not given\n"
	  "out yet (quarantined). A port that somebody else took while the daemon was away is lost.\n",
	  .is_shared = true },
	{ "who", ARGUMENTS_LOCAL_PORT, COMMON_OPTIONS | BIT(OPTION_JSON) | BIT(OPTION_PROTOCOL),
	  run_who, "who has a port of this host?",
	  "Prints the sockets of the port: those that listen first, then connections. PID and\n"
	  "COMMAND are told of your own processes, and root of all. A lease of yours comes last.\n"
	  "Exits with 0 if anybody has the port, with 1 if nobody has.\n\n"
	  "  portscan who 8080\n" },
	{ "info", ARGUMENTS_NONE, COMMON_OPTIONS | BIT(OPTION_JSON), run_info,
	  "which daemon answers", "" },
	{ "metrics", ARGUMENTS_NONE, COMMON_OPTIONS | BIT(OPTION_JSON), run_metrics,
	  "the daemon's counters, as OpenMetrics text", "" },
	{ "call", ARGUMENTS_CALL, COMMON_OPTIONS | BIT(OPTION_JSON), run_call,
	  "call any method of the daemon",
	  "JSON is an object with the parameters. The result is one line of JSON.\n\n"
	  "  portscan call check '{\"port\":22}'\n" },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

void complain(const char *format, ...)
{
	va_list arguments;

	fputs("portscan: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

enum exit_status complain_of(const struct portscan *p, int r)
{
	const struct portscan_error *error = portscan_last_error(p);

	switch (-r) {
	case EREMOTEIO:
		if (!error)
			break;
		complain("%s", error->message);
		return error->code == PORTSCAN_ERROR_INVALID_PARAMETER ? EXIT_USAGE : EXIT_ERROR;
	case ECONNRESET:
		complain(
			"the daemon has ended the connection; see its log, and whether you have very "
			"many open");
		return EXIT_NO_DAEMON;
	case EBADMSG:
		complain("what listens there is not portscand; see --socket and "
			 "$" PORTSCAN_SOCKET_VARIABLE);
		return EXIT_NO_DAEMON;
	case EMFILE:
		complain("%s; raise the limit of open files (ulimit -n)", strerror(-r));
		return EXIT_ERROR;
	case EMSGSIZE:
		complain("the arguments are too long; ask for fewer ports at a time");
		return EXIT_USAGE;
	case EILSEQ:
		complain("an argument is not UTF-8; write it in UTF-8");
		return EXIT_USAGE;
	default:
		break;
	}
	complain("%s", strerror(-r));
	return EXIT_ERROR;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static enum exit_status complain_of_command(const char *name)
{
	fprintf(stderr, "portscan: there is no command \"%s\"; there are", name);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(stderr, "%s %s", i > 0 ? "," : "", commands[i].name);
	fputs(" and help\n", stderr);
	return EXIT_USAGE;
}

static void print_help(const struct command *command)
{
	if (command) {
		/* Behind a command to run all options are its own. */
		bool is_before = command->arguments == ARGUMENTS_RUN;

		printf("usage: portscan %s%s%s%s\n\n%s: %s\n\n%s", command->name,
		       is_before ? " [options]" : "", arguments_synopsis(command),
		       is_before ? "" : " [options]", command->name, command->summary,
		       command->help);
		if (*command->help)
			putchar('\n');
		options_print(command->options);
		return;
	}
	puts("usage: portscan COMMAND [arguments] [options]\n\n"
	     "Asks portscand, the daemon of this host or user, about the ports of any host.\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-8s%-20s %s\n", commands[i].name, arguments_synopsis(&commands[i]),
		       commands[i].summary);
	puts("  help     [COMMAND]           more about one of these\n");
	options_print(COMMON_OPTIONS);
	puts("\nPORTS are written 3000-3010,8080 or 3000-; an argument that is no ports is the HOST,\n"
	     "a name or an address (" PORTSCAN_HOST_DEFAULT ").\n\n"
	     "Exit status: 0 yes (open, found, done), 1 no (closed, none, deadline over), 2 wrong\n"
	     "usage, 3 an error, 4 no daemon. Where no daemon is, one is started for the command;\n"
	     "but leases need the one that all share.\n"
	     "$" PORTSCAN_SOCKET_VARIABLE " stands for --socket.");
}

/* Of an address that was given, by what `where` names. */
static enum exit_status complain_of_address(const char *where, const char *address, int r)
{
	switch (-r) {
	case EINVAL:
		complain("%s is empty; give a path, or @NAME", where);
		return EXIT_USAGE;
	case ENAMETOOLONG:
		complain("%s is \"%s\", too long for a socket; a path may have %zu bytes", where,
			 address, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		return EXIT_USAGE;
	case EACCES:
		complain(
			"the daemon at %s can't be reached: %s; see who may open that, or leave out "
			"%s",
			address, strerror(-r), where);
		return EXIT_NO_DAEMON;
	default:
		complain("no daemon at %s: %s; start one there, or leave out %s", address,
			 strerror(-r), where);
		return EXIT_NO_DAEMON;
	}
}

static enum exit_status complain_of_connection(const struct command *command,
					       const struct options *options, int r)
{
	const char *variable = getenv(PORTSCAN_SOCKET_VARIABLE);

	if (options->socket)
		return complain_of_address("--socket", options->socket, r);
	if (variable && *variable)
		return complain_of_address("$" PORTSCAN_SOCKET_VARIABLE, variable, r);
	if (command->is_shared && (r == -ENOENT || r == -ECONNREFUSED))
		complain("no daemon is running, and leases need one that all share; start it with "
			 "'systemctl start portscand.socket'");
	else if (r == -ENOENT)
		complain("no daemon is running and there is no portscand to start; install it, or "
			 "say with --socket where one listens");
	else
		complain("no daemon can be reached: %s; see 'systemctl status portscand.socket'",
			 strerror(-r));
	return EXIT_NO_DAEMON;
}

static enum exit_status run_command(const struct command *command, const struct options *options)
{
	struct portscan *p;
	enum exit_status status;
	int r;

	r = command->is_shared ? portscan_new_shared(&p, options->socket)
			       : portscan_new(&p, options->socket);
	if (r < 0)
		return complain_of_connection(command, options, r);
	status = command->run(p, options);
	portscan_free(p);
	return status;
}

static enum exit_status run_help(int n, char **words)
{
	const struct command *command = n > 0 ? find_command(words[0]) : NULL;

	if (n > 0 && !command && strcmp(words[0], "help") != 0)
		return complain_of_command(words[0]);
	print_help(command);
	return EXIT_YES;
}

static enum exit_status run(int argc, char **argv)
{
	struct options options = { 0 };
	const struct command *command;
	struct words words;
	unsigned given;

	if (options_parse(&options, argc, argv, &given, &words) < 0)
		return EXIT_USAGE;
	if (given & BIT(OPTION_VERSION)) {
		puts("portscan " VERSION);
		return EXIT_YES;
	}
	if (words.n == 0 && !(given & BIT(OPTION_HELP))) {
		complain("a command is missing; see 'portscan --help'");
		return EXIT_USAGE;
	}
	if (words.n == 0 || given & BIT(OPTION_HELP))
		return run_help(words.n, words.words);
	if (strcmp(words.words[0], "help") == 0)
		return run_help(words.n - 1, words.words + 1);

	command = find_command(words.words[0]);
	if (!command)
		return complain_of_command(words.words[0]);
	if (options_check(command, given) < 0 || arguments_take(&options, command, &words) < 0)
		return EXIT_USAGE;
	return run_command(command, &options);
}

int main(int argc, char **argv)
{
	enum exit_status status = run(argc, argv);

	/* A full disk is often noticed only now. */
	if (ferror(stdout) || fclose(stdout) != 0) {
		complain("write error: %s", strerror(errno));
		return EXIT_ERROR;
	}
	return (int)status;
}
