/*
 * bench: portscand beside the raw system calls and beside other programs, in one run, as ratios.
 * The machine may be shared, so each pair is measured in turn, and the median ratio is told.
 */

#include "bench.h"

#include "beside.h"
#include "filtered.h"
#include "leases.h"

#include <netinet/in.h>
#include <poll.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define PAIRS       5
#define N_CHECKS    20000
#define N_PIPELINED 60000
#define N_IDLE      5000
#define N_LISTENERS 2000
#define N_SCANS     25
#define ALL_PORTS   65535
#define FILTERED_MS 400

static struct bench_daemon bench_daemon;

static double sweep(void)
{
	struct portscan_scan_args args = { 0 };
	struct portscan_scan_result result;
	double begin = now();

	if (portscan_scan(bench_daemon.connection, &args, NULL, NULL, &result) < 0)
		fail("scan");
	portscan_scan_result_clear(&result);
	return now() - begin;
}

static double raw_sweep_time(void)
{
	double begin = now();

	raw_sweep(1, ALL_PORTS);
	return now() - begin;
}

static double nmap(void)
{
	static const char *const argv[] = { "nmap",       "-n",        "-Pn",
					    "-sT",        "-p-",       "-T5",
					    "--min-rate", "100000",    "--min-parallelism",
					    "500",        "127.0.0.1", NULL };

	return run_program(argv);
}

static double netcat(void)
{
	static const char *const argv[] = { "nc", "-z", "127.0.0.1", "1-65535", NULL };

	return run_program(argv);
}

static double npm(void)
{
	const char *argv[] = { "node", getenv("NPM_SWEEP"), NULL };

	return run_program(argv);
}

/* Runs `measure` while this process has the listeners. */
static double with_listeners(double (*measure)(void))
{
	static int fds[N_LISTENERS];
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	double value;

	for (size_t i = 0; i < N_LISTENERS; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(fds[i], (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    listen(fds[i], 1024) < 0)
			fail("a listener");
	}
	value = measure();
	for (size_t i = 0; i < N_LISTENERS; i++)
		close(fds[i]);
	return value;
}

/* The median of some, as each is so short. */
static double median_of(double (*measure)(void))
{
	double times[N_SCANS];

	for (size_t i = 0; i < N_SCANS; i++)
		times[i] = measure();
	return percentile(times, N_SCANS, 0.5);
}

static double table_scan_once(void)
{
	struct portscan_scan_args args = { .via = PORTSCAN_VIA_TABLE };
	struct portscan_scan_result result;
	double begin = now(), end;

	if (portscan_scan(bench_daemon.connection, &args, NULL, NULL, &result) < 0)
		fail("scan via table");
	end = now();
	if (result.counts.open < N_LISTENERS)
		fail("the table");
	portscan_scan_result_clear(&result);
	return end - begin;
}

static double table_scans(void)
{
	return median_of(table_scan_once);
}

static double table_scan(void)
{
	return with_listeners(table_scans);
}

static double sweep_of_listeners(void)
{
	return with_listeners(sweep);
}

static double raw_dump_once(void)
{
	double begin = now();

	raw_dump();
	return now() - begin;
}

static double raw_dumps(void)
{
	return median_of(raw_dump_once);
}

static double dump_and_echo(void)
{
	return with_listeners(raw_dumps) + raw_echo(N_CHECKS);
}

/* Seconds of each of `n` checks of a closed port, one after the other. */
static double *check_times(struct portscan *connection, enum portscan_via via, size_t n)
{
	struct portscan_check_args args = { .port = closed_port(), .via = via };
	struct portscan_check_result result;
	double *times = calloc(n, sizeof(*times));

	if (!times)
		fail("memory");
	for (size_t i = 0; i < n; i++) {
		double begin = now();

		if (portscan_check(connection, &args, &result) < 0 ||
		    result.status != PORTSCAN_CLOSED)
			fail("check");
		times[i] = now() - begin;
	}
	return times;
}

static double check_percentile(enum portscan_via via, size_t n, double part)
{
	double *times = check_times(bench_daemon.connection, via, n);
	double value = percentile(times, n, part);

	free(times);
	return value;
}

static double check_median(void)
{
	return check_percentile(PORTSCAN_VIA_CONNECT, N_CHECKS, 0.5);
}

static double table_check_median(void)
{
	return check_percentile(PORTSCAN_VIA_TABLE, N_CHECKS, 0.5);
}

static double echo_median(void)
{
	return raw_echo(N_CHECKS);
}

static double raw_checks_time(size_t n)
{
	uint16_t port = closed_port();
	double begin = now();

	raw_checks(port, n);
	return now() - begin;
}

static double echo_and_connect(void)
{
	return raw_echo(N_CHECKS) + raw_checks_time(N_CHECKS) / N_CHECKS;
}

static void on_done(struct portscan *p, struct portscan_reply *reply, void *userdata)
{
	(void)p;
	if (reply->status < 0 || reply->check->status != PORTSCAN_CLOSED)
		fail("pipelined check");
	++*(size_t *)userdata;
}

static double pipelined_via(enum portscan_via via)
{
	struct portscan_check_args args = { .port = closed_port(), .via = via };
	struct portscan *p = bench_daemon.connection;
	size_t n_done = 0;
	double begin = now();

	for (size_t i = 0; i < N_PIPELINED; i++)
		if (portscan_check_start(p, &args, on_done, &n_done, NULL) < 0)
			fail("check_start");
	while (n_done < N_PIPELINED) {
		struct pollfd poll_fd = { .fd = portscan_get_fd(p),
					  .events = portscan_get_events(p) };

		if (poll(&poll_fd, 1, -1) < 0 || portscan_dispatch(p) < 0)
			fail("dispatch");
	}
	return now() - begin;
}

static double pipelined(void)
{
	return pipelined_via(PORTSCAN_VIA_CONNECT);
}

static double table_pipelined(void)
{
	return pipelined_via(PORTSCAN_VIA_TABLE);
}

static double raw_pipelined(void)
{
	return raw_checks_time(N_PIPELINED);
}

static double p99_in_peace(void)
{
	return check_percentile(PORTSCAN_VIA_CONNECT, N_CHECKS, 0.99);
}

static pid_t start_sweeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct portscan_scan_args args = { 0 };
		struct portscan_scan_result result;
		struct portscan *connection;

		daemon_connect(&bench_daemon, &connection);
		while (portscan_scan(connection, &args, NULL, NULL, &result) == 0)
			portscan_scan_result_clear(&result);
		_exit(0);
	}
	return pid;
}

static double p99_under_sweeps(void)
{
	pid_t sweepers[] = { start_sweeper(), start_sweeper() };
	double value;

	usleep(200000);
	value = check_percentile(PORTSCAN_VIA_CONNECT, N_CHECKS / 4, 0.99);
	for (size_t i = 0; i < ARRAY_SIZE(sweepers); i++) {
		kill(sweepers[i], SIGKILL);
		waitpid(sweepers[i], NULL, 0);
	}
	return value;
}

static double p99_beside(void)
{
	pid_t pid = crowd_start(&bench_daemon);
	double value;

	usleep(500000);
	value = check_percentile(PORTSCAN_VIA_CONNECT, N_CHECKS / 20, 0.99);
	beside_stop(pid);
	return value;
}

static double p99_in_throng(void)
{
	pid_t pid = throng_start(&bench_daemon);
	double value;

	usleep(2000000);
	value = check_percentile(PORTSCAN_VIA_CONNECT, N_CHECKS / 4, 0.99);
	beside_stop(pid);
	return value;
}

static double throng_memory(void)
{
	struct bench_daemon thronged;
	double before, after;
	pid_t pid;

	daemon_start(&thronged);
	before = resident(thronged.pid);
	pid = throng_start(&thronged);
	usleep(5000000);
	after = resident(thronged.pid);
	beside_stop(pid);
	daemon_stop(&thronged);
	return after - before;
}

/* As the limits say: of each that does not read answers of 1 MiB, and the one that went beyond. */
static double throng_memory_allowed(void)
{
	return THRONG_IDLE * 1536. + THRONG_DEAF * (1024. * 1024 + 65536);
}

/* Four times this is 3 ms at least: less than that nobody notices. */
static double p99_in_peace_or_less(void)
{
	double value = p99_in_peace();

	return value > 0.75e-3 ? value : 0.75e-3;
}

static double idle_memory(void)
{
	struct bench_daemon idle;
	double bytes;

	daemon_start(&idle);
	bytes = resident(idle.pid);
	daemon_stop(&idle);
	return bytes;
}

static double four_megabytes(void)
{
	return 4e6;
}

static double connection_memory(void)
{
	static int fds[N_IDLE];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct portscan_info_result info;
	struct bench_daemon idle;
	double before, after;

	daemon_start(&idle);
	before = resident(idle.pid);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", idle.socket);
	for (size_t i = 0; i < N_IDLE; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fds[i], (struct sockaddr *)&address, sizeof(address)) < 0)
			fail("an idle connection");
	}
	if (portscan_info(idle.connection, &info) < 0)
		fail("info");
	usleep(300000);
	after = resident(idle.pid);
	for (size_t i = 0; i < N_IDLE; i++)
		close(fds[i]);
	daemon_stop(&idle);
	return (after - before) / N_IDLE;
}

static double one_and_a_half_kibibytes(void)
{
	return 1536;
}

static const struct row rows[] = {
	{ "sweep of all ports / raw loop", 1.15, sweep, raw_sweep_time, NULL, PAIRS },
	{ "sweep of all ports / nmap -sT -T5", 0.5, sweep, nmap, "nmap", PAIRS },
	{ "sweep of all ports / nc -z", 0.5, sweep, netcat, "nc", PAIRS },
	{ "sweep of all ports / npm portscanner", 1. / 3, sweep, npm, "npm", 1 },
	{ "one check, p50 / echo + raw connect", 1.3, check_median, echo_and_connect, NULL, PAIRS },
	{ "60,000 checks pipelined / raw loop", 1 / 0.6, pipelined, raw_pipelined, NULL, PAIRS },
	{ "check p99 under two sweeps / in peace", 4, p99_under_sweeps, p99_in_peace_or_less, NULL,
	  3 },
	{ "check p99 beside a user at the limit / in peace", 4, p99_beside, p99_in_peace_or_less,
	  "root", 3 },
	{ "check p99 beside 9,000 idle, 200 deaf / in peace", 4, p99_in_throng,
	  p99_in_peace_or_less, NULL, 3 },
	{ "memory of 9,000 idle, 200 deaf / the limits", 1, throng_memory, throng_memory_allowed,
	  NULL, 1 },
	{ "table: 2,000 listeners / sweep by connect", 1. / 300, table_scan, sweep_of_listeners,
	  NULL, PAIRS },
	{ "table: 2,000 listeners / dump + echo", 2, table_scan, dump_and_echo, NULL, PAIRS },
	{ "table: checks pipelined / by connect", 0.5, table_pipelined, pipelined, NULL, PAIRS },
	{ "table: one check, p50 / echo", 1.2, table_check_median, echo_median, NULL, PAIRS },
	{ "65,535 silent ports / 400 ms rounds + raw", 1.25, filtered_sweep, filtered_reference,
	  "nft", 1 },
	{ "memory when idle / 4 MB", 1, idle_memory, four_megabytes, NULL, 1 },
	{ "an idle connection / 1.5 KiB", 1, connection_memory, one_and_a_half_kibibytes, NULL, 1 },
};

static void print_value(double value)
{
	if (value >= 128)
		printf("%9.0f B ", value);
	else if (value >= 0.1)
		printf("%9.2f s ", value);
	else if (value >= 1e-3)
		printf("%9.2f ms", value * 1e3);
	else
		printf("%9.1f µs", value * 1e6);
}

/* Returns whether the ratio is within its limit. */
static bool run_row(const struct row *row)
{
	double ratios[PAIRS], ours = 0, reference = 0, ratio;

	for (int i = 0; i < row->pairs; i++) {
		reference = row->reference();
		ours = row->ours();
		ratios[i] = ours / reference;
	}
	ratio = percentile(ratios, (size_t)row->pairs, 0.5);
	printf("%-50s", row->name);
	print_value(ours);
	print_value(reference);
	printf("  %7.3f  %7.3f  %s\n", ratio, row->limit, ratio <= row->limit ? "ok" : "OVER");
	fflush(stdout);
	return ratio <= row->limit;
}

static void run_rows(const struct row *some, size_t n, const char *wanted)
{
	for (const struct row *row = some; row < some + n; row++) {
		if (!strstr(row->name, wanted))
			continue;
		if (row->needs && strcmp(row->needs, "root") == 0 && geteuid() != 0)
			printf("%-50sleft out: it takes root\n", row->name);
		else if (row->needs && strcmp(row->needs, "root") != 0 &&
			 !program_exists(row->needs))
			printf("%-50sleft out: %s is not installed\n", row->name, row->needs);
		else
			run_row(row);
	}
}

int main(int argc, char *argv[])
{
	const char *wanted = argc > 1 ? argv[1] : "";
	struct rlimit limit;

	/* As many descriptors as the daemon takes for itself. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	daemon_start(&bench_daemon);
	printf("%-48s%11s%12s%9s%9s\n", "ours / reference", "ours", "reference", "ratio",
	       "at most");
	run_rows(rows, ARRAY_SIZE(rows), wanted);
	run_rows(lease_rows, n_lease_rows, wanted);
	daemon_stop(&bench_daemon);
	return 0;
}
