#include "clock.h"
#include "daemon.h"
#include "leases.h"
#include "log.h"
#include "request.h"
#include "server.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* Seconds that clients have to take their last answers. */
#define STOP_PATIENCE 1.5

struct watchers {
	struct daemon *daemon;
	int argc;
	char **argv;
	ev_signal terminate, interrupt, hangup;
	ev_timer patience, watchdog;
};

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

/* What neither file nor command line says. 0 or -ENOMEM. */
static int set_defaults(struct config *config)
{
	const char *runtime_dir = getenv("RUNTIME_DIRECTORY");
	char space[PATH_MAX];
	const char *path;

	path = default_path(space, sizeof(space), SOCKET_OF_THE_HOST, SOCKET_NAME);
	if (config->n_sockets == 0 && path) {
		config->sockets[0] = strdup(path);
		if (!config->sockets[0])
			return -ENOMEM;
		config->n_sockets = 1;
	}
	path = runtime_dir ? runtime_dir
			   : default_path(space, sizeof(space), RUNTIME_DIR_OF_THE_HOST,
					  RUNTIME_DIR_NAME);
	if (!config->runtime_dir && path) {
		config->runtime_dir = strdup(path);
		if (!config->runtime_dir)
			return -ENOMEM;
	}
	return 0;
}

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

static bool has_same_sockets(const struct config *config, const struct config *other)
{
	if (config->n_sockets != other->n_sockets)
		return false;
	for (size_t i = 0; i < config->n_sockets; i++)
		if (strcmp(config->sockets[i], other->sockets[i]) != 0)
			return false;
	return true;
}

/* `config` takes over from `old` where things are: clients and leases are there already. */
static void keep_places(struct config *config, struct config *old)
{
	struct config wanted = *config;

	if (!has_same_sockets(config, old))
		log_notice("another socket takes a restart");
	if (strcmp(config->runtime_dir ? config->runtime_dir : "",
		   old->runtime_dir ? old->runtime_dir : "") != 0)
		log_notice("another runtime-dir takes a restart");
	memcpy(config->sockets, old->sockets, sizeof(config->sockets));
	config->n_sockets = old->n_sockets;
	config->runtime_dir = old->runtime_dir;
	memcpy(old->sockets, wanted.sockets, sizeof(old->sockets));
	old->n_sockets = wanted.n_sockets;
	old->runtime_dir = wanted.runtime_dir;
}

/* What can be changed while clients are served. The rest is told of. */
static void apply(struct daemon *daemon, struct config *config)
{
	struct config *old = &daemon->config;

	log_open(config->log_priority < 0 ? LOG_INFO : config->log_priority);
	keep_places(config, old);
	daemon->windows.limit = config->window;
	daemon_set_limits(daemon, config);
	if (daemon->leases && leases_configure(daemon->leases, config) < 0)
		log_warning("out of memory: the pool stays as it was");
	config_deinit(old);
	*old = *config;
	*config = (struct config){ 0 };
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int revents)
{
	struct watchers *watchers = container_of(watcher, struct watchers, hangup);
	_cleanup_(config_deinit) struct config config = { 0 };

	(void)loop;
	(void)revents;
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)monotonic_us());
	/* A mistake has been logged, and what was in force stays. */
	if (config_load(&config, watchers->argc, watchers->argv) > 0 &&
	    set_defaults(&config) >= 0) {
		apply(watchers->daemon, &config);
		log_info("read the configuration again");
	} else {
		log_warning("the configuration stays as it was");
	}
	sd_notify(0, "READY=1");
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
 * Until somebody listens to them signals wait: who ends or reloads a daemon that is only starting
 * means the same as later on.
 */
static void hold_signals(int how)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(how, &signals, NULL);
}

static void start_watchers(struct watchers *watchers)
{
	struct ev_loop *loop = watchers->daemon->loop;
	uint64_t interval_us;

	ev_signal_init(&watchers->terminate, on_terminate, SIGTERM);
	ev_signal_init(&watchers->interrupt, on_interrupt, SIGINT);
	ev_signal_init(&watchers->hangup, on_hangup, SIGHUP);
	ev_signal_start(loop, &watchers->hangup);
	ev_signal_start(loop, &watchers->terminate);
	ev_signal_start(loop, &watchers->interrupt);
	hold_signals(SIG_UNBLOCK);
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

	ev_signal_stop(loop, &watchers->hangup);
	ev_signal_stop(loop, &watchers->terminate);
	ev_signal_stop(loop, &watchers->interrupt);
	ev_timer_stop(loop, &watchers->patience);
	ev_timer_stop(loop, &watchers->watchdog);
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

static int open_service(struct daemon *daemon)
{
	_cleanup_(passed_deinit) struct passed passed = { 0 };
	int r;

	r = passed_take(&passed);
	if (r < 0) {
		log_error("the sockets passed in can't be used: %s", strerror(-r));
		return r;
	}
	return daemon_open_service(daemon, &passed);
}

static void serve(struct daemon *daemon, int argc, char *argv[])
{
	struct watchers watchers = { .daemon = daemon, .argc = argc, .argv = argv };

	start_watchers(&watchers);
	server_start(daemon->server);
	sd_notifyf(0, "READY=1\nSTATUS=Serving %s", server_description(daemon->server));
	log_info("serving %s", server_description(daemon->server));
	ev_run(daemon->loop, 0);
	/* Who asks twice gets the same answer. */
	hold_signals(SIG_BLOCK);
	stop_watchers(&watchers);
}

int main(int argc, char *argv[])
{
	struct daemon daemon = { 0 };
	int r;

	hold_signals(SIG_BLOCK);
	open_standard_descriptors();
	log_open(LOG_INFO);
	r = config_load(&daemon.config, argc, argv);
	if (r <= 0)
		return r < 0 ? 2 : 0;
	log_open(daemon.config.log_priority < 0 ? LOG_INFO : daemon.config.log_priority);
	signal(SIGPIPE, SIG_IGN);
	/* LimitFSIZE=: a journal that can't grow is told of by write(). */
	signal(SIGXFSZ, SIG_IGN);

	r = set_defaults(&daemon.config);
	if (r >= 0)
		r = daemon_open(&daemon);
	if (r == -EMFILE)
		log_error("can't start with a limit of %u descriptors; raise LimitNOFILE=, or "
			  "ulimit -n, to %u or more",
			  daemon.descriptors.limit,
			  daemon.descriptors.limit < DESCRIPTORS_MIN
				  ? DESCRIPTORS_MIN
				  : 2 * daemon.descriptors.limit);
	else if (r < 0)
		log_error("can't start: %s", strerror(-r));
	if (r >= 0)
		r = open_service(&daemon);
	if (r >= 0)
		serve(&daemon, argc, argv);
	daemon_close(&daemon);
	return r < 0 ? 1 : 0;
}
