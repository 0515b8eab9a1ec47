#include "config.h"

#include "log.h"
#include "util.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"Usage: portscand [OPTION]...\n"
	"One daemon per host that every tool asks about ports.\n"
	"\n"
	"  --socket ADDRESS   listen here (a path, or @name in the abstract namespace);\n"
	"                     may be given more than once. Not used when sockets are\n"
	"                     passed in. [/run/portscand.sock for root, else\n"
	"                     $XDG_RUNTIME_DIR/portscand.sock]\n"
	"  --runtime-dir DIR  where leases are written down [$RUNTIME_DIRECTORY, else\n"
	"                     /run/portscand or $XDG_RUNTIME_DIR/portscand]\n"
	"  --pool PORTS       what lease takes from when not told [20000-29999]\n"
	"  --quarantine-ms N  how long a port rests after a lease [10000]\n"
	"  --window N         probes under way at once to one foreign host [1024]\n"
	"  --log-level LEVEL  err, warning, notice, info or debug [info]\n"
	"  --help, --version  what they say\n"
	"\n"
	"SIGTERM and SIGINT end it. The protocol is described in README.md; ask it with\n"
	"portscan, socat or varlinkctl.\n";

enum option_id {
	OPTION_SOCKET = 256,
	OPTION_RUNTIME_DIR,
	OPTION_POOL,
	OPTION_QUARANTINE_MS,
	OPTION_WINDOW,
	OPTION_LOG_LEVEL,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR },
	{ "pool", required_argument, NULL, OPTION_POOL },
	{ "quarantine-ms", required_argument, NULL, OPTION_QUARANTINE_MS },
	{ "window", required_argument, NULL, OPTION_WINDOW },
	{ "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ 0 },
};

static int refuse(const char *option, const char *given, const char *allowed)
{
	fprintf(stderr, "portscand: --%s is \"%s\"; it must be %s\n", option, given, allowed);
	return -EINVAL;
}

/* A number and nothing else; -EINVAL also for one that is not from `min` to `max`. */
static int parse_number(const char *text, unsigned min, unsigned max, unsigned *ret_number)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || value < min || value > max)
		return -EINVAL;
	*ret_number = (unsigned)value;
	return 0;
}

static int set_window(struct config *config, const char *text)
{
	if (parse_number(text, 1, 65535, &config->window) < 0)
		return refuse("window", text, "a number from 1 to 65535");
	return 0;
}

static int set_quarantine(struct config *config, const char *text)
{
	unsigned value;

	if (parse_number(text, 0, 86400000, &value) < 0)
		return refuse("quarantine-ms", text, "milliseconds, from 0 to 86400000");
	config->quarantine_ms = value;
	return 0;
}

static int set_pool(struct config *config, const char *text)
{
	const char *why;
	struct portlist pool;
	int r = portlist_parse(&pool, text, &why);

	if (r == -EINVAL)
		return refuse("pool", text, "ports such as 20000-29999");
	if (r < 0)
		return r;
	portlist_deinit(&config->pool);
	config->pool = pool;
	return 0;
}

static int add_socket(struct config *config, const char *address)
{
	if (address[0] != '/' && (address[0] != '@' || !address[1]))
		return refuse("socket", address, "an absolute path, or @name");
	if (config->n_sockets == SOCKETS_MAX) {
		fprintf(stderr, "portscand: --socket is given more than %d times\n", SOCKETS_MAX);
		return -EINVAL;
	}
	config->sockets[config->n_sockets++] = address;
	return 0;
}

static int set_option(struct config *config, int option)
{
	switch (option) {
	case OPTION_SOCKET:
		return add_socket(config, optarg);
	case OPTION_RUNTIME_DIR:
		config->runtime_dir = optarg;
		return 0;
	case OPTION_POOL:
		return set_pool(config, optarg);
	case OPTION_QUARANTINE_MS:
		return set_quarantine(config, optarg);
	case OPTION_WINDOW:
		return set_window(config, optarg);
	case OPTION_LOG_LEVEL:
		config->log_priority = log_priority_parse(optarg);
		if (config->log_priority >= 0)
			return 0;
		return refuse("log-level", optarg, "err, warning, notice, info or debug");
	default:
		fprintf(stderr, "portscand: try portscand --help\n");
		return -EINVAL;
	}
}

static int parse_options(struct config *config, int argc, char *argv[])
{
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == OPTION_HELP) {
			fputs(help, stdout);
			return fflush(stdout) == 0 ? 0 : -EINVAL;
		}
		if (option == OPTION_VERSION) {
			puts("portscand " VERSION);
			return fflush(stdout) == 0 ? 0 : -EINVAL;
		}
		r = set_option(config, option);
		if (r < 0)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "portscand: \"%s\" is not an option; try portscand --help\n",
			argv[optind]);
		return -EINVAL;
	}
	return 1;
}

int config_parse(struct config *ret_config, int argc, char *argv[])
{
	struct config config = {
		.quarantine_ms = QUARANTINE_DEFAULT,
		.leases_per_user = LEASES_PER_USER,
		.window = WINDOW_DEFAULT,
		.log_priority = -1,
	};
	const char *why;
	int r;

	r = portlist_parse(&config.pool, POOL_DEFAULT, &why);
	if (r >= 0)
		r = parse_options(&config, argc, argv);
	if (r <= 0) {
		config_deinit(&config);
		return r;
	}
	*ret_config = config;
	return 1;
}

void config_deinit(struct config *config)
{
	portlist_deinit(&config->pool);
}
