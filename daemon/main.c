#include "daemon.h"
#include "log.h"
#include "server.h"

#include <fcntl.h>
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

static void start_watchers(struct watchers *watchers)
{
	struct ev_loop *loop = watchers->daemon->loop;
	uint64_t interval_us;

	ev_signal_init(&watchers->terminate, on_terminate, SIGTERM);
	ev_signal_init(&watchers->interrupt, on_interrupt, SIGINT);
	ev_signal_start(loop, &watchers->terminate);
	ev_signal_start(loop, &watchers->interrupt);
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

static int add_default_socket(struct config *config)
{
	static char path[128];
	const char *directory = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0) {
		config->sockets[config->n_sockets++] = SOCKET_OF_THE_HOST;
		return 0;
	}
	if (!directory ||
	    (size_t)snprintf(path, sizeof(path), "%s/" SOCKET_NAME, directory) >= sizeof(path)) {
		log_error("there is no XDG_RUNTIME_DIR to listen in; give a --socket");
		return -ENOENT;
	}
	config->sockets[config->n_sockets++] = path;
	return 0;
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

static void close_daemon(struct daemon *daemon)
{
	server_free(daemon->server);
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

	r = open_daemon(&daemon);
	if (r < 0)
		log_error("can't start: %s", strerror(-r));
	if (r >= 0 && daemon.config.n_sockets == 0 && sd_listen_fds(0) <= 0)
		r = add_default_socket(&daemon.config);
	if (r >= 0)
		r = server_new(&daemon.server, &daemon);
	if (r >= 0) {
		/* A client that has a daemon of its own has not asked for its news. */
		if (server_is_private(daemon.server) && daemon.config.log_priority < 0)
			log_open(LOG_WARNING);
		serve(&daemon);
	}
	close_daemon(&daemon);
	return r < 0 ? 1 : 0;
}
