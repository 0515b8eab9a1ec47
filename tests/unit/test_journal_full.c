/* A directory that is full or read-only, a file that is mostly history, and what it costs. */

#include "fake_host.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static off_t file_size(const char *name)
{
	struct stat status;

	return fstatat(host_directory, name, &status, 0) < 0 ? -errno : status.st_size;
}

static void set_file_limit(rlim_t bytes)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A small file system of our own on the directory; false if we may not. */
static bool mount_small(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	if (mount("tmpfs", host_path, "tmpfs", 0, "size=16k") < 0)
		return false;
	close(host_directory);
	host_directory = open(host_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return true;
}

static void unmount(void)
{
	close(host_directory);
	ck_assert_int_eq(umount2(host_path, MNT_DETACH), 0);
	host_directory = open(host_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void check_unchanged(const char *before, size_t size)
{
	static char after[70000];

	ck_assert_uint_eq(host_read_file(after, sizeof(after)), size);
	ck_assert_mem_eq(before, after, size);
}

START_TEST(short_write_is_taken_back)
{
	struct host *host = host_new();
	static char before[70000];
	struct lease *lease;
	size_t size;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), 0);
	size = host_read_file(before, sizeof(before));

	/* Room for any part of the line but the whole. */
	for (rlim_t room = 0; room < 100; room++) {
		set_file_limit(size + room);
		ck_assert_int_eq(host_grant(host, NULL, 1, &lease), -EFBIG);
		set_file_limit(RLIM_INFINITY);
		check_unchanged(before, size);
	}
	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), 0);
	host_free(host_restart(host));
}
END_TEST

START_TEST(full_directory_refuses_new_leases)
{
	static char before[70000];
	struct lease *lease, *first;
	struct host *host;
	size_t size, n = 0;
	int r;

	if (!mount_small()) {
		printf("skipped: needs the right to mount\n");
		return;
	}
	host = host_new();
	ck_assert_int_eq(host_grant(host, NULL, 1, &first), 0);
	do {
		size = host_read_file(before, sizeof(before));
		r = host_grant(host, NULL, 1, &lease);
		n += r == 0;
	} while (r == 0);
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_gt(n, 10);
	check_unchanged(before, size);
	host = host_restart(host);
	ck_assert_uint_eq(lease_table_resume(host->table, 1), 0);

	/* What ends, ends; and nothing new is written until that could be. */
	lease = lease_table_next(host->table, NULL);
	lease_table_end(host->table, lease, 1);
	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), -ENOSPC);
	check_unchanged(before, size);
	ck_assert_int_eq(mount("none", host_path, "tmpfs", MS_REMOUNT, "size=1m"), 0);
	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), 0);
	host = host_restart(host);
	host_free(host);
	unmount();
}
END_TEST

START_TEST(read_only_directory_refuses_new_leases)
{
	struct lease *lease;
	struct host *host;

	if (!mount_small()) {
		printf("skipped: needs the right to mount\n");
		return;
	}
	host = host_new();
	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), 0);
	host_free(host);

	ck_assert_int_eq(mount("none", host_path, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=16k"), 0);
	host = host_new();
	ck_assert_ptr_nonnull(lease_table_next(host->table, NULL));
	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), -EROFS);
	ck_assert_uint_eq(host->kernel.n_held, 0);

	/* It goes on by itself when it can. */
	ck_assert_int_eq(mount("none", host_path, "tmpfs", MS_REMOUNT, "size=16k"), 0);
	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), 0);
	host_free(host_restart(host));
	unmount();
}
END_TEST

START_TEST(read_only_and_empty_directory)
{
	struct lease *lease;
	struct host *host;

	if (!mount_small()) {
		printf("skipped: needs the right to mount\n");
		return;
	}
	ck_assert_int_eq(mount("none", host_path, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=16k"), 0);
	host = host_new();
	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), -EROFS);
	ck_assert_int_eq(mount("none", host_path, "tmpfs", MS_REMOUNT, "size=16k"), 0);
	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), 0);
	host_free(host_restart(host));
	unmount();
}
END_TEST

START_TEST(history_is_thrown_away)
{
	struct host *host = host_new();
	struct lease *kept, *lease;
	int64_t now_ms = 1000;

	ck_assert_int_eq(host_grant(host, "kept", 2, &kept), 0);
	ck_assert_int_eq(lease_table_renew(host->table, kept, 1 << 30, 1000), 0);
	ck_assert(!journal_wants_compaction(host->journal));
	for (; !journal_wants_compaction(host->journal); now_ms += 20000) {
		ck_assert_int_eq(host_grant(host, NULL, 1, &lease), 0);
		lease_table_end(host->table, lease, now_ms);
		lease_table_expire(host->table, now_ms + 10000, 10);
		ck_assert_int_lt(now_ms, 20000 * 2000);
	}
	ck_assert_int_gt(file_size(JOURNAL_FILE), JOURNAL_COMPACT_MIN);

	/* No room for the new file: nothing is lost, and not tried again at once. */
	signal(SIGXFSZ, SIG_IGN);
	set_file_limit(100);
	ck_assert_int_eq(journal_compact(host->journal), -EFBIG);
	set_file_limit(RLIM_INFINITY);
	ck_assert(!journal_wants_compaction(host->journal));
	ck_assert_int_eq(file_size(JOURNAL_FILE ".new"), -ENOENT);
	ck_assert_int_gt(file_size(JOURNAL_FILE), JOURNAL_COMPACT_MIN);
	host = host_restart(host);

	ck_assert(journal_wants_compaction(host->journal));
	ck_assert_int_eq(journal_compact(host->journal), 0);
	ck_assert_int_lt(file_size(JOURNAL_FILE), 500);
	ck_assert(!journal_wants_compaction(host->journal));
	host_free(host_restart(host));
}
END_TEST

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

START_TEST(five_thousand_leases_are_replayed_fast)
{
	struct host *host = host_new();
	double begin = now(), granted, compacted, replayed;
	struct lease *lease;

	for (unsigned i = 0; i < 5000; i++)
		check_that(host_grant(host, NULL, 1, &lease) == 0);
	granted = now();
	ck_assert_int_eq(journal_compact(host->journal), 0);
	compacted = now();
	host_free(host);

	replayed = now();
	host = host_new();
	replayed = now() - replayed;
	printf("5,000 leases: %.1f us each to grant and write, %.1f ms to compact, %.1f ms to replay, "
	       "%lld bytes\n",
	       (granted - begin) / 5, compacted - granted, replayed,
	       (long long)file_size(JOURNAL_FILE));
	ck_assert_ptr_nonnull(lease_table_next(host->table, NULL));
	host_free(host);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("journal, full");

	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, host_set_up, host_tear_down);
	tcase_add_test(tests, short_write_is_taken_back);
	tcase_add_test(tests, full_directory_refuses_new_leases);
	tcase_add_test(tests, read_only_directory_refuses_new_leases);
	tcase_add_test(tests, read_only_and_empty_directory);
	tcase_add_test(tests, history_is_thrown_away);
	tcase_add_test(tests, five_thousand_leases_are_replayed_fast);
	return fake_run(tests);
}
