#include "sockdiag.h"

#include "clock.h"
#include "netlink.h"
#include "sockdiag_lookup.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* How long a turn of the loop may be spent on reading a listing, and on telling those who asked. */
#define SLICE_NS 500000U

/* How often a listing is begun anew when the kernel says that it was interrupted. */
#define RETRIES_MAX 5

/* What is kept from one listing to the next, so that small ones need no allocation. */
#define SOCKETS_KEPT 1024

struct sockdiag {
	struct ev_loop *loop;
	struct sockdiag_lookup lookup;
	struct sockdiag_stats stats;

	struct list waiting; /* sockdiag_query::link */
	ev_timer turn;       /* fed to the loop: runs at the end of the turn */

	/* The dump that is running, if `running`. */
	bool running;
	bool delivering;    /* all of it is there */
	int result;         /* of it, when `delivering` */
	struct list asking; /* sockdiag_query::link; empty: all cancelled */
	unsigned what;
	uint16_t ports[SOCKDIAG_PORTS_MAX];
	size_t n_ports; /* 0: all */
	size_t part;    /* index into `parts` */
	size_t part_start;
	unsigned retries;
	bool asked; /* for `part`: there is something to read */
	uint32_t sequence;
	int fd;
	ev_io readable;
	struct sockdiag_socket *sockets;
	size_t n_sockets, n_allocated;
	_Alignas(struct nlmsghdr) uint8_t buffer[SOCKDIAG_BUFFER_SIZE];
};

#define LISTEN (1U << SOCKDIAG_LISTEN)
#define BOUND  (1U << SOCKDIAG_BOUND_INACTIVE)

/*
 * The kernel dumps one family and protocol at a time. The states of TCP are in three tables, each
 * of which it walks through in one go when little of it is wanted: with 20,000 sockets in
 * connections that takes 1 to 3 ms for these, and 3 to 6 ms for bound sockets, because connections
 * are in that table too. So they are asked for one by one. Bound sockets come first: one that
 * starts to listen meanwhile is then seen twice, and not never.
 */
static const struct {
	unsigned what;
	int family, protocol;
	uint32_t states;
} parts[] = {
	{ SOCKDIAG_TCP_BOUND, AF_INET, IPPROTO_TCP, BOUND },
	{ SOCKDIAG_TCP_BOUND, AF_INET6, IPPROTO_TCP, BOUND },
	{ SOCKDIAG_TCP_LISTENERS, AF_INET, IPPROTO_TCP, LISTEN },
	{ SOCKDIAG_TCP_LISTENERS, AF_INET6, IPPROTO_TCP, LISTEN },
	{ SOCKDIAG_TCP_CONNECTIONS, AF_INET, IPPROTO_TCP, ~(BOUND | LISTEN) },
	{ SOCKDIAG_TCP_CONNECTIONS, AF_INET6, IPPROTO_TCP, ~(BOUND | LISTEN) },
	{ SOCKDIAG_UDP, AF_INET, IPPROTO_UDP, UINT32_MAX },
	{ SOCKDIAG_UDP, AF_INET6, IPPROTO_UDP, UINT32_MAX },
};

static void dump_close(struct sockdiag *sockdiag)
{
	ev_io_stop(sockdiag->loop, &sockdiag->readable);
	closep(&sockdiag->fd);
	sockdiag->fd = -EBADF;
}

static int dump_open(struct sockdiag *sockdiag)
{
	int r;

	if (sockdiag->fd >= 0)
		return 0;
	r = netlink_open(NETLINK_SOCK_DIAG);
	if (r < 0)
		return r;
	sockdiag->fd = r;
	ev_io_set(&sockdiag->readable, r, EV_READ);
	return 0;
}

/* Asks for the next part that is wanted. Returns 1; 0 if there is none left; or -errno. */
static int dump_ask(struct sockdiag *sockdiag)
{
	struct sockdiag_dump_request request;
	int r;

	while (sockdiag->part < ARRAY_SIZE(parts) && !(parts[sockdiag->part].what & sockdiag->what))
		sockdiag->part++;
	if (sockdiag->part == ARRAY_SIZE(parts) || list_empty(&sockdiag->asking))
		return 0;

	r = dump_open(sockdiag);
	if (r < 0)
		return r;
	sockdiag->n_sockets = sockdiag->part_start;
	sockdiag_pack_dump(&request, ++sockdiag->sequence, parts[sockdiag->part].family,
			   parts[sockdiag->part].protocol, parts[sockdiag->part].states,
			   sockdiag->ports, sockdiag->n_ports);
	if (send(sockdiag->fd, &request, request.header.nlmsg_len, 0) < 0)
		return -errno;

	sockdiag->asked = true;
	ev_io_start(sockdiag->loop, &sockdiag->readable);
	return 1;
}

static int dump_store(struct sockdiag *sockdiag, const struct nlmsghdr *message)
{
	struct sockdiag_socket *sockets;
	size_t n;
	int r;

	if (sockdiag->n_sockets == sockdiag->n_allocated) {
		if (sockdiag->n_allocated >= SOCKDIAG_SOCKETS_MAX)
			return -E2BIG;
		n = sockdiag->n_allocated > 0 ? sockdiag->n_allocated * 2 : 64;
		sockets = reallocarray(sockdiag->sockets, n, sizeof(*sockets));
		if (!sockets)
			return -ENOMEM;
		sockdiag->sockets = sockets;
		sockdiag->n_allocated = n;
	}
	r = sockdiag_unpack_socket(message, parts[sockdiag->part].protocol,
				   &sockdiag->sockets[sockdiag->n_sockets]);
	if (r < 0)
		return r;
	sockdiag->n_sockets++;
	return 0;
}

/* The kernel has told all of this part, or why it doesn't. Returns 1, or -errno. */
static int part_done(struct sockdiag *sockdiag, int error)
{
	/* A kernel without IPv6 has no IPv6 sockets; but one without IPv4 has no module. */
	if (error == -ENOENT && parts[sockdiag->part].family == AF_INET6)
		error = 0;
	if (error < 0)
		return sockdiag_map_error(error);

	ev_io_stop(sockdiag->loop, &sockdiag->readable);
	sockdiag->asked = false;
	sockdiag->part++;
	sockdiag->part_start = sockdiag->n_sockets;
	return 1;
}

/*
 * Has this part asked for anew, on a new socket: of the old one nobody knows what it still has to
 * say, and while it has, it takes no other request. Returns 1, or -errno.
 */
static int part_retry(struct sockdiag *sockdiag)
{
	dump_close(sockdiag);
	sockdiag->asked = false;
	if (sockdiag->retries++ >= RETRIES_MAX)
		return -ENOBUFS;
	sockdiag->stats.retries++;
	return 1;
}

/* Reads what the kernel has ready. Returns 1, or -errno. */
static int dump_read(struct sockdiag *sockdiag)
{
	struct iovec iov = { .iov_base = sockdiag->buffer, .iov_len = sizeof(sockdiag->buffer) };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	const struct nlmsghdr *message;
	size_t position = 0;
	ssize_t n;
	int r;

	n = recvmsg(sockdiag->fd, &header, 0);
	if (n < 0 && errno == EINTR)
		return 1;
	/*
	 * The kernel prepares the next piece while this one is read. If there is none before the
	 * end, it lacked memory for it (ENOBUFS, once), and will not try again by itself.
	 */
	if ((n < 0 && (errno == EAGAIN || errno == ENOBUFS)) || header.msg_flags & MSG_TRUNC)
		return part_retry(sockdiag);
	if (n < 0)
		return -errno;

	while ((message = sockdiag_next_message(sockdiag->buffer, (size_t)n, &position))) {
		if (message->nlmsg_seq != sockdiag->sequence)
			continue;
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			return part_retry(sockdiag);
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
			return part_done(sockdiag, sockdiag_unpack_error(message));
		if (list_empty(&sockdiag->asking))
			continue;
		r = dump_store(sockdiag, message);
		if (r < 0)
			return r;
	}
	return 1;
}

static void next_turn(struct sockdiag *sockdiag)
{
	ev_timer_set(&sockdiag->turn, 0., 0.);
	ev_timer_start(sockdiag->loop, &sockdiag->turn);
}

static int compare_ports(const void *a, const void *b)
{
	const struct sockdiag_socket *left = a, *right = b;

	return (int)left->port - (int)right->port;
}

/* The first socket, of those sorted by port, with this port or a greater one. */
static size_t first_of_port(const struct sockdiag *sockdiag, unsigned port)
{
	size_t low = 0, high = sockdiag->n_sockets, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (sockdiag->sockets[middle].port < port)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void deliver(const struct sockdiag *sockdiag, struct sockdiag_query *query, int result)
{
	size_t first = 0, end = sockdiag->n_sockets;

	if (sockdiag->n_ports > 1) {
		first = first_of_port(sockdiag, query->port);
		end = first_of_port(sockdiag, query->port + 1U);
	}
	query->done(query, result, end > first ? sockdiag->sockets + first : NULL, end - first);
}

/* A slice of them: hundreds may have asked, and each has a listing to look through. */
static void deliver_some(struct sockdiag *sockdiag)
{
	uint64_t started = monotonic_ns();
	struct sockdiag_query *query;

	/* `running` all the while: what is started by these is begun in the next turn. */
	while (!list_empty(&sockdiag->asking)) {
		if (monotonic_ns() - started >= SLICE_NS) {
			next_turn(sockdiag);
			return;
		}
		query = list_first(&sockdiag->asking, struct sockdiag_query, link);
		list_remove(&query->link);
		deliver(sockdiag, query, sockdiag->result);
	}

	if (sockdiag->n_allocated > SOCKETS_KEPT) {
		free(sockdiag->sockets);
		sockdiag->sockets = NULL;
		sockdiag->n_allocated = 0;
	}
	sockdiag->delivering = sockdiag->running = false;
	if (!list_empty(&sockdiag->waiting))
		ev_feed_event(sockdiag->loop, &sockdiag->turn, EV_CUSTOM);
}

static void dump_finish(struct sockdiag *sockdiag, int result)
{
	ev_io_stop(sockdiag->loop, &sockdiag->readable);
	/* After a failure the kernel may still be telling. */
	if (result < 0) {
		dump_close(sockdiag);
		sockdiag->n_sockets = 0;
	}

	/* Each gets its own port's. */
	if (sockdiag->n_ports > 1 && sockdiag->n_sockets > 1)
		qsort(sockdiag->sockets, sockdiag->n_sockets, sizeof(*sockdiag->sockets),
		      compare_ports);

	sockdiag->delivering = true;
	sockdiag->result = result;
	deliver_some(sockdiag);
}

/* Reads and asks for a slice of time. */
static void dump_work(struct sockdiag *sockdiag)
{
	uint64_t started = monotonic_ns();
	int r;

	do
		r = sockdiag->asked ? dump_read(sockdiag) : dump_ask(sockdiag);
	while (r > 0 && monotonic_ns() - started < SLICE_NS);

	if (r <= 0)
		dump_finish(sockdiag, r);
	else if (!sockdiag->asked)
		next_turn(sockdiag);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	(void)loop;
	(void)revents;
	dump_work(container_of(watcher, struct sockdiag, readable));
}

/* Whether a query can be answered by the dump that is being put together; notes its port. */
static bool dump_covers(struct sockdiag *sockdiag, const struct sockdiag_query *query)
{
	if (query->what != sockdiag->what || (query->port == 0) != (sockdiag->n_ports == 0))
		return false;
	if (query->port == 0)
		return true;
	for (size_t i = 0; i < sockdiag->n_ports; i++) {
		if (sockdiag->ports[i] == query->port)
			return true;
	}
	if (sockdiag->n_ports == SOCKDIAG_PORTS_MAX)
		return false;
	sockdiag->ports[sockdiag->n_ports++] = query->port;
	return true;
}

/* Takes the query that waits longest, and all that want the same. */
static void dump_start(struct sockdiag *sockdiag)
{
	struct sockdiag_query *query, *next;

	query = list_first(&sockdiag->waiting, struct sockdiag_query, link);
	sockdiag->running = true;
	sockdiag->asked = false;
	sockdiag->what = query->what;
	sockdiag->ports[0] = query->port;
	sockdiag->n_ports = query->port != 0;
	sockdiag->part = 0;
	sockdiag->part_start = sockdiag->n_sockets = 0;
	sockdiag->retries = 0;
	sockdiag->stats.dumps++;

	list_for_each_safe (query, next, &sockdiag->waiting, link) {
		if (!dump_covers(sockdiag, query))
			continue;
		list_remove(&query->link);
		list_append(&sockdiag->asking, &query->link);
	}
}

/*
 * Fed at the end of a turn in which there are new queries: takes them, and asks in the next.
 * Nothing is answered in this turn, or else an asker who asks again whenever it is answered could
 * keep the loop from ever getting to the next.
 */
static void on_turn(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct sockdiag *sockdiag = container_of(watcher, struct sockdiag, turn);

	(void)loop;
	(void)revents;

	if (!sockdiag->running) {
		if (list_empty(&sockdiag->waiting))
			return;
		dump_start(sockdiag);
		next_turn(sockdiag);
	} else if (sockdiag->delivering) {
		deliver_some(sockdiag);
	} else if (sockdiag->lookup.unsupported < 0) {
		dump_finish(sockdiag, sockdiag->lookup.unsupported);
	} else {
		dump_work(sockdiag);
	}
}

int sockdiag_new(struct sockdiag **ret, struct ev_loop *loop)
{
	struct sockdiag *sockdiag;
	int r;

	sockdiag = calloc(1, sizeof(*sockdiag));
	if (!sockdiag)
		return -ENOMEM;
	sockdiag->loop = loop;
	sockdiag->fd = -EBADF;
	list_init(&sockdiag->waiting);
	list_init(&sockdiag->asking);
	ev_init(&sockdiag->turn, on_turn);
	ev_set_priority(&sockdiag->turn, EV_MINPRI);
	ev_init(&sockdiag->readable, on_readable);

	r = sockdiag_lookup_init(&sockdiag->lookup);
	if (r >= 0 && sockdiag->lookup.unsupported == 0)
		r = dump_open(sockdiag);
	if (r < 0) {
		sockdiag_free(sockdiag);
		return r;
	}

	*ret = sockdiag;
	return 0;
}

void sockdiag_free(struct sockdiag *sockdiag)
{
	if (!sockdiag)
		return;

	while (!list_empty(&sockdiag->waiting))
		list_remove(sockdiag->waiting.next);
	while (!list_empty(&sockdiag->asking))
		list_remove(sockdiag->asking.next);
	ev_timer_stop(sockdiag->loop, &sockdiag->turn); /* takes back what was fed, too */
	dump_close(sockdiag);
	sockdiag_lookup_deinit(&sockdiag->lookup);
	free(sockdiag->sockets);
	free(sockdiag);
}

void sockdiag_query_start(struct sockdiag *sockdiag, struct sockdiag_query *query)
{
	sockdiag->stats.queries++;
	list_append(&sockdiag->waiting, &query->link);
	if (!sockdiag->running)
		ev_feed_event(sockdiag->loop, &sockdiag->turn, EV_CUSTOM);
}

void sockdiag_query_cancel(struct sockdiag_query *query)
{
	/* Zeroed: never started. */
	if (query->link.next)
		list_remove(&query->link);
}

int sockdiag_lookup_listener(struct sockdiag *sockdiag, int family, const void *address,
			     uint16_t port, struct sockdiag_socket *ret)
{
	sockdiag->stats.lookups++;
	return sockdiag_lookup_find(&sockdiag->lookup, family, address, port, ret);
}

int sockdiag_address_interface(struct sockdiag *sockdiag, int family, const void *address)
{
	return sockdiag_lookup_interface(&sockdiag->lookup, family, address);
}

const struct sockdiag_stats *sockdiag_stats(const struct sockdiag *sockdiag)
{
	return &sockdiag->stats;
}
