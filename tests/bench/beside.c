#include "beside.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define CROWD_UID     4711
#define N_CONNECTIONS 512
/* On each: 4,096 in all. */
#define N_REQUESTS 8

/* What is asked; %d is a port whose queue is full, so that connections to it stay pending. */
static const char *const calls[] = {
	"{'method':'check','params':{'port':%d,'timeout_ms':100}}\n",
	"{'method':'check','params':{'port':9}}\n",
	"{'method':'scan','params':{'ports':'1-65535'}}\n",
	"{'method':'scan','params':{'ports':'1-65535','via':'table'}}\n",
	"{'method':'find','params':{'ports':'1-65535','count':65535}}\n",
	"{'method':'who','params':{'port':9}}\n",
	"{'method':'leases'}\n",
	"{'method':'metrics'}\n",
};

static struct line {
	char text[128];
	size_t size;
} lines[ARRAY_SIZE(calls)];

static int full_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(listening, (struct sockaddr *)&address, size) < 0 || listen(listening, 0) < 0 ||
	    getsockname(listening, (struct sockaddr *)&address, &size) < 0)
		fail("a listener");
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		/* Waits, or waits for a place to wait: either is what it is for. */
		(void)connect(fd, (struct sockaddr *)&address, size);
	}
	return ntohs(address.sin_port);
}

static void make_lines(void)
{
	int port = full_port();

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		const char *hole = strstr(calls[i], "%d");
		int before = hole ? (int)(hole - calls[i]) : (int)strlen(calls[i]);

		snprintf(lines[i].text, sizeof(lines[i].text), "%.*s", before, calls[i]);
		if (hole)
			snprintf(lines[i].text + before, sizeof(lines[i].text) - (size_t)before,
				 "%d%s", port, hole + 2);
		for (char *quote = lines[i].text; (quote = strchr(quote, '\'')); quote++)
			*quote = '"';
		lines[i].size = strlen(lines[i].text);
	}
}

static void ask(int fd, const struct line *line, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (send(fd, line->text, line->size, MSG_NOSIGNAL) < 0)
			fail("asking");
}

static void go_on(int epoll, const int fds[static N_CONNECTIONS])
{
	static char answers[1 << 18];
	struct epoll_event event;

	while (epoll_wait(epoll, &event, 1, -1) == 1) {
		int fd = fds[event.data.u32];
		ssize_t size = recv(fd, answers, sizeof(answers), 0);
		size_t n = 0;

		if (size <= 0)
			fail("the daemon has ended a connection");
		for (ssize_t i = 0; i < size; i++)
			n += answers[i] == '\n';
		ask(fd, &lines[event.data.u32 % ARRAY_SIZE(lines)], n);
	}
}

/* Each kind on every eighth connection. */
static _Noreturn void crowd(const struct bench_daemon *daemon, int ready)
{
	static int fds[N_CONNECTIONS];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	memccpy(address.sun_path, daemon->socket, '\0', sizeof(address.sun_path));
	if (setgid(CROWD_UID) < 0 || setuid(CROWD_UID) < 0)
		fail("another user (is this root?)");
	make_lines();
	for (uint32_t i = 0; i < N_CONNECTIONS; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fds[i], (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) < 0)
			fail("connecting");
		ask(fds[i], &lines[i % ARRAY_SIZE(lines)], N_REQUESTS);
	}
	if (write(ready, "", 1) != 1)
		fail("pipe");
	go_on(epoll, fds);
	_exit(1);
}

/* Those who ask ask on as soon as there is room for it, and read nothing. */
static _Noreturn void throng(const struct bench_daemon *daemon, int ready)
{
	static const char call[] = "{\"method\":\"find\",\"params\":{\"ports\":\"1-65535\","
				   "\"via\":\"table\",\"count\":5000}}\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;

	memccpy(address.sun_path, daemon->socket, '\0', sizeof(address.sun_path));
	for (int i = 0; i < THRONG_IDLE + THRONG_DEAF; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		event = (struct epoll_event){ .events = EPOLLOUT, .data.fd = fd };
		if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    (i >= THRONG_IDLE && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0))
			fail("connecting");
	}
	if (write(ready, "", 1) != 1)
		fail("pipe");
	while (epoll_wait(epoll, &event, 1, -1) == 1)
		/* A call that is cut off goes on with the rest of nothing: an error to answer. */
		(void)send(event.data.fd, call, sizeof(call) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	_exit(1);
}

static pid_t start(const struct bench_daemon *daemon,
		   void (*run)(const struct bench_daemon *daemon, int ready))
{
	int fds[2];
	char byte;
	pid_t pid;

	if (pipe(fds) < 0 || chmod(daemon->directory, 0755) < 0)
		fail("pipe");
	pid = fork();
	if (pid == 0)
		run(daemon, fds[1]);
	close(fds[1]);
	if (read(fds[0], &byte, 1) != 1)
		fail("those beside");
	close(fds[0]);
	return pid;
}

pid_t crowd_start(const struct bench_daemon *daemon)
{
	return start(daemon, crowd);
}

pid_t throng_start(const struct bench_daemon *daemon)
{
	return start(daemon, throng);
}

void beside_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
