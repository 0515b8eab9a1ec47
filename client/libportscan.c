#include "calls.h"
#include "connection.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* So much is collected before it is sent without being asked to. */
#define OUTPUT_ENOUGH (64u * 1024u)
/* Larger than any answer: the daemon has no reason to send that. */
#define ANSWER_MAX (64u * 1024u * 1024u)
/*
 * On a machine with a processor to spare most answers are there sooner than one falls asleep and
 * is woken again. Where they are not, at most so many calls go by until it is tried again.
 */
#define PATIENCE_NS  100000
#define SLEEPING_MAX 63u

/* Room for the result of any method. */
union result {
	struct portscan_check_result check;
	struct portscan_find_result find;
	struct portscan_scan_result scan;
	struct portscan_wait_result wait;
	struct portscan_lease_result lease;
	struct portscan_renew_result renew;
	struct portscan_leases_result leases;
	struct portscan_who_result who;
	struct portscan_info_result info;
	char *text;
};

int portscan_new_from_fd(struct portscan **ret, int fd)
{
	struct portscan *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->fd = fd;
	*ret = p;
	return 0;
}

static void destroy(struct portscan *p)
{
	close(p->fd);
	buffer_deinit(&p->output);
	frame_reader_deinit(&p->reader);
	arrivals_deinit(&p->arrivals);
	descriptors_deinit(&p->claimed);
	pending_deinit(&p->pending);
	outcome_deinit(&p->last);
	free(p);
}

const struct portscan_error *portscan_last_error(const struct portscan *p)
{
	return p->last.is_error ? &p->last.error : NULL;
}

const char *portscan_last_result(struct portscan *p)
{
	if (!p->last.text && p->last.result)
		p->last.text = json_dumps(p->last.result, JSON_COMPACT | JSON_ENCODE_ANY);
	return p->last.text;
}

/* The result of `call` in `json`, with the descriptors that came along. */
static int make_result(struct portscan *p, const struct method *method, const json_t *json,
		       void *ret_result)
{
	int r;

	r = method->decode(json, ret_result);
	if (r < 0 || !method->take)
		return r;
	r = method->take(p, ret_result, &p->claimed);
	if (r < 0)
		method->clear(ret_result);
	return r;
}

/* Hands a call its end; `answer` NULL: there was none. */
static void complete(struct portscan *p, const struct pending_call *call, int status,
		     json_t *message, const struct answer *answer)
{
	struct portscan_reply reply = { .id = call->id, .status = status };
	union result result;
	int r = 0;

	if (answer)
		r = outcome_set(&p->last, message, answer);
	else
		outcome_deinit(&p->last);
	if (r >= 0 && answer && status == 0)
		r = make_result(p, call->method, answer->result, &result);
	if (r < 0)
		reply.status = r;
	if (reply.status == -EREMOTEIO)
		reply.error = &p->last.error;
	/* All of the union are pointers to it. */
	if (reply.status == 0)
		reply.check = &result.check;

	if (call->done)
		call->done(p, &reply, call->userdata);
	if (reply.status == 0)
		call->method->clear(&result);
}

/* The end of the connection, and of every call; with an error that was meant for none of them. */
static void fail(struct portscan *p, int status, json_t *message, const struct answer *answer)
{
	struct pending pending = p->pending;
	const struct pending_call *call;
	size_t cursor = 0;

	p->failure = status == -EREMOTEIO ? -ECONNRESET : status;
	p->pending = (struct pending){ 0 };
	buffer_deinit(&p->output);
	while ((call = pending_next(&pending, &cursor)))
		complete(p, call, status, message, answer);
	pending_deinit(&pending);
}

void portscan_free(struct portscan *p)
{
	bool was_busy;

	if (!p || p->is_freed)
		return;
	was_busy = p->is_busy;
	p->is_busy = true;
	p->is_freed = true;
	fail(p, -ECANCELED, NULL, NULL);
	if (!was_busy)
		destroy(p);
}

/* Ends a stretch in which completions were called; whether the handle is still there. */
static bool leave(struct portscan *p)
{
	p->is_busy = false;
	if (!p->is_freed)
		return true;
	destroy(p);
	return false;
}

static void tell_progress(struct portscan *p, const struct answer *answer)
{
	static const struct field fields[] = { SCAN_PROGRESS(struct portscan_progress) };
	const struct pending_call *found = pending_find(&p->pending, (uint64_t)answer->id);
	struct portscan_progress progress;
	struct error ignored = { 0 };
	struct pending_call call;

	if (!found || !found->on_progress)
		return;
	call = *found;
	if (schema_decode(fields, answer->progress, DECODE_RESULT, &progress, &ignored) >= 0) {
		progress.id = call.id;
		call.on_progress(p, &progress, call.userdata);
		schema_clear(fields, &progress);
	}
	error_deinit(&ignored);
}

static void take_answer(struct portscan *p, json_t *message)
{
	struct pending_call call;
	struct answer answer;

	if (answer_unpack(&answer, message) < 0)
		fail(p, -EBADMSG, NULL, NULL);
	else if (answer.progress)
		tell_progress(p, &answer);
	else if (pending_take(&p->pending, (uint64_t)answer.id, &call))
		complete(p, &call, answer.error ? -EREMOTEIO : 0, message, &answer);
	else if (answer.id == 0 && answer.error)
		/* Which of the calls could not be read is not known: none may wait for ever. */
		fail(p, -EREMOTEIO, message, &answer);
}

static int take_frames(struct portscan *p)
{
	struct frame frame;
	int r;

	while (!p->failure) {
		struct error error = { 0 };
		json_t *message;

		r = frame_reader_next(&p->reader, ANSWER_MAX, false, &frame);
		if (r <= 0)
			return r == -EMSGSIZE ? -EBADMSG : r;
		r = message_parse(&message, frame.data, frame.size, &error);
		error_deinit(&error);
		if (r < 0)
			return r;
		/* Before any completion, so that nothing in here depends on what it does. */
		frame_reader_done(&p->reader);
		r = arrivals_claim(&p->arrivals,
				   p->arrivals.n_received - buffer_size(&p->reader.input),
				   &p->claimed);
		if (r >= 0)
			take_answer(p, message);
		/* Nobody has asked for those that are left. */
		descriptors_deinit(&p->claimed);
		json_decref(message);
		if (r < 0)
			return r;
	}
	return 0;
}

static int flush_output(struct portscan *p)
{
	p->is_blocked = false;
	while (buffer_size(&p->output) > 0) {
		ssize_t n = send(p->fd, buffer_data(&p->output), buffer_size(&p->output),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			buffer_consume(&p->output, (size_t)n);
		} else if (errno == EAGAIN) {
			p->is_blocked = true;
			return 0;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			/* What it sent before it left is still there to be read, and may say why. */
			p->is_deaf = true;
			buffer_deinit(&p->output);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

static int receive(struct portscan *p)
{
	ssize_t n = arrivals_receive(&p->arrivals, p->fd, p->received, sizeof(p->received));
	int r;

	if (n < 0)
		return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
	if (n == 0)
		return -ECONNRESET;
	r = buffer_put(&p->reader.input, p->received, (size_t)n);
	return r < 0 ? r : take_frames(p);
}

/* What there is to send and to receive, without blocking. */
static void turn(struct portscan *p)
{
	int r;

	r = flush_output(p);
	if (r >= 0)
		r = receive(p);
	/* Completions may have started calls. */
	if (r >= 0)
		r = flush_output(p);
	if (r < 0 && !p->failure)
		fail(p, r, NULL, NULL);
}

int portscan_get_fd(const struct portscan *p)
{
	return p->fd;
}

short portscan_get_events(const struct portscan *p)
{
	return (short)(POLLIN | (buffer_size(&p->output) > 0 ? POLLOUT : 0));
}

int portscan_dispatch(struct portscan *p)
{
	if (p->is_busy)
		return -EDEADLK;
	p->is_busy = true;
	if (!p->failure)
		turn(p);
	return leave(p) ? p->failure : -ECANCELED;
}

int connection_start(struct portscan *p, struct pending_call call, const char *name,
		     const struct field *fields, const void *params, uint64_t *ret_id)
{
	size_t before = buffer_size(&p->output);
	int r;

	if (p->failure)
		return p->failure;
	call.id = p->last_id + 1;
	r = message_put_call(&p->output, name, (json_int_t)call.id, fields, params);
	if (r < 0)
		return r;
	if (buffer_size(&p->output) - before > MESSAGE_MAX)
		r = -EMSGSIZE;
	else
		r = pending_add(&p->pending, &call);
	if (r < 0) {
		buffer_truncate(&p->output, before);
		return r;
	}

	p->last_id = call.id;
	/* The loop would find out about an error as well, and from there calls can be completed. */
	if (p->is_deaf)
		buffer_deinit(&p->output);
	else if (buffer_size(&p->output) >= OUTPUT_ENOUGH && !p->is_blocked)
		(void)flush_output(p);
	if (ret_id)
		*ret_id = call.id;
	return 0;
}

/* A call that somebody waits for. */
struct waiter {
	bool is_done;
	int status;
	void *result;
	size_t result_size;
	struct outcome outcome;
	portscan_progress_fn *on_progress;
	void *userdata;
};

static void on_waiter_done(struct portscan *p, struct portscan_reply *reply, void *userdata)
{
	struct waiter *waiter = userdata;

	waiter->is_done = true;
	waiter->status = reply->status;
	/* Moved out of reach of the completions that are called before the waiter returns. */
	waiter->outcome = p->last;
	p->last = (struct outcome){ 0 };
	if (reply->status == 0) {
		memcpy(waiter->result, reply->check, waiter->result_size);
		memset(reply->check, 0, waiter->result_size);
	}
}

static void on_waiter_progress(struct portscan *p, const struct portscan_progress *progress,
			       void *userdata)
{
	struct waiter *waiter = userdata;

	waiter->on_progress(p, progress, waiter->userdata);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Looks for the answer a little while before it sleeps, as long as that has been worth it. */
static void wait_awake(struct portscan *p, const struct waiter *waiter)
{
	int64_t end;

	if (p->n_to_sleep > 0) {
		p->n_to_sleep--;
		return;
	}
	end = now_ns() + PATIENCE_NS;
	while (!waiter->is_done && now_ns() < end)
		turn(p);
	if (waiter->is_done)
		p->n_slept = 0;
	else if (p->n_slept < SLEEPING_MAX)
		p->n_slept = p->n_slept * 2 + 1;
	p->n_to_sleep = p->n_slept;
}

static void wait_for(struct portscan *p, const struct waiter *waiter)
{
	int r = flush_output(p);

	if (r < 0)
		fail(p, r, NULL, NULL);
	else
		wait_awake(p, waiter);
	while (!waiter->is_done) {
		struct pollfd ready = { .fd = p->fd, .events = portscan_get_events(p) };

		if (poll(&ready, 1, -1) < 0 && errno != EINTR)
			fail(p, -errno, NULL, NULL);
		else if (ready.revents)
			turn(p);
	}
}

int connection_call(struct portscan *p, struct pending_call call, const char *name,
		    const struct field *fields, const void *params, void *ret_result)
{
	struct waiter waiter = {
		.result = ret_result,
		.result_size = call.method->result_size,
		.on_progress = call.on_progress,
		.userdata = call.userdata,
	};
	int r;

	if (p->is_busy)
		return -EDEADLK;
	outcome_deinit(&p->last);
	call.done = on_waiter_done;
	call.userdata = &waiter;
	if (call.on_progress)
		call.on_progress = on_waiter_progress;
	r = connection_start(p, call, name, fields, params, NULL);
	if (r < 0)
		return r;

	p->is_busy = true;
	wait_for(p, &waiter);
	outcome_deinit(&p->last);
	p->last = waiter.outcome;
	leave(p);
	return waiter.status;
}
