#include "exec.h"

#include "buffer.h"
#include "util.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PROGRAM "portscand"

/* Where the child has what it needs; sd_listen_fds() of the daemon looks for the first. */
#define FD_CONNECTION 3
#define FD_STATUS     4

/* Digits of a pid. */
#define PID_SIZE 12

/*
 * All that happens between fork and exec may be done in a child of a program with threads, where
 * another thread may have held the lock of malloc() just then: so all is made ready before.
 */
struct preparation {
	struct buffer paths;   /* of programs to try, each ended by NUL, an empty one at the end */
	struct buffer strings; /* of the environment, the same way */
	char **environment;    /* into the above */
	char *pid;             /* in there, the digits to be filled in */
	const char *arguments[2];
	int connection, status;
};

static void preparation_deinit(struct preparation *preparation)
{
	buffer_deinit(&preparation->paths);
	buffer_deinit(&preparation->strings);
	free(preparation->environment);
}

static int put_path(struct buffer *paths, const char *directory, size_t length)
{
	return buffer_printf(paths, "%.*s/" PROGRAM "%c", (int)length, directory, '\0');
}

static int prepare_paths(struct buffer *paths)
{
	static const char *const installed[] = { DAEMON_DIRECTORIES };
	/* Of a program with more rights than its user, the user doesn't choose what it runs. */
	const char *path = secure_getenv("PATH");
	int r = 0;

	while (r >= 0 && path && *path) {
		size_t length = strcspn(path, ":");

		/* Relative to wherever the program happens to be is nowhere in particular. */
		if (path[0] == '/')
			r = put_path(paths, path, length);
		path += length + (path[length] == ':');
	}
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(installed); i++)
		r = put_path(paths, installed[i], strlen(installed[i]));
	return r < 0 ? r : buffer_put_char(paths, '\0');
}

/* What a service manager has told the caller, and the caller alone. */
static bool is_private(const char *variable)
{
	static const char *const names[] = {
		"LISTEN_FDS=",   "LISTEN_PID=",    "LISTEN_FDNAMES=",   "NOTIFY_SOCKET=",
		"WATCHDOG_PID=", "WATCHDOG_USEC=", "RUNTIME_DIRECTORY="
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static int prepare_environment(struct preparation *preparation)
{
	static const char pid[] = "LISTEN_PID=000000000000";
	static const char *const added[] = { "LISTEN_FDS=1", "LISTEN_FDNAMES=varlink", pid };
	struct buffer *strings = &preparation->strings;
	size_t n = ARRAY_SIZE(added);
	char *string;
	int r = 0;

	for (char **variable = environ; r >= 0 && variable && *variable; variable++) {
		if (is_private(*variable))
			continue;
		r = buffer_put(strings, *variable, strlen(*variable) + 1);
		n++;
	}
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(added); i++)
		r = buffer_put(strings, added[i], strlen(added[i]) + 1);
	if (r < 0)
		return r;

	preparation->environment = calloc(n + 1, sizeof(char *));
	if (!preparation->environment)
		return -ENOMEM;
	string = buffer_data(strings);
	for (size_t i = 0; i < n; i++, string += strlen(string) + 1)
		preparation->environment[i] = string;
	preparation->pid = strchr(preparation->environment[n - 1], '=') + 1;
	return 0;
}

/* From here to run() only what is allowed in a signal handler. */

static void write_pid(char *digits)
{
	unsigned pid = (unsigned)getpid();
	char text[PID_SIZE];
	size_t first = sizeof(text);

	do {
		text[--first] = (char)('0' + pid % 10);
		pid /= 10;
	} while (pid > 0);
	memcpy(digits, text + first, sizeof(text) - first);
	digits[sizeof(text) - first] = '\0';
}

static void close_from(unsigned first)
{
	struct rlimit limit;

	if (syscall(SYS_close_range, first, ~0u, 0) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	for (unsigned fd = first; fd < limit.rlim_max && fd < 1u << 20; fd++)
		close((int)fd);
}

static int arrange_descriptors(struct preparation *preparation)
{
	int connection, status, null;

	/* Out of the way first: either may be where the other has to go. */
	status = fcntl(preparation->status, F_DUPFD_CLOEXEC, FD_STATUS + 1);
	if (status < 0)
		return -errno;
	preparation->status = status;
	connection = fcntl(preparation->connection, F_DUPFD_CLOEXEC, FD_STATUS + 1);
	null = open("/dev/null", O_RDWR);
	/* Whoever reads what the caller prints need not wait for the daemon to end. */
	if (connection < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	/* Without a stderr the next descriptor that the daemon opens would become it. */
	if (fcntl(STDERR_FILENO, F_GETFD) < 0 && dup2(null, STDERR_FILENO) < 0)
		return -errno;
	if (dup2(connection, FD_CONNECTION) < 0 || dup3(status, FD_STATUS, O_CLOEXEC) < 0)
		return -errno;
	preparation->status = FD_STATUS;
	close_from(FD_STATUS + 1);
	return 0;
}

/* Ignored and blocked signals go through exec, and are the caller's choice, not the daemon's. */
static void reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int run(struct preparation *preparation)
{
	int r;

	r = arrange_descriptors(preparation);
	if (r < 0)
		return r;
	write_pid(preparation->pid);
	r = -ENOENT;
	for (const char *path = buffer_data(&preparation->paths); *path; path += strlen(path) + 1) {
		execve(path, (char *const *)preparation->arguments, preparation->environment);
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			r = -errno;
	}
	return r;
}

static _Noreturn void report(int fd, int r)
{
	while (write(fd, &r, sizeof(r)) < 0 && errno == EINTR)
		;
	_exit(1);
}

/* fork(), but for a child that nobody hears of when it ends: no SIGCHLD, no wait() of others. */
static pid_t fork_silently(void)
{
	return (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
}

static _Noreturn void child(struct preparation *preparation)
{
	pid_t pid;
	int r;

	reset_signals();
	/* A ^C on the caller's terminal is the caller's; the daemon ends with the connection. */
	setsid();
	pid = fork_silently();
	if (pid < 0)
		report(preparation->status, -errno);
	if (pid > 0)
		_exit(0);
	r = run(preparation);
	report(preparation->status, r);
}

/* What the child reported, or 0 if the program runs: then its end of the pipe is closed. */
static int read_status(int fd)
{
	ssize_t n;
	int r;

	do
		n = read(fd, &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == sizeof(r) ? r : 0;
}

static int start(struct preparation *preparation, int *status_to_close, int status)
{
	sigset_t all, before;
	pid_t pid;
	int r;

	/* The caller's handlers are not to run in the child. */
	sigfillset(&all);
	r = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r != 0)
		return -r;
	pid = fork_silently();
	if (pid == 0)
		child(preparation);
	r = pid < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		return r;

	close(steal_fd(status_to_close));
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return read_status(status);
}

int exec_daemon(int *ret_fd)
{
	_cleanup_(preparation_deinit) struct preparation preparation = { .arguments = { PROGRAM,
											NULL } };
	_cleanup_(closep) int ours = -EBADF;
	_cleanup_(closep) int theirs = -EBADF;
	_cleanup_(closep) int status = -EBADF;
	_cleanup_(closep) int status_end = -EBADF;
	int sockets[2], pipes[2];
	int r;

	r = prepare_paths(&preparation.paths);
	if (r >= 0)
		r = prepare_environment(&preparation);
	if (r < 0)
		return r;
	/* Neither is nonblocking: what the daemon does with its own it decides itself. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	ours = sockets[0];
	theirs = sockets[1];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	status = pipes[0];
	status_end = pipes[1];

	preparation.connection = theirs;
	preparation.status = status_end;
	r = start(&preparation, &status_end, status);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&ours);
	return 0;
}
