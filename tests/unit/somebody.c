/* somebody.c: another process that tries to have a port. */

#include "somebody.h"

#include "util.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

socklen_t somebody_address(const char *text, uint16_t port, union somebody_address *ret_address)
{
	memset(ret_address, 0, sizeof(*ret_address));
	if (inet_pton(AF_INET, text, &ret_address->in.sin_addr) == 1) {
		ret_address->in.sin_family = AF_INET;
		ret_address->in.sin_port = htons(port);
		return sizeof(ret_address->in);
	}
	if (inet_pton(AF_INET6, text, &ret_address->in6.sin6_addr) != 1)
		abort();
	ret_address->in6.sin6_family = AF_INET6;
	ret_address->in6.sin6_port = htons(port);
	return sizeof(ret_address->in6);
}

static int set(int fd, int level, int option, bool value)
{
	return setsockopt(fd, level, option, &(int){ value }, sizeof(int));
}

int attempt_here(const struct attempt *attempt, uint16_t port)
{
	_cleanup_(closep) int fd = -EBADF;
	int type = attempt->type ? attempt->type : SOCK_STREAM;
	union somebody_address address;
	socklen_t size = somebody_address(attempt->address, port, &address);

	fd = socket(address.any.sa_family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (address.any.sa_family == AF_INET6 &&
	    set(fd, IPPROTO_IPV6, IPV6_V6ONLY, attempt->v6only) < 0)
		return -errno;
	if (attempt->reuseaddr && set(fd, SOL_SOCKET, SO_REUSEADDR, true) < 0)
		return -errno;
	if (attempt->reuseport && set(fd, SOL_SOCKET, SO_REUSEPORT, true) < 0)
		return -errno;
	if (bind(fd, &address.any, size) < 0)
		return -errno;
	if (type == SOCK_STREAM && !attempt->bind_only && listen(fd, 16) < 0)
		return -errno;
	return steal_fd(&fd);
}

uint16_t port_of(int fd)
{
	union somebody_address address;
	socklen_t size = sizeof(address);

	if (getsockname(fd, &address.any, &size) < 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.in6.sin6_port
						       : address.in.sin_port);
}

static void somebody_run(const struct attempt *attempt, uint16_t port, uid_t uid, int report)
{
	struct somebody somebody = { 0 };
	int fd;

	if (uid != getuid() && setuid(uid) < 0)
		_exit(1);
	fd = attempt_here(attempt, port);
	somebody.result = fd < 0 ? fd : 0;
	somebody.port = fd < 0 ? 0 : port_of(fd);
	if (write(report, &somebody, sizeof(somebody)) != (ssize_t)sizeof(somebody))
		_exit(1);
	for (;;)
		pause();
}

struct somebody somebody_start(const struct attempt *attempt, uint16_t port, uid_t uid)
{
	struct somebody somebody = { .result = -EIO };
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		abort();
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0)
		somebody_run(attempt, port, uid, ends[1]);
	close(ends[1]);
	if (read(ends[0], &somebody, sizeof(somebody)) != (ssize_t)sizeof(somebody))
		somebody.result = -EIO;
	close(ends[0]);
	somebody.pid = pid;
	return somebody;
}

void somebody_end(struct somebody *somebody)
{
	kill(somebody->pid, SIGKILL);
	waitpid(somebody->pid, NULL, 0);
}

int somebody_tries(const struct attempt *attempt, uint16_t port, uid_t uid)
{
	struct somebody somebody = somebody_start(attempt, port, uid);

	somebody_end(&somebody);
	return somebody.result;
}

bool sysctl_write(const char *name, const char *value)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
}

bool own_network(unsigned first, unsigned last)
{
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	_cleanup_(closep) int fd = -EBADF;
	char range[32];

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &loopback) < 0)
		return false;
	snprintf(range, sizeof(range), "%u %u", first, last);
	return sysctl_write("ipv4/ip_local_port_range", range);
}
