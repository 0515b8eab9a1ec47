/* What sockdiag says of listeners, against what connect() finds. */

#include "sockdiag_helpers.h"
#include "sockdiag_message.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

struct destination {
	int family;
	const char *address;
};

static const struct destination destinations[] = {
	{ AF_INET, "127.0.0.1" },
	{ AF_INET, "127.0.0.2" },
	{ AF_INET, "0.0.0.0" },
	{ AF_INET, "127.255.255.255" },
	{ AF_INET6, "::1" },
	{ AF_INET6, "::" },
	{ AF_INET6, "::ffff:127.0.0.1" },
	{ AF_INET6, "::ffff:127.0.0.2" },
	{ AF_INET6, "::ffff:0.0.0.0" },
	/* From here on only in a network of our own. */
	{ AF_INET, "127.0.0.9" },
	{ AF_INET, "10.99.0.1" },
	{ AF_INET, "10.98.0.1" },
	{ AF_INET, "10.99.0.255" },
	{ AF_INET, "10.97.0.1" },
	{ AF_INET6, "fd00:99::1" },
	{ AF_INET6, "fd00:97::1" },
	{ AF_INET6, "::ffff:10.99.0.1" },
};

#define N_EVERYWHERE 9

static const struct bind_to kinds[] = {
	{ AF_INET, "127.0.0.1", -1, NULL },
	{ AF_INET, "127.0.0.2", -1, NULL },
	{ AF_INET, "0.0.0.0", -1, NULL },
	{ AF_INET, "0.0.0.0", -1, "lo" },
	{ AF_INET, "127.0.0.1", -1, "lo" },
	{ AF_INET6, "::1", 0, NULL },
	{ AF_INET6, "::1", 1, NULL },
	{ AF_INET6, "::", 0, NULL },
	{ AF_INET6, "::", 1, NULL },
	{ AF_INET6, "::", 0, "lo" },
	{ AF_INET6, "::", 1, "lo" },
	{ AF_INET6, "::ffff:127.0.0.1", 0, NULL },
	{ AF_INET6, "::ffff:127.0.0.2", 0, NULL },
	{ AF_INET6, "::ffff:0.0.0.0", 0, NULL },
	/* These only in a network of our own. */
	{ AF_INET, "10.99.0.1", -1, NULL },
	{ AF_INET, "10.99.0.1", -1, "portscan0" },
	{ AF_INET, "10.99.0.1", -1, "lo" },
	{ AF_INET, "10.98.0.1", -1, NULL },
	{ AF_INET, "10.98.0.1", -1, "lo" },
	{ AF_INET, "0.0.0.0", -1, "portscan0" },
	{ AF_INET6, "fd00:99::1", 0, NULL },
	{ AF_INET6, "fd00:99::1", 0, "portscan0" },
	{ AF_INET6, "::", 0, "portscan0" },
	{ AF_INET6, "::", 1, "portscan0" },
	{ AF_INET6, "::ffff:10.99.0.1", 0, NULL },
};

#define N_KINDS_EVERYWHERE 14

/* The look-up, the listing and connect() have to agree on one listener and one destination. */
static void compare(struct table *table, const struct bind_to *kind, uint16_t port,
		    const struct sockdiag_socket *listed, const struct destination *to)
{
	uint8_t buffer[16];
	const uint8_t *address = address_bytes(to->family, to->address, buffer);
	struct sockdiag_socket found = { 0 };
	int truth = connects(to->family, to->address, port), r, interface;

	r = sockdiag_lookup_listener(table->sockdiag, to->family, address, port, &found);
	ck_assert_msg(r == (truth == 1   ? 0
			    : truth == 0 ? -ENOENT
					 : truth),
		      "%s%%%s to %s: connect %d, look-up %d", kind->address, kind->device,
		      to->address, truth, r);
	if (r == 0) {
		ck_assert_uint_eq(found.inode, listed->inode);
		ck_assert_uint_eq(found.port, port);
		ck_assert_uint_eq(found.cgroup, listed->cgroup);
		ck_assert_mem_eq(found.address, listed->address, sizeof(found.address));
	}

	interface = sockdiag_address_interface(table->sockdiag, to->family, address);
	if (truth < 0) {
		ck_assert_int_eq(interface, -EADDRNOTAVAIL);
		return;
	}
	ck_assert_int_gt(interface, 0);
	r = sockdiag_listens_on(listed, to->family, address, (uint32_t)interface);
	ck_assert_msg(r == truth, "%s%%%s to %s: connect %d, listens_on %d", kind->address,
		      kind->device, to->address, truth, r);
}

static void compare_kinds(struct table *table, size_t n_kinds, size_t n_destinations)
{
	struct listing listing = { 0 };
	uint16_t port;

	for (size_t i = 0; i < n_kinds; i++) {
		const struct bind_to *kind = &kinds[i];
		_cleanup_(closep) int fd = open_listener(kind, &port);

		if (fd < 0) {
			printf("skipped: a listener on %s%%%s: %s\n", kind->address,
			       kind->device ? kind->device : "", strerror(errno));
			continue;
		}
		listing_start(table, &listing, SOCKDIAG_TCP_LISTENERS, port);
		listing_run(table, &listing);
		ck_assert_int_eq(listing.result, 0);
		ck_assert_uint_eq(listing.n, 1);
		ck_assert_int_eq(listing.sockets[0].family, kind->family);
		ck_assert_int_eq(listing.sockets[0].protocol, IPPROTO_TCP);
		ck_assert_int_eq(listing.sockets[0].state, SOCKDIAG_LISTEN);
		ck_assert_uint_eq(listing.sockets[0].port, port);
		ck_assert_uint_eq(listing.sockets[0].uid, geteuid());
		ck_assert_uint_ne(listing.sockets[0].inode, 0);
		/* The kernel makes a socket v6-only that is bound to any address but ::. */
		if (strcmp(kind->address, "::") == 0)
			ck_assert_int_eq(listing.sockets[0].v6only, kind->v6only == 1);
		ck_assert_int_eq(listing.sockets[0].interface != 0, kind->device != NULL);

		for (size_t j = 0; j < n_destinations; j++)
			compare(table, kind, port, listing.sockets, &destinations[j]);
	}
	listing_free(&listing);
}

START_TEST(test_kinds)
{
	struct table table;

	table_init(&table);
	compare_kinds(&table, N_KINDS_EVERYWHERE, N_EVERYWHERE);
	table_deinit(&table);
}
END_TEST

START_TEST(test_kinds_in_network)
{
	struct table table;

	if (!enter_network())
		return;
	table_init(&table);
	compare_kinds(&table, ARRAY_SIZE(kinds), ARRAY_SIZE(destinations));
	table_deinit(&table);
}
END_TEST

START_TEST(test_not_a_listener)
{
	static const struct bind_to to = { AF_INET, "127.0.0.1", -1, NULL };
	_cleanup_(closep) int listener = -EBADF, client = -EBADF, bound = -EBADF;
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	uint8_t loopback[16] = { 127, 0, 0, 1 };
	struct sockdiag_socket found = { .uid = 4711 };
	struct table table;
	uint16_t port, other;

	table_init(&table);
	listener = open_listener(&to, &port);
	address.sin_port = htons(port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(getsockname(client, (struct sockaddr *)&address, &length), 0);
	bound = open_bound(&to, SOCK_STREAM, &other);

	/* A connection's own port, and one that is only bound: nothing found or written. */
	ck_assert_int_eq(sockdiag_lookup_listener(table.sockdiag, AF_INET, loopback,
						  ntohs(address.sin_port), &found),
			 -ENOENT);
	ck_assert_int_eq(sockdiag_lookup_listener(table.sockdiag, AF_INET, loopback, other, &found),
			 -ENOENT);
	ck_assert_uint_eq(found.uid, 4711);
	ck_assert_int_eq(sockdiag_lookup_listener(table.sockdiag, AF_UNIX, loopback, other, &found),
			 -EAFNOSUPPORT);
	/* A listener with connections is still one. */
	ck_assert_int_eq(sockdiag_lookup_listener(table.sockdiag, AF_INET, loopback, port, &found),
			 0);
	ck_assert_uint_eq(found.port, port);
	ck_assert_int_eq(found.state, SOCKDIAG_LISTEN);
	table_deinit(&table);
}
END_TEST

START_TEST(test_reuseport)
{
	_cleanup_(closep) int first = -EBADF, second = -EBADF;
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	uint8_t loopback[16] = { 127, 0, 0, 1 };
	struct sockdiag_socket found;
	struct listing listing = { 0 };
	struct table table;
	const int on = 1;

	table_init(&table);
	for (int i = 0; i < 2; i++) {
		int *fd = i == 0 ? &first : &second;

		*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
		ck_assert_int_eq(bind(*fd, (struct sockaddr *)&address, sizeof(address)), 0);
		ck_assert_int_eq(listen(*fd, 8), 0);
		ck_assert_int_eq(getsockname(*fd, (struct sockaddr *)&address, &length), 0);
	}
	listing_start(&table, &listing, SOCKDIAG_TCP_LISTENERS, ntohs(address.sin_port));
	listing_run(&table, &listing);
	ck_assert_uint_eq(listing.n, 2);
	ck_assert_int_eq(sockdiag_lookup_listener(table.sockdiag, AF_INET, loopback,
						  ntohs(address.sin_port), &found),
			 0);
	ck_assert(found.inode == listing.sockets[0].inode ||
		  found.inode == listing.sockets[1].inode);
	listing_free(&listing);
	table_deinit(&table);
}
END_TEST

START_TEST(test_udp_and_bound)
{
	static const struct bind_to to = { AF_INET6, "::", 0, NULL };
	struct listing listing = { 0 };
	struct table table;
	uint16_t port;
	int fd;

	table_init(&table);
	fd = open_bound(&to, SOCK_DGRAM, &port);
	listing_start(&table, &listing, SOCKDIAG_UDP, port);
	listing_run(&table, &listing);
	ck_assert_int_eq(listing.result, 0);
	ck_assert_uint_eq(listing.n, 1);
	ck_assert_int_eq(listing.sockets[0].protocol, IPPROTO_UDP);
	ck_assert_str_eq(sockdiag_state_name(listing.sockets[0].state), "UNCONN");
	close(fd);

	fd = open_bound(&to, SOCK_STREAM, &port);
	listing_start(&table, &listing, SOCKDIAG_TCP_ALL, port);
	listing_run(&table, &listing);
	ck_assert_int_eq(listing.result, 0);
	if (listing.n == 0) {
		printf("skipped: this kernel does not tell of bound sockets (6.8 does)\n");
	} else {
		ck_assert_uint_eq(listing.n, 1);
		ck_assert_int_eq(listing.sockets[0].state, SOCKDIAG_BOUND_INACTIVE);
		ck_assert_str_eq(sockdiag_state_name(13), "BOUND-INACTIVE");
		ck_assert(!listing.sockets[0].v6only);
		listing_start(&table, &listing, SOCKDIAG_TCP_LISTENERS, port);
		listing_run(&table, &listing);
		ck_assert_uint_eq(listing.n, 0);
	}
	close(fd);
	listing_free(&listing);
	table_deinit(&table);
}
END_TEST

START_TEST(test_listens_on)
{
	static const uint8_t local4[16] = { 127, 0, 0, 1 }, local6[16] = { [15] = 1 };
	static const uint8_t other4[16] = { 10, 0, 0, 1 };
	enum { LO = SOCKDIAG_LOOPBACK_INTERFACE };
	struct sockdiag_socket socket = { .family = AF_INET,
					  .protocol = IPPROTO_TCP,
					  .state = SOCKDIAG_LISTEN };

	ck_assert(sockdiag_listens_on(&socket, AF_INET, local4, LO));
	ck_assert(sockdiag_listens_on(&socket, AF_INET, other4, 2));
	ck_assert(!sockdiag_listens_on(&socket, AF_INET6, local6, LO));
	ck_assert(!sockdiag_listens_on(&socket, AF_UNIX, local4, LO));

	socket.interface = 7;
	ck_assert(!sockdiag_listens_on(&socket, AF_INET, local4, LO));
	ck_assert(!sockdiag_listens_on(&socket, AF_INET, other4, 8));
	ck_assert(sockdiag_listens_on(&socket, AF_INET, other4, 7));
	socket.interface = 1;
	ck_assert(sockdiag_listens_on(&socket, AF_INET, local4, LO));

	socket.interface = 0;
	socket.family = AF_INET6;
	ck_assert(sockdiag_listens_on(&socket, AF_INET, local4, LO));
	ck_assert(sockdiag_listens_on(&socket, AF_INET6, local6, LO));
	socket.v6only = true;
	ck_assert(!sockdiag_listens_on(&socket, AF_INET, local4, LO));
	ck_assert(sockdiag_listens_on(&socket, AF_INET6, local6, LO));

	socket.state = 1;
	ck_assert(!sockdiag_listens_on(&socket, AF_INET6, local6, LO));
	socket.state = SOCKDIAG_LISTEN;
	socket.protocol = IPPROTO_UDP;
	ck_assert(!sockdiag_listens_on(&socket, AF_INET6, local6, LO));
}
END_TEST

START_TEST(test_state_names)
{
	ck_assert_str_eq(sockdiag_state_name(1), "ESTAB");
	ck_assert_str_eq(sockdiag_state_name(6), "TIME-WAIT");
	ck_assert_str_eq(sockdiag_state_name(7), "UNCONN");
	ck_assert_str_eq(sockdiag_state_name(10), "LISTEN");
	ck_assert_str_eq(sockdiag_state_name(0), "UNKNOWN");
	ck_assert_str_eq(sockdiag_state_name(-1), "UNKNOWN");
	ck_assert_str_eq(sockdiag_state_name(14), "UNKNOWN");
}
END_TEST

/* Whatever the bytes are, no read goes past them (sanitizers tell). */
START_TEST(test_bad_messages)
{
	const struct nlmsghdr *message;
	struct sockdiag_socket socket;
	uint32_t interface;
	unsigned type;

	srandom(1);
	for (int i = 0; i < 20000; i++) {
		size_t length = (size_t)random() % 256, position = 0;
		uint8_t *copy = malloc(length + 1);
		struct nlmsghdr header = { .nlmsg_len = (uint32_t)random() % 256,
					   .nlmsg_type = random() % 2 ? 20 : RTM_NEWROUTE };

		ck_assert_ptr_nonnull(copy);
		for (size_t j = 0; j < length; j++)
			copy[j] = (uint8_t)(random() % 8 == 0 ? random() : random() % 32);
		if (length >= sizeof(header))
			memcpy(copy, &header, sizeof(header));
		while ((message = sockdiag_next_message(copy, length, &position))) {
			(void)sockdiag_unpack_socket(message, IPPROTO_TCP, &socket);
			(void)sockdiag_unpack_route(message, &type, &interface);
			(void)sockdiag_unpack_error(message);
		}
		free(copy);
	}
}
END_TEST

/* As on a kernel without sock_diag: everything is answered, with -EOPNOTSUPP. */
START_TEST(test_unsupported)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTONOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };
	uint8_t loopback[16] = { 127, 0, 0, 1 };
	struct sockdiag_socket found;
	struct listing listing = { 0 };
	struct table table;

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0) {
		printf("skipped: no seccomp: %s\n", strerror(errno));
		return;
	}
	table_init(&table);
	listing_start(&table, &listing, SOCKDIAG_TCP_LISTENERS, 0);
	ck_assert_uint_eq(listing.calls, 0);
	listing_run(&table, &listing);
	ck_assert_int_eq(listing.result, -EOPNOTSUPP);
	ck_assert_uint_eq(listing.n, 0);
	ck_assert_int_eq(sockdiag_lookup_listener(table.sockdiag, AF_INET, loopback, 1, &found),
			 -EOPNOTSUPP);
	listing_free(&listing);
	table_deinit(&table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sockdiag");
	TCase *tests = tcase_create("listeners");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_kinds);
	tcase_add_test(tests, test_kinds_in_network);
	tcase_add_test(tests, test_not_a_listener);
	tcase_add_test(tests, test_reuseport);
	tcase_add_test(tests, test_udp_and_bound);
	tcase_add_test(tests, test_listens_on);
	tcase_add_test(tests, test_state_names);
	tcase_add_test(tests, test_bad_messages);
	tcase_add_test(tests, test_unsupported);
	suite_add_tcase(suite, tests);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
