#include "server.h"

#include "clock.h"
#include "connection.h"
#include "daemon.h"
#include "listener.h"
#include "log.h"
#include "parking.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

/* Seconds until accept() is tried again after it ran out of descriptors. */
#define PAUSE 0.1
/* Clients accepted in one turn of the loop from one socket. */
#define ACCEPT_SLICE 16

struct server {
	struct daemon *daemon;
	struct listener *listeners; /* as many as there can be: watchers must stay where they are */
	struct list connections;    /* of connection::link */
	size_t n_listeners, n_connections;
	ev_timer resume;
	bool is_paused;
	struct log_limit pause_limit;
	bool is_private;
	char description[256];
};

struct listener {
	struct server *server;
	struct listening_socket socket;
	ev_io acceptable;
};

static void set_accepting(struct server *server, bool is_accepting)
{
	for (size_t i = 0; i < server->n_listeners; i++) {
		if (is_accepting)
			ev_io_start(server->daemon->loop, &server->listeners[i].acceptable);
		else
			ev_io_stop(server->daemon->loop, &server->listeners[i].acceptable);
	}
}

static void resume_accepting(struct server *server)
{
	ev_timer_stop(server->daemon->loop, &server->resume);
	server->is_paused = false;
	if (!server->daemon->is_stopping)
		set_accepting(server, true);
}

static void on_resume(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	(void)loop;
	(void)revents;
	resume_accepting(container_of(watcher, struct server, resume));
}

/* The clients wait in the queue meanwhile; spinning would help none of them. */
static void pause_accepting(struct server *server, int error)
{
	struct daemon *daemon = server->daemon;

	if (log_limit_allows(&server->pause_limit, monotonic_now()))
		log_warning("no client can be accepted at the moment: %s; "
			    "raise LimitNOFILE= if this stays",
			    strerror(error));
	daemon->metrics.accept_pauses++;
	server->is_paused = true;
	set_accepting(server, false);
	ev_timer_set(&server->resume, PAUSE, 0.);
	ev_timer_start(daemon->loop, &server->resume);
}

/* Takes `fd`, and closes it if it fails. */
static int add_connection(struct server *server, int fd, bool ends_daemon)
{
	struct connection *connection;
	int r;

	r = connection_new(&connection, server->daemon, fd);
	if (r < 0)
		return r;
	connection->ends_daemon = ends_daemon;
	list_append(&server->connections, &connection->link);
	server->daemon->descriptors.n_connections = ++server->n_connections;
	server->daemon->metrics.connections++;
	return 0;
}

static void on_acceptable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct listener *listener = container_of(watcher, struct listener, acceptable);
	struct server *server = listener->server;

	(void)loop;
	(void)revents;
	for (int i = 0; i < ACCEPT_SLICE; i++) {
		int fd = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		int r = fd < 0 ? -errno : add_connection(server, fd, false);

		if (r == -EAGAIN)
			return;
		if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS) {
			pause_accepting(server, -r);
			return;
		}
		/* Anything else is that one client's trouble. */
	}
}

size_t server_n_connections(const struct server *server)
{
	return server->n_connections;
}

bool server_is_private(const struct server *server)
{
	return server->is_private;
}

const char *server_description(const struct server *server)
{
	return server->description;
}

void server_connection_ended(struct server *server, bool ends_daemon)
{
	struct daemon *daemon;

	/* One that failed while it was made is nobody's yet. */
	if (!server)
		return;
	daemon = server->daemon;
	daemon->descriptors.n_connections = --server->n_connections;
	if (ends_daemon || (daemon->is_stopping && server->n_connections == 0))
		ev_break(daemon->loop, EVBREAK_ALL);
	else if (server->is_paused)
		resume_accepting(server);
}

static void add_listener(struct server *server, const struct listening_socket *socket)
{
	struct listener *listener = &server->listeners[server->n_listeners++];

	listener->server = server;
	listener->socket = *socket;
	ev_io_init(&listener->acceptable, on_acceptable, socket->fd, EV_READ);
}

static void describe(struct server *server, const char *what)
{
	size_t used = strlen(server->description);

	snprintf(server->description + used, sizeof(server->description) - used, "%s%s",
		 used > 0 ? ", " : "", what);
}

/* Serves who is connected, or listens. Takes the descriptor, and closes it if it fails. */
static int take_passed_socket(struct server *server, int passed)
{
	_cleanup_(closep) int fd = passed;
	struct listening_socket socket;
	int r;

	if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 0) > 0) {
		r = listener_set_flags(fd);
		if (r >= 0)
			r = add_connection(server, steal_fd(&fd), true);
		if (r >= 0)
			describe(server, "the client that was passed in");
		return r;
	}
	if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) <= 0)
		return -EPROTOTYPE;
	r = listener_adopt(&socket, fd);
	if (r < 0)
		return r;
	steal_fd(&fd);
	add_listener(server, &socket);
	describe(server, socket.name);
	return 0;
}

static int take_passed_sockets(struct server *server, struct passed *passed)
{
	for (size_t i = 0; i < passed->n; i++) {
		int fd, r;

		if (parking_is_ours(passed->names[i]))
			continue;
		fd = steal_fd(&passed->fds[i]);
		r = take_passed_socket(server, fd);
		if (r == -EPROTOTYPE)
			log_error("descriptor %d (%s), passed in by the service manager, is no "
				  "AF_UNIX stream socket; check the ListenStream= of the .socket "
				  "unit",
				  fd, passed->names[i]);
		else if (r < 0)
			log_error("descriptor %d (%s), passed in by the service manager, can't be "
				  "served: %s",
				  fd, passed->names[i], strerror(-r));
		if (r < 0)
			return r;
	}
	server->is_private = server->n_listeners == 0 && server->n_connections > 0;
	return 0;
}

static int open_sockets(struct server *server)
{
	const struct config *config = &server->daemon->config;

	if (config->n_sockets == 0) {
		log_error("there is no XDG_RUNTIME_DIR to listen in; give a --socket");
		return -ENOENT;
	}
	for (size_t i = 0; i < config->n_sockets; i++) {
		struct listening_socket socket;
		int r = listener_open(&socket, config->sockets[i]);

		if (r < 0)
			return r;
		add_listener(server, &socket);
		describe(server, config->sockets[i]);
	}
	return 0;
}

static void server_freep(struct server **server)
{
	server_free(*server);
}

int server_new(struct server **ret_server, struct daemon *daemon, struct passed *passed)
{
	_cleanup_(server_freep) struct server *server = NULL;
	int r;

	server = calloc(1, sizeof(*server));
	if (!server) {
		log_error("out of memory");
		return -ENOMEM;
	}
	server->daemon = daemon;
	list_init(&server->connections);
	ev_timer_init(&server->resume, on_resume, PAUSE, 0.);
	server->listeners =
		calloc(passed->n + daemon->config.n_sockets + 1, sizeof(*server->listeners));
	if (!server->listeners) {
		log_error("out of memory");
		return -ENOMEM;
	}

	r = take_passed_sockets(server, passed);
	if (r >= 0 && server->n_listeners == 0 && !server->is_private)
		r = open_sockets(server);
	if (r < 0)
		return r;
	*ret_server = steal(server);
	return 0;
}

void server_start(struct server *server)
{
	set_accepting(server, true);
}

void server_shut_down(struct server *server)
{
	struct connection *connection, *following;

	set_accepting(server, false);
	ev_timer_stop(server->daemon->loop, &server->resume);
	list_for_each_safe (connection, following, &server->connections, link)
		connection_shut_down(connection);
	if (server->n_connections == 0)
		ev_break(server->daemon->loop, EVBREAK_ALL);
}

void server_free(struct server *server)
{
	if (!server)
		return;
	while (!list_empty(&server->connections))
		connection_free(list_first(&server->connections, struct connection, link));
	set_accepting(server, false);
	for (size_t i = 0; i < server->n_listeners; i++)
		listener_close(&server->listeners[i].socket);
	free(server->listeners);
	ev_timer_stop(server->daemon->loop, &server->resume);
	free(server);
}
