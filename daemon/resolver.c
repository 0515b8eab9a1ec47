#include "resolver.h"

#include "clock.h"
#include "list.h"
#include "places.h"

#include <ares.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>

/* Names looked up at once; each has sockets of its own. Dead servers must not fill these places. */
#define LOOKUPS_MAX 1024
/* Seconds that name servers have to answer: c-ares would ask dead ones for more than a minute. */
#define ANSWER_PATIENCE 10.
/* Seconds that a lookup is begun anew for, and between that, where descriptors ran short. */
#define PATIENCE       5.
#define RETRY_INTERVAL 0.1

struct resolver {
	struct ev_loop *loop;
	struct places places;
};

/*
 * Each has a channel of its own: what one server does to one name delays no other, the end of a
 * lookup is the end of its channel, and resolv.conf and hosts are read afresh.
 */
struct lookup {
	struct resolver *resolver;
	struct place place;
	char name[HOST_MAX + 1];
	lookup_done done;
	void *userdata;

	ares_channel channel;
	struct list sockets; /* of lookup_socket::link */
	ev_timer timer;
	double began;     /* see monotonic_now() */
	bool is_retrying; /* there was no descriptor to ask with */
	bool is_ended;    /* c-ares has told, but the channel is still in its hands */
	int status;
	int error; /* errno: why there is no answer, whatever c-ares says */
	struct address_list addresses;
};

struct lookup_socket {
	struct list link; /* lookup::sockets */
	struct lookup *lookup;
	ev_io watcher;
};

static void lookup_free(struct lookup *lookup);
static void lookup_go_on(struct lookup *lookup);

int resolver_new(struct resolver **ret_resolver, struct ev_loop *loop)
{
	struct resolver *resolver;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -ENOMEM;
	resolver = calloc(1, sizeof(*resolver));
	if (!resolver) {
		ares_library_cleanup();
		return -ENOMEM;
	}
	resolver->loop = loop;
	places_init(&resolver->places, LOOKUPS_MAX, CHARGE_LOOKUPS);
	*ret_resolver = resolver;
	return 0;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	free(resolver);
	ares_library_cleanup();
}

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);

	return size >= end_size && strcasecmp(text + size - end_size, end) == 0;
}

static bool is_localhost(const char *host)
{
	return strcasecmp(host, "localhost") == 0 || strcasecmp(host, "localhost.") == 0 ||
	       ends_with(host, ".localhost") || ends_with(host, ".localhost.");
}

static int add_localhost(struct address_list *list)
{
	static const char *const literals[] = { "127.0.0.1", "::1" };

	for (size_t i = 0; i < ARRAY_SIZE(literals); i++) {
		union address address;
		int r = address_parse(&address, literals[i]);

		if (r >= 0)
			r = address_list_add(list, &address);
		if (r < 0)
			return r;
	}
	return 1;
}

/* A name has labels of 1 to 63 characters, and the last of them is not a number. */
static int check_name(const char *name)
{
	const char *label = name;

	for (;;) {
		size_t size = strcspn(label, ".");
		bool is_last = label[size] == '\0' || label[size + 1] == '\0';

		if (size < 1 || size > 63)
			return -EINVAL;
		if (is_last)
			return strspn(label, "0123456789") == size ? -EINVAL : 0;
		label += size + 1;
	}
}

int host_parse(struct address_list *list, const char *host)
{
	union address address;
	int r;

	if (is_localhost(host))
		return add_localhost(list);
	r = address_parse(&address, host);
	if (r >= 0) {
		r = address_list_add(list, &address);
		return r < 0 ? r : 1;
	}
	if (r == -ENODEV || strchr(host, ':'))
		return r;
	return check_name(host);
}

static struct lookup_socket *find_socket(struct lookup *lookup, int fd)
{
	struct lookup_socket *lookup_socket;

	list_for_each (lookup_socket, &lookup->sockets, link)
		if (lookup_socket->watcher.fd == fd)
			return lookup_socket;
	return NULL;
}

static void free_socket(struct lookup *lookup, struct lookup_socket *lookup_socket)
{
	ev_io_stop(lookup->resolver->loop, &lookup_socket->watcher);
	list_remove(&lookup_socket->link);
	free(lookup_socket);
}

static void end_lookup(struct lookup *lookup)
{
	struct address_list addresses = lookup->addresses;
	lookup_done done = lookup->done;
	void *userdata = lookup->userdata;
	int status = lookup->status, error = lookup->error;

	lookup->addresses = (struct address_list){ 0 };
	lookup_free(lookup);
	if (status == ARES_ENOMEM)
		error = ENOMEM;
	/* Some of the addresses could be the wrong ones. */
	if (error != 0)
		address_list_deinit(&addresses);
	done(userdata, &addresses,
	     addresses.n_addresses > 0 ? NULL
	     : status == ARES_SUCCESS  ? "the name has no address"
				       : ares_strerror(status),
	     error);
	address_list_deinit(&addresses);
}

static void close_channel(struct lookup *lookup)
{
	if (lookup->channel)
		ares_destroy(lookup->channel);
	lookup->channel = NULL;
	while (!list_empty(&lookup->sockets))
		free_socket(lookup, list_first(&lookup->sockets, struct lookup_socket, link));
}

static bool lacks_descriptors(void)
{
	_cleanup_(closep) int fd = -EBADF;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd < 0 && (errno == EMFILE || errno == ENFILE);
}

/*
 * Without a descriptor c-ares can read no file and ask nobody, and says only that it found
 * nothing: that is no answer about a name.
 */
static bool try_again_later(struct lookup *lookup)
{
	struct ev_loop *loop = lookup->resolver->loop;

	if (lookup->addresses.n_addresses > 0 || !lacks_descriptors())
		return false;
	if (monotonic_now() - lookup->began >= PATIENCE) {
		lookup->error = EMFILE;
		return false;
	}
	close_channel(lookup);
	lookup->is_retrying = true;
	lookup->is_ended = false;
	ev_timer_stop(loop, &lookup->timer);
	ev_timer_set(&lookup->timer, RETRY_INTERVAL, 0.);
	ev_timer_start(loop, &lookup->timer);
	return true;
}

/* After c-ares was called: it may have told the end, or wants to be called again later. */
static void lookup_go_on(struct lookup *lookup)
{
	double left = lookup->began + ANSWER_PATIENCE - monotonic_now();
	struct timeval most, space, *after;

	if (!lookup->is_ended && left <= 0.) {
		lookup->is_ended = true;
		lookup->status = ARES_ETIMEOUT;
	}
	if (lookup->is_ended) {
		if (!try_again_later(lookup))
			end_lookup(lookup);
		return;
	}
	most.tv_sec = (time_t)left;
	most.tv_usec = (suseconds_t)((left - (double)most.tv_sec) * 1e6);
	after = ares_timeout(lookup->channel, &most, &space);
	ev_timer_stop(lookup->resolver->loop, &lookup->timer);
	ev_timer_set(&lookup->timer, (double)after->tv_sec + (double)after->tv_usec / 1e6, 0.);
	ev_timer_start(lookup->resolver->loop, &lookup->timer);
}

static void on_socket(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct lookup_socket *lookup_socket = container_of(watcher, struct lookup_socket, watcher);
	struct lookup *lookup = lookup_socket->lookup;
	int fd = watcher->fd;

	(void)loop;
	ares_process_fd(lookup->channel, revents & EV_READ ? fd : ARES_SOCKET_BAD,
			revents & EV_WRITE ? fd : ARES_SOCKET_BAD);
	lookup_go_on(lookup);
}

/* c-ares says what it wants to hear of a socket; neither, when it is about to close it. */
static void on_socket_state(void *userdata, ares_socket_t fd, int readable, int writable)
{
	struct lookup *lookup = userdata;
	struct lookup_socket *lookup_socket = find_socket(lookup, fd);

	if (lookup_socket)
		ev_io_stop(lookup->resolver->loop, &lookup_socket->watcher);
	if (!readable && !writable) {
		if (lookup_socket)
			free_socket(lookup, lookup_socket);
		return;
	}
	if (!lookup_socket) {
		lookup_socket = calloc(1, sizeof(*lookup_socket));
		/* Unwatched, it would end by c-ares' own timeout, a minute from now. */
		if (!lookup_socket) {
			lookup->is_ended = true;
			lookup->status = ARES_ENOMEM;
			return;
		}
		lookup_socket->lookup = lookup;
		list_append(&lookup->sockets, &lookup_socket->link);
	}
	ev_io_init(&lookup_socket->watcher, on_socket, fd,
		   (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	ev_io_start(lookup->resolver->loop, &lookup_socket->watcher);
}

static void add_node(struct lookup *lookup, const struct ares_addrinfo_node *node)
{
	union address address = { .in6 = { 0 } };

	if (node->ai_family == AF_INET)
		memcpy(&address.in, node->ai_addr, sizeof(address.in));
	else if (node->ai_family == AF_INET6)
		memcpy(&address.in6, node->ai_addr, sizeof(address.in6));
	else
		return;
	address_unmap(&address);
	address_set_port(&address, 0);
	for (size_t i = 0; i < lookup->addresses.n_addresses; i++)
		if (address_compare(&lookup->addresses.addresses[i], &address) == 0)
			return;
	if (lookup->addresses.n_addresses == ADDRESSES_MAX)
		lookup->error = E2BIG;
	else if (address_list_add(&lookup->addresses, &address) < 0)
		lookup->status = ARES_ENOMEM;
}

static void on_answer(void *userdata, int status, int timeouts, struct ares_addrinfo *answer)
{
	struct lookup *lookup = userdata;

	(void)timeouts;
	/* The channel goes, and nobody is waiting any more. */
	if (status == ARES_EDESTRUCTION)
		return;
	/* Unless there was no memory on the way here. */
	if (!lookup->is_ended)
		lookup->status = status;
	lookup->is_ended = true;
	for (struct ares_addrinfo_node *node = answer ? answer->nodes : NULL; node;
	     node = node->ai_next)
		add_node(lookup, node);
	ares_freeaddrinfo(answer);
}

static void ask(struct lookup *lookup)
{
	struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	struct ares_options options = {
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = lookup,
	};
	int status;

	lookup->is_retrying = false;
	status = ares_init_options(&lookup->channel, &options, ARES_OPT_SOCK_STATE_CB);
	if (status == ARES_SUCCESS) {
		ares_getaddrinfo(lookup->channel, lookup->name, NULL, &hints, on_answer, lookup);
	} else {
		lookup->channel = NULL;
		lookup->is_ended = true;
		lookup->status = status;
	}
	lookup_go_on(lookup);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct lookup *lookup = container_of(watcher, struct lookup, timer);

	(void)loop;
	(void)revents;
	if (!lookup->channel) {
		ask(lookup);
		return;
	}
	ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	lookup_go_on(lookup);
}

/* By timer, so that the callback never comes before resolver_start() has returned. */
static bool on_place(struct place *place)
{
	struct lookup *lookup = container_of(place, struct lookup, place);
	struct ev_loop *loop = lookup->resolver->loop;

	lookup->began = monotonic_now();
	ev_timer_set(&lookup->timer, 0., 0.);
	ev_timer_start(loop, &lookup->timer);
	return true;
}

int resolver_start(struct resolver *resolver, struct user *user, const char *name, lookup_done done,
		   void *userdata, struct lookup **ret_lookup)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return -ENOMEM;
	lookup->resolver = resolver;
	lookup->place.user = user;
	lookup->place.taken = on_place;
	memccpy(lookup->name, name, '\0', sizeof(lookup->name) - 1);
	lookup->done = done;
	lookup->userdata = userdata;
	list_init(&lookup->sockets);
	ev_timer_init(&lookup->timer, on_timer, 0., 0.);
	place_take(&resolver->places, &lookup->place);
	*ret_lookup = lookup;
	return 0;
}

static void lookup_free(struct lookup *lookup)
{
	close_channel(lookup);
	ev_timer_stop(lookup->resolver->loop, &lookup->timer);
	address_list_deinit(&lookup->addresses);
	place_leave(&lookup->place);
	free(lookup);
}

const char *lookup_lacks(const struct lookup *lookup)
{
	if (lookup->began == 0.)
		return "places for look-ups";
	return lookup->is_retrying ? "descriptors" : NULL;
}

void lookup_cancel(struct lookup *lookup)
{
	if (lookup)
		lookup_free(lookup);
}
