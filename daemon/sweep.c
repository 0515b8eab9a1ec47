#include "sweep.h"

#include "clock.h"
#include "local.h"
#include "tally.h"

/* Probes started in one slice, some 0.15 ms on this host: a check waits for one of each sweep. */
#define SLICE 16
/* Probes given up or expired in one slice, some 0.2 ms. */
#define CLOSE_SLICE 32

/* A probe that is pending. */
struct probe {
	ev_io writable;
	struct list link; /* sweep::pending, in the order of their start */
	struct sweep *sweep;
	double deadline; /* see monotonic_now() */
	size_t index;
	uint16_t port;
	uint16_t address; /* index into the addresses */
	int fd;
};

struct sweep {
	struct sweep_config config;
	struct turn turn;
	struct prober_waiter waiter;
	ev_timer timer;
	size_t n_addresses;
	struct host_window **windows; /* one for each address */
	bool *is_unreachable;         /* the same */
	size_t n_unreachable;
	struct tally *tallies; /* one for each port, NULL with one address */

	/* Where to go on: this port on this address, the cursor standing behind it. */
	struct portlist_cursor cursor;
	size_t index;
	uint16_t port, address;
	size_t n_decided;
	struct list pending;         /* of probe::link */
	int starved_of;              /* errno, 0 for the window */
	struct host_window *awaited; /* whose room it waits for, or was told of */
	double starving_since;       /* with nothing under way; 0: it is not */
	bool is_in_run;              /* see prober_note_refusal() */
	bool is_ended;
};

/* What a step of a sweep leaves to do. Once it is ENDED, the sweep may be gone. */
enum progress {
	GOES_ON,
	WAITS, /* for room, or for answers */
	ENDED,
};

static struct ev_loop *loop_of(const struct sweep *sweep)
{
	return sweep->config.turns->loop;
}

static void end_run(struct sweep *sweep)
{
	if (sweep->is_in_run)
		prober_end_run(sweep->config.prober);
	sweep->is_in_run = false;
}

static enum progress end(struct sweep *sweep, enum sweep_end how, int error, uint16_t port)
{
	struct sweep_result result = { .end = how, .error = error, .port = port };

	end_run(sweep);
	sweep->is_ended = true;
	sweep->config.ended(sweep->config.userdata, &result);
	return ENDED;
}

static enum progress decide(struct sweep *sweep, const struct verdict *verdict)
{
	sweep->n_decided++;
	if (sweep->config.decided(sweep->config.userdata, verdict) ||
	    sweep->n_decided == sweep->config.n_ports)
		return end(sweep, SWEEP_DONE, 0, 0);
	return GOES_ON;
}

static enum progress mark_unreachable(struct sweep *sweep, uint16_t address, uint16_t port,
				      int error)
{
	if (!sweep->is_unreachable[address]) {
		sweep->is_unreachable[address] = true;
		sweep->n_unreachable++;
	}
	if (sweep->n_unreachable == sweep->n_addresses)
		return end(sweep, SWEEP_UNREACHABLE, error, port);
	return GOES_ON;
}

/* One address has told about one port: what that makes of the port. */
static enum progress settle(struct sweep *sweep, size_t index, uint16_t port, uint16_t address,
			    enum outcome outcome)
{
	struct tally *tally =
		sweep->tallies ? &sweep->tallies[index] : &(struct tally){ .unanswered = 1 };
	struct verdict verdict = { .port = port, .index = index };

	if (!tally_add(tally, address, outcome))
		return GOES_ON;
	verdict.status = outcome_status(tally->outcome);
	verdict.reason = outcome_reason(tally->outcome);
	verdict.address = &sweep->config.addresses->addresses[tally->address];
	return decide(sweep, &verdict);
}

static void free_probe(struct probe *probe)
{
	struct sweep *sweep = probe->sweep;

	ev_io_stop(loop_of(sweep), &probe->writable);
	list_remove(&probe->link);
	host_window_leave(sweep->windows[probe->address]);
	free(probe);
}

static union address address_of(const struct sweep *sweep, uint16_t index, uint16_t port)
{
	union address address = sweep->config.addresses->addresses[index];

	address_set_port(&address, port);
	return address;
}

/* Takes the probe off, and its verdict in. `is_late`: it has no more time. */
static enum progress probe_answered(struct probe *probe, bool is_late)
{
	struct sweep *sweep = probe->sweep;
	size_t index = probe->index;
	uint16_t port = probe->port, address_index = probe->address;
	int fd, error = 0;
	union address address = address_of(sweep, address_index, port);
	enum outcome outcome;

	ev_io_stop(loop_of(sweep), &probe->writable);
	outcome = prober_collect(sweep->config.prober, sweep->config.user, &address, probe->fd,
				 &error);
	/* Cut short by a lack of memory here, or by ss -K, it has not been answered. */
	if (outcome == OUTCOME_STARVED && is_late)
		outcome = OUTCOME_TIMEOUT;
	else if (outcome == OUTCOME_STARVED)
		outcome = prober_connect(sweep->config.prober, sweep->config.user, &address,
					 !sweep->windows[address_index], &probe->fd, &error);
	if (outcome == OUTCOME_PENDING && !is_late) {
		ev_io_set(&probe->writable, probe->fd, EV_WRITE);
		ev_io_start(loop_of(sweep), &probe->writable);
		return WAITS;
	}
	fd = probe->fd;
	free_probe(probe);
	if (outcome == OUTCOME_PENDING) {
		prober_expire(sweep->config.prober, sweep->config.user, fd);
		outcome = OUTCOME_TIMEOUT;
		/* A listener of this host whose queue is full drops what comes. */
		if (!sweep->windows[address_index] &&
		    local_look_up(sweep->config.sockdiag, &address, &error) == OUTCOME_LISTENING)
			outcome = OUTCOME_BACKLOG_FULL;
	}
	if (outcome == OUTCOME_STARVED)
		return end(sweep, SWEEP_STARVED, error, port);
	if (outcome == OUTCOME_UNREACHABLE &&
	    mark_unreachable(sweep, address_index, port, error) == ENDED)
		return ENDED;
	return settle(sweep, index, port, address_index, outcome);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct probe *probe = container_of(watcher, struct probe, writable);

	(void)revents;
	/* Given up, and soon closed: see dismantle(). */
	if (probe->sweep->is_ended)
		ev_io_stop(loop, watcher);
	else
		probe_answered(probe, false);
}

/* For the probe whose time is over first; or, with none under way, for the end of patience. */
static void set_timer(struct sweep *sweep)
{
	double now = monotonic_now(), until;

	ev_timer_stop(loop_of(sweep), &sweep->timer);
	if (!list_empty(&sweep->pending)) {
		until = list_first(&sweep->pending, struct probe, link)->deadline;
	} else if (!list_empty(&sweep->waiter.link)) {
		if (sweep->starving_since == 0.)
			sweep->starving_since = now;
		until = sweep->starving_since + sweep->config.patience_ms / 1e3;
	} else {
		return;
	}
	ev_timer_set(&sweep->timer, until > now ? until - now : 0., 0.);
	ev_timer_start(loop_of(sweep), &sweep->timer);
}

static enum progress expire(struct sweep *sweep)
{
	double now = monotonic_now();

	for (int i = 0; i < CLOSE_SLICE && !list_empty(&sweep->pending); i++) {
		struct probe *probe = list_first(&sweep->pending, struct probe, link);

		if (probe->deadline > now)
			break;
		if (probe_answered(probe, true) == ENDED)
			return ENDED;
	}
	set_timer(sweep);
	return WAITS;
}

bool sweep_is_starved(const struct sweep *sweep, struct sweep_result *ret_result)
{
	*ret_result = (struct sweep_result){
		.end = sweep->starved_of ? SWEEP_STARVED : SWEEP_CROWDED,
		.error = sweep->starved_of,
		.port = sweep->port,
	};
	return list_empty(&sweep->pending) && sweep->starving_since != 0.;
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct sweep *sweep = container_of(watcher, struct sweep, timer);
	struct sweep_result result;

	(void)loop;
	(void)revents;
	if (!list_empty(&sweep->pending))
		expire(sweep);
	else if (!list_empty(&sweep->waiter.link) && sweep_is_starved(sweep, &result) &&
		 monotonic_now() >= sweep->starving_since + sweep->config.patience_ms / 1e3)
		end(sweep, result.end, result.error, result.port);
	else
		set_timer(sweep);
}

static int watch(struct sweep *sweep, int fd)
{
	struct probe *probe = calloc(1, sizeof(*probe));

	if (!probe)
		return -ENOMEM;
	probe->sweep = sweep;
	probe->fd = fd;
	probe->index = sweep->index;
	probe->port = sweep->port;
	probe->address = sweep->address;
	probe->deadline = monotonic_now() + sweep->config.timeout_ms / 1e3;
	ev_io_init(&probe->writable, on_writable, fd, EV_WRITE);
	ev_io_start(loop_of(sweep), &probe->writable);
	list_append(&sweep->pending, &probe->link);
	if (sweep->pending.next == &probe->link)
		set_timer(sweep);
	return 0;
}

/* `error` is what ran short, or 0 for the window of a foreign host. */
static enum progress wait_for_room(struct sweep *sweep, struct host_window *window, int error)
{
	end_run(sweep);
	sweep->starved_of = error;
	sweep->awaited = error == 0 ? window : NULL;
	if (sweep->awaited)
		host_window_wait(window, &sweep->waiter);
	else
		prober_wait(sweep->config.prober, &sweep->waiter);
	if (list_empty(&sweep->pending))
		set_timer(sweep);
	return WAITS;
}

/* Moves on to the next address, or to the first one of the next port. False at the end. */
static bool advance(struct sweep *sweep)
{
	struct sweep_config *config = &sweep->config;

	if (sweep->port != 0 && ++sweep->address < sweep->n_addresses)
		return true;
	if (sweep->port != 0)
		sweep->index++;
	sweep->address = 0;
	if (config->array)
		sweep->port = sweep->index < config->n_ports ? config->array[sweep->index] : 0;
	else
		sweep->port = portlist_next(config->ports, &sweep->cursor);
	return sweep->port != 0;
}

/* A connection; pending ones are watched. */
static enum outcome probe(struct sweep *sweep, const union address *address, int *ret_error)
{
	struct host_window *window = sweep->windows[sweep->address];
	enum outcome outcome;
	int fd;

	if (!host_window_enter(window)) {
		*ret_error = 0;
		return OUTCOME_STARVED;
	}
	outcome = prober_connect(sweep->config.prober, sweep->config.user, address, !window, &fd,
				 ret_error);
	if (outcome == OUTCOME_PENDING && watch(sweep, fd) < 0) {
		prober_abandon(sweep->config.prober, sweep->turn.user, fd);
		*ret_error = ENOMEM;
		outcome = OUTCOME_STARVED;
	}
	if (outcome != OUTCOME_PENDING)
		host_window_leave(window);
	if (outcome == OUTCOME_REFUSED && !window && sweep->config.n_ports > 1) {
		prober_note_refusal(sweep->config.prober, address);
		sweep->is_in_run = true;
	}
	return outcome;
}

/* Asks for the port on the address where the sweep stands. */
static enum outcome ask(struct sweep *sweep, int *ret_error)
{
	union address address = address_of(sweep, sweep->address, sweep->port);

	switch (sweep->config.via) {
	case VIA_TABLE:
		return local_look_up(sweep->config.sockdiag, &address, ret_error);
	case VIA_BIND:
		return local_bind(sweep->config.prober, &address, ret_error);
	case VIA_CONNECT:
		break;
	}
	return probe(sweep, &address, ret_error);
}

/* Asks, and moves on unless that must wait. */
static enum progress step(struct sweep *sweep)
{
	size_t index = sweep->index;
	uint16_t port = sweep->port, address = sweep->address;
	enum outcome outcome = OUTCOME_UNREACHABLE;
	int error = 0;

	if (!sweep->is_unreachable[address]) {
		outcome = ask(sweep, &error);
		if (outcome == OUTCOME_DENIED)
			return end(sweep, SWEEP_DENIED, error, port);
		if (outcome == OUTCOME_STARVED)
			return wait_for_room(sweep, sweep->windows[address], error);
		sweep->starving_since = 0.;
		if (outcome == OUTCOME_UNREACHABLE &&
		    mark_unreachable(sweep, address, port, error) == ENDED)
			return ENDED;
	}
	if (outcome != OUTCOME_PENDING && settle(sweep, index, port, address, outcome) == ENDED)
		return ENDED;
	if (advance(sweep))
		return GOES_ON;
	end_run(sweep);
	return WAITS;
}

static void run_slice(struct sweep *sweep)
{
	for (int i = 0; i < SLICE; i++)
		if (step(sweep) != GOES_ON)
			return;
	turn_queue(sweep->config.turns, &sweep->turn);
}

static void destroy(struct sweep *sweep)
{
	for (size_t i = 0; sweep->windows && i < sweep->n_addresses; i++)
		host_window_put(sweep->windows[i]);
	free(sweep->windows);
	free(sweep->is_unreachable);
	free(sweep->tallies);
	turn_deinit(&sweep->turn);
	free(sweep);
}

/* Gives up some of what is under way: closing thousands of sockets at once would be felt. */
static void dismantle(struct sweep *sweep)
{
	for (int i = 0; i < CLOSE_SLICE; i++) {
		struct probe *probe;
		int fd;

		if (list_empty(&sweep->pending)) {
			destroy(sweep);
			return;
		}
		probe = list_first(&sweep->pending, struct probe, link);
		fd = probe->fd;
		free_probe(probe);
		prober_abandon(sweep->config.prober, sweep->turn.user, fd);
	}
	turn_queue(sweep->config.turns, &sweep->turn);
}

static void on_turn(struct turn *turn)
{
	struct sweep *sweep = container_of(turn, struct sweep, turn);

	if (sweep->is_ended) {
		dismantle(sweep);
		return;
	}
	/* It has no use for the room it was told of: it tells the next. */
	if (sweep->awaited && sweep->is_unreachable[sweep->address])
		host_window_pass_on(sweep->awaited);
	sweep->awaited = NULL;
	run_slice(sweep);
}

static void on_room(struct prober_waiter *waiter)
{
	struct sweep *sweep = container_of(waiter, struct sweep, waiter);

	turn_queue(sweep->config.turns, &sweep->turn);
}

static void sweep_freep(struct sweep **sweep)
{
	sweep_free(*sweep);
}

static int open_windows(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->n_addresses; i++) {
		int r = host_window_get(sweep->config.windows,
					&sweep->config.addresses->addresses[i], &sweep->windows[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

int sweep_new(struct sweep **ret_sweep, const struct sweep_config *config)
{
	_cleanup_(sweep_freep) struct sweep *sweep = NULL;
	int r;

	sweep = calloc(1, sizeof(*sweep));
	if (!sweep)
		return -ENOMEM;
	sweep->config = *config;
	sweep->n_addresses = config->addresses->n_addresses;
	turn_init(&sweep->turn, config->user, on_turn);
	list_init(&sweep->waiter.link);
	sweep->waiter.ready = on_room;
	ev_timer_init(&sweep->timer, on_timer, 0., 0.);
	list_init(&sweep->pending);

	sweep->windows = calloc(sweep->n_addresses, sizeof(*sweep->windows));
	sweep->is_unreachable = calloc(sweep->n_addresses, sizeof(*sweep->is_unreachable));
	if (!sweep->windows || !sweep->is_unreachable)
		return -ENOMEM;
	r = config->via == VIA_CONNECT ? open_windows(sweep) : 0;
	if (r < 0)
		return r;
	if (sweep->n_addresses > 1 && config->n_ports > 0) {
		sweep->tallies = tallies_new(config->n_ports, (uint16_t)sweep->n_addresses);
		if (!sweep->tallies)
			return -ENOMEM;
	}
	*ret_sweep = steal(sweep);
	return 0;
}

void sweep_start(struct sweep *sweep)
{
	if (advance(sweep))
		run_slice(sweep);
	else
		end(sweep, SWEEP_DONE, 0, 0);
}

void sweep_free(struct sweep *sweep)
{
	if (!sweep)
		return;
	end_run(sweep);
	sweep->is_ended = true;
	turn_cancel(&sweep->turn);
	/* Told that there is room, and gone before it was taken. */
	if (sweep->awaited && list_empty(&sweep->waiter.link))
		host_window_pass_on(sweep->awaited);
	list_remove(&sweep->waiter.link);
	ev_timer_stop(loop_of(sweep), &sweep->timer);
	dismantle(sweep);
}
