/* leases.c: what leases cost. */

#include "leases.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define N_SINGLE      2000
#define N_PIPELINED   8000
#define N_PORT_SERVER 300
#define N_RESTART     5000
#define N_MEMORY      9000
#define N_POOL        10000

/* Enough for all of the above: without a quarantine a port that was released is there again. */
static const char *const options[] = { "--pool", "20000-29999", "--quarantine-ms", "0", NULL };

#define LEASE "{\"method\":\"lease\",\"params\":{\"until\":\"released\"}}\n"

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, length);
	/* As it is usually written: @ stands for the NUL of the abstract namespace. */
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	for (int i = 0; i < 500; i++) {
		if (connect(fd, (struct sockaddr *)&address,
			    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0)
			return fd;
		usleep(10000);
	}
	fail(path);
}

/* One connection, and what is left of the last answer that was read. */
struct line_client {
	int fd;
	char buffer[65536];
	size_t size, at;
};

static void client_start(struct line_client *client, const struct bench_daemon *daemon)
{
	client->fd = connect_to(daemon->socket);
	client->size = client->at = 0;
}

/* The next line, until the next call. */
static char *read_line(struct line_client *client)
{
	char *end, *line;

	while (!(end = memchr(client->buffer + client->at, '\n', client->size - client->at))) {
		ssize_t n;

		client->size -= client->at;
		memmove(client->buffer, client->buffer + client->at, client->size);
		client->at = 0;
		n = read(client->fd, client->buffer + client->size,
			 sizeof(client->buffer) - client->size);
		if (n <= 0)
			fail("an answer");
		client->size += (size_t)n;
	}
	*end = '\0';
	line = client->buffer + client->at;
	client->at = (size_t)(end + 1 - client->buffer);
	return line;
}

static void send_text(const struct line_client *client, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(client->fd, text, size);

		if (n < 0)
			fail("a request");
		text += n;
		size -= (size_t)n;
	}
}

/* The median of taking one, each given back. */
static double median_of(struct portscan *connection, size_t n)
{
	struct portscan_lease_args args = { .until = PORTSCAN_UNTIL_RELEASED };
	double *times = calloc(n, sizeof(*times)), median;

	for (size_t i = 0; i < n; i++) {
		struct portscan_release_args given_back = { 0 };
		struct portscan_lease_result result;
		double begin = now();

		if (portscan_lease(connection, &args, &result) < 0)
			fail("a lease");
		times[i] = now() - begin;
		given_back.lease = result.lease.lease;
		if (portscan_release(connection, &given_back) < 0)
			fail("a release");
		portscan_lease_result_clear(&result);
	}
	median = percentile(times, n, 0.5);
	free(times);
	return median;
}

static void take_many(struct line_client *client, size_t n)
{
	/* So many at once that neither waits for the other to read. */
	enum { portion = 100 };
	static char requests[portion * (sizeof(LEASE) - 1)];

	for (size_t i = 0; i < portion; i++)
		memcpy(requests + i * strlen(LEASE), LEASE, strlen(LEASE));
	for (size_t i = 0; i < n; i += portion) {
		send_text(client, requests, sizeof(requests));
		for (size_t k = 0; k < portion; k++)
			if (!strstr(read_line(client), "\"result\""))
				fail("a lease");
	}
}

static double raw_binds(size_t n)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6 };
	double begin = now();

	for (size_t i = 0; i < n; i++) {
		int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		address.sin6_port = htons((uint16_t)(20000 + i % N_POOL));
		if (fd < 0)
			fail("socket");
		/* A port that somebody has costs the same. */
		(void)bind(fd, (struct sockaddr *)&address, sizeof(address));
		close(fd);
	}
	return now() - begin;
}

static double with_leased(size_t n)
{
	struct bench_daemon daemon;
	struct line_client client;
	double median;

	daemon_start_with(&daemon, options);
	client_start(&client, &daemon);
	take_many(&client, n);
	median = median_of(daemon.connection, N_SINGLE);
	close(client.fd);
	daemon_stop(&daemon);
	return median;
}

static double with_none_leased(void)
{
	return with_leased(0);
}

static double with_most_leased(void)
{
	return with_leased(9900);
}

static double echo_and_bind(void)
{
	return raw_echo(N_SINGLE) + raw_binds(N_SINGLE) / N_SINGLE;
}

static double pipelined(void)
{
	struct bench_daemon daemon;
	struct line_client client;
	double seconds;

	daemon_start_with(&daemon, options);
	client_start(&client, &daemon);
	seconds = now();
	take_many(&client, N_PIPELINED);
	seconds = now() - seconds;
	close(client.fd);
	daemon_stop(&daemon);
	return seconds;
}

/* 20,000 a second, or 0.4 of the raw loop, whichever is less. */
static double pipelined_at_least(void)
{
	double raw = raw_binds(N_PIPELINED) / 0.4, fixed = N_PIPELINED / 20000.;

	return raw > fixed ? raw : fixed;
}

static double port_server_times(const char *address)
{
	char request[16], answer[16];
	int size = snprintf(request, sizeof(request), "%d\n", (int)getpid());
	double begin = now();

	for (size_t i = 0; i < N_PORT_SERVER; i++) {
		int fd = connect_to(address);

		if (write(fd, request, (size_t)size) < 0 || read(fd, answer, sizeof(answer)) <= 0)
			fail("a port");
		close(fd);
	}
	return now() - begin;
}

static double port_server_dialect(void)
{
	struct bench_daemon daemon;
	double seconds;

	daemon_start_with(&daemon, options);
	seconds = port_server_times(daemon.socket);
	daemon_stop(&daemon);
	return seconds;
}

/* Debian's, on an address that nobody else has. */
static double debian_portserver(void)
{
	char address[64];
	double seconds;
	pid_t pid;

	snprintf(address, sizeof(address), "@portscand-bench-%d", (int)getpid());
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		silence();
		execlp("portserver", "portserver", "--portserver_static_pool", "20000-29999",
		       "--portserver_address", address, NULL);
		_exit(127);
	}
	close(connect_to(address));
	seconds = port_server_times(address);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return seconds;
}

/* From exec to the first answer, with leases in the journal that are bound again. */
static double restart(void)
{
	struct bench_daemon daemon;
	struct line_client client;
	double seconds;

	daemon_start_with(&daemon, options);
	client_start(&client, &daemon);
	take_many(&client, N_RESTART);
	close(client.fd);
	kill(daemon.pid, SIGKILL);
	waitpid(daemon.pid, NULL, 0);
	seconds = now();
	daemon_run(&daemon, options);
	client_start(&client, &daemon);
	send_text(&client, LEASE, strlen(LEASE));
	if (!strstr(read_line(&client), "\"result\""))
		fail("a lease");
	seconds = now() - seconds;
	close(client.fd);
	daemon_stop(&daemon);
	return seconds;
}

static double hundred_milliseconds(void)
{
	return 0.1;
}

static double memory(void)
{
	struct bench_daemon daemon;
	struct line_client client;
	double before, after;

	daemon_start_with(&daemon, options);
	client_start(&client, &daemon);
	(void)median_of(daemon.connection, N_SINGLE);
	before = resident(daemon.pid);
	take_many(&client, N_MEMORY);
	after = resident(daemon.pid);
	close(client.fd);
	daemon_stop(&daemon);
	return (after - before) / N_MEMORY;
}

static double half_a_kibibyte(void)
{
	return 512;
}

const struct row lease_rows[] = {
	{ "one lease, p50 / echo + bind", 1.5, with_none_leased, echo_and_bind, NULL, PAIRS },
	{ "port server dialect / Debian's portserver", 0.25, port_server_dialect, debian_portserver,
	  "portserver", PAIRS },
	{ "leases pipelined / 20,000 a second or 0.4 raw", 1, pipelined, pipelined_at_least, NULL,
	  PAIRS },
	{ "a lease with 9,900 leased / the first", 1.3, with_most_leased, with_none_leased, NULL,
	  PAIRS },
	{ "start with 5,000 leases / 100 ms", 1, restart, hundred_milliseconds, NULL, PAIRS },
	{ "memory for a lease / 512 bytes", 1, memory, half_a_kibibyte, NULL, 1 },
};
const size_t n_lease_rows = ARRAY_SIZE(lease_rows);
