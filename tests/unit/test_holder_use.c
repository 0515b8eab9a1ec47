/* test_holder_use.c: binding, handing over, adopting, and the verdicts of bind_try(). */

#include "holder.h"
#include "somebody.h"
#include "util.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct holder hold(uint16_t port, enum holder_protocol protocol, enum holder_mode mode)
{
	struct holder_request request = { .port = port, .protocol = protocol, .mode = mode };
	struct holder holder = HOLDER_INIT;

	ck_assert_int_eq(holder_bind(&holder, &request), 0);
	return holder;
}

static int try_address(const char *text, uint16_t port, enum holder_protocol protocol)
{
	union somebody_address address;

	somebody_address(text, 0, &address);
	return bind_try(&address.any, port, protocol);
}

static unsigned count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned n = 0;

	ck_assert_ptr_nonnull(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

/* A port that is free for both protocols, as far as anybody can say. */
static uint16_t free_port(void)
{
	struct holder holder = hold(0, HOLDER_BOTH, HOLDER_NONE);

	return holder.port;
}

START_TEST(strict_against_who_is_about_to_listen)
{
	static const enum holder_mode modes[] = { HOLDER_SHARED, HOLDER_EXCLUSIVE, HOLDER_NONE };
	struct attempt attempt = { .address = "127.0.0.1", .reuseaddr = true, .bind_only = true };
	int fd = attempt_here(&attempt, 0);
	struct holder_request request = { .port = port_of(fd) };
	struct holder holder = HOLDER_INIT;

	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		request.mode = modes[i];
		ck_assert_int_eq(holder_bind(&holder, &request), -EADDRINUSE);
		ck_assert_int_lt(holder.tcp, 0);
	}
	close(fd);
}
END_TEST

START_TEST(strict_against_another_holder)
{
	struct holder first = hold(0, HOLDER_BOTH, HOLDER_SHARED), second = HOLDER_INIT;
	struct holder_request request = { .port = first.port, .mode = HOLDER_SHARED };

	for (int protocol = HOLDER_TCP; protocol <= HOLDER_BOTH; protocol++) {
		request.protocol = (enum holder_protocol)protocol;
		ck_assert_int_eq(holder_bind(&second, &request), -EADDRINUSE);
	}
	holder_deinit(&first);
	ck_assert_int_eq(holder_bind(&second, &request), 0);
	holder_deinit(&second);
	holder_deinit(&second);
}
END_TEST

START_TEST(both_or_nothing)
{
	struct attempt tcp = { .address = "127.0.0.1" };
	struct attempt udp = { .address = "127.0.0.1", .type = SOCK_DGRAM };
	struct holder_request request = { .protocol = HOLDER_BOTH };
	struct holder holder = HOLDER_INIT;
	unsigned before = count_fds();
	int fd;

	request.port = free_port();
	fd = attempt_here(&udp, request.port);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(holder_bind(&holder, &request), -EADDRINUSE);
	ck_assert_int_eq(bind_try(NULL, request.port, HOLDER_TCP), 0);
	close(fd);

	fd = attempt_here(&tcp, request.port);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(holder_bind(&holder, &request), -EADDRINUSE);
	ck_assert_int_eq(bind_try(NULL, request.port, HOLDER_UDP), 0);
	close(fd);
	ck_assert_uint_eq(count_fds(), before);
}
END_TEST

START_TEST(none_holds_nothing)
{
	unsigned before = count_fds();
	struct holder holder = hold(0, HOLDER_BOTH, HOLDER_NONE);
	int fds[2];

	ck_assert_uint_ne(holder.port, 0);
	ck_assert_uint_eq(holder_fds(&holder, fds), 0);
	ck_assert_uint_eq(count_fds(), before);
	ck_assert_int_eq(holder_hand_over(&holder), 0);
	holder_deinit(&holder);
}
END_TEST

/* A port where an earlier server closed first: its connection is in TIME_WAIT. */
static uint16_t port_in_time_wait(void)
{
	struct attempt server = { .address = "127.0.0.1", .reuseaddr = true };
	int listener = attempt_here(&server, 0), client, connection;
	union somebody_address to;
	uint16_t port = port_of(listener);
	socklen_t size = somebody_address("127.0.0.1", port, &to);
	char byte;

	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(client, &to.any, size), 0);
	connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(connection, 0);
	close(connection);
	ck_assert_int_eq(read(client, &byte, 1), 0);
	close(client);
	close(listener);
	return port;
}

START_TEST(time_wait_is_passed_over_if_allowed)
{
	static const enum holder_mode modes[] = { HOLDER_SHARED, HOLDER_EXCLUSIVE };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct attempt server = { .address = "127.0.0.1", .reuseaddr = true };
		struct holder_request request = { .port = port_in_time_wait(), .mode = modes[i] };
		struct holder holder = HOLDER_INIT;
		int expected = modes[i] == HOLDER_SHARED ? 0 : -EADDRINUSE;

		ck_assert_int_eq(holder_bind(&holder, &request), -EADDRINUSE);
		request.allow_time_wait = true;
		ck_assert_int_eq(holder_bind(&holder, &request), 0);
		ck_assert_int_eq(somebody_tries(&server, request.port, getuid()), expected);
		server.reuseaddr = false;
		ck_assert_int_eq(somebody_tries(&server, request.port, getuid()), -EADDRINUSE);
		holder_deinit(&holder);
	}
}
END_TEST

START_TEST(time_wait_allowed_is_no_way_past_a_listener)
{
	struct attempt server = { .address = "127.0.0.1", .reuseaddr = true };
	int fd = attempt_here(&server, 0);
	struct holder_request request = { .port = port_of(fd), .allow_time_wait = true };
	struct holder holder = HOLDER_INIT;

	ck_assert_int_eq(holder_bind(&holder, &request), -EADDRINUSE);
	close(fd);
}
END_TEST

START_TEST(a_listening_holder_is_connected_to)
{
	struct holder holder = hold(0, HOLDER_BOTH, HOLDER_EXCLUSIVE);
	struct holder_identity identity;
	union somebody_address to;
	socklen_t size;
	int fds[2], fd;

	ck_assert_uint_eq(holder_fds(&holder, fds), 2);
	ck_assert_int_eq(listen(fds[0], 4), 0);
	ck_assert_int_eq(holder_identify(fds[0], &identity), 0);
	ck_assert(identity.listening);
	size = somebody_address("::1", holder.port, &to);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, &to.any, size), 0);
	close(fd);
	holder_deinit(&holder);
}
END_TEST

static void send_to(uint16_t port, char byte)
{
	union somebody_address to;
	socklen_t size = somebody_address("127.0.0.1", port, &to);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(sendto(fd, &byte, 1, 0, &to.any, size), 1);
	close(fd);
}

START_TEST(udp_receives_from_the_handing_over_on)
{
	struct holder holder = hold(0, HOLDER_UDP, HOLDER_EXCLUSIVE);
	char byte;

	send_to(holder.port, 'a');
	ck_assert_int_lt(recv(holder.udp, &byte, 1, MSG_DONTWAIT), 0);
	ck_assert_int_eq(holder_hand_over(&holder), 0);
	ck_assert_int_eq(holder_hand_over(&holder), 0);
	ck_assert_int_lt(recv(holder.udp, &byte, 1, MSG_DONTWAIT), 0);
	send_to(holder.port, 'b');
	ck_assert_int_eq(recv(holder.udp, &byte, 1, MSG_DONTWAIT), 1);
	ck_assert_int_eq(byte, 'b');
	holder_deinit(&holder);
}
END_TEST

START_TEST(who_was_given_the_socket_keeps_the_port)
{
	struct holder holder = hold(0, HOLDER_TCP, HOLDER_EXCLUSIVE);
	uint16_t port = holder.port;
	int given = dup(holder.tcp);

	ck_assert_int_eq(fcntl(holder.tcp, F_GETFD), FD_CLOEXEC);
	ck_assert_int_ne(fcntl(holder.tcp, F_GETFL) & O_NONBLOCK, 0);
	holder_deinit(&holder);
	ck_assert_int_eq(bind_try(NULL, port, HOLDER_TCP), -EADDRINUSE);
	close(given);
	ck_assert_int_eq(bind_try(NULL, port, HOLDER_TCP), 0);
}
END_TEST

START_TEST(adopted_sockets_are_held)
{
	struct holder first = hold(0, HOLDER_BOTH, HOLDER_SHARED), second = HOLDER_INIT;
	struct holder other = hold(0, HOLDER_UDP, HOLDER_SHARED);
	struct holder_identity identity;
	uint16_t port = first.port;
	int ends[2];

	ck_assert_int_eq(holder_identify(first.udp, &identity), 0);
	ck_assert_int_eq(identity.protocol, HOLDER_UDP);
	ck_assert_uint_eq(identity.port, port);
	ck_assert(identity.every_address);
	ck_assert(!identity.listening);

	ck_assert_int_eq(holder_adopt(&second, dup(first.tcp)), 0);
	ck_assert_int_eq(holder_adopt(&second, first.tcp), -EEXIST);
	ck_assert_int_eq(holder_adopt(&second, other.udp), -EINVAL);
	ck_assert_int_eq(holder_adopt(&second, dup(first.udp)), 0);
	ck_assert_uint_eq(second.port, port);
	holder_deinit(&first);
	ck_assert_int_eq(bind_try(NULL, port, HOLDER_TCP), -EADDRINUSE);
	ck_assert_int_eq(bind_try(NULL, port, HOLDER_UDP), -EADDRINUSE);
	holder_deinit(&second);
	ck_assert_int_eq(bind_try(NULL, port, HOLDER_BOTH), 0);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ck_assert_int_eq(holder_adopt(&second, ends[0]), -EINVAL);
	ck_assert_int_eq(holder_adopt(&second, open("/dev/null", O_RDONLY | O_CLOEXEC)), -ENOTSOCK);
	ck_assert_int_eq(holder_adopt(&second, socket(AF_INET, SOCK_STREAM, 0)), -EINVAL);
	ck_assert_int_eq(holder_adopt(&second, -1), -EBADF);
	holder_deinit(&other);
}
END_TEST

START_TEST(the_verdicts_of_bind_try)
{
	static const char *const all[] = { "127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::" };
	struct attempt server = { .address = "127.0.0.1", .reuseaddr = true };
	struct sockaddr_un unix_address = { .sun_family = AF_UNIX };
	unsigned before = count_fds();
	uint16_t port = free_port();
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		ck_assert_int_eq(try_address(all[i], port, HOLDER_BOTH), 0);
	ck_assert_int_eq(try_address("192.0.2.1", port, HOLDER_TCP), -EADDRNOTAVAIL);
	ck_assert_int_eq(try_address("2001:db8::1", port, HOLDER_UDP), -EADDRNOTAVAIL);
	ck_assert_int_eq(try_address("127.0.0.1", 0, HOLDER_TCP), -EINVAL);
	ck_assert_int_eq(bind_try((struct sockaddr *)&unix_address, port, HOLDER_TCP),
			 -EAFNOSUPPORT);

	fd = attempt_here(&server, port);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(try_address("127.0.0.1", port, HOLDER_TCP), -EADDRINUSE);
	ck_assert_int_eq(try_address("0.0.0.0", port, HOLDER_TCP), -EADDRINUSE);
	ck_assert_int_eq(try_address("::", port, HOLDER_TCP), -EADDRINUSE);
	ck_assert_int_eq(try_address("::ffff:127.0.0.1", port, HOLDER_TCP), -EADDRINUSE);
	ck_assert_int_eq(try_address("127.0.0.2", port, HOLDER_TCP), 0);
	ck_assert_int_eq(try_address("::1", port, HOLDER_TCP), 0);
	ck_assert_int_eq(try_address("127.0.0.1", port, HOLDER_UDP), 0);
	ck_assert_int_eq(try_address("127.0.0.1", port, HOLDER_BOTH), -EADDRINUSE);
	close(fd);
	ck_assert_uint_eq(count_fds(), before);
}
END_TEST

START_TEST(bind_try_leaves_nothing_behind)
{
	struct attempt server = { .address = "0.0.0.0" };
	uint16_t port = free_port();
	int fd;

	for (unsigned i = 0; i < 1000; i++) {
		ck_assert_int_eq(bind_try(NULL, port, HOLDER_TCP), 0);
		fd = attempt_here(&server, port);
		ck_assert_int_ge(fd, 0);
		close(fd);
	}
}
END_TEST

START_TEST(a_privileged_port_is_not_in_use)
{
	if (getuid() != 0 || !own_network(40000, 40999))
		return;
	ck_assert(sysctl_write("ipv4/ip_unprivileged_port_start", "1024"));
	ck_assert_int_eq(bind_try(NULL, 80, HOLDER_BOTH), 0);
	ck_assert_int_eq(setuid(SOMEBODY_UID), 0);
	ck_assert_int_eq(bind_try(NULL, 80, HOLDER_TCP), -EACCES);
	ck_assert_int_eq(try_address("127.0.0.1", 80, HOLDER_UDP), -EACCES);
	ck_assert_int_eq(bind_try(NULL, 1024, HOLDER_TCP), 0);
}
END_TEST

/* As RestrictAddressFamilies= and a kernel without IPv6 do it. */
static int forbid_ipv6(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = ARRAY_SIZE(program), .filter = program };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0 ? -errno : 0;
}

START_TEST(without_ipv6_it_is_every_ipv4_address)
{
	struct attempt attempt = { .address = "127.0.0.2" };
	struct holder_identity identity;
	struct holder holder;

	ck_assert_int_eq(forbid_ipv6(), 0);
	holder = hold(0, HOLDER_BOTH, HOLDER_SHARED);
	ck_assert_int_eq(holder_identify(holder.tcp, &identity), 0);
	ck_assert_int_eq(identity.address.any.sa_family, AF_INET);
	ck_assert_uint_eq(identity.address.in.sin_addr.s_addr, htonl(INADDR_ANY));
	ck_assert_int_eq(attempt_here(&attempt, holder.port), -EADDRINUSE);
	ck_assert_int_eq(bind_try(NULL, holder.port, HOLDER_UDP), -EADDRINUSE);
	ck_assert_int_eq(try_address("::1", holder.port, HOLDER_TCP), -EAFNOSUPPORT);
	holder_deinit(&holder);
}
END_TEST

START_TEST(with_ipv6_switched_off_it_is_every_ipv4_address)
{
	struct attempt attempt = { .address = "127.0.0.1" };
	struct holder holder;

	if (!own_network(40000, 40999) || !sysctl_write("ipv6/conf/all/disable_ipv6", "1"))
		return;
	holder = hold(0, HOLDER_BOTH, HOLDER_SHARED);
	ck_assert_int_eq(attempt_here(&attempt, holder.port), -EADDRINUSE);
	ck_assert_int_eq(try_address("::1", holder.port, HOLDER_TCP), -EADDRNOTAVAIL);
	holder_deinit(&holder);
}
END_TEST

START_TEST(dual_stack_whatever_the_default)
{
	struct attempt attempt = { .address = "127.0.0.1" };
	struct holder_identity identity;
	struct holder holder;

	if (!own_network(40000, 40999) || !sysctl_write("ipv6/bindv6only", "1"))
		return;
	holder = hold(0, HOLDER_TCP, HOLDER_SHARED);
	ck_assert_int_eq(holder_identify(holder.tcp, &identity), 0);
	ck_assert(identity.every_address);
	ck_assert_int_eq(attempt_here(&attempt, holder.port), -EADDRINUSE);
	holder_deinit(&holder);
}
END_TEST

/* Where we may: what is free here stays free, whatever else runs on the host. */
static void setup(void)
{
	(void)own_network(20000, 60999);
}

int main(void)
{
	SRunner *runner;
	TCase *tests = tcase_create("using a holder");
	Suite *suite = suite_create("holder-use");
	int failed;

	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, strict_against_who_is_about_to_listen);
	tcase_add_test(tests, strict_against_another_holder);
	tcase_add_test(tests, both_or_nothing);
	tcase_add_test(tests, none_holds_nothing);
	tcase_add_test(tests, time_wait_is_passed_over_if_allowed);
	tcase_add_test(tests, time_wait_allowed_is_no_way_past_a_listener);
	tcase_add_test(tests, a_listening_holder_is_connected_to);
	tcase_add_test(tests, udp_receives_from_the_handing_over_on);
	tcase_add_test(tests, who_was_given_the_socket_keeps_the_port);
	tcase_add_test(tests, adopted_sockets_are_held);
	tcase_add_test(tests, the_verdicts_of_bind_try);
	tcase_add_test(tests, bind_try_leaves_nothing_behind);
	tcase_add_test(tests, a_privileged_port_is_not_in_use);
	tcase_add_test(tests, without_ipv6_it_is_every_ipv4_address);
	tcase_add_test(tests, with_ipv6_switched_off_it_is_every_ipv4_address);
	tcase_add_test(tests, dual_stack_whatever_the_default);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
