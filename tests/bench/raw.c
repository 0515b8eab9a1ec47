#include "bench.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* The kernel's number for it. */
#define LISTEN 10

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

static void ask_for_listeners(int fd, uint8_t family)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} message = {
		.header.nlmsg_len = sizeof(message),
		.header.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.request.sdiag_family = family,
		.request.sdiag_protocol = IPPROTO_TCP,
		.request.idiag_states = 1u << LISTEN,
	};

	if (send(fd, &message, sizeof(message), 0) < 0)
		fail("NETLINK_SOCK_DIAG");
}

/* Reads to the end of one listing. */
static size_t read_listeners(int fd)
{
	static _Alignas(struct nlmsghdr) uint8_t buffer[32768];
	size_t n = 0;

	for (;;) {
		ssize_t size = recv(fd, buffer, sizeof(buffer), 0);
		const struct nlmsghdr *message = (const void *)buffer;

		if (size < 0)
			fail("NETLINK_SOCK_DIAG");
		for (; NLMSG_OK(message, (size_t)size); message = NLMSG_NEXT(message, size)) {
			if (message->nlmsg_type == NLMSG_DONE)
				return n;
			n++;
		}
	}
}

size_t raw_dump(void)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	size_t n = 0;

	if (fd < 0)
		fail("NETLINK_SOCK_DIAG");
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		ask_for_listeners(fd, families[i]);
		n += read_listeners(fd);
	}
	close(fd);
	return n;
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
