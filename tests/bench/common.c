#include "bench.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

void fail(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
	double one = *(const double *)a, other = *(const double *)b;

	return (one > other) - (one < other);
}

double percentile(double *values, size_t n, double part)
{
	size_t index = (size_t)((double)n * part);

	qsort(values, n, sizeof(*values), compare);
	return values[index < n ? index : n - 1];
}

uint16_t closed_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		fail("a closed port");
	close(fd);
	return ntohs(address.sin_port);
}

void daemon_connect(const struct bench_daemon *daemon, struct portscan **ret_connection)
{
	for (int i = 0; i < 200; i++) {
		int r = portscan_new(ret_connection, daemon->socket);

		if (r == 0)
			return;
		errno = -r;
		usleep(10000);
	}
	fail("connecting to the daemon");
}

void daemon_start(struct bench_daemon *daemon)
{
	const char *program = getenv("PORTSCAND");

	snprintf(daemon->directory, sizeof(daemon->directory), "/tmp/portscand-bench-XXXXXX");
	if (!program || !mkdtemp(daemon->directory))
		fail("PORTSCAND or a directory");
	snprintf(daemon->socket, sizeof(daemon->socket), "%s/socket", daemon->directory);
	daemon->pid = fork();
	if (daemon->pid == 0) {
		execl(program, program, "--socket", daemon->socket, "--log-level", "warning",
		      "--connections-per-user", "10000", NULL);
		_exit(127);
	}
	daemon_connect(daemon, &daemon->connection);
}

void daemon_stop(struct bench_daemon *daemon)
{
	portscan_free(daemon->connection);
	kill(daemon->pid, SIGTERM);
	waitpid(daemon->pid, NULL, 0);
	rmdir(daemon->directory);
}

bool program_exists(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", name);
	return system(command) == 0;
}

double run_program(const char *const argv[])
{
	double begin = now();
	int status, null;
	pid_t pid = fork();

	if (pid == 0) {
		null = open("/dev/null", O_RDWR);
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status == 127 << 8)
		fail(argv[0]);
	return now() - begin;
}
