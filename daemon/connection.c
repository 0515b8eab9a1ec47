#include "connection.h"

#include "clock.h"
#include "daemon.h"
#include "leases.h"
#include "log.h"
#include "memory.h"
#include "message.h"
#include "portserver.h"
#include "request.h"
#include "server.h"
#include "unread.h"

#include <string.h>
#include <sys/socket.h>

/* Microseconds of calls in one turn; the last one may go beyond. */
#define SLICE_US  250
#define READ_SIZE 65536
/* What is read and thrown away so that the client gets to see the answer, and no reset. */
#define DISCARD_MAX (16u * MESSAGE_MAX)

static void connection_go_on(struct connection *connection, bool is_its_turn);

static void close_batch(struct connection *connection, struct batch *batch)
{
	if (connection->batch == batch)
		connection->batch = NULL;
	batch_free(batch);
}

void connection_free(struct connection *connection)
{
	struct daemon *daemon;
	bool ends_daemon;

	if (!connection)
		return;
	daemon = connection->daemon;
	ends_daemon = connection->ends_daemon;
	/* Nothing that ends below may set off more work here. */
	connection->is_working = true;
	while (!list_empty(&connection->requests))
		request_drop(list_first(&connection->requests, struct request, link));
	while (!list_empty(&connection->batches))
		close_batch(connection, list_first(&connection->batches, struct batch, link));
	if (!list_empty(&connection->leases)) {
		lease_table_end_owned(leases_table(daemon->leases), &connection->leases,
				      leases_now());
		leases_changed(daemon->leases);
	}
	turn_deinit(&connection->turn);
	hangup_unwatch(daemon->hangups, &connection->hangup);
	ev_io_stop(daemon->loop, &connection->readable);
	ev_io_stop(daemon->loop, &connection->writable);
	close(connection->fd);
	frame_reader_deinit(&connection->input);
	output_deinit(&connection->output);
	user_discharge(connection->user, CHARGE_CONNECTIONS);
	user_unref(connection->user);
	list_remove(&connection->link);
	free(connection);
	server_connection_ended(daemon->server, ends_daemon);
}

bool connection_is_behind(const struct connection *connection)
{
	return buffer_size(&connection->output.buffer) > UNSENT_MAX;
}

/* No more is taken in: the client is answered what is under way, and then it is over. */
static void end_input(struct connection *connection)
{
	connection->is_input_ended = true;
	connection->is_discarding = true;
	frame_reader_deinit(&connection->input);
}

void connection_lose_answer(struct connection *connection, int error)
{
	static struct log_limit limit;

	if (log_limit_allows(&limit, monotonic_now()))
		log_warning("a client is let go, as its answer can't be written: %s",
			    strerror(-error));
	connection->has_lost_answer = true;
}

static int start_batch(struct connection *connection, json_t *calls)
{
	struct batch *batch;
	int r;

	if (json_array_size(calls) == 0)
		/* Answered as what it isn't: one request. */
		return request_start(connection, NULL, calls, DIALECT_JSONRPC);
	if (json_array_size(calls) > BATCH_MAX) {
		unread_batch(connection);
		return 0;
	}
	r = batch_new(&batch, calls);
	if (r < 0)
		return r;
	list_append(&connection->batches, &batch->link);
	connection->batch = batch;
	return 0;
}

/* Sent as one array, once the last of its calls is answered. */
static void end_batch_if_done(struct connection *connection, struct batch *batch)
{
	int r;

	if (!batch_is_done(batch))
		return;
	/* With one missing, it may not even be JSON. */
	if (!connection->has_lost_answer) {
		r = batch_put_answers(batch, &connection->output.buffer);
		if (r < 0)
			connection_lose_answer(connection, r);
	}
	close_batch(connection, batch);
}

static int start_next_of_batch(struct connection *connection)
{
	struct batch *batch = connection->batch;
	json_t *call = batch_take_call(batch);
	int r;

	if (batch_is_started(batch))
		connection->batch = NULL;
	/* Held, so that the batch doesn't end within its last call. */
	batch->n_under_way++;
	r = request_start(connection, batch, call, DIALECT_JSONRPC);
	batch->n_under_way--;
	json_decref(call);
	end_batch_if_done(connection, batch);
	return r;
}

/* What is kept of answers until the last of their batch is there. */
static size_t batched_size(const struct connection *connection)
{
	const struct batch *batch;
	size_t size = 0;

	list_for_each (batch, &connection->batches, link)
		size += buffer_size(&batch->answers);
	return size;
}

static int start_message(struct connection *connection, const struct frame *frame)
{
	enum dialect dialect = frame->framing == FRAMING_NUL ? DIALECT_VARLINK : DIALECT_JSONRPC;
	struct error error = { 0 };
	json_t *message = NULL;
	int r;

	if (dialect == DIALECT_JSONRPC && portserver_is_message(frame->data, frame->size)) {
		portserver_answer(connection, frame->data, frame->size);
		end_input(connection);
		return 0;
	}
	r = memory_parse(&message, frame->data, frame->size, &error);
	frame_reader_done(&connection->input);
	if (r == -EBADMSG && dialect == DIALECT_JSONRPC) {
		unread_answer(connection, dialect, &error);
		r = 0;
	}
	error_deinit(&error);
	if (r < 0)
		return r;
	if (!message)
		return 0;
	if (dialect == DIALECT_JSONRPC && json_is_array(message))
		r = start_batch(connection, message);
	else
		r = request_start(connection, NULL, message, dialect);
	json_decref(message);
	return r;
}

/* Starts the next call of the input. 1 if there may be more, 0 if there is none, or -errno. */
static int work_off_one(struct connection *connection)
{
	struct frame frame;
	int r;

	if (connection->batch) {
		r = start_next_of_batch(connection);
		return r < 0 ? r : 1;
	}
	if (batched_size(connection) > UNSENT_MAX) {
		connection->blocked_by = BLOCKED_BY_BATCHES;
		return 0;
	}
	r = frame_reader_next(&connection->input, MESSAGE_MAX, connection->is_input_ended, &frame);
	if (r <= 0)
		return r;
	/* Answered in order: not before the last one is. */
	if (frame.framing == FRAMING_NUL && connection->is_varlink_busy) {
		connection->blocked_by = BLOCKED_BY_ORDER;
		return 0;
	}
	r = start_message(connection, &frame);
	return r < 0 ? r : 1;
}

static void set_throttle(struct connection *connection)
{
	size_t unsent = buffer_size(&connection->output.buffer) + connection->weight;
	size_t n_fds = connection->output.n_fds;

	if (unsent > UNSENT_MAX || connection->n_under_way >= UNDER_WAY_MAX ||
	    n_fds > UNSENT_FDS_MAX)
		connection->is_throttled = true;
	else if (unsent <= UNSENT_MAX / 2 && connection->n_under_way <= UNDER_WAY_MAX / 2 &&
		 n_fds <= UNSENT_FDS_MAX / 2)
		connection->is_throttled = false;
}

/* Works off a slice of the input. Returns -errno if the connection can't go on. */
static int work_off(struct connection *connection)
{
	uint64_t end = monotonic_us() + SLICE_US;
	int r;

	do {
		set_throttle(connection);
		if (connection->is_throttled)
			connection->blocked_by = BLOCKED_BY_THROTTLE;
		r = connection->is_throttled ? 0 : work_off_one(connection);
	} while (r > 0 && monotonic_us() < end);
	if (r > 0)
		turn_queue(&connection->daemon->turns, &connection->turn);
	if (r == -EMSGSIZE) {
		/* Answered in order too; set_watchers() sees to it that no more is read until then. */
		if (connection->is_varlink_busy) {
			connection->blocked_by = BLOCKED_BY_ORDER;
		} else {
			unread_message(connection);
			end_input(connection);
		}
		return 0;
	}
	if (r == -EBADMSG) {
		/* Varlink has no answer to what isn't Varlink. */
		end_input(connection);
		return 0;
	}
	return r;
}

static void resume_deferred(struct connection *connection)
{
	while (!list_empty(&connection->deferred) && !connection_is_behind(connection)) {
		struct request *request =
			list_first(&connection->deferred, struct request, deferred_link);

		list_remove(&request->deferred_link);
		request->resume(request);
	}
}

static bool is_over(const struct connection *connection)
{
	return connection->is_input_ended && list_empty(&connection->requests) &&
	       list_empty(&connection->batches) && buffer_size(&connection->output.buffer) == 0 &&
	       !turn_is_queued(&connection->turn);
}

/* What is watched follows from how things stand, and from nothing else. */
static int set_watchers(struct connection *connection)
{
	struct daemon *daemon = connection->daemon;
	bool has_output = buffer_size(&connection->output.buffer) > 0;
	bool is_queued = turn_is_queued(&connection->turn);
	bool wants_input =
		connection->is_discarding ||
		(!connection->is_input_ended && !connection->is_throttled && !is_queued &&
		 buffer_size(&connection->input.input) < MESSAGE_MAX + FRAME_ENDING_MAX);

	if (wants_input)
		ev_io_start(daemon->loop, &connection->readable);
	else
		ev_io_stop(daemon->loop, &connection->readable);
	if (has_output)
		ev_io_start(daemon->loop, &connection->writable);
	else
		ev_io_stop(daemon->loop, &connection->writable);
	if (!wants_input && !has_output && !is_queued)
		return hangup_watch(daemon->hangups, &connection->hangup, connection->fd);
	hangup_unwatch(daemon->hangups, &connection->hangup);
	return 0;
}

/* Whether what kept input from being worked off is over. */
static bool is_unblocked(struct connection *connection)
{
	set_throttle(connection);
	switch (connection->blocked_by) {
	case BLOCKED_BY_THROTTLE:
		return !connection->is_throttled;
	case BLOCKED_BY_ORDER:
		return !connection->is_varlink_busy;
	case BLOCKED_BY_BATCHES:
		return batched_size(connection) <= UNSENT_MAX / 2;
	case BLOCKED_BY_NOTHING:
		break;
	}
	return false;
}

/* In its turn works off input, and sends what there is. -errno if the connection is broken. */
static int work(struct connection *connection, bool is_its_turn)
{
	int r = 0;

	if (is_its_turn && !connection->is_discarding)
		r = work_off(connection);
	if (r >= 0)
		r = output_send(&connection->output, connection->fd);
	if (r < 0)
		return r;
	resume_deferred(connection);
	r = output_send(&connection->output, connection->fd);
	if (is_unblocked(connection)) {
		connection->blocked_by = BLOCKED_BY_NOTHING;
		turn_queue(&connection->daemon->turns, &connection->turn);
	}
	return r;
}

/*
 * After anything has happened: works, and sees to what comes next. Frees the connection if it
 * is over, or broken.
 */
static void connection_go_on(struct connection *connection, bool is_its_turn)
{
	int r;

	if (connection->is_working)
		return;
	connection->is_working = true;
	r = work(connection, is_its_turn);
	connection->is_working = false;

	if (connection->has_lost_answer)
		r = -ENOMEM;
	if (r >= 0 && is_over(connection)) {
		if (!connection->is_discarding || connection->daemon->is_stopping)
			r = -ECONNRESET;
		else
			shutdown(connection->fd, SHUT_WR);
	}
	if (r >= 0)
		r = set_watchers(connection);
	if (r < 0)
		connection_free(connection);
}

/*
 * Reads into a buffer that all share, as most clients are idle most of the time. -errno, or
 * -ECONNRESET where more is discarded than need be.
 */
static int receive(struct connection *connection)
{
	static char scratch[READ_SIZE];
	ssize_t size = recv(connection->fd, scratch, sizeof(scratch), MSG_DONTWAIT);

	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (connection->is_discarding) {
		connection->n_discarded += (size_t)size;
		/* It may be waiting for what was asked before. */
		if (size == 0)
			connection->is_discarding = false;
		return connection->n_discarded > DISCARD_MAX ? -ECONNRESET : 0;
	}
	if (size == 0) {
		connection->is_input_ended = true;
		return 0;
	}
	return buffer_put(&connection->input.input, scratch, (size_t)size);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct connection *connection = container_of(watcher, struct connection, readable);

	(void)revents;
	if (receive(connection) < 0) {
		connection_free(connection);
		return;
	}
	if (connection->is_discarding)
		return;
	/* What came is worked off in turn, and no more is read until then. */
	ev_io_stop(loop, watcher);
	turn_queue(&connection->daemon->turns, &connection->turn);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	(void)loop;
	(void)revents;
	connection_go_on(container_of(watcher, struct connection, writable), false);
}

static void on_turn(struct turn *turn)
{
	connection_go_on(container_of(turn, struct connection, turn), true);
}

static void on_hangup(struct hangup *hangup)
{
	connection_free(container_of(hangup, struct connection, hangup));
}

int connection_new(struct connection **ret_connection, struct daemon *daemon, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(peer);
	int r;

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	if (connection)
		connection->user = user_get(&daemon->users, peer.uid);
	r = connection && connection->user
		    ? user_charge(&daemon->users, connection->user, CHARGE_CONNECTIONS)
		    : -ENOMEM;
	if (r < 0) {
		close(fd);
		user_unref(connection ? connection->user : NULL);
		free(connection);
		return r;
	}
	connection->pid = peer.pid;
	connection->daemon = daemon;
	connection->fd = fd;
	connection->hangup.gone = on_hangup;
	list_init(&connection->link);
	list_init(&connection->requests);
	list_init(&connection->deferred);
	list_init(&connection->batches);
	list_init(&connection->leases);
	output_init(&connection->output, &connection->user->charges[CHARGE_DESCRIPTORS]);
	turn_init(&connection->turn, connection->user, on_turn);
	ev_io_init(&connection->readable, on_readable, fd, EV_READ);
	ev_io_init(&connection->writable, on_writable, fd, EV_WRITE);
	ev_io_start(daemon->loop, &connection->readable);
	*ret_connection = connection;
	return 0;
}

void connection_shut_down(struct connection *connection)
{
	struct request *request, *following;

	connection->is_working = true;
	list_for_each_safe (request, following, &connection->requests, link)
		request_cancel(request, ERROR_SHUTTING_DOWN, SHUTTING_DOWN_MESSAGE);
	while (connection->batch)
		if (start_next_of_batch(connection) < 0)
			break;
	turn_cancel(&connection->turn);
	end_input(connection);
	connection->is_working = false;
	connection_go_on(connection, false);
}

struct buffer *connection_answer_begin(struct connection *connection, struct batch *batch)
{
	if (!batch)
		return &connection->output.buffer;
	/* Becomes the array's bracket in the end, and before the others it is what it is. */
	if (buffer_put_char(&batch->answers, ',') < 0)
		return NULL;
	return &batch->answers;
}

void connection_request_ended(struct connection *connection, struct batch *batch, bool is_varlink)
{
	connection->n_under_way--;
	if (is_varlink)
		connection->is_varlink_busy = false;
	if (batch) {
		batch->n_under_way--;
		end_batch_if_done(connection, batch);
	}
	connection_go_on(connection, false);
}

void connection_flush(struct connection *connection)
{
	connection_go_on(connection, false);
}
