/* How connections of the library begin and end, with a real daemon and a played one. */

#include "libportscan_test.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct portscan *p;

/* A daemon that the test plays */

static int peer;

static void setup_played(void)
{
	int sockets[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	ck_assert_int_eq(portscan_new_from_fd(&p, sockets[0]), 0);
	peer = sockets[1];
}

static void teardown_played(void)
{
	portscan_free(p);
	if (peer >= 0)
		close(peer);
}

static void play(const char *text)
{
	ck_assert_int_eq(write(peer, text, strlen(text)), (ssize_t)strlen(text));
}

struct ended {
	int n, status;
	char name[64];
};

static void on_ended(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	struct ended *ended = userdata;

	(void)handle;
	ended->n++;
	ended->status = reply->status;
	snprintf(ended->name, sizeof(ended->name), "%s", reply->error ? reply->error->name : "");
}

/* What is still under way when a test ends is completed by its teardown: `ended` is to be static. */
static void start_three(struct ended *ended)
{
	struct portscan_check_args args = { .port = 1 };

	*ended = (struct ended){ 0 };
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(portscan_check_start(p, &args, on_ended, ended, NULL), 0);
}

#define RESULT                                                                                     \
	"{\"jsonrpc\":\"2.0\",\"result\":{\"host\":\"h\",\"address\":\"a\",\"port\":1,\"status\":" \
	"\"open\",\"reason\":\"accepted\",\"elapsed_us\":1,\"new\":[]},\"id\":"

START_TEST(test_lost_connection)
{
	struct portscan_check_args args = { .port = 1 };
	struct portscan_check_result result;
	static struct ended ended;

	start_three(&ended);
	ck_assert_int_eq(portscan_dispatch(p), 0);
	play(RESULT "2}\n");
	close(peer);
	peer = -1;
	while (portscan_dispatch(p) == 0)
		;
	ck_assert_int_eq(ended.n, 3);
	ck_assert_int_eq(ended.status, -ECONNRESET);
	ck_assert_int_eq(portscan_dispatch(p), -ECONNRESET);
	ck_assert_int_eq(portscan_check(p, &args, &result), -ECONNRESET);
}
END_TEST

START_TEST(test_answer_before_the_end_is_read)
{
	static struct ended ended;

	/* Nothing was sent yet, and sending it fails: SIGPIPE would end the test. */
	start_three(&ended);
	play(RESULT "1}\n");
	close(peer);
	peer = -1;
	ck_assert_int_eq(portscan_dispatch(p), 0);
	ck_assert_int_eq(ended.n, 1);
	ck_assert_int_eq(ended.status, 0);
	ck_assert_int_eq(portscan_dispatch(p), -ECONNRESET);
	ck_assert_int_eq(ended.n, 3);
}
END_TEST

START_TEST(test_answers_in_pieces_and_in_any_order)
{
	static struct ended ended;

	start_three(&ended);
	play(RESULT "3");
	ck_assert_int_eq(portscan_dispatch(p), 0);
	ck_assert_int_eq(ended.n, 0);
	/* To no call of ours, and without an id that could be one. */
	play("}\n" RESULT "99}\n\n" RESULT "\"x\"}\n" RESULT "1}\n{\"jsonrpc");
	ck_assert_int_eq(portscan_dispatch(p), 0);
	ck_assert_int_eq(ended.n, 2);
	play("\":\"2.0\",\"error\":{\"code\":77,\"message\":\"m\",\"data\":{\"error\":\"New\","
	     "\"port\":\"x\",\"host\":[]}},\"id\":2}\n");
	ck_assert_int_eq(portscan_dispatch(p), 0);
	ck_assert_int_eq(ended.n, 3);
	ck_assert_int_eq(ended.status, -EREMOTEIO);
	ck_assert_str_eq(ended.name, "New");
	ck_assert_ptr_null(portscan_last_error(p)->host);
	ck_assert_str_eq(portscan_last_error(p)->members, "{\"port\":\"x\",\"host\":[]}");
}
END_TEST

START_TEST(test_answers_that_are_none)
{
	static const char *const texts[] = { "garbage\n", "{\"id\":1}\n", "[]\n", "17\n" };
	static struct ended ended;

	start_three(&ended);
	play(texts[_i]);
	ck_assert_int_eq(portscan_dispatch(p), -EBADMSG);
	ck_assert_int_eq(ended.n, 3);
	ck_assert_int_eq(ended.status, -EBADMSG);
}
END_TEST

START_TEST(test_result_of_the_wrong_type)
{
	static struct ended ended;

	start_three(&ended);
	play("{\"result\":{\"port\":\"22\"},\"id\":1}\n");
	ck_assert_int_eq(portscan_dispatch(p), 0);
	ck_assert_int_eq(ended.n, 1);
	ck_assert_int_eq(ended.status, -EBADMSG);
}
END_TEST

START_TEST(test_error_for_nobody)
{
	static struct ended ended;

	start_three(&ended);
	play("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":13,\"message\":\"m\",\"data\":{\"error\":"
	     "\"MessageTooLarge\",\"limit\":1}},\"id\":null}\n");
	ck_assert_int_eq(portscan_dispatch(p), -ECONNRESET);
	ck_assert_int_eq(ended.n, 3);
	ck_assert_int_eq(ended.status, -EREMOTEIO);
	ck_assert_str_eq(ended.name, "MessageTooLarge");
}
END_TEST

/* Connecting */

START_TEST(test_nobody_there)
{
	char long_path[200];
	struct portscan *none = NULL;

	set_environment();
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	ck_assert_int_eq(portscan_new(&none, NOWHERE "/none"), -ENOENT);
	ck_assert_int_eq(portscan_new(&none, "@portscand-nobody-is-there"), -ECONNREFUSED);
	ck_assert_int_eq(portscan_new(&none, ""), -EINVAL);
	ck_assert_int_eq(portscan_new(&none, long_path), -ENAMETOOLONG);
	ck_assert_int_eq(setenv(PORTSCAN_SOCKET_VARIABLE, NOWHERE "/none", 1), 0);
	ck_assert_int_eq(portscan_new(&none, NULL), -ENOENT);
	ck_assert_ptr_null(none);
	portscan_free(NULL);
}
END_TEST

START_TEST(test_no_program)
{
	static const char *const installed[] = { DAEMON_DIRECTORIES };
	struct portscan *none;

	set_environment();
	/* portscand is looked for there, too. */
	for (size_t i = 0; i < sizeof(installed) / sizeof(installed[0]); i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/portscand", installed[i]);
		if (access(path, F_OK) == 0)
			return;
	}
	ck_assert_int_eq(setenv("PATH", NOWHERE ":relative", 1), 0);
	ck_assert_int_eq(portscan_new(&none, NULL), -ENOENT);
	ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

static volatile sig_atomic_t n_sigchld;

static void on_sigchld(int number)
{
	(void)number;
	n_sigchld++;
}

/* Whether any descriptor of `pid` is the file that `fd` is here. */
static bool has_file(pid_t pid, int fd)
{
	struct stat ours, theirs;
	char path[64];

	ck_assert_int_eq(fstat(fd, &ours), 0);
	for (int i = 0; i < 256; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, i);
		if (stat(path, &theirs) == 0 && theirs.st_ino == ours.st_ino &&
		    theirs.st_dev == ours.st_dev)
			return true;
	}
	return false;
}

/* What a program that started the daemon notices of it, and the daemon of the program. */
START_TEST(test_daemon_of_ones_own)
{
	struct portscan_info_result info;
	sigset_t blocked;
	int pipes[2];
	int r;

	set_environment();
	signal(SIGCHLD, on_sigchld);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	ck_assert_int_eq(pipe(pipes), 0);
	setenv("NOTIFY_SOCKET", NOWHERE "/none", 1);
	setenv("LISTEN_FDS", "7", 1);

	ck_assert_int_eq(portscan_new(&p, NULL), 0);
	ck_assert_int_eq(portscan_info(p, &info), 0);
	ck_assert(!has_file((pid_t)info.pid, pipes[0]));
	ck_assert(!has_file((pid_t)info.pid, pipes[1]));
	ck_assert_int_ne(getsid((pid_t)info.pid), getsid(0));
	ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
	ck_assert_int_eq(errno, ECHILD);

	/* It can be ended by the signal that is blocked here. */
	ck_assert_int_eq(kill((pid_t)info.pid, SIGTERM), 0);
	do
		r = portscan_info(p, &info);
	while (r == 0);
	ck_assert(r == -ECONNRESET || r == -EREMOTEIO);
	portscan_free(p);
	ck_assert_int_eq(n_sigchld, 0);
}
END_TEST

START_TEST(test_daemon_ends_with_the_handle)
{
	struct portscan_info_result info;
	struct pollfd ended = { .events = POLLIN };

	set_environment();
	ck_assert_int_eq(portscan_new(&p, NULL), 0);
	ck_assert_int_eq(portscan_info(p, &info), 0);
	/* Its number may stay: a container's init need not wait for what it inherits. */
	ended.fd = pidfd_open((pid_t)info.pid, 0);
	ck_assert_int_ge(ended.fd, 0);
	portscan_free(p);
	ck_assert_int_eq(poll(&ended, 1, 5000), 1);
	close(ended.fd);
}
END_TEST

/* The daemon's place is among the standard descriptors of a program that has closed its own. */
START_TEST(test_closed_standard_descriptors)
{
	struct portscan_info_result info;

	set_environment();
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	ck_assert_int_eq(portscan_new(&p, NULL), 0);
	ck_assert_int_eq(portscan_info(p, &info), 0);
	portscan_free(p);
}
END_TEST

struct endings {
	int n_fine, n_cancelled;
};

static void on_freeing(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	struct portscan_check_args args = { .port = 1 };
	struct endings *endings = userdata;

	if (reply->status == 0) {
		endings->n_fine++;
		portscan_free(handle);
		ck_assert_uint_eq(reply->check->port, 1);
	} else {
		endings->n_cancelled++;
		ck_assert_int_eq(reply->status, -ECANCELED);
	}
	ck_assert_int_eq(portscan_check_start(handle, &args, on_freeing, userdata, NULL),
			 -ECANCELED);
}

START_TEST(test_free_in_a_completion)
{
	struct portscan_check_args args = { .port = 1 };
	struct endings endings = { 0 };
	struct pollfd ready;
	int r = 0;

	set_environment();
	ck_assert_int_eq(portscan_new(&p, NULL), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(portscan_check_start(p, &args, on_freeing, &endings, NULL), 0);
	while (r == 0) {
		ready = (struct pollfd){ portscan_get_fd(p), portscan_get_events(p), 0 };
		ck_assert_int_eq(poll(&ready, 1, 20000), 1);
		r = portscan_dispatch(p);
	}
	ck_assert_int_eq(r, -ECANCELED);
	ck_assert_int_eq(endings.n_fine, 1);
	ck_assert_int_eq(endings.n_cancelled, 9);
}
END_TEST

static void add_played_daemon(Suite *suite)
{
	TCase *tcase = tcase_create("played daemon");

	tcase_add_checked_fixture(tcase, setup_played, teardown_played);
	tcase_set_timeout(tcase, 20);
	tcase_add_test(tcase, test_lost_connection);
	tcase_add_test(tcase, test_answer_before_the_end_is_read);
	tcase_add_test(tcase, test_answers_in_pieces_and_in_any_order);
	tcase_add_loop_test(tcase, test_answers_that_are_none, 0, 4);
	tcase_add_test(tcase, test_result_of_the_wrong_type);
	tcase_add_test(tcase, test_error_for_nobody);
	suite_add_tcase(suite, tcase);
}

static void add_connecting(Suite *suite)
{
	TCase *tcase = tcase_create("connecting");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_nobody_there);
	tcase_add_test(tcase, test_no_program);
	tcase_add_test(tcase, test_daemon_of_ones_own);
	tcase_add_test(tcase, test_daemon_ends_with_the_handle);
	tcase_add_test(tcase, test_closed_standard_descriptors);
	tcase_add_test(tcase, test_free_in_a_completion);
	suite_add_tcase(suite, tcase);
}

int main(void)
{
	Suite *suite = suite_create("libportscan connections");

	add_played_daemon(suite);
	add_connecting(suite);
	return is_daemon_running() ? EXIT_SKIPPED : run_suite(suite);
}
