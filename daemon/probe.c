#include "probe.h"

#include "spare.h"

/* Seconds until those who wait try again, whatever they wait for. */
#define RETRY_INTERVAL 0.01

struct prober {
	struct ev_loop *loop;
	const struct descriptors *descriptors;
	unsigned max_sockets, n_sockets;
	struct spare spares[2]; /* IPv4, IPv6 */
	struct list waiters;    /* of prober_waiter::link */
	ev_timer retry;
	struct prober_counters counters;
};

void prober_wake_first(struct list *waiters)
{
	struct prober_waiter *waiter;

	if (list_empty(waiters))
		return;
	waiter = list_first(waiters, struct prober_waiter, link);
	list_remove(&waiter->link);
	waiter->ready(waiter);
}

static void on_retry(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct prober *prober = container_of(watcher, struct prober, retry);
	struct list waiters;

	(void)revents;
	ev_timer_stop(loop, watcher);
	/* Who is starved again waits again, behind this round. */
	list_init(&waiters);
	while (!list_empty(&prober->waiters)) {
		struct list *link = prober->waiters.next;

		list_remove(link);
		list_append(&waiters, link);
	}
	while (!list_empty(&waiters))
		prober_wake_first(&waiters);
}

static void drop_socket(struct prober *prober, int fd)
{
	close(fd);
	prober->n_sockets--;
}

/* Somebody else can have the room. */
static void close_socket(struct prober *prober, int fd)
{
	drop_socket(prober, fd);
	prober_wake_first(&prober->waiters);
}

static void release_source(struct prober *prober, struct spare *spare)
{
	if (spare->source == 0)
		return;
	if (spare->fd >= 0)
		close_socket(prober, spare->fd);
	spare_reset(spare);
}

void prober_make_way(struct prober *prober, uint16_t port)
{
	for (size_t i = 0; i < ARRAY_SIZE(prober->spares); i++)
		if (prober->spares[i].source == port)
			release_source(prober, &prober->spares[i]);
}

int prober_new(struct prober **ret_prober, struct ev_loop *loop,
	       const struct descriptors *descriptors)
{
	struct prober *prober = calloc(1, sizeof(*prober));

	if (!prober)
		return -ENOMEM;
	prober->loop = loop;
	prober->descriptors = descriptors;
	prober->max_sockets = descriptors_for_probes(descriptors);
	spare_reset(&prober->spares[0]);
	spare_reset(&prober->spares[1]);
	list_init(&prober->waiters);
	ev_timer_init(&prober->retry, on_retry, RETRY_INTERVAL, 0.);
	*ret_prober = prober;
	return 0;
}

void prober_free(struct prober *prober)
{
	if (!prober)
		return;
	ev_timer_stop(prober->loop, &prober->retry);
	closep(&prober->spares[0].fd);
	closep(&prober->spares[1].fd);
	free(prober);
}

const struct prober_counters *prober_counters(const struct prober *prober)
{
	return &prober->counters;
}

static struct spare *spare_of(struct prober *prober, const union address *address)
{
	return &prober->spares[address->sa.sa_family == AF_INET6];
}

static int take_socket(struct prober *prober, const union address *address, int *ret_fd)
{
	struct spare *spare = spare_of(prober, address);
	int fd = steal_fd(&spare->fd);

	if (fd >= 0 && spare_fits(spare, address)) {
		*ret_fd = fd;
		return 0;
	}
	if (fd >= 0)
		drop_socket(prober, fd);
	spare_reset(spare);
	if (prober->n_sockets >= prober->max_sockets)
		return -EMFILE;
	fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	prober->n_sockets++;
	*ret_fd = fd;
	return 0;
}

/* A refusal undoes all that connect() did to the socket, but for this one thing. */
static bool is_tied_to_interface(const union address *address)
{
	return address->sa.sa_family == AF_INET6 && address->in6.sin6_scope_id != 0;
}

/*
 * Whether the socket is connected to itself: the kernel picked the very port that is probed as
 * the source, and the handshake met its own SYN. Nobody listens there then.
 */
static bool is_self_connection(int fd)
{
	union address own = { 0 }, peer = { 0 };
	socklen_t own_size = sizeof(own), peer_size = sizeof(peer);

#ifdef WITHOUT_SELF_CONNECTION_CHECK
	/* tests/ shows that its test of this fails where the check is left out. */
	return false;
#endif
	return getsockname(fd, &own.sa, &own_size) == 0 &&
	       getpeername(fd, &peer.sa, &peer_size) == 0 && address_compare(&own, &peer) == 0;
}

static enum outcome end_connected(struct prober *prober, int fd)
{
	/* Ended by reset: a normal close would leave TIME_WAIT, and a source port less. */
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	bool is_self = is_self_connection(fd);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close_socket(prober, fd);
	if (is_self)
		prober->counters.self_connections++;
	return is_self ? OUTCOME_REFUSED : OUTCOME_ACCEPTED;
}

/*
 * EADDRNOTAVAIL has two meanings: no source port is left, and there is no source address at all
 * (::1 where IPv6 is switched off). A datagram socket needs the address, but not that port.
 */
static bool has_source_address(const union address *address)
{
	union address source;

	return address_source(address, &source) != -EADDRNOTAVAIL;
}

/* What `error`, an errno of connect(), says; 0 is a connection. `address` NULL: unknown. */
static enum outcome judge(int error, const union address *address)
{
	switch (error) {
	case 0:
	case EISCONN:
		return OUTCOME_ACCEPTED;
	case EINPROGRESS:
	case EALREADY:
		return OUTCOME_PENDING;
	case ECONNREFUSED:
	case ECONNRESET:
		return OUTCOME_REFUSED;
	case ETIMEDOUT:
		return OUTCOME_TIMEOUT;
	case EADDRNOTAVAIL:
		return address && !has_source_address(address) ? OUTCOME_UNREACHABLE
							       : OUTCOME_STARVED;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EAGAIN:
	case EINTR:
	case ECONNABORTED: /* what an earlier use of the socket left */
		return OUTCOME_STARVED;
	default:
		return OUTCOME_UNREACHABLE;
	}
}

/* One connect(): the first starts it, and each further one tells how it goes. */
static enum outcome ask(int fd, const union address *address, int *ret_error)
{
	/*
	 * After a refusal this leaves the socket as good as new, which fetching the error with
	 * SO_ERROR would not: so it is used for the next port.
	 */
	*ret_error = connect(fd, &address->sa, address_size(address)) < 0 ? errno : 0;
	return judge(*ret_error, address);
}

/*
 * A pending probe may have its answer all the same: of an ICMP error that comes while connect() is
 * at work, as those of this host do, only this tells. The socket goes on trying, and is of no more
 * use.
 */
static enum outcome ask_for_icmp(int fd, const union address *address, int *ret_error)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error == 0)
		return OUTCOME_PENDING;
	*ret_error = error;
	return judge(error, address);
}

/* What came of one try, room for it included. */
static enum outcome count(struct prober *prober, enum outcome outcome)
{
	struct prober_counters *counters = &prober->counters;

	if (outcome == OUTCOME_ACCEPTED)
		counters->open++;
	else if (outcome == OUTCOME_REFUSED)
		counters->refused++;
	else if (outcome == OUTCOME_TIMEOUT)
		counters->timeout++;
	else if (outcome == OUTCOME_UNREACHABLE)
		counters->unreachable++;
	else
		counters->starved++;
	return outcome;
}

/*
 * Half of what the others leave: so there is always something left for the next user. Root's are
 * the host's own.
 */
static bool has_share(const struct prober *prober, const struct user *user, int fd)
{
	unsigned left = descriptors_left(prober->descriptors, fd);

	if (left > prober->max_sockets - prober->n_sockets)
		left = prober->max_sockets - prober->n_sockets;
	return user->uid == 0 ? left > 0 : user->charges[CHARGE_PROBES] < left;
}

/* As prober_connect(), but that a pending probe is not charged yet. */
static enum outcome connect_once(struct prober *prober, const struct user *user,
				 const union address *address, bool is_local, int *ret_fd,
				 int *ret_error)
{
	enum outcome outcome = OUTCOME_STARVED;
	bool is_as_new;
	int fd = -EBADF, r;

	r = take_socket(prober, address, &fd);
	if (r < 0) {
		*ret_error = -r;
		return judge(-r, NULL);
	}

	*ret_error = EMFILE;
	/* A foreign host is not to see a probe that there is no room for. */
	if (is_local || has_share(prober, user, fd)) {
		outcome = ask(fd, address, ret_error);
		if (outcome == OUTCOME_PENDING)
			/* On this host the reset, or the handshake, is over by now. */
			outcome = ask(fd, address, ret_error);
	}
	is_as_new = outcome == OUTCOME_REFUSED && !is_tied_to_interface(address);
	if (outcome == OUTCOME_PENDING)
		outcome = ask_for_icmp(fd, address, ret_error);
	if (outcome == OUTCOME_PENDING && !has_share(prober, user, fd)) {
		outcome = OUTCOME_STARVED;
		*ret_error = EMFILE;
	}

	if (outcome == OUTCOME_PENDING)
		*ret_fd = fd;
	else if (is_as_new)
		spare_of(prober, address)->fd = fd;
	else if (outcome == OUTCOME_ACCEPTED)
		outcome = end_connected(prober, fd);
	else if (outcome == OUTCOME_STARVED)
		/* Those who wait would only be starved in their turn, and again. */
		drop_socket(prober, fd);
	else
		close_socket(prober, fd);
	return outcome;
}

/* Whether a probe without a verdict is to be made once more, with no port kept for a run. */
static bool is_source_in_the_way(const struct prober *prober, const struct spare *spare,
				 enum outcome outcome, int error)
{
	/* It would keep the port from others for minutes, when the sweep is long over. */
	if (outcome == OUTCOME_PENDING)
		return spare->source != 0;
	return outcome == OUTCOME_STARVED && error == EADDRNOTAVAIL &&
	       (prober->spares[0].source != 0 || prober->spares[1].source != 0);
}

enum outcome prober_connect(struct prober *prober, struct user *user, const union address *address,
			    bool is_local, int *ret_fd, int *ret_error)
{
	struct spare *spare = spare_of(prober, address);
	enum outcome outcome;

	outcome = connect_once(prober, user, address, is_local, ret_fd, ret_error);
	if (is_source_in_the_way(prober, spare, outcome, *ret_error)) {
		if (outcome == OUTCOME_PENDING)
			drop_socket(prober, *ret_fd);
		prober_end_run(prober);
		outcome = connect_once(prober, user, address, is_local, ret_fd, ret_error);
	}
	if (outcome == OUTCOME_PENDING) {
		user->charges[CHARGE_PROBES]++;
		return outcome;
	}
	return count(prober, outcome);
}

void prober_note_refusal(struct prober *prober, const union address *address)
{
	struct spare *spare = spare_of(prober, address);

	if (spare->fd >= 0)
		spare_refused(spare, address);
}

void prober_end_run(struct prober *prober)
{
	for (size_t i = 0; i < ARRAY_SIZE(prober->spares); i++) {
		prober->spares[i].n_refusals = 0;
		release_source(prober, &prober->spares[i]);
	}
}

enum outcome prober_collect(struct prober *prober, struct user *user, const union address *address,
			    int fd, int *ret_error)
{
	enum outcome outcome = ask(fd, address, ret_error);

	if (outcome == OUTCOME_PENDING)
		outcome = ask_for_icmp(fd, address, ret_error);
	if (outcome == OUTCOME_PENDING)
		return outcome;
	user_discharge(user, CHARGE_PROBES);
	if (outcome == OUTCOME_ACCEPTED)
		outcome = end_connected(prober, fd);
	else
		/* Not kept, though it could be used again: the loop has it registered. */
		close_socket(prober, fd);
	return count(prober, outcome);
}

void prober_abandon(struct prober *prober, struct user *user, int fd)
{
	user_discharge(user, CHARGE_PROBES);
	close_socket(prober, fd);
}

void prober_expire(struct prober *prober, struct user *user, int fd)
{
	user_discharge(user, CHARGE_PROBES);
	close_socket(prober, fd);
	count(prober, OUTCOME_TIMEOUT);
}

void prober_wait(struct prober *prober, struct prober_waiter *waiter)
{
	list_append(&prober->waiters, &waiter->link);
	if (!ev_is_active(&prober->retry)) {
		ev_timer_set(&prober->retry, RETRY_INTERVAL, 0.);
		ev_timer_start(prober->loop, &prober->retry);
	}
}
