#include "daemon.h"
#include "leases.h"
#include "log.h"
#include "server.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

/* Seconds that clients have to take their last answers. */
#define STOP_PATIENCE 1.5
/* Descriptors that probes leave to clients, name servers and ourselves: a quarter, at most this. */
#define RESERVE_MAX 3072u

struct watchers {
	struct daemon *daemon;
	ev_signal terminate, interrupt;
	ev_timer patience, watchdog;
};

static void stop(struct watchers *watchers)
{
	struct daemon *daemon = watchers->daemon;

	if (daemon->is_stopping)
		return;
	daemon->is_stopping = true;
	sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
	log_info("stopping");
	ev_timer_start(daemon->loop, &watchers->patience);
	server_shut_down(daemon->server);
}

static void on_terminate(struct ev_loop *loop, ev_signal *watcher, int revents)
{
	(void)loop;
	(void)revents;
	stop(container_of(watcher, struct watchers, terminate));
}

static void on_interrupt(struct ev_loop *loop, ev_signal *watcher, int revents)
{
	(void)loop;
	(void)revents;
	stop(container_of(watcher, struct watchers, interrupt));
}

static void on_patience(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	(void)watcher;
	(void)revents;
	ev_break(loop, EVBREAK_ALL);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	(void)loop;
	(void)watcher;
	(void)revents;
	sd_notify(0, "WATCHDOG=1");
}

/*
 * Clients can connect before we are done with starting, and whoever sees them served may end us:
 * signals that come until then wait for their watchers.
 */
static void hold_back_signals(int how)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(how, &signals, NULL);
}

static void start_watchers(struct watchers *watchers)
{
	struct ev_loop *loop = watchers->daemon->loop;
	uint64_t interval_us;

	ev_signal_init(&watchers->terminate, on_terminate, SIGTERM);
	ev_signal_init(&watchers->interrupt, on_interrupt, SIGINT);
	ev_signal_start(loop, &watchers->terminate);
	ev_signal_start(loop, &watchers->interrupt);
	hold_back_signals(SIG_UNBLOCK);
	ev_timer_init(&watchers->patience, on_patience, STOP_PATIENCE, 0.);
	ev_timer_init(&watchers->watchdog, on_watchdog, 0., 0.);
	if (sd_watchdog_enabled(0, &interval_us) > 0) {
		double half = (double)interval_us / 2e6;

		ev_timer_set(&watchers->watchdog, half, half);
		ev_timer_start(loop, &watchers->watchdog);
	}
}

static void stop_watchers(struct watchers *watchers)
{
	struct ev_loop *loop = watchers->daemon->loop;

	ev_signal_stop(loop, &watchers->terminate);
	ev_signal_stop(loop, &watchers->interrupt);
	ev_timer_stop(loop, &watchers->patience);
	ev_timer_stop(loop, &watchers->watchdog);
}

/* As many descriptors as we may have; returns how many of them probes may use. */
static unsigned raise_descriptor_limit(void)
{
	struct rlimit limit;
	unsigned n, reserve;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 512;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		getrlimit(RLIMIT_NOFILE, &limit);
	n = limit.rlim_cur > 1u << 20 ? 1u << 20 : (unsigned)limit.rlim_cur;
	reserve = n / 4 < RESERVE_MAX ? n / 4 : RESERVE_MAX;
	return n - reserve;
}

/* A descriptor below 3 that is closed would be given to a socket, and be written to as stderr. */
static void open_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* "%s/NAME" in the user's runtime directory, or the host's; NULL if there is none. */
static const char *default_path(char *space, size_t size, const char *of_the_host, const char *name)
{
	const char *directory = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		return of_the_host;
	if (!directory || (size_t)snprintf(space, size, "%s/%s", directory, name) >= size)
		return NULL;
	return space;
}

static void set_defaults(struct config *config)
{
	static char socket_path[128], runtime_path[PATH_MAX];

	if (config->n_sockets == 0) {
		config->sockets[0] = default_path(socket_path, sizeof(socket_path),
						  SOCKET_OF_THE_HOST, SOCKET_NAME);
		config->n_sockets = config->sockets[0] ? 1 : 0;
	}
	if (!config->runtime_dir)
		config->runtime_dir = getenv("RUNTIME_DIRECTORY");
	if (!config->runtime_dir)
		config->runtime_dir = default_path(runtime_path, sizeof(runtime_path),
						   RUNTIME_DIR_OF_THE_HOST, RUNTIME_DIR_NAME);
}

static int open_daemon(struct daemon *daemon)
{
	unsigned max_sockets = raise_descriptor_limit();
	int r;

	daemon->loop = ev_loop_new(EVFLAG_AUTO);
	if (!daemon->loop)
		return -ENOMEM;
	daemon->started = ev_time();
	turns_init(&daemon->turns, daemon->loop);
	r = prober_new(&daemon->prober, daemon->loop, max_sockets, daemon->config.window);
	if (r >= 0)
		r = resolver_new(&daemon->resolver, daemon->loop);
	if (r >= 0)
		r = hangups_new(&daemon->hangups, daemon->loop);
	if (r >= 0)
		r = sockdiag_new(&daemon->sockdiag, daemon->loop);
	if (r >= 0)
		r = cgroups_new(&daemon->cgroups, NULL);
	return r;
}

static int open_service(struct daemon *daemon)
{
	_cleanup_(passed_deinit)
	struct passed passed = { 0 };
	int r;

	r = passed_take(&passed);
	if (r < 0) {
		log_error("the sockets passed in can't be used: %s", strerror(-r));
		return r;
	}
	r = server_new(&daemon->server, daemon, &passed);
	if (r < 0)
		return r;
	/* One client's own daemon ends with it, and its leases would. */
	if (!server_is_private(daemon->server))
		return leases_new(&daemon->leases, daemon, &passed);
	/* Nor has that client asked for the daemon's news. */
	if (daemon->config.log_priority < 0)
		log_open(LOG_WARNING);
	return 0;
}

static void close_daemon(struct daemon *daemon)
{
	server_free(daemon->server);
	leases_free(daemon->leases);
	config_deinit(&daemon->config);
	if (!daemon->loop)
		return;
	turns_finish(&daemon->turns);
	cgroups_free(daemon->cgroups);
	sockdiag_free(daemon->sockdiag);
	hangups_free(daemon->hangups);
	resolver_free(daemon->resolver);
	prober_free(daemon->prober);
	turns_deinit(&daemon->turns);
	ev_loop_destroy(daemon->loop);
}

static void serve(struct daemon *daemon)
{
	struct watchers watchers = { .daemon = daemon };

	start_watchers(&watchers);
	server_start(daemon->server);
	sd_notifyf(0, "READY=1\nSTATUS=Serving %s", server_description(daemon->server));
	log_info("serving %s", server_description(daemon->server));
	ev_run(daemon->loop, 0);
	stop_watchers(&watchers);
}

int main(int argc, char *argv[])
{
	struct daemon daemon = { 0 };
	int r;

	open_standard_descriptors();
	r = config_parse(&daemon.config, argc, argv);
	if (r <= 0)
		return r < 0 ? 2 : 0;
	log_open(daemon.config.log_priority < 0 ? LOG_INFO : daemon.config.log_priority);
	signal(SIGPIPE, SIG_IGN);
	/* LimitFSIZE=: a journal that can't grow is told of by write(). */
	signal(SIGXFSZ, SIG_IGN);
	hold_back_signals(SIG_BLOCK);

	set_defaults(&daemon.config);

	r = open_daemon(&daemon);
	if (r < 0)
		log_error("can't start: %s", strerror(-r));
	if (r >= 0)
		r = open_service(&daemon);
	if (r >= 0)
		serve(&daemon);
	close_daemon(&daemon);
	return r < 0 ? 1 : 0;
}
