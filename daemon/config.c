#include "config.h"

#include "log.h"
#include "util.h"

#include <ctype.h>
#include <getopt.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const char help[] =
	"Usage: portscand [OPTION]...\n"
	"One daemon per host that every tool asks about ports.\n"
	"\n"
	"  --socket ADDRESS    listen here (a path, or @name in the abstract namespace);\n"
	"                      may be given more than once. Not used when sockets are\n"
	"                      passed in. [/run/portscand.sock for root, else\n"
	"                      $XDG_RUNTIME_DIR/portscand.sock]\n"
	"  --runtime-dir DIR   where leases are written down [$RUNTIME_DIRECTORY, else\n"
	"                      /run/portscand or $XDG_RUNTIME_DIR/portscand]\n"
	"  --pool PORTS        what lease takes from when not told [20000-29999]\n"
	"  --quarantine-ms N   how long a port rests after a lease [10000]\n"
	"  --window N          probes under way at once to one foreign host [1024]\n"
	"  --allow CIDR        let everybody probe these hosts; may be given more than\n"
	"  --deny CIDR         once, as may --deny; the most specific wins\n"
	"  --connections-per-user N  [512], --requests-per-user N [4096] and\n"
	"  --leases-per-user N [1024]  what one user but root may have at once\n"
	"  --log-level LEVEL   err, warning, notice, info or debug [info]\n"
	"  --config FILE       the same words, as name = value [/etc/portscand.conf]\n"
	"  --help, --version   what they say\n"
	"\n"
	"SIGHUP reads the file again, SIGTERM and SIGINT end it. Ask it with portscan,\n"
	"socat or varlinkctl.\n";

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

static int replace_text(char **text, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

static int set_socket(struct config *config, const char *value)
{
	if ((value[0] != '/' && value[0] != '@') || !value[1] || config->n_sockets == SOCKETS_MAX ||
	    strlen(value) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -EINVAL;
	return replace_text(&config->sockets[config->n_sockets++], value);
}

static int set_runtime_dir(struct config *config, const char *value)
{
	return value[0] == '/' ? replace_text(&config->runtime_dir, value) : -EINVAL;
}

static int set_pool(struct config *config, const char *value)
{
	const char *why;
	struct portlist pool;
	int r = portlist_parse(&pool, value, &why);

	if (r < 0)
		return r;
	portlist_deinit(&config->pool);
	config->pool = pool;
	return 0;
}

static int set_quarantine(struct config *config, const char *value)
{
	return parse_number(value, 0, 86400000, &config->quarantine_ms);
}

static int set_window(struct config *config, const char *value)
{
	return parse_number(value, 1, 65535, &config->window);
}

static int set_connections(struct config *config, const char *value)
{
	return parse_number(value, 1, 1000000, &config->connections_per_user);
}

static int set_requests(struct config *config, const char *value)
{
	return parse_number(value, 1, 1000000, &config->requests_per_user);
}

static int set_leases(struct config *config, const char *value)
{
	return parse_number(value, 1, 65535, &config->leases_per_user);
}

static int set_allow(struct config *config, const char *value)
{
	return policy_add(&config->policy, value, true);
}

static int set_deny(struct config *config, const char *value)
{
	return policy_add(&config->policy, value, false);
}

static int set_log_level(struct config *config, const char *value)
{
	config->log_priority = log_priority_parse(value);
	return config->log_priority < 0 ? -EINVAL : 0;
}

/* A word of the file and of the command line. */
static const struct word {
	const char *name;
	int (*set)(struct config *config, const char *value);
	const char *allowed;
} words[] = {
	{ "socket", set_socket,
	  "an absolute path or @name of at most 107 bytes, and at most 16 of them" },
	{ "runtime-dir", set_runtime_dir, "an absolute path" },
	{ "pool", set_pool, "ports such as 20000-29999" },
	{ "quarantine-ms", set_quarantine, "milliseconds, from 0 to 86400000" },
	{ "window", set_window, "a number from 1 to 65535" },
	{ "connections-per-user", set_connections, "a number from 1 to 1000000" },
	{ "requests-per-user", set_requests, "a number from 1 to 1000000" },
	{ "leases-per-user", set_leases, "a number from 1 to 65535" },
	{ "allow", set_allow, "a network such as 192.0.2.0/24, with no bits behind the prefix" },
	{ "deny", set_deny, "a network such as 192.0.2.0/24, with no bits behind the prefix" },
	{ "log-level", set_log_level, "err, warning, notice, info or debug" },
};

enum option_id {
	OPTION_WORD = 256, /* and from there on the places of words[] */
	OPTION_CONFIG = OPTION_WORD + ARRAY_SIZE(words),
	OPTION_HELP,
	OPTION_VERSION,
};

/* What is being read. */
struct reader {
	struct config *config;
	const char *file;
	FILE *stream;
	int line;
	int error;
};

/* Whether the line goes on behind what was read of it; then it is read to its end. */
static bool skip_rest(FILE *stream)
{
	bool has_more = false;
	int byte;

	while ((byte = getc(stream)) != EOF && byte != '\n')
		has_more = has_more || !isspace(byte);
	return has_more;
}

/*
 * libinih has read no further than this when it calls on_word(): so the line is known. It would
 * take the rest of a line that is longer than its space for another one, and one with a blank in
 * front for more of the last value, in whose place it would come.
 */
static char *read_line(char *space, int size, void *userdata)
{
	struct reader *reader = userdata;
	const char *start = space;

	reader->line++;
	if (!fgets(space, size, reader->stream))
		return NULL;
	while (isspace((unsigned char)*start))
		start++;
	if (!strchr(space, '\n') && skip_rest(reader->stream) && *start != '#' && *start != ';') {
		log_error("%s:%d: a line may have %d bytes", reader->file, reader->line, size - 2);
		reader->error = -EINVAL;
		start = "#";
	}
	return memmove(space, start, strlen(start) + 1);
}

/* 1 to go on, as libinih has it. */
static int on_word(void *userdata, const char *section, const char *name, const char *value)
{
	struct reader *reader = userdata;
	int r;

	(void)section;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(words[i].name, name) != 0)
			continue;
		r = words[i].set(reader->config, value);
		if (r == -EINVAL)
			log_error("%s:%d: %s is \"%s\"; it must be %s", reader->file, reader->line,
				  name, value, words[i].allowed);
		if (r < 0)
			reader->error = r;
		return r >= 0;
	}
	log_error("%s:%d: %s is not known; portscand --help tells the words there are",
		  reader->file, reader->line, name);
	reader->error = -EINVAL;
	return 0;
}

/* `is_wanted`: it was asked for, so it must be there. */
static int read_file(struct config *config, const char *file, bool is_wanted)
{
	struct reader reader = { .config = config, .file = file };
	int line;

	reader.stream = fopen(file, "re");
	if (!reader.stream && errno == ENOENT && !is_wanted)
		return 0;
	if (!reader.stream) {
		log_error("%s: %s", file, strerror(errno));
		return -EINVAL;
	}
	errno = 0;
	line = ini_parse_stream(read_line, &reader, on_word, &reader);
	if (ferror(reader.stream) && reader.error == 0) {
		log_error("%s: %s", file, strerror(errno));
		reader.error = -EINVAL;
	}
	fclose(reader.stream);
	if (line < 0)
		return -ENOMEM;
	if (line > 0 && reader.error == 0) {
		log_error("%s:%d: not \"name = value\"", file, line);
		return -EINVAL;
	}
	return reader.error;
}

static void fill_options(struct option options[static ARRAY_SIZE(words) + 4])
{
	size_t n = 0;

	for (; n < ARRAY_SIZE(words); n++)
		options[n] = (struct option){ words[n].name, required_argument, NULL,
					      OPTION_WORD + (int)n };
	options[n++] = (struct option){ "config", required_argument, NULL, OPTION_CONFIG };
	options[n++] = (struct option){ "help", no_argument, NULL, OPTION_HELP };
	options[n++] = (struct option){ "version", no_argument, NULL, OPTION_VERSION };
	options[n] = (struct option){ 0 };
}

static int say(const char *text)
{
	return fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? 0 : -EIO;
}

static int set_option(struct config *config, const struct word *word)
{
	int r = word->set(config, optarg);

	if (r == -EINVAL)
		log_error("--%s is \"%s\"; it must be %s", word->name, optarg, word->allowed);
	return r;
}

static void free_sockets(struct config *config)
{
	for (; config->n_sockets > 0; config->n_sockets--)
		free(steal(config->sockets[config->n_sockets - 1]));
}

/* Once for the file's name alone (`config` NULL), and then for the rest. */
static int read_options(struct config *config, const char **ret_file, int argc, char *argv[])
{
	struct option options[ARRAY_SIZE(words) + 4];
	bool has_socket = false;
	int option, r;

	fill_options(options);
	optind = 0;
	/* What getopt has to say of wrong options it says in the first round. */
	opterr = !config;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == OPTION_HELP)
			return say(help);
		if (option == OPTION_VERSION)
			return say("portscand " VERSION "\n");
		if (option == '?') {
			fprintf(stderr, "portscand: try portscand --help\n");
			return -EINVAL;
		}
		if (option == OPTION_CONFIG)
			*ret_file = optarg;
		if (!config || option == OPTION_CONFIG)
			continue;
		/* Given here, they stand for those of the file. */
		if (words[option - OPTION_WORD].set == set_socket && !has_socket) {
			free_sockets(config);
			has_socket = true;
		}
		r = set_option(config, &words[option - OPTION_WORD]);
		if (r < 0)
			return r;
	}
	if (optind < argc) {
		log_error("\"%s\" is not an option; try portscand --help", argv[optind]);
		return -EINVAL;
	}
	return 1;
}

int config_load(struct config *ret_config, int argc, char *argv[])
{
	_cleanup_(config_deinit) struct config config = {
		.quarantine_ms = QUARANTINE_MS_DEFAULT,
		.window = WINDOW_DEFAULT,
		.connections_per_user = CONNECTIONS_PER_USER_DEFAULT,
		.requests_per_user = REQUESTS_PER_USER_DEFAULT,
		.leases_per_user = LEASES_PER_USER_DEFAULT,
		.log_priority = -1,
	};
	const char *file = NULL;
	int r;

	r = read_options(NULL, &file, argc, argv);
	if (r <= 0)
		return r;
	r = set_pool(&config, POOL_DEFAULT);
	if (r >= 0)
		r = read_file(&config, file ? file : CONFIG_FILE, file);
	if (r >= 0)
		r = read_options(&config, &file, argc, argv);
	if (r <= 0)
		return r;
	*ret_config = config;
	config = (struct config){ 0 };
	return 1;
}

void config_deinit(struct config *config)
{
	free_sockets(config);
	free(config->runtime_dir);
	portlist_deinit(&config->pool);
	policy_deinit(&config->policy);
	*config = (struct config){ 0 };
}
