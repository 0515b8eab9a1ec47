#include "filtered.h"

#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define N_PORTS    65535
#define TIMEOUT_MS 400

/* Runs `measure` in a namespace of its own, with or without the filter. */
static double run_in_namespace(double (*measure)(void), const char *set_up)
{
	int fds[2];
	double seconds = 0;
	pid_t pid;

	if (pipe(fds) < 0)
		fail("pipe");
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0 ||
		    system(set_up) != 0)
			fail("a network namespace (is this root?)");
		seconds = measure();
		_exit(write(fds[1], &seconds, sizeof(seconds)) < 0);
	}
	close(fds[1]);
	if (read(fds[0], &seconds, sizeof(seconds)) != sizeof(seconds))
		fail("the measurement in a namespace");
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return seconds;
}

static double sweep(void)
{
	struct portscan_scan_args args = { .timeout_ms = TIMEOUT_MS };
	struct portscan_scan_result result;
	struct bench_daemon daemon;
	double begin, end;

	daemon_start(&daemon);
	begin = now();
	if (portscan_scan(daemon.connection, &args, NULL, NULL, &result) < 0)
		fail("scan");
	end = now();
	if (result.counts.timeout != N_PORTS)
		fail("the filter");
	portscan_scan_result_clear(&result);
	daemon_stop(&daemon);
	return end - begin;
}

static double raw(void)
{
	double begin = now();

	raw_sweep(1, N_PORTS);
	return now() - begin;
}

double filtered_sweep(void)
{
	return run_in_namespace(sweep, "nft 'add table inet f; add chain inet f i { type filter "
				       "hook input priority 0; }; add rule inet f i tcp flags & "
				       "(syn|ack) == syn drop'");
}

double filtered_reference(void)
{
	struct rlimit limit;
	double rounds;

	getrlimit(RLIMIT_NOFILE, &limit);
	rounds = (double)((N_PORTS + limit.rlim_max - 1) / limit.rlim_max);
	return rounds * TIMEOUT_MS / 1e3 + run_in_namespace(raw, "true");
}
