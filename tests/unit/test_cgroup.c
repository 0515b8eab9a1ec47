/* Cgroup ids to paths, in made-up trees and in the kernel's; and paths to units. */

#include "cgroup.h"
#include "sockdiag_helpers.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char root[] = "/tmp/portscan-cgroup-XXXXXX";

static void make_root(void)
{
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_root(void)
{
	nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes a directory below the root, and tells its id. */
static uint64_t make(const char *path)
{
	char full[PATH_MAX];
	struct stat status;

	snprintf(full, sizeof(full), "%s%s", root, path);
	ck_assert_int_eq(mkdir(full, 0755), 0);
	ck_assert_int_eq(stat(full, &status), 0);
	return status.st_ino;
}

static void check_path(struct cgroups *cgroups, uint64_t id, const char *expected)
{
	const char *path = NULL;

	ck_assert_int_eq(cgroups_path(cgroups, id, &path), 0);
	ck_assert_str_eq(path, expected);
}

START_TEST(test_tree)
{
	struct cgroups *cgroups = NULL;
	const char *path = "untouched";
	uint64_t slice, service, deep = 0;
	char name[512] = "", full[PATH_MAX];
	struct stat status;

	slice = make("/system.slice");
	service = make("/system.slice/nginx.service");
	for (int i = 0; i < 60; i++)
		strcat(name, "/a");
	for (size_t i = 2; i <= strlen(name); i += 2) {
		char part[512];

		snprintf(part, i + 1, "%s", name);
		deep = make(part);
	}
	/* A file is no cgroup, and a link leads nowhere. */
	snprintf(full, sizeof(full), "%s/system.slice/cgroup.procs", root);
	ck_assert_int_eq(close(open(full, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)), 0);
	ck_assert_int_eq(stat(full, &status), 0);
	snprintf(full, sizeof(full), "%s/loop", root);
	ck_assert_int_eq(symlink(".", full), 0);

	ck_assert_int_eq(cgroups_new(&cgroups, root), 0);
	ck_assert_uint_eq(cgroups_walks(cgroups), 0);
	check_path(cgroups, slice, "/system.slice");
	check_path(cgroups, service, "/system.slice/nginx.service");
	check_path(cgroups, deep, name);
	ck_assert_uint_eq(cgroups_walks(cgroups), 1);
	ck_assert_int_eq(cgroups_path(cgroups, status.st_ino, &path), -ENOENT);
	ck_assert_int_eq(cgroups_path(cgroups, 0, &path), -ENOENT);
	ck_assert_int_eq(cgroups_path(cgroups, UINT64_MAX, &path), -ENOENT);
	ck_assert_str_eq(path, "untouched");
	ck_assert_int_eq(stat(root, &status), 0);
	check_path(cgroups, status.st_ino, "/");
	cgroups_free(cgroups);
	cgroups_free(NULL);
}
END_TEST

/* As any user can make them in what was delegated to it: that must not hide the others. */
START_TEST(test_nested_too_deep)
{
	struct cgroups *cgroups = NULL;
	int fds[20] = { open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	char name[251] = { 0 };
	uint64_t other;

	memset(name, 'x', sizeof(name) - 1);
	for (size_t i = 0; i + 1 < ARRAY_SIZE(fds); i++) {
		ck_assert_int_eq(mkdirat(fds[i], name, 0755), 0);
		fds[i + 1] = openat(fds[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(fds[i + 1], 0);
	}
	other = make("/other.slice");
	ck_assert_int_eq(cgroups_new(&cgroups, root), 0);
	check_path(cgroups, other, "/other.slice");
	cgroups_free(cgroups);
	for (size_t i = ARRAY_SIZE(fds) - 1; i > 0; i--) {
		close(fds[i]);
		ck_assert_int_eq(unlinkat(fds[i - 1], name, AT_REMOVEDIR), 0);
	}
	close(fds[0]);
}
END_TEST

START_TEST(test_renewal)
{
	const struct timespec pause = { .tv_nsec = 110000000 };
	struct cgroups *cgroups = NULL;
	const char *path;
	uint64_t one, two;
	char full[PATH_MAX];

	one = make("/one.scope");
	ck_assert_int_eq(cgroups_new(&cgroups, root), 0);
	check_path(cgroups, one, "/one.scope");
	two = make("/two.scope");
	for (uint64_t id = 1; id < 10000; id++)
		ck_assert_int_eq(cgroups_path(cgroups, UINT64_MAX - id, &path), -ENOENT);
	/* More than one only if those took longer than 100 ms. */
	ck_assert_uint_le(cgroups_walks(cgroups), 3);

	nanosleep(&pause, NULL);
	check_path(cgroups, two, "/two.scope");
	check_path(cgroups, one, "/one.scope");

	/* One that is gone is forgotten with the next walk, and does no harm. */
	snprintf(full, sizeof(full), "%s/one.scope", root);
	ck_assert_int_eq(rmdir(full), 0);
	nanosleep(&pause, NULL);
	ck_assert_int_eq(cgroups_path(cgroups, UINT64_MAX, &path), -ENOENT);
	ck_assert_int_eq(cgroups_path(cgroups, one, &path), -ENOENT);
	check_path(cgroups, two, "/two.scope");
	cgroups_free(cgroups);
}
END_TEST

START_TEST(test_no_cgroup2)
{
	struct cgroups *cgroups = NULL;
	const char *path;

	ck_assert_int_eq(cgroups_new(&cgroups, "/nowhere/at/all"), -ENOENT);
	ck_assert_ptr_null(cgroups);

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") < 0 ||
	    mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "") < 0) {
		printf("skipped: a mount namespace needs root: %s\n", strerror(errno));
		return;
	}
	ck_assert_int_eq(cgroups_new(&cgroups, NULL), 0);
	ck_assert_int_eq(cgroups_path(cgroups, 1, &path), -ENOENT);
	ck_assert_uint_eq(cgroups_walks(cgroups), 0);
	cgroups_free(cgroups);
}
END_TEST

/* Where cgroup2 is, for the test to make one; NULL if it may not. */
static const char *writable_cgroup2(void)
{
	static const char *const places[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };
	char probe[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(probe, sizeof(probe), "%s/cgroup.procs", places[i]);
		if (access(probe, W_OK) == 0)
			return places[i];
	}
	return NULL;
}

/* The child: goes into the cgroup, makes a listener, and looks where the kernel says it is. */
static _Noreturn void check_own_cgroup(const char *directory, const char *expected)
{
	static const struct bind_to to = { AF_INET, "127.0.0.1", -1, NULL };
	uint8_t loopback[16] = { 127, 0, 0, 1 };
	struct sockdiag_socket found;
	struct cgroups *cgroups = NULL;
	char file[PATH_MAX + 16], unit[CGROUP_UNIT_SIZE];
	const char *path = NULL;
	struct table table;
	uint16_t port;
	int fd;

	snprintf(file, sizeof(file), "%s/cgroup.procs", directory);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(2);
	close(fd);

	fd = open_listener(&to, &port);
	table_init(&table);
	ck_assert_int_eq(sockdiag_lookup_listener(table.sockdiag, AF_INET, loopback, port, &found),
			 0);
	ck_assert_uint_ne(found.cgroup, 0);
	ck_assert_int_eq(cgroups_new(&cgroups, NULL), 0);
	ck_assert_int_eq(cgroups_path(cgroups, found.cgroup, &path), 0);
	ck_assert_str_eq(path, expected);
	ck_assert_int_eq(cgroup_unit(path, unit, sizeof(unit)), 0);
	ck_assert_str_eq(unit, "portscan.scope");
	cgroups_free(cgroups);
	close(fd);
	table_deinit(&table);
	_exit(0);
}

START_TEST(test_kernel)
{
	const char *mount_point = writable_cgroup2();
	char slice[PATH_MAX], scope[PATH_MAX], expected[128];
	int status;
	pid_t pid;

	if (!mount_point) {
		printf("skipped: no cgroup2 that this user may write to\n");
		return;
	}
	snprintf(expected, sizeof(expected), "/portscan%d.slice/portscan.scope", (int)getpid());
	snprintf(slice, sizeof(slice), "%s/portscan%d.slice", mount_point, (int)getpid());
	snprintf(scope, sizeof(scope), "%s%s", mount_point, expected);
	ck_assert_int_eq(mkdir(slice, 0755), 0);
	ck_assert_int_eq(mkdir(scope, 0755), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		check_own_cgroup(scope, expected);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	/* Before anything is judged: nothing is left behind. */
	rmdir(scope);
	rmdir(slice);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
		printf("skipped: not allowed to change the cgroup\n");
		return;
	}
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_speed)
{
	const char *mount_point = writable_cgroup2();
	enum { N = 300 };
	struct timespec before, after;
	struct cgroups *cgroups = NULL;
	char path[PATH_MAX];
	const char *found;

	if (!mount_point || geteuid() != 0)
		return;
	for (int i = 0; i < N; i++) {
		snprintf(path, sizeof(path), "%s/portscan%d-%d", mount_point, (int)getpid(), i);
		ck_assert_int_eq(mkdir(path, 0755), 0);
	}
	ck_assert_int_eq(cgroups_new(&cgroups, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	ck_assert_int_eq(cgroups_path(cgroups, UINT64_MAX, &found), -ENOENT);
	clock_gettime(CLOCK_MONOTONIC, &after);
	for (int i = 0; i < N; i++) {
		snprintf(path, sizeof(path), "%s/portscan%d-%d", mount_point, (int)getpid(), i);
		ck_assert_int_eq(rmdir(path), 0);
	}
	printf("%d cgroups and more walked through in %.2f ms\n", N,
	       (double)(after.tv_sec - before.tv_sec) * 1e3 +
		       (double)(after.tv_nsec - before.tv_nsec) / 1e6);
	cgroups_free(cgroups);
}
END_TEST

static const struct {
	const char *path, *unit;
} units[] = {
	{ "/system.slice/nginx.service", "nginx.service" },
	{ "/system.slice/nginx.service/", "nginx.service" },
	{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service" },
	{ "/system.slice/docker-0123abcd.scope/inner/deeper", "docker-0123abcd.scope" },
	{ "/system.slice/dbus.socket", "dbus.socket" },
	{ "/system.slice/foo\\x2dbar.mount", "foo\\x2dbar.mount" },
	{ "/system.slice/_memory.service", "memory.service" },
	{ "/_cgroup.slice/_cpu.service", "cpu.service" },
	{ "/init.scope", "init.scope" },
	{ "/user.slice/user-1000.slice/session-3.scope", "session-3.scope" },
	{ "/user.slice/user-1000.slice/user@1000.service", "user@1000.service" },
	{ "/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service" },
	{ "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
	  "user@1000.service" },
	{ "/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.slice/_cpu.scope/in",
	  "user@1000.service" },
	{ "/system.slice/nginx.service/web.service", "nginx.service" },
	{ "/", NULL },
	{ "", NULL },
	{ "/system.slice", NULL },
	{ "/docker/0123abcd", NULL },
	{ "/docker/nginx.service", NULL },
	{ "/system.slice/template@.service", NULL },
	{ "/system.slice/@x.service", NULL },
	{ "/system.slice/.service", NULL },
	{ "/system.slice/_.service", NULL },
	{ "/system.slice/_", NULL },
	{ "/system.slice/foo bar.service", NULL },
	{ "/system.slice/foo.timer", NULL },
	{ "/system.slice/service", NULL },
};

START_TEST(test_units)
{
	char buffer[CGROUP_UNIT_SIZE], path[400] = "/";
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		r = cgroup_unit(units[i].path, buffer, sizeof(buffer));
		ck_assert_msg(r == (units[i].unit ? 0 : -ENOENT), "%s: %d", units[i].path, r);
		if (units[i].unit)
			ck_assert_str_eq(buffer, units[i].unit);
	}

	memset(path + 1, 'a', 300);
	memcpy(path + 301, ".service", 9);
	ck_assert_int_eq(cgroup_unit(path, buffer, sizeof(buffer)), -ENOENT);
	memcpy(path + 1 + 255 - 8, ".service", 9);
	ck_assert_int_eq(cgroup_unit(path, buffer, sizeof(buffer)), 0);
	ck_assert_uint_eq(strlen(buffer), 255);
	ck_assert_int_eq(cgroup_unit("/a.service", buffer, 9), -ENOBUFS);
	ck_assert_int_eq(cgroup_unit("/a.service", buffer, 10), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cgroup");
	TCase *trees = tcase_create("trees"), *kernel = tcase_create("kernel");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(trees, make_root, remove_root);
	tcase_add_test(trees, test_tree);
	tcase_add_test(trees, test_nested_too_deep);
	tcase_add_test(trees, test_renewal);
	tcase_add_test(kernel, test_no_cgroup2);
	tcase_add_test(kernel, test_kernel);
	tcase_add_test(kernel, test_speed);
	tcase_add_test(kernel, test_units);
	tcase_set_timeout(kernel, 60);
	suite_add_tcase(suite, trees);
	suite_add_tcase(suite, kernel);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
