#include "embedded.h"

#include "leases_internal.h"
#include "log.h"
#include "passed.h"
#include "server.h"

#include <ares.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Sockets that the daemon keeps for later: two of the prober, and those that ask the kernel. */
#define KEPT_FDS 4

#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,         \
				strerror(errno));                                                  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The linker has the daemon call the second for the first, and these are the names it gives. */
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
int __real_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
	int status = __real_ares_init_options(channel, options, mask);

	/* discard: nobody has run it for decades, so its port refuses. */
	if (status == ARES_SUCCESS)
		status = ares_set_servers_ports_csv(*channel, "127.0.0.1:9");
	else
		return status;
	must(status == ARES_SUCCESS || status == ARES_ENOMEM);
	if (status != ARES_SUCCESS)
		ares_destroy(*channel);
	return status;
}

void embedded_isolate(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	_cleanup_(closep) int fd = -EBADF;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0);
}

size_t count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	size_t n = 0;

	must(directory);
	while (readdir(directory))
		n++;
	closedir(directory);
	/* ".", ".." and the directory itself. */
	return n - 3;
}

static int listen_anywhere(struct embedded *embedded)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	embedded->address.sun_family = AF_UNIX;
	must(bind(fd, (struct sockaddr *)&embedded->address, sizeof(sa_family_t)) == 0);
	embedded->address_size = sizeof(embedded->address);
	must(getsockname(fd, (struct sockaddr *)&embedded->address, &embedded->address_size) == 0);
	must(listen(fd, 64) == 0);
	return fd;
}

static void on_nothing(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	(void)loop;
	(void)watcher;
	(void)revents;
}

static void on_no_io(struct ev_loop *loop, ev_io *watcher, int revents)
{
	(void)loop;
	(void)watcher;
	(void)revents;
}

/* The tables of the loop grow when they are full, and are never given back. */
static void grow_tables(struct ev_loop *loop)
{
	ev_timer timers[64];
	ev_io ios[64];

	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		ev_timer_init(&timers[i], on_nothing, 0., 0.);
		ev_set_priority(&timers[i], (int)(i % 5) + EV_MINPRI);
		ev_timer_start(loop, &timers[i]);
		ev_feed_event(loop, &timers[i], 0);
		ev_io_init(&ios[i], on_no_io, fcntl(0, F_DUPFD_CLOEXEC, 3), EV_READ);
		must(ios[i].fd >= 0);
		ev_io_start(loop, &ios[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ios); i++)
		ev_io_stop(loop, &ios[i]);
	/* All of them are due. */
	ev_run(loop, EVRUN_NOWAIT);
	for (size_t i = 0; i < ARRAY_SIZE(ios); i++)
		close(ios[i].fd);
}

void embedded_open(struct embedded *embedded, const char *const options[])
{
	/* clang-format off */
	const char *arguments[32] = {
		"portscand", "--config", "/dev/null", "--log-level", "err",
		"--deny", "0.0.0.0/0", "--deny", "::/0",
		"--allow", "127.0.0.0/8", "--allow", "::1",
		"--runtime-dir", embedded->directory,
	};
	/* clang-format on */
	struct passed passed = { .fds = calloc(1, sizeof(int)),
				 .names = calloc(1, sizeof(char *)),
				 .n = 1 };
	int n = 15;

	*embedded = (struct embedded){ .directory = "/tmp/portscand-embedded-XXXXXX" };
	must(mkdtemp(embedded->directory));
	while (*options)
		arguments[n++] = *options++;
	must(config_load(&embedded->daemon.config, n, (char **)arguments) == 1);
	log_open(LOG_ERR);
	must(daemon_open(&embedded->daemon) == 0);
	passed.fds[0] = listen_anywhere(embedded);
	passed.names[0] = strdup("unknown");
	must(daemon_open_service(&embedded->daemon, &passed) == 0);
	passed_deinit(&passed);
	server_start(embedded->daemon.server);
	grow_tables(embedded->daemon.loop);
	embedded->n_fds = count_descriptors();
}

void embedded_close(struct embedded *embedded)
{
	char path[128];

	daemon_close(&embedded->daemon);
	snprintf(path, sizeof(path), "%s/leases.journal", embedded->directory);
	unlink(path);
	must(rmdir(embedded->directory) == 0);
}

int embedded_connect(struct embedded *embedded, uid_t uid)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool is_other = uid != 0 && geteuid() == 0;

	must(fd >= 0);
	must(!is_other || seteuid(uid) == 0);
	must(connect(fd, (struct sockaddr *)&embedded->address, embedded->address_size) == 0);
	must(!is_other || seteuid(0) == 0);
	return fd;
}

void embedded_turn(struct embedded *embedded, bool may_wait)
{
	struct ev_loop *loop = embedded->daemon.loop;
	ev_timer enough;

	if (!may_wait) {
		ev_run(loop, EVRUN_NOWAIT);
		return;
	}
	ev_now_update(loop);
	ev_timer_init(&enough, on_nothing, 0.01, 0.);
	ev_timer_start(loop, &enough);
	ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &enough);
}

static void check_idle(struct embedded *embedded)
{
	struct daemon *daemon = &embedded->daemon;
	size_t n_fds = count_descriptors();

	must(list_empty(&daemon->turns.users));
	must(list_empty(&daemon->users.list));
	if (n_fds > embedded->n_fds + KEPT_FDS)
		fprintf(stderr, "%zu descriptors, and %zu before\n", n_fds, embedded->n_fds);
	must(n_fds <= embedded->n_fds + KEPT_FDS);
}

void embedded_end_leases(struct embedded *embedded)
{
	struct lease_table *table = leases_table(embedded->daemon.leases);
	struct lease_counts counts;
	struct lease *lease;

	while ((lease = lease_table_next(table, NULL))) {
		uint64_t id = lease->id;

		lease_table_end(table, lease, leases_now());
		/* Not even quarantined any more: the next test may want the port. */
		lease_table_restore_gone(table, id);
	}
	lease_table_count(table, &counts);
	must(counts.by_state[LEASE_HELD] == 0 && counts.by_state[LEASE_IN_USE] == 0);
	must(counts.by_state[LEASE_QUARANTINED] == 0 && counts.claimed == 0 && counts.lost == 0);
	must(counts.pool_free + counts.pool_refused == counts.pool_size);
	leases_tidy(embedded->daemon.leases);
	check_idle(embedded);
}

void embedded_settle(struct embedded *embedded)
{
	ev_tstamp end = ev_time() + 10.;
	struct daemon *daemon = &embedded->daemon;
	/* Once this one is accepted, so are those before it. */
	int last = embedded_connect(embedded, 0);
	bool is_served = false;
	char byte;

	must(shutdown(last, SHUT_WR) == 0);
	while (!is_served || server_n_connections(daemon->server) > 0 ||
	       !list_empty(&daemon->turns.users)) {
		embedded_turn(embedded, true);
		is_served |= recv(last, &byte, 1, MSG_DONTWAIT) == 0;
		must(ev_time() < end);
	}
	close(last);
}
