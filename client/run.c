/*
 * run.c: a command on a leased port. The lease is for this very process until it ends, and then
 * the process becomes the command: nothing stays in between. So signals, job control, the exit
 * status and the parent's view of it are the command's own, and the lease ends with it in any
 * case: the daemon watches the process itself.
 */

#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACE           "{port"
#define FD_LISTEN_START 3

/* A "{port}" (index 0) or "{port2}" (index 2) within an argument. */
struct place {
	const char *start, *end;
	unsigned long index;
};

/* The first one from `text` on. "${port}" is none: a shell's variable may be called that. */
static bool find_place(const char *text, struct place *ret_place)
{
	const char *at = text;

	for (; (at = strstr(at, PLACE)); at += strlen(PLACE)) {
		const char *digits = at + strlen(PLACE);
		size_t n = strspn(digits, "0123456789");

		if (digits[n] != '}' || *digits == '0' || (at > text && at[-1] == '$'))
			continue;
		*ret_place = (struct place){
			.start = at,
			.end = digits + n + 1,
			.index = n > 0 ? strtoul(digits, NULL, 10) : 0,
		};
		return true;
	}
	return false;
}

/* Whether there will be a port for each place. */
static int check_places(char *const *words, unsigned long count)
{
	for (; *words; words++) {
		struct place place;

		for (const char *text = *words; find_place(text, &place); text = place.end) {
			if (place.index <= count)
				continue;
			complain("\"%s\" has {port%lu}, and the lease %lu port%s; give --count %lu",
				 *words, place.index, count, count == 1 ? "" : "s", place.index);
			return -EINVAL;
		}
	}
	return 0;
}

/* `text` with its ports, in memory of the caller's; NULL if there is none. */
static char *fill_places(const char *text, const uint16_t *ports)
{
	size_t size = 0;
	char *filled = NULL;
	FILE *stream = open_memstream(&filled, &size);
	struct place place;

	while (stream && find_place(text, &place)) {
		fprintf(stream, "%.*s%u", (int)(place.start - text), text,
			(unsigned)ports[place.index ? place.index - 1 : 0]);
		text = place.end;
	}
	if (!stream)
		return NULL;
	fputs(text, stream);
	return fclose(stream) == 0 ? filled : NULL;
}

static int set_number(const char *name, long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", value);
	return setenv(name, text, 1) < 0 ? -errno : 0;
}

/* `is_counted`: --count was given, if only of one. */
static int set_ports(const struct portscan_lease_info *lease, bool is_counted)
{
	int r = set_number("PORT", lease->ports[0]);

	for (size_t i = 0; r >= 0 && is_counted && i < lease->n_ports; i++) {
		char name[32];

		snprintf(name, sizeof(name), "PORT%zu", i + 1);
		r = set_number(name, lease->ports[i]);
	}
	return r;
}

/* The socket of each port has the name that the port has in the arguments. */
static int set_names(const struct portscan_lease_result *result)
{
	size_t size = 0, port = 0;
	char *names = NULL;
	FILE *stream = open_memstream(&names, &size);
	int r;

	for (size_t i = 0; stream && i < result->n_fds; i++) {
		while (result->lease.ports[port] != result->fd_ports[i])
			port++;
		fprintf(stream, i > 0 ? ":port" : "port");
		if (result->lease.n_ports > 1)
			fprintf(stream, "%zu", port + 1);
	}
	if (!stream || fclose(stream) != 0)
		return -ENOMEM;
	r = setenv("LISTEN_FDNAMES", names, 1) < 0 ? -errno : 0;
	free(names);
	return r;
}

/* The sockets to 3 and on, blocking and kept by exec(): as a service manager hands them over. */
static int place_sockets(struct portscan_lease_result *result)
{
	int n = (int)result->n_fds;

	/* Out of the way first: one may be where another has to go. */
	for (int i = 0; i < n; i++) {
		int fd = fcntl(result->fds[i], F_DUPFD_CLOEXEC, FD_LISTEN_START + n);

		if (fd < 0)
			return -errno;
		close(result->fds[i]);
		result->fds[i] = fd;
	}
	for (int i = 0; i < n; i++) {
		int flags = fcntl(result->fds[i], F_GETFL);

		if (flags < 0 || fcntl(result->fds[i], F_SETFL, flags & ~O_NONBLOCK) < 0 ||
		    dup2(result->fds[i], FD_LISTEN_START + i) < 0)
			return -errno;
	}
	return 0;
}

static int hand_over(struct portscan_lease_result *result, const struct options *options)
{
	char **words = options->command;
	int r;

	r = set_ports(&result->lease, options->count > 0);
	for (; r >= 0 && *words; words++) {
		*words = fill_places(*words, result->lease.ports);
		if (!*words)
			return -ENOMEM;
	}
	if (r < 0 || result->n_fds == 0)
		return r;
	r = set_names(result);
	if (r >= 0)
		r = set_number("LISTEN_FDS", (long)result->n_fds);
	/* exec() leaves the pid as it is. */
	if (r >= 0)
		r = set_number("LISTEN_PID", getpid());
	return r < 0 ? r : place_sockets(result);
}

enum exit_status run_run(struct portscan *p, const struct options *options)
{
	char **words = options->command;
	struct portscan_lease_result result;
	enum exit_status status;
	int r;

	if (check_places(words, options->count ? (unsigned long)options->count : 1) < 0)
		return EXIT_USAGE;
	if (take_lease(p, options, PORTSCAN_UNTIL_PROCESS, &result, &status) < 0)
		return status;
	r = hand_over(&result, options);
	if (r >= 0) {
		execvp(words[0], words);
		r = errno;
	}
	portscan_lease_result_clear(&result);
	if (r < 0) {
		complain("%s: nothing was run", strerror(-r));
		return EXIT_ERROR;
	}
	complain("%s can't be run: %s%s", words[0], strerror(r),
		 r == ENOENT ? "; see whether it is installed, and in $PATH" : "");
	/* As env(1) has it. */
	return r == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}
