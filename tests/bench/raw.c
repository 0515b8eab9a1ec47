#include "bench.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* What a check and its answer have on the wire. */
#define REQUEST_SIZE 72
#define ANSWER_SIZE  132

struct raw {
	int fd;
};

/* One port, with the socket that the last one left where that can be used again. */
static bool raw_connect(struct raw *raw, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger linger = { .l_onoff = 1 };
	int r;

	if (raw->fd < 0)
		raw->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = connect(raw->fd, (struct sockaddr *)&address, sizeof(address));
	if (r < 0 && errno == EINPROGRESS)
		r = connect(raw->fd, (struct sockaddr *)&address, sizeof(address));
	if (r < 0 && errno == ECONNREFUSED)
		return false;
	setsockopt(raw->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(steal_fd(&raw->fd));
	return r == 0;
}

size_t raw_sweep(uint16_t first, uint16_t last)
{
	struct raw raw = { .fd = -EBADF };
	size_t n_open = 0;

	for (uint32_t port = first; port <= last; port++)
		n_open += raw_connect(&raw, (uint16_t)port);
	closep(&raw.fd);
	return n_open;
}

void raw_checks(uint16_t port, size_t n)
{
	struct raw raw = { .fd = -EBADF };

	for (size_t i = 0; i < n; i++)
		raw_connect(&raw, port);
	closep(&raw.fd);
}

static void echo(int fd)
{
	char buffer[ANSWER_SIZE] = { 0 };

	while (read(fd, buffer, sizeof(buffer)) > 0)
		if (write(fd, buffer, ANSWER_SIZE) < 0)
			break;
	_exit(0);
}

double raw_echo(size_t n)
{
	char buffer[ANSWER_SIZE] = { 0 };
	double *times = calloc(n, sizeof(*times)), median;
	int fds[2];
	pid_t pid;

	if (!times || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		fail("socketpair");
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		echo(fds[1]);
	}
	close(fds[1]);
	for (size_t i = 0; i < n; i++) {
		double begin = now();

		if (write(fds[0], buffer, REQUEST_SIZE) < 0 ||
		    read(fds[0], buffer, sizeof(buffer)) < 0)
			fail("echo");
		times[i] = now() - begin;
	}
	close(fds[0]);
	waitpid(pid, NULL, 0);
	median = percentile(times, n, 0.5);
	free(times);
	return median;
}
