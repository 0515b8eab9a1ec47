/* The library's calls about leases, with a real daemon that is there for all. */

#include "libportscan_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct portscan *p;
static pid_t daemon_pid;
static char directory[] = "/tmp/portscan-test-XXXXXX";
static char address[64], runtime[64];

/* Its socket is there before it starts, so that nobody has to wait for it. */
static int listen_at(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(name.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

static void run_daemon(int listening)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	unsetenv("LISTEN_FDNAMES");
	if (listening == 3)
		fcntl(3, F_SETFD, 0);
	else
		dup2(listening, 3);
	execl(getenv("PORTSCAND"), "portscand", "--runtime-dir", runtime, "--log-level", "warning",
	      NULL);
	_exit(127);
}

static void setup(void)
{
	struct portscan_info_result info;
	int listening;

	strcpy(directory + sizeof(directory) - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(address, sizeof(address), "%s/socket", directory);
	snprintf(runtime, sizeof(runtime), "%s/runtime", directory);
	listening = listen_at(address);
	daemon_pid = fork();
	if (daemon_pid == 0)
		run_daemon(listening);
	close(listening);
	ck_assert_int_eq(portscan_new_shared(&p, address), 0);
	/* From now on it is the daemon, and not a part of Check, that a signal reaches. */
	ck_assert_int_eq(portscan_info(p, &info), 0);
}

static void teardown(void)
{
	static const char *const files[] = { "socket", "runtime/leases.journal", "runtime", "" };
	char path[128];
	int status;

	portscan_free(p);
	kill(daemon_pid, SIGTERM);
	ck_assert_int_eq(waitpid(daemon_pid, &status, 0), daemon_pid);
	ck_assert_int_eq(status, 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		remove(path);
	}
	ck_assert_int_lt(access(directory, F_OK), 0);
}

static void start_server(uint16_t port, int *ret_fd)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				    .sin_port = htons(port) };
	int on = 1;

	*ret_fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ck_assert_int_eq(bind(*ret_fd, (struct sockaddr *)&name, sizeof(name)), 0);
	ck_assert_int_eq(listen(*ret_fd, 8), 0);
}

START_TEST(test_lease_of_defaults)
{
	struct portscan_lease_args args = { 0 };
	struct portscan_lease_result result;

	ck_assert_int_eq(portscan_lease(p, &args, &result), 0);
	ck_assert_uint_eq(strlen(result.lease.lease), 16);
	ck_assert_str_eq(result.lease.name, "");
	ck_assert_int_eq(result.lease.protocol, PORTSCAN_TCP);
	ck_assert_str_eq(result.lease.address, "*");
	ck_assert_uint_eq(result.lease.n_ports, 1);
	ck_assert_uint_eq(result.lease.ports[0], result.port);
	ck_assert_int_eq(result.lease.hold, PORTSCAN_HOLD_SHARED);
	ck_assert_int_eq(result.lease.until, PORTSCAN_UNTIL_CLAIMED);
	ck_assert_int_eq(result.lease.state, PORTSCAN_LEASE_HELD);
	ck_assert_int_eq(result.lease.uid, getuid());
	ck_assert_int_eq(result.lease.pid, getpid());
	ck_assert_int_ge(result.lease.age_ms, 0);
	ck_assert_int_le(result.lease.expires_in_ms, 60000);
	ck_assert_int_gt(result.lease.expires_in_ms, 50000);
	ck_assert_uint_eq(result.lease.n_lost, 0);
	ck_assert_uint_eq(result.n_fds, 0);
	portscan_lease_result_clear(&result);
	ck_assert_ptr_null(result.lease.ports);
}
END_TEST

START_TEST(test_lease_of_all_members)
{
	struct portscan_lease_args args = { .ports = "23000-23999",
					    .exclude = "23500-23999",
					    .count = 3,
					    .contiguous = true,
					    .protocol = PORTSCAN_BOTH,
					    .address = "127.0.0.1",
					    .hold = PORTSCAN_HOLD_EXCLUSIVE,
					    .until = PORTSCAN_UNTIL_PROCESS,
					    .pid = getpid(),
					    .ttl_ms = 90000,
					    .name = "all of them" };
	struct portscan_lease_result result;

	ck_assert_int_eq(portscan_lease(p, &args, &result), 0);
	ck_assert_str_eq(result.lease.name, "all of them");
	ck_assert_int_eq(result.lease.protocol, PORTSCAN_BOTH);
	ck_assert_str_eq(result.lease.address, "127.0.0.1");
	ck_assert_uint_eq(result.lease.n_ports, 3);
	ck_assert_uint_ge(result.port, 23000);
	ck_assert_uint_lt(result.port, 23500);
	ck_assert_uint_eq(result.lease.ports[2], result.port + 2);
	ck_assert_int_eq(result.lease.hold, PORTSCAN_HOLD_EXCLUSIVE);
	ck_assert_int_eq(result.lease.until, PORTSCAN_UNTIL_PROCESS);
	ck_assert_int_gt(result.lease.expires_in_ms, 60000);
	portscan_lease_result_clear(&result);
}
END_TEST

START_TEST(test_renew_and_release)
{
	struct portscan_lease_args args = { .until = PORTSCAN_UNTIL_RELEASED };
	struct portscan_lease_result result;
	struct portscan_renew_args renew = { .ttl_ms = 1000000 };
	struct portscan_renew_result renewed;
	struct portscan_release_args release = { 0 };

	ck_assert_int_eq(portscan_lease(p, &args, &result), 0);
	ck_assert_int_eq(result.lease.expires_in_ms, -1);
	renew.lease = result.lease.lease;
	ck_assert_int_eq(portscan_renew(p, &renew, &renewed), 0);
	ck_assert_str_eq(renewed.lease.lease, result.lease.lease);
	ck_assert_uint_eq(renewed.lease.ports[0], result.port);
	ck_assert_int_gt(renewed.lease.expires_in_ms, 900000);
	portscan_renew_result_clear(&renewed);
	ck_assert_ptr_null(renewed.lease.ports);

	release.lease = result.lease.lease;
	ck_assert_int_eq(portscan_release(p, &release), 0);
	ck_assert_str_eq(portscan_last_result(p), "{}");
	ck_assert_int_eq(portscan_release(p, &release), -EREMOTEIO);
	ck_assert_int_eq(portscan_last_error(p)->code, PORTSCAN_ERROR_NO_SUCH_LEASE);
	ck_assert_int_eq(portscan_renew(p, &renew, &renewed), -EREMOTEIO);
	ck_assert_int_eq(portscan_last_error(p)->code, PORTSCAN_ERROR_NO_SUCH_LEASE);
	release.lease = NULL;
	ck_assert_int_eq(portscan_release(p, &release), -EREMOTEIO);
	ck_assert_str_eq(portscan_last_error(p)->members, "{\"parameter\":\"lease\"}");
	portscan_lease_result_clear(&result);
}
END_TEST

START_TEST(test_leases_and_who)
{
	struct portscan_lease_args args = { .name = "listed" };
	struct portscan_lease_result result;
	struct portscan_leases_args none = { 0 };
	struct portscan_leases_result listed;
	struct portscan_who_args who = { 0 };
	struct portscan_who_result found;
	int server;

	ck_assert_int_eq(portscan_leases(p, &none, &listed), 0);
	ck_assert_uint_eq(listed.n_leases, 0);
	portscan_leases_result_clear(&listed);

	ck_assert_int_eq(portscan_lease(p, &args, &result), 0);
	start_server(result.port, &server);
	ck_assert_int_eq(portscan_leases(p, &none, &listed), 0);
	ck_assert_uint_eq(listed.n_leases, 1);
	ck_assert_str_eq(listed.leases[0].lease, result.lease.lease);
	ck_assert_str_eq(listed.leases[0].name, "listed");
	ck_assert_int_eq(listed.leases[0].state, PORTSCAN_LEASE_IN_USE);
	ck_assert_int_eq(listed.leases[0].expires_in_ms, -1);
	portscan_leases_result_clear(&listed);
	ck_assert_ptr_null(listed.leases);

	who.port = result.port;
	ck_assert_int_eq(portscan_who(p, &who, &found), 0);
	ck_assert_str_eq(found.lease.lease, result.lease.lease);
	ck_assert_uint_eq(found.lease.ports[0], result.port);
	portscan_who_result_clear(&found);
	who.port = 1;
	ck_assert_int_eq(portscan_who(p, &who, &found), 0);
	ck_assert_str_eq(found.lease.lease, "");
	ck_assert_ptr_null(found.lease.ports);
	portscan_who_result_clear(&found);
	close(server);
	portscan_lease_result_clear(&result);
}
END_TEST

static void assert_is_socket_of(int fd, uint16_t port, int type, bool listening)
{
	struct sockaddr_storage name;
	socklen_t size = sizeof(name), option_size = sizeof(int);
	int option;

	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &size), 0);
	/* Both families have it in the same place. */
	ck_assert_uint_eq(ntohs(((struct sockaddr_in *)&name)->sin_port), port);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_TYPE, &option, &option_size), 0);
	ck_assert_int_eq(option, type);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &option, &option_size), 0);
	ck_assert_int_eq(option, listening);
}

START_TEST(test_descriptors)
{
	struct portscan_lease_args args = {
		.count = 2, .protocol = PORTSCAN_BOTH, .pass_fd = true, .listen = true
	};
	struct portscan_lease_result result;
	int taken, cleared;

	ck_assert_int_eq(portscan_lease(p, &args, &result), 0);
	ck_assert_uint_eq(result.n_fds, 4);
	for (size_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(result.fd_ports[i], result.lease.ports[i / 2]);
		assert_is_socket_of(result.fds[i], result.fd_ports[i],
				    i % 2 ? SOCK_DGRAM : SOCK_STREAM, i % 2 == 0);
	}
	taken = result.fds[0];
	cleared = result.fds[1];
	result.fds[0] = -1;
	portscan_lease_result_clear(&result);
	ck_assert_int_eq(fcntl(cleared, F_GETFD), -1);
	ck_assert_int_eq(fcntl(taken, F_GETFD), FD_CLOEXEC);
	close(taken);
}
END_TEST

START_TEST(test_most_descriptors)
{
	struct portscan_lease_args args = { .count = 253, .pass_fd = true };
	struct portscan_lease_result result;

	ck_assert_int_eq(portscan_lease(p, &args, &result), 0);
	ck_assert_uint_eq(result.n_fds, 253);
	for (size_t i = 0; i < 253; i++)
		assert_is_socket_of(result.fds[i], result.lease.ports[i], SOCK_STREAM, false);
	portscan_lease_result_clear(&result);
	args.count = 254;
	ck_assert_int_eq(portscan_lease(p, &args, &result), -EREMOTEIO);
	ck_assert_str_eq(portscan_last_error(p)->members, "{\"parameter\":\"count\"}");
}
END_TEST

static struct {
	int n_done;
	struct portscan_lease_result kept;
	char last[32];
} started;

static void on_leased(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	const bool *pass_fd = userdata;

	(void)handle;
	ck_assert_int_eq(reply->status, 0);
	ck_assert_uint_eq(reply->lease->n_fds, *pass_fd);
	if (started.n_done++ == 10) {
		started.kept = *reply->lease;
		*reply->lease = (struct portscan_lease_result){ 0 };
	}
}

static void on_released(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	(void)handle;
	(void)userdata;
	ck_assert_int_eq(reply->status, 0);
	started.n_done++;
}

static void on_listed(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	on_released(handle, reply, userdata);
	ck_assert_uint_eq(reply->leases->n_leases, 101);
}

static void on_renewed(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	on_released(handle, reply, userdata);
	ck_assert_str_eq(reply->renew->lease.lease, started.kept.lease.lease);
}

static unsigned count_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Answers that come in heaps, with descriptors and without: each has its own. */
START_TEST(test_started_calls)
{
	static bool pass_fd[2] = { true, false };
	unsigned before = count_descriptors();
	struct portscan_leases_args all = { .all = true };
	struct portscan_renew_args renew = { 0 };
	struct portscan_release_args release = { 0 };

	for (int i = 0; i < 101; i++) {
		struct portscan_lease_args args = { .pass_fd = pass_fd[i % 2] };

		ck_assert_int_eq(portscan_lease_start(p, &args, on_leased, &pass_fd[i % 2], NULL),
				 0);
	}
	while (started.n_done < 101)
		dispatch_once(p);
	ck_assert_uint_eq(started.kept.n_fds, 1);
	assert_is_socket_of(started.kept.fds[0], started.kept.port, SOCK_STREAM, false);
	ck_assert_uint_eq(count_descriptors(), before + 1);

	renew.lease = started.kept.lease.lease;
	release.lease = renew.lease;
	ck_assert_int_eq(portscan_leases_start(p, &all, on_listed, NULL, NULL), 0);
	while (started.n_done < 102)
		dispatch_once(p);
	ck_assert_int_eq(portscan_renew_start(p, &renew, on_renewed, NULL, NULL), 0);
	ck_assert_int_eq(portscan_release_start(p, &release, on_released, NULL, NULL), 0);
	while (started.n_done < 104)
		dispatch_once(p);
	portscan_lease_result_clear(&started.kept);
	ck_assert_uint_eq(count_descriptors(), before);
}
END_TEST

START_TEST(test_no_room_for_descriptors)
{
	struct portscan_lease_args args = { .count = 20, .pass_fd = true };
	struct portscan_leases_args mine = { 0 };
	struct portscan_lease_result result;
	struct portscan_leases_result listed;
	unsigned before = count_descriptors();
	struct rlimit limit, low;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = before + 10;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	ck_assert_int_eq(portscan_lease(p, &args, &result), -EMFILE);
	ck_assert_uint_eq(count_descriptors(), before);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);

	/* It was given back. */
	ck_assert_int_eq(portscan_leases(p, &mine, &listed), 0);
	for (size_t i = 0; i < listed.n_leases; i++)
		ck_assert_int_eq(listed.leases[i].state, PORTSCAN_LEASE_QUARANTINED);
	portscan_leases_result_clear(&listed);
}
END_TEST

START_TEST(test_errors)
{
	struct portscan_lease_args args = { .ports = "1", .count = 2 };
	struct portscan_lease_result result;

	ck_assert_int_eq(portscan_lease(p, &args, &result), -EREMOTEIO);
	ck_assert_int_eq(portscan_last_error(p)->code, PORTSCAN_ERROR_NO_PORT_AVAILABLE);
	args = (struct portscan_lease_args){ .listen = true };
	ck_assert_int_eq(portscan_lease(p, &args, &result), -EREMOTEIO);
	ck_assert_str_eq(portscan_last_error(p)->members, "{\"parameter\":\"listen\"}");
	args = (struct portscan_lease_args){ .hold = (enum portscan_hold)4 };
	ck_assert_int_eq(portscan_lease(p, &args, &result), -EINVAL);
}
END_TEST

START_TEST(test_lease_of_the_connection)
{
	struct portscan_lease_args args = { .until = PORTSCAN_UNTIL_CONNECTION };
	struct portscan_lease_result result;
	struct portscan_leases_args mine = { 0 };
	struct portscan_leases_result listed;
	struct portscan *other;

	ck_assert_int_eq(portscan_new_shared(&other, address), 0);
	ck_assert_int_eq(portscan_lease(other, &args, &result), 0);
	portscan_lease_result_clear(&result);
	ck_assert_int_eq(portscan_leases(p, &mine, &listed), 0);
	ck_assert_int_eq(listed.leases[0].state, PORTSCAN_LEASE_HELD);
	portscan_leases_result_clear(&listed);
	portscan_free(other);
	for (bool is_over = false; !is_over; usleep(1000)) {
		ck_assert_int_eq(portscan_leases(p, &mine, &listed), 0);
		is_over = listed.leases[0].state == PORTSCAN_LEASE_QUARANTINED;
		portscan_leases_result_clear(&listed);
	}
}
END_TEST

START_TEST(test_only_with_a_shared_daemon)
{
	struct portscan_lease_args args = { 0 };
	struct portscan_lease_result result;
	struct portscan *own, *none = NULL;

	set_environment();
	ck_assert_int_eq(portscan_new_shared(&none, NULL), -ENOENT);
	ck_assert_ptr_null(none);
	ck_assert_int_eq(portscan_new(&own, NULL), 0);
	ck_assert_int_eq(portscan_lease(own, &args, &result), -EREMOTEIO);
	ck_assert_int_eq(portscan_last_error(own)->code, PORTSCAN_ERROR_NOT_SUPPORTED);
	portscan_free(own);
	setenv(PORTSCAN_SOCKET_VARIABLE, address, 1);
	ck_assert_int_eq(portscan_new_shared(&own, NULL), 0);
	ck_assert_int_eq(portscan_lease(own, &args, &result), 0);
	portscan_lease_result_clear(&result);
	portscan_free(own);
}
END_TEST

START_TEST(test_names)
{
	ck_assert_str_eq(portscan_hold_name(PORTSCAN_HOLD_EXCLUSIVE), "exclusive");
	ck_assert_str_eq(portscan_until_name(PORTSCAN_UNTIL_RELEASED), "released");
	ck_assert_str_eq(portscan_lease_state_name(PORTSCAN_LEASE_IN_USE), "in_use");
	ck_assert_ptr_null(portscan_hold_name((enum portscan_hold)0));
	ck_assert_ptr_null(portscan_until_name((enum portscan_until)5));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libportscan leases");
	TCase *tcase = tcase_create("libportscan leases");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_lease_of_defaults);
	tcase_add_test(tcase, test_lease_of_all_members);
	tcase_add_test(tcase, test_renew_and_release);
	tcase_add_test(tcase, test_leases_and_who);
	tcase_add_test(tcase, test_descriptors);
	tcase_add_test(tcase, test_most_descriptors);
	tcase_add_test(tcase, test_started_calls);
	tcase_add_test(tcase, test_no_room_for_descriptors);
	tcase_add_test(tcase, test_errors);
	tcase_add_test(tcase, test_lease_of_the_connection);
	tcase_add_test(tcase, test_only_with_a_shared_daemon);
	tcase_add_test(tcase, test_names);
	suite_add_tcase(suite, tcase);
	return is_daemon_running() ? EXIT_SKIPPED : run_suite(suite);
}
