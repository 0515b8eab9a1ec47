/* Leases across a restart: what is read back, what is dropped, what is refused. */

#include "fake_host.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void write_file(const char *text, size_t size)
{
	int fd = openat(host_directory, JOURNAL_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, size), (ssize_t)size);
	close(fd);
}

START_TEST(everything_comes_back)
{
	struct host *host = host_new();
	struct lease_request request = fake_request();
	struct lease *lease;

	ck_assert_int_eq(host_grant(host, "a \"name\" \\ with \xc3\xa4", 3, &lease), 0);
	ck_assert_int_eq(lease_table_renew(host->table, lease, 5, 2000), 0);
	request.protocol = LEASE_BOTH;
	request.hold = LEASE_UNHELD;
	request.until = LEASE_PROCESS;
	request.address = "fe80::1%eth0";
	ck_assert_int_eq(lease_table_grant(host->table, &request, 1, &lease), 0);
	host = host_restart(host);
	host = host_restart(host);

	ck_assert_int_eq(host_grant(host, "web", 1, &lease), 0);
	lease_table_end(host->table, lease, 1);
	host = host_restart(host);
	lease_table_expire(host->table, 100000, 100);
	lease_table_expire(host->table, 200000, 100);
	host = host_restart(host);

	/* The names of leases that are gone too, and through a compaction. */
	ck_assert_int_eq(journal_compact(host->journal), 0);
	host = host_restart(host);
	ck_assert_ptr_nonnull(lease_table_next_name(host->table, NULL));
	host_free(host);
}
END_TEST

/* One step of anything that can be done to leases. */
static void random_step(struct host *host, int64_t now_ms)
{
	struct lease *lease = lease_table_next(host->table, NULL);
	uint64_t choice = fake_random(&host->kernel) % 8;
	const char *names[] = { NULL, "a", "b", "c" };

	if (choice < 4)
		host_grant(host, names[choice], 1 + fake_random(&host->kernel) % 3, &lease);
	else if (choice == 4)
		lease_table_expire(host->table, now_ms, 3);
	else if (lease && lease->state != LEASE_QUARANTINED && choice == 5)
		lease_table_end(host->table, lease, now_ms);
	else if (lease && lease->state != LEASE_QUARANTINED && choice == 6)
		lease_table_renew(host->table, lease, 50, now_ms);
	else if (lease)
		host->kernel.listening[lease->ports[0].port] ^= true;
	lease_table_look_at_all(host->table, now_ms);
}

START_TEST(everything_comes_back_after_random_steps)
{
	struct host *host = host_new();

	for (int64_t i = 1; i <= 20000; i++) {
		random_step(host, i * 20);
		if (journal_wants_compaction(host->journal))
			ck_assert_int_eq(journal_compact(host->journal), 0);
		if (i % 97 == 0) {
			host = host_restart(host);
			fake_init(&host->kernel, (uint64_t)i);
			check_that(lease_table_resume(host->table, i * 20) == 0);
		}
	}
	host_free(host);
}
END_TEST

START_TEST(any_truncation_drops_the_last_line_only)
{
	struct host *host = host_new();
	struct lease *lease;
	char text[4096], after[4096];
	size_t size, n_whole, end = 0;

	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(host_grant(host, i == 1 ? "x" : NULL, 1 + i, &lease), 0);
	host_free(host);
	size = host_read_file(text, sizeof(text));
	ck_assert_uint_lt(size, sizeof(text));

	for (size_t cut = 0; cut <= size; cut++) {
		size_t n = 0;

		n_whole = end = 0;
		for (size_t i = 0; i < cut; i++) {
			n_whole += text[i] == '\n';
			end = text[i] == '\n' ? i + 1 : end;
		}
		write_file(text, cut);
		host = host_new();
		for (lease = NULL; (lease = lease_table_next(host->table, lease));)
			n++;
		check_that(n == (n_whole ? n_whole - 1 : 0));

		/* And it goes on from there, without the rest of that line. */
		if (n_whole > 0)
			check_that(host_read_file(after, sizeof(after)) == end);
		check_that(host_grant(host, "next", 1, &lease) == 0);
		host_free(host_restart(host));
	}
}
END_TEST

/* `bad`: the third line, and maybe more; `line`: which is the bad one. */
static void check_bad_line(size_t line, const char *bad, const char *what)
{
	const char *header =
		"{\"journal\":\"portscand leases\",\"version\":1,\"boot\":\"" BOOT "\"}\n";
	char text[1024], after[1024];
	struct host host;
	struct journal_error error = { 0 };
	size_t size;

	size = (size_t)snprintf(text, sizeof(text), "%s{\"gone\":\"1\"}\n%s\n{\"gone\":\"1\"}\n",
				header, bad);
	write_file(text, size);
	ck_assert_int_eq(host_open(&host, BOOT, &error), -EBADMSG);
	ck_assert_uint_eq(error.line, line);
	ck_assert_msg(strstr(error.what, what), "\"%s\" lacks \"%s\"", error.what, what);
	lease_table_free(host.table);

	/* The file is what somebody will want to look at. */
	ck_assert_uint_eq(host_read_file(after, sizeof(after)), size);
	ck_assert_mem_eq(text, after, size);
}

static void check_bad(const char *bad, const char *what)
{
	check_bad_line(3, bad, what);
}

#define LEASE(ports, hold, more) LEASE_OF("1", ports, hold, more)
#define LEASE_OF(id, ports, hold, more)                                                            \
	"{\"lease\":\"" id "\",\"uid\":0,\"protocol\":\"tcp\",\"address\":\"*\",\"ports\":" ports  \
	",\"hold\":\"" hold "\",\"until\":\"released\",\"state\":\"held\",\"ttl_ms\":0,"           \
	"\"created_ms\":1" more "}"

START_TEST(bad_line_stops_the_replay)
{
	check_bad("", "not JSON");
	check_bad("{\"lease\":", "not JSON");
	check_bad("[]", "neither a lease");
	check_bad("{\"gone\":\"1\",\"gone\":\"2\"}", "duplicate");
	check_bad("{\"gone\":\"xyz\"}", "hex");
	check_bad("{\"gone\":\"1\",\"more\":1}", "more");
	check_bad("{\"name\":\"x\",\"uid\":0,\"ports\":[0]}", "not a port");
	check_bad("{\"name\":\"x\",\"uid\":0,\"ports\":[]}", "no lease has");
	check_bad("{\"lease\":\"1\"}", "uid");
	check_bad(LEASE("[0]", "shared", ""), "0 is not a port");
	check_bad(LEASE("[65536]", "shared", ""), "65536 is not a port");
	check_bad(LEASE("[2,1]", "shared", ""), "not in order");
	check_bad(LEASE("[]", "shared", ""), "not a list of ports");
	check_bad(LEASE("[\"1\"]", "shared", ""), "other than a number");
	check_bad(LEASE("[1]", "tight", ""), "hold \"tight\" is not known");
	check_bad(LEASE("[1]", "shared", ",\"colour\":1"), "colour");
	check_bad(LEASE("[1]", "shared", ",\"pid\":-1"), "pid -1 is out of range");
	check_bad(LEASE("[1]", "shared", ",\"expires_ms\":-1"), "no lease has");
	check_bad(LEASE("[1]", "shared", ",\"name\":\"\""), "no lease has");
	check_bad("{\"name\":\"x\",\"uid\":0}", "not a name");
	check_bad("{\"name\":\"x\",\"uid\":-1,\"ports\":[1]}", "uid -1 is out of range");
	check_bad(
		"{\"name\":\"x\",\"uid\":0,\"ports\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}",
		"more ports than are remembered");
}
END_TEST

START_TEST(what_two_leases_can_not_have_is_refused)
{
	check_bad_line(4, LEASE("[7]", "shared", "") "\n" LEASE_OF("2", "[6,7]", "shared", ""),
		       "a port that another lease has");
	check_bad_line(4,
		       LEASE("[7]", "shared", ",\"name\":\"n\"") "\n" LEASE_OF("2", "[8]", "shared",
									       ",\"name\":\"n\""),
		       "a name that another lease has");
}
END_TEST

START_TEST(bad_header_is_refused)
{
	const char *headers[] = {
		"nothing\n",
		"{\"journal\":\"portscand leases\",\"boot\":\"" BOOT "\"}\n",
		"{\"journal\":\"other\",\"version\":1,\"boot\":\"" BOOT "\"}\n",
		"{\"journal\":\"portscand leases\",\"version\":2,\"boot\":\"" BOOT "\"}\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		struct journal_error error = { 0 };
		struct host host;

		write_file(headers[i], strlen(headers[i]));
		ck_assert_int_eq(host_open(&host, BOOT, &error), -EBADMSG);
		ck_assert_uint_eq(error.line, 1);
		lease_table_free(host.table);
	}
}
END_TEST

START_TEST(another_boot_starts_empty)
{
	struct host *host = host_new(), other;
	struct journal_error error;
	struct lease *lease;

	ck_assert_int_eq(host_grant(host, NULL, 1, &lease), 0);
	host_free(host);
	ck_assert_int_eq(host_open(&other, "another", &error), 0);
	ck_assert_ptr_null(lease_table_next(other.table, NULL));
	host_close(&other);

	/* For good: the first boot does not come back. */
	host = host_new();
	ck_assert_ptr_null(lease_table_next(host->table, NULL));
	host_free(host);
}
END_TEST

START_TEST(one_daemon_per_directory)
{
	struct host *host = host_new(), second;
	struct journal_error error;

	ck_assert_int_eq(host_open(&second, BOOT, &error), -EBUSY);
	lease_table_free(second.table);
	ck_assert_int_eq(journal_compact(host->journal), 0);
	ck_assert_int_eq(host_open(&second, BOOT, &error), -EBUSY);
	lease_table_free(second.table);
	host_free(host);
	host_free(host_new());
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("journal");

	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, host_set_up, host_tear_down);
	tcase_add_test(tests, everything_comes_back);
	tcase_add_test(tests, everything_comes_back_after_random_steps);
	tcase_add_test(tests, any_truncation_drops_the_last_line_only);
	tcase_add_test(tests, bad_line_stops_the_replay);
	tcase_add_test(tests, what_two_leases_can_not_have_is_refused);
	tcase_add_test(tests, bad_header_is_refused);
	tcase_add_test(tests, another_boot_starts_empty);
	tcase_add_test(tests, one_daemon_per_directory);
	return fake_run(tests);
}
