/*
 * The whole daemon: what a client sends, from accept() to the last answer, leases included. The
 * first byte says how the client behaves, the second in what pieces it sends, the third which
 * allocation fails; the rest is sent. Every answer is JSON, every call gets exactly one, and
 * afterwards nothing is left of the client.
 */

#include "embedded.h"
#include "faults.h"
#include "fuzz.h"

#include "message.h"
#include "portserver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

enum behaviour {
	LEAVES = 1 << 0,     /* in the middle of things; else it hears the answers out */
	READS_LATE = 1 << 1, /* not before all is sent */
	IS_NOBODY = 1 << 2,  /* a user with small quotas */
	IS_TWO = 1 << 3,     /* clients, who both send it */
	FAILS_ON = 1 << 4,   /* all allocations fail after the first that does */
	N_BEHAVIOURS = 1 << 5,
};

#define HEADER_SIZE 3
#define NOBODY      65534
#define TURNS_MAX   256
#define PATIENCE    0.05
#define OPEN_PORT   4242 /* in a network of our own */
#define LEASE_PORTS "20000-20031"
#define CLIENTS_MAX 2

struct client {
	int fd;
	size_t n_sent;
	bool is_over; /* the daemon has closed, or half-closed, the connection */
	struct buffer input;
	size_t n_answers, n_fds, n_fds_told;
	json_t *ids; /* of calls that aren't answered yet, as far as they have one */
};

/* What `data` is to bring about, by the protocol. */
struct expectation {
	size_t n_answers;
	json_t *ids;
};

static struct embedded embedded;
static uint64_t next_random;

/* Lease ids that an input can know: 1, and what comes after the draws of ports. */
// NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's name
ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags);

ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags)
{
	(void)flags;
	for (size_t i = 0; i < size; i += sizeof(next_random), next_random++)
		memcpy((char *)buffer + i, &next_random,
		       size - i < sizeof(next_random) ? size - i : sizeof(next_random));
	return (ssize_t)size;
}

static void open_listener(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(OPEN_PORT),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* Where there is no network of our own it may be taken, and is somebody else's. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4096) < 0)
		close(fd);
}

static void open_once(void)
{
	static const char *const options[] = {
		"--quarantine-ms",
		"0",
		"--pool",
		LEASE_PORTS,
		"--connections-per-user",
		"2",
		"--requests-per-user",
		"16",
		"--leases-per-user",
		"8",
		NULL,
	};
	static bool is_open;

	if (is_open)
		return;
	is_open = true;
	faults_init();
	embedded_isolate();
	open_listener();
	embedded_open(&embedded, options);
}

static void expect_call(struct expectation *expectation, json_t *message, enum dialect dialect,
			bool *ret_is_call, bool *ret_is_answered)
{
	struct error error = { 0 };
	struct call call;

	*ret_is_call = call_unpack(&call, message, dialect, &error) >= 0;
	*ret_is_answered = !call.envelope.silent;
	if (call.envelope.id && !json_is_null(call.envelope.id) && *ret_is_answered)
		json_array_append(expectation->ids, call.envelope.id);
	envelope_deinit(&call.envelope);
	error_deinit(&error);
}

static void expect_line(struct expectation *expectation, json_t *message)
{
	bool is_call, is_answered = false;
	json_t *element;
	size_t i;

	if (!json_is_array(message) || json_array_size(message) == 0) {
		expect_call(expectation, message, DIALECT_JSONRPC, &is_call, &is_answered);
		expectation->n_answers += is_answered;
		return;
	}
	json_array_foreach (message, i, element) {
		bool is_this;

		expect_call(expectation, element, DIALECT_JSONRPC, &is_call, &is_this);
		is_answered |= is_this;
	}
	expectation->n_answers += is_answered;
}

/* False: the input ends with this message. */
static bool expect_frame(struct expectation *expectation, const struct frame *frame)
{
	struct error error = { 0 };
	json_t *message = NULL;
	bool is_line = frame->framing == FRAMING_LINE, is_call = true, is_answered = false;

	if (is_line && portserver_is_message(frame->data, frame->size))
		return false;
	if (message_parse(&message, frame->data, frame->size, &error) < 0) {
		expectation->n_answers += is_line;
		error_deinit(&error);
		return is_line;
	}
	if (is_line)
		expect_line(expectation, message);
	else
		expect_call(expectation, message, DIALECT_VARLINK, &is_call, &is_answered);
	expectation->n_answers += is_call && is_answered;
	json_decref(message);
	return is_call;
}

static struct expectation expect(const uint8_t *data, size_t size)
{
	struct expectation expectation = { .ids = json_array() };
	struct frame_reader reader = { 0 };
	struct frame frame;
	int r;

	must(buffer_put(&reader.input, data, size) == 0);
	while ((r = frame_reader_next(&reader, MESSAGE_MAX, true, &frame)) > 0) {
		if (!expect_frame(&expectation, &frame))
			break;
		frame_reader_done(&reader);
	}
	expectation.n_answers += r == -EMSGSIZE;
	frame_reader_deinit(&reader);
	return expectation;
}

/* Strikes the answer's id off the list: none is answered twice, or without having been asked. */
static void check_id(struct client *client, const json_t *answer)
{
	const json_t *id = json_object_get(answer, "id");
	const json_t *fds = json_object_get(json_object_get(answer, "result"), "fds");

	client->n_fds_told += json_array_size(fds);
	if (!id || json_is_null(id))
		return;
	for (size_t i = 0; i < json_array_size(client->ids); i++) {
		if (json_equal(id, json_array_get(client->ids, i))) {
			json_array_remove(client->ids, i);
			return;
		}
	}
	must(!id); /* an answer to nothing that was asked */
}

static void check_line(struct client *client, json_t *answer)
{
	json_t *element;
	size_t i;

	/* A port, of the port server. */
	if (json_is_integer(answer))
		return;
	must(json_is_object(answer) || json_is_array(answer));
	if (json_object_get(answer, "method")) {
		must(json_is_object(json_object_get(answer, "params")));
		return;
	}
	client->n_answers++;
	if (json_is_object(answer))
		check_id(client, answer);
	json_array_foreach (answer, i, element)
		check_id(client, element);
}

static void check_reply(struct client *client, const json_t *reply)
{
	const json_t *parameters = json_object_get(reply, "parameters");

	must(json_is_object(parameters));
	client->n_fds_told += json_array_size(json_object_get(parameters, "fds"));
	if (!json_is_true(json_object_get(reply, "continues")))
		client->n_answers++;
}

static void check_input(struct client *client)
{
	size_t start = 0;

	for (size_t i = 0; i < buffer_size(&client->input); i++) {
		const char *data = buffer_data(&client->input);
		json_t *answer;

		if (data[i] != '\n' && data[i] != '\0')
			continue;
		answer =
			json_loadb(data + start, i - start,
				   JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
		if (!answer)
			fprintf(stderr, "%.*s\n", (int)(i - start), data + start);
		must(answer);
		if (data[i] == '\n')
			check_line(client, answer);
		else
			check_reply(client, answer);
		json_decref(answer);
		start = i + 1;
	}
	buffer_consume(&client->input, start);
}

static void close_fds(struct client *client, struct msghdr *message)
{
	must(!(message->msg_flags & MSG_CTRUNC));
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++)
			must(close(((int *)(void *)CMSG_DATA(header))[i]) == 0);
		client->n_fds += n;
	}
}

/* Reads what there is. */
static void receive(struct client *client)
{
	char control[CMSG_SPACE(253 * sizeof(int))];
	struct iovec part = { .iov_len = 65536 };
	char *space;
	ssize_t size;

	while (!client->is_over) {
		struct msghdr message = { .msg_iov = &part,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control) };

		must(buffer_reserve(&client->input, part.iov_len, &space) == 0);
		part.iov_base = space;
		size = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
		if (size < 0 && errno == EAGAIN)
			break;
		client->is_over = size <= 0;
		if (size > 0) {
			buffer_added(&client->input, (size_t)size);
			close_fds(client, &message);
		}
	}
	check_input(client);
}

static void turn(bool may_wait)
{
	faults_begin();
	embedded_turn(&embedded, may_wait);
	faults_end();
}

/* Sends a piece, as far as the daemon takes it in. */
static void send_piece(struct client *client, const uint8_t *data, size_t size, size_t piece)
{
	size_t left = size - client->n_sent;
	ssize_t sent = send(client->fd, data + client->n_sent, piece < left ? piece : left,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent > 0)
		client->n_sent += (size_t)sent;
	else if (errno != EAGAIN)
		client->n_sent = size;
	if (client->n_sent == size)
		shutdown(client->fd, SHUT_WR);
}

/* Until the daemon has nothing more to say, or it has had time enough for this. */
static void converse(struct client *clients, size_t n, const uint8_t *data, size_t size,
		     const uint8_t header[static HEADER_SIZE])
{
	size_t piece = header[1] ? header[1] : size;
	ev_tstamp end = ev_time() + PATIENCE;
	bool goes_on = true;

	for (int turns = 0; goes_on && (turns < TURNS_MAX || ev_time() < end); turns++) {
		bool is_sent = true;

		goes_on = false;
		for (size_t i = 0; i < n; i++) {
			if (clients[i].n_sent < size)
				send_piece(&clients[i], data, size, piece);
			is_sent &= clients[i].n_sent == size;
		}
		turn(turns > TURNS_MAX);
		for (size_t i = 0; i < n; i++) {
			if (is_sent || !(header[0] & READS_LATE))
				receive(&clients[i]);
			goes_on |= !clients[i].is_over;
		}
		if (is_sent && header[0] & LEAVES)
			return;
	}
}

static void check_client(struct client *client, const struct expectation *expectation,
			 bool has_failed)
{
	must(client->n_answers <= expectation->n_answers);
	if (!client->is_over || has_failed)
		return;
	must(buffer_size(&client->input) == 0);
	if (client->n_answers != expectation->n_answers)
		fprintf(stderr, "%zu answers instead of %zu\n", client->n_answers,
			expectation->n_answers);
	must(client->n_answers == expectation->n_answers);
	must(json_array_size(client->ids) == 0);
	must(client->n_fds == client->n_fds_told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client clients[CLIENTS_MAX] = { 0 };
	struct expectation expectation;
	size_t n = size > 0 && data[0] & IS_TWO ? 2 : 1;
	bool has_failed;

	open_once();
	if (size < HEADER_SIZE + 1 || data[0] >= N_BEHAVIOURS)
		return -1;
	next_random = 1;
	expectation = expect(data + HEADER_SIZE, size - HEADER_SIZE);
	for (size_t i = 0; i < n; i++) {
		clients[i].fd = embedded_connect(&embedded, data[0] & IS_NOBODY ? NOBODY : 0);
		clients[i].ids = json_deep_copy(expectation.ids);
	}
	faults_arm(data[2], data[0] & FAILS_ON ? UINT32_MAX : 0);
	converse(clients, n, data + HEADER_SIZE, size - HEADER_SIZE, data);
	has_failed = faults_disarm();
	for (size_t i = 0; i < n; i++) {
		check_client(&clients[i], &expectation, has_failed);
		close(clients[i].fd);
		buffer_deinit(&clients[i].input);
		json_decref(clients[i].ids);
	}
	json_decref(expectation.ids);
	embedded_settle(&embedded);
	embedded_end_leases(&embedded);
	return 0;
}
