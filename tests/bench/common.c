#include "bench.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
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

void daemon_run(struct bench_daemon *daemon, const char *const options[])
{
	const char *argv[32] = { getenv("PORTSCAND"),
				 "--log-level",
				 "warning",
				 "--socket",
				 daemon->socket,
				 "--runtime-dir",
				 daemon->directory,
				 "--connections-per-user",
				 "10000" };
	size_t n = 9;

	if (!argv[0])
		fail("PORTSCAND");
	while (*options && n < ARRAY_SIZE(argv) - 1)
		argv[n++] = *options++;
	daemon->pid = fork();
	if (daemon->pid == 0) {
		/* A bench that fails leaves nothing behind. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
}

void daemon_start_with(struct bench_daemon *daemon, const char *const options[])
{
	/* In memory, as /run is. */
	snprintf(daemon->directory, sizeof(daemon->directory), "/dev/shm/portscand-bench-XXXXXX");
	if (!mkdtemp(daemon->directory))
		fail("a directory");
	snprintf(daemon->socket, sizeof(daemon->socket), "%s/socket", daemon->directory);
	daemon_run(daemon, options);
	daemon_connect(daemon, &daemon->connection);
}

void daemon_start(struct bench_daemon *daemon)
{
	static const char *const none[] = { NULL };

	daemon_start_with(daemon, none);
}

void daemon_stop(struct bench_daemon *daemon)
{
	char journal[96];

	portscan_free(daemon->connection);
	kill(daemon->pid, SIGTERM);
	waitpid(daemon->pid, NULL, 0);
	snprintf(journal, sizeof(journal), "%s/leases.journal", daemon->directory);
	unlink(journal);
	rmdir(daemon->directory);
}

/* What a process has in memory, in bytes. */
double resident(pid_t pid)
{
	char path[64], line[128];
	long kilobytes = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "VmRSS: %ld", &kilobytes);
	if (file)
		fclose(file);
	return (double)kilobytes * 1024;
}

bool program_exists(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", name);
	return system(command) == 0;
}

void silence(void)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
}

double run_program(const char *const argv[])
{
	double begin = now();
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		silence();
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status == 127 << 8)
		fail(argv[0]);
	return now() - begin;
}
