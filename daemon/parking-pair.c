/* parking-pair.c: parked sockets in the messages of one socket pair. */

#include "parking-pair.h"

#include "util.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* SCM_MAX_FD of the kernel, which no header of the C library has. */
#define MESSAGE_MAX 253

/* The payload of every message: a byte that says what its descriptors are. */
#define FORMAT '1'

/* The kernel doubles it; 278 messages of one byte, as many as in a pair of default size. */
#define USUAL_ROOM (208 * 1024 / 2)

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(MESSAGE_MAX * sizeof(int))];
};

struct batch {
	struct parked *sockets[MESSAGE_MAX];
	int fds[MESSAGE_MAX];
	unsigned n;
};

static void set_room(struct pair *pair, int room)
{
	/* Can't fail on a socket; the kernel cuts it down to net.core.wmem_max. */
	(void)setsockopt(pair->out, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

static void find_room(struct pair *pair)
{
	int most = 0;
	socklen_t size = sizeof(most);

	/* What getsockopt() tells is doubled already, so half of the most is a quarter of it. */
	set_room(pair, INT_MAX);
	(void)getsockopt(pair->out, SOL_SOCKET, SO_SNDBUF, &most, &size);
	pair->usual_room = most / 4 < USUAL_ROOM ? most / 4 : USUAL_ROOM;
	set_room(pair, pair->usual_room);
}

static int pair_alloc(struct pair **ret_pair, const char *name)
{
	struct pair *pair;

	pair = calloc(1, sizeof(*pair));
	if (!pair)
		return -ENOMEM;
	list_init(&pair->link);
	list_init(&pair->messages);
	snprintf(pair->name, sizeof(pair->name), "%s", name);
	pair->in = -EBADF;
	pair->out = -EBADF;

	*ret_pair = pair;
	return 0;
}

int pair_new(struct pair **ret_pair, const char *name)
{
	struct pair *pair;
	int ends[2], r;

	r = pair_alloc(&pair, name);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
		r = -errno;
		pair_free(pair);
		return r;
	}
	pair->in = ends[0];
	pair->out = ends[1];
	find_room(pair);

	*ret_pair = pair;
	return 0;
}

int pair_new_restored(struct pair **ret_pair, const char *name, int a, int b)
{
	_cleanup_(closep) int in = a;
	_cleanup_(closep) int out = b;
	int r;

	r = pair_alloc(ret_pair, name);
	if (r < 0)
		return r;
	(*ret_pair)->in = steal_fd(&in);
	(*ret_pair)->out = steal_fd(&out);
	return 0;
}

static void message_drop(struct parking_message *message)
{
	struct pair *pair = message->pair;

	list_remove(&message->link);
	pair->n_messages--;
	pair->dead -= message->dead;
	free(message);
}

void pair_free(struct pair *pair)
{
	struct parking_message *message, *next;
	struct parked *parked, *other;

	if (!pair)
		return;
	list_for_each_safe (message, next, &pair->messages, link) {
		list_for_each_safe (parked, other, &message->sockets, link)
			parked_init(parked);
		message_drop(message);
	}
	list_remove(&pair->link);
	closep(&pair->in);
	closep(&pair->out);
	free(pair);
}

static struct parking_message *message_new(void)
{
	struct parking_message *message;

	message = calloc(1, sizeof(*message));
	if (!message)
		return NULL;
	list_init(&message->link);
	list_init(&message->sockets);
	return message;
}

static void pair_append(struct pair *pair, struct parking_message *message)
{
	message->pair = pair;
	message->pass = pair->pass;
	list_append(&pair->messages, &message->link);
	pair->n_messages++;
}

static void message_link(struct parking_message *message, struct parked *parked)
{
	list_init(&parked->link);
	list_append(&message->sockets, &parked->link);
	parked->message = message;
	message->pair->alive++;
}

static void message_unlink(struct parked *parked)
{
	struct parking_message *message = parked->message;

	list_remove(&parked->link);
	parked->message = NULL;
	message->dead++;
	message->pair->dead++;
	message->pair->alive--;
}

static int pair_send(struct pair *pair, const int fds[], unsigned n)
{
	union control control = { .space = { 0 } };
	char format = FORMAT;
	struct iovec payload = { .iov_base = &format, .iov_len = 1 };
	struct msghdr header = {
		.msg_iov = &payload,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(rights), fds, n * sizeof(int));

	return sendmsg(pair->out, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int pair_add(struct pair *pair, struct parked *parked)
{
	_cleanup_(freep) struct parking_message *message = message_new();
	int r;

	if (!message)
		return -ENOMEM;
	r = pair_send(pair, &parked->fd, 1);
	if (r < 0)
		return r;

	pair_append(pair, message);
	message_link(steal(message), parked);
	return 0;
}

void pair_trim(struct pair *pair)
{
	struct parking_message *message;
	char format;

	while (!list_empty(&pair->messages)) {
		message = list_first(&pair->messages, struct parking_message, link);
		if (!list_empty(&message->sockets) || message->unclaimed > 0)
			return;
		/* Without a control buffer the kernel closes the descriptors in it. */
		(void)recv(pair->in, &format, 1, MSG_DONTWAIT);
		message_drop(message);
	}
}

static void batch_fill(struct batch *batch, const struct pair *from, bool within)
{
	struct parking_message *message;
	struct parked *parked;

	batch->n = 0;
	list_for_each (message, &from->messages, link) {
		if (within && message->pass == from->pass)
			return;
		list_for_each (parked, &message->sockets, link) {
			if (batch->n == MESSAGE_MAX)
				return;
			batch->fds[batch->n] = parked->fd;
			batch->sockets[batch->n++] = parked;
		}
	}
}

int pair_move(struct pair *from, struct pair *to)
{
	_cleanup_(freep) struct parking_message *message = message_new();
	struct batch batch;
	int r;

	if (!message)
		return -ENOMEM;
	batch_fill(&batch, from, from == to);
	if (batch.n == 0)
		return 0;

	/* A pair that is full still has room for what will make room. */
	if (from == to)
		set_room(to, INT_MAX);
	r = pair_send(to, batch.fds, batch.n);
	if (from == to)
		set_room(to, to->usual_room);
	if (r < 0)
		return r;

	pair_append(to, message);
	for (unsigned i = 0; i < batch.n; i++) {
		message_unlink(batch.sockets[i]);
		message_link(message, batch.sockets[i]);
	}
	message = NULL;

	/* Only now that there are others in flight. */
	pair_trim(from);
	return (int)batch.n;
}

/* Every message there was when the pass began has been moved. */
static bool pass_is_over(const struct pair *pair)
{
	return list_empty(&pair->messages) ||
	       list_first(&pair->messages, struct parking_message, link)->pass == pair->pass;
}

int pair_pass(struct pair *pair, unsigned *budget, bool all)
{
	int r;

	pair_trim(pair);
	if (!pair->passing)
		pair->pass++;
	pair->passing = true;

	while (!pass_is_over(pair) && (all || pair->dead > 0)) {
		if (*budget == 0)
			return 1;
		r = pair_move(pair, pair);
		if (r < 0)
			return r;
		/* Its front has not been claimed yet. */
		if (r == 0)
			return 1;
		*budget -= (unsigned)r < *budget ? (unsigned)r : *budget;
	}
	pair->passing = false;
	return 0;
}

static int sockets_append(struct parking_sockets *sockets, struct parking_message *message,
			  int fds[], unsigned n)
{
	struct parking_socket *items;

	items = realloc(sockets->items, (sockets->n + n) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	sockets->items = items;
	for (unsigned i = 0; i < n; i++) {
		items[sockets->n].fd = fds[i];
		items[sockets->n++].message = message;
	}
	message->unclaimed += n;
	return 0;
}

static void close_all(const int fds[], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

/* The descriptors of a received message; they are the caller's. */
static unsigned take_fds(struct msghdr *header, int ret_fds[static MESSAGE_MAX])
{
	struct cmsghdr *rights = CMSG_FIRSTHDR(header);
	size_t size;

	if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
		return 0;
	size = rights->cmsg_len - CMSG_LEN(0);
	memcpy(ret_fds, CMSG_DATA(rights), size);
	return (unsigned)(size / sizeof(int));
}

/* Returns 1 for a message, 0 at the end. */
static int peek_message(struct pair *pair, struct parking_sockets *sockets)
{
	_cleanup_(freep) struct parking_message *message = message_new();
	union control control;
	char format;
	struct iovec payload = { .iov_base = &format, .iov_len = 1 };
	struct msghdr header = {
		.msg_iov = &payload,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	int fds[MESSAGE_MAX], r;
	unsigned n;
	ssize_t size;

	if (!message)
		return -ENOMEM;
	size = recvmsg(pair->in, &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (size < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (size == 0)
		return 0;

	n = take_fds(&header, fds);
	/* The kernel had no descriptors left for all of them. */
	r = header.msg_flags & MSG_CTRUNC ? -EMFILE : 0;
	if (r == 0 && n > 0 && format == FORMAT)
		r = sockets_append(sockets, message, fds, n);
	else
		close_all(fds, n);
	if (r < 0)
		return r;

	pair_append(pair, steal(message));
	return 1;
}

static int peek_all(struct pair *pair, struct parking_sockets *sockets)
{
	int r;

	/* Each look then goes on behind the last. */
	if (setsockopt(pair->in, SOL_SOCKET, SO_PEEK_OFF, &(int){ 0 }, sizeof(int)) < 0)
		return -errno;
	do
		r = peek_message(pair, sockets);
	while (r > 0);
	if (setsockopt(pair->in, SOL_SOCKET, SO_PEEK_OFF, &(int){ -1 }, sizeof(int)) < 0 && r == 0)
		r = -errno;
	return r;
}

int pair_restore(struct pair *pair, struct parking_sockets *sockets)
{
	int r, end;

	/* The store keeps no order. The end that has something to read is the one to read from. */
	r = peek_all(pair, sockets);
	if (r == 0 && pair->out >= 0 && list_empty(&pair->messages)) {
		end = pair->in;
		pair->in = pair->out;
		pair->out = end;
		r = peek_all(pair, sockets);
	}
	if (r == 0 && pair->out >= 0)
		find_room(pair);
	return r;
}

void parked_init(struct parked *parked)
{
	list_init(&parked->link);
	parked->message = NULL;
	parked->fd = -EBADF;
}

void parked_remove(struct parked *parked)
{
	struct pair *pair;

	if (!parked->message)
		return;
	pair = parked->message->pair;
	message_unlink(parked);
	pair_trim(pair);
}

void parking_claim(struct parking_socket *socket, struct parked *parked)
{
	struct parking_message *message = socket->message;

	message->unclaimed--;
	message_link(message, parked);
	parked->fd = steal_fd(&socket->fd);
	socket->message = NULL;
}

void parking_sockets_free(struct parking_sockets *sockets)
{
	struct parking_socket *socket;

	for (size_t i = 0; i < sockets->n; i++) {
		socket = &sockets->items[i];
		if (!socket->message)
			continue;
		closep(&socket->fd);
		socket->message->unclaimed--;
		socket->message->dead++;
		socket->message->pair->dead++;
	}
	free(sockets->items);
	*sockets = (struct parking_sockets){ 0 };
}
