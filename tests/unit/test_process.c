/* test_process.c: owners that end are noticed, by a descriptor each, however many watch them. */

#include "process.h"
#include "util.h"

#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define WATCHES 1000

static struct ev_loop *loop;
static struct process_table *table;
static unsigned told;

static void setup(void)
{
	loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	ck_assert_ptr_nonnull(loop);
	ck_assert_int_eq(process_table_new(&table, loop), 0);
	told = 0;
}

static void teardown(void)
{
	process_table_free(table);
	ev_loop_destroy(loop);
}

static void on_gone(struct process_watch *watch)
{
	ck_assert_ptr_null(watch->process);
	told++;
}

static pid_t start_child(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void end_child(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
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

START_TEST(an_end_is_told_once)
{
	struct process_watch watch;
	pid_t pid = start_child();

	process_watch_init(&watch);
	ck_assert_int_eq(process_watch_start(&watch, table, pid, on_gone), 0);
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_eq(told, 0);

	end_child(pid);
	ev_run(loop, EVRUN_ONCE);
	ck_assert_uint_eq(told, 1);
	process_watch_stop(&watch);
	/* No watcher is left to keep the loop going. */
	ck_assert_int_eq(ev_run(loop, 0), 0);
	ck_assert_uint_eq(told, 1);
}
END_TEST

START_TEST(a_zombie_is_gone)
{
	struct process_watch watch;
	pid_t pid = start_child();

	process_watch_init(&watch);
	ck_assert_int_eq(process_watch_start(&watch, table, pid, on_gone), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ev_run(loop, EVRUN_ONCE);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(process_watch_start(&watch, table, pid, on_gone), -ESRCH);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(who_is_not_there_is_refused)
{
	struct process_watch watch;
	pid_t pid = start_child();

	end_child(pid);
	process_watch_init(&watch);
	ck_assert_int_eq(process_watch_start(&watch, table, pid, on_gone), -ESRCH);
	ck_assert_int_eq(process_watch_start(&watch, table, 0, on_gone), -EINVAL);
	ck_assert_int_eq(process_watch_start(&watch, table, -1, on_gone), -EINVAL);
	ck_assert_ptr_null(watch.process);
	process_watch_stop(&watch);
}
END_TEST

static void *thread_main(void *argument)
{
	pid_t *ret_tid = argument;

	__atomic_store_n(ret_tid, gettid(), __ATOMIC_RELEASE);
	pause();
	return NULL;
}

START_TEST(a_thread_is_no_process)
{
	struct process_watch watch;
	pthread_t thread;
	pid_t tid = 0;

	ck_assert_int_eq(pthread_create(&thread, NULL, thread_main, &tid), 0);
	while (__atomic_load_n(&tid, __ATOMIC_ACQUIRE) == 0)
		usleep(1000);
	process_watch_init(&watch);
	ck_assert_int_eq(process_watch_start(&watch, table, tid, on_gone), -ESRCH);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(a_thousand_watches_share_a_descriptor)
{
	static struct process_watch watches[WATCHES];
	unsigned before = count_fds();
	pid_t pid = start_child();

	for (unsigned i = 0; i < WATCHES; i++) {
		process_watch_init(&watches[i]);
		ck_assert_int_eq(process_watch_start(&watches[i], table, pid, on_gone), 0);
	}
	/* The loop opens its own with the first watcher. */
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_le(count_fds(), before + 2);
	for (unsigned i = 0; i < WATCHES; i += 2)
		process_watch_stop(&watches[i]);

	end_child(pid);
	ev_run(loop, EVRUN_ONCE);
	ck_assert_uint_eq(told, WATCHES / 2);
	ck_assert_uint_le(count_fds(), before + 1);
}
END_TEST

START_TEST(the_last_stop_closes)
{
	struct process_watch a, b;
	pid_t pid = start_child();
	unsigned before = count_fds();

	process_watch_init(&a);
	process_watch_init(&b);
	ck_assert_int_eq(process_watch_start(&a, table, pid, on_gone), 0);
	ck_assert_int_eq(process_watch_start(&b, table, pid, on_gone), 0);
	process_watch_stop(&a);
	process_watch_stop(&a);
	ck_assert_uint_eq(count_fds(), before + 1);
	process_watch_stop(&b);
	ck_assert_uint_eq(count_fds(), before);
	end_child(pid);
	ck_assert_int_eq(ev_run(loop, EVRUN_NOWAIT), 0);
	ck_assert_uint_eq(told, 0);
}
END_TEST

static struct process_watch *siblings[3];

/* Stops and frees all of them, itself included, and starts one for ourselves. */
static void on_gone_free_all(struct process_watch *watch)
{
	static struct process_watch self;

	told++;
	(void)watch;
	for (unsigned i = 0; i < ARRAY_SIZE(siblings); i++) {
		process_watch_stop(siblings[i]);
		free(siblings[i]);
	}
	process_watch_init(&self);
	ck_assert_int_eq(process_watch_start(&self, table, getpid(), on_gone), 0);
	process_watch_stop(&self);
}

START_TEST(a_callback_may_free_every_watch)
{
	pid_t pid = start_child();

	for (unsigned i = 0; i < ARRAY_SIZE(siblings); i++) {
		siblings[i] = malloc(sizeof(*siblings[i]));
		process_watch_init(siblings[i]);
		ck_assert_int_eq(process_watch_start(siblings[i], table, pid, on_gone_free_all), 0);
	}
	end_child(pid);
	ev_run(loop, EVRUN_ONCE);
	ck_assert_uint_eq(told, 1);
}
END_TEST

/* Connects to `listener` and stays until it is killed. */
static pid_t start_peer(const struct sockaddr *address, socklen_t size)
{
	pid_t pid = fork();
	int fd;

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, address, size) < 0)
		_exit(1);
	for (;;)
		pause();
}

START_TEST(a_peer_is_watched_by_its_connection)
{
	/* Only the family: the kernel chooses an abstract name. */
	struct sockaddr_storage address = { .ss_family = AF_UNIX };
	socklen_t size = sizeof(sa_family_t);
	struct process_watch a, b;
	unsigned before;
	int listener, connection;
	pid_t pid;

	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	size = sizeof(address);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	pid = start_peer((struct sockaddr *)&address, size);
	connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(connection, 0);

	process_watch_init(&a);
	process_watch_init(&b);
	before = count_fds();
	ck_assert_int_eq(process_watch_start_peer(&a, table, connection, on_gone), 0);
	ck_assert_int_eq(process_watch_start_peer(&b, table, connection, on_gone), 0);
	ck_assert_uint_eq(count_fds(), before + 1);
	end_child(pid);
	ev_run(loop, EVRUN_ONCE);
	ck_assert_uint_eq(told, 2);
	ck_assert_int_eq(process_watch_start_peer(&a, table, connection, on_gone), -ESRCH);
	ck_assert_int_eq(process_watch_start_peer(&a, table, -1, on_gone), -EBADF);
	close(connection);
	close(listener);
}
END_TEST

START_TEST(the_user_of_a_process)
{
	struct process_watch watch;
	uid_t uid = 1, wanted = getuid() == 0 ? 61234 : getuid();
	int ready[2];
	pid_t pid;
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (wanted != getuid() && setuid(wanted) < 0)
			_exit(1);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	process_watch_init(&watch);
	ck_assert_int_eq(process_watch_start(&watch, table, pid, on_gone), 0);
	ck_assert_int_eq(process_watch_uid(&watch, &uid), 0);
	ck_assert_uint_eq(uid, wanted);

	/* Gone, and the loop has not been told yet. */
	end_child(pid);
	uid = 7;
	ck_assert_int_eq(process_watch_uid(&watch, &uid), -ESRCH);
	ck_assert_uint_eq(uid, 7);
	process_watch_stop(&watch);
	close(ready[0]);
	close(ready[1]);
}
END_TEST

START_TEST(no_descriptor_left)
{
	struct process_watch watch;
	int fds[4096], n = 0;

	ev_run(loop, EVRUN_NOWAIT);
	while (n < 4096 && (fds[n] = dup(2)) >= 0)
		n++;
	process_watch_init(&watch);
	if (n < 4096)
		ck_assert_int_eq(process_watch_start(&watch, table, getpid(), on_gone), -EMFILE);
	while (n > 0)
		close(fds[--n]);
	ck_assert_int_eq(process_watch_start(&watch, table, getpid(), on_gone), 0);
	process_watch_stop(&watch);
}
END_TEST

int main(void)
{
	SRunner *runner;
	Suite *suite;
	TCase *tests;
	int failed;

	/* Not in Linux before 5.3, nor under a valgrind that does not know it. */
	if (pidfd_open(getpid(), 0) < 0 && errno == ENOSYS)
		return 77;

	tests = tcase_create("process");
	suite = suite_create("process");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, an_end_is_told_once);
	tcase_add_test(tests, a_zombie_is_gone);
	tcase_add_test(tests, who_is_not_there_is_refused);
	tcase_add_test(tests, a_thread_is_no_process);
	tcase_add_test(tests, a_thousand_watches_share_a_descriptor);
	tcase_add_test(tests, the_last_stop_closes);
	tcase_add_test(tests, a_callback_may_free_every_watch);
	tcase_add_test(tests, a_peer_is_watched_by_its_connection);
	tcase_add_test(tests, the_user_of_a_process);
	tcase_add_test(tests, no_descriptor_left);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
