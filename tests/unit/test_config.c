/* test_config.c: the words of the configuration, in the file and as options, and mistakes in it. */

#include "config.h"
#include "log.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static char directory[] = "/tmp/portscand-test-XXXXXX";
static char file[64];
static struct config config;

static void setup(void)
{
	memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(file, sizeof(file), "%s/conf", directory);
	log_open(LOG_INFO);
}

static void teardown(void)
{
	config_deinit(&config);
	unlink(file);
	rmdir(directory);
}

static void write_file(const char *text)
{
	FILE *stream = fopen(file, "we");

	ck_assert_ptr_nonnull(stream);
	ck_assert_int_ge(fputs(text, stream), 0);
	ck_assert_int_eq(fclose(stream), 0);
}

/* config_load() with what it writes to stderr in `messages`. `arguments` ends with NULL. */
static int load(const char *const arguments[], char messages[static 4096])
{
	char *argv[32] = { (char *)"portscand" };
	int argc = 1, before = dup(STDERR_FILENO), r;
	FILE *log = tmpfile();
	size_t size;

	for (; *arguments; arguments++)
		argv[argc++] = (char *)*arguments;
	ck_assert_ptr_nonnull(log);
	fflush(stderr);
	dup2(fileno(log), STDERR_FILENO);
	config_deinit(&config);
	r = config_load(&config, argc, argv);
	fflush(stderr);
	dup2(before, STDERR_FILENO);
	close(before);
	rewind(log);
	size = fread(messages, 1, 4095, log);
	messages[size] = '\0';
	fclose(log);
	return r;
}

#define ARGUMENTS(...) ((const char *[]){ __VA_ARGS__, NULL })

static void assert_loaded(const char *const arguments[])
{
	char messages[4096];
	int r = load(arguments, messages);

	ck_assert_msg(r == 1, "%d: %s", r, messages);
	ck_assert_str_eq(messages, "");
}

/* Only the file, with this text. */
static void assert_read(const char *text)
{
	write_file(text);
	assert_loaded(ARGUMENTS("--config", file));
}

/* `expected`: all of the message, behind the file's name. */
static void assert_mistake(const char *text, const char *expected)
{
	char messages[4096], line[4200];

	write_file(text);
	ck_assert_int_eq(load(ARGUMENTS("--config", file), messages), -EINVAL);
	snprintf(line, sizeof(line), "portscand: %s:%s\n", file, expected);
	ck_assert_str_eq(messages, line);
}

START_TEST(without_anything_there_are_defaults)
{
	assert_read("");
	ck_assert_uint_eq(config.n_sockets, 0);
	ck_assert_ptr_null(config.runtime_dir);
	ck_assert_uint_eq(config.pool.n_ranges, 1);
	ck_assert_uint_eq(config.pool.ranges[0].first, 20000);
	ck_assert_uint_eq(config.pool.ranges[0].last, 29999);
	ck_assert_uint_eq(config.quarantine_ms, 10000);
	ck_assert_uint_eq(config.window, 1024);
	ck_assert_uint_eq(config.connections_per_user, 512);
	ck_assert_uint_eq(config.requests_per_user, 4096);
	ck_assert_uint_eq(config.leases_per_user, 1024);
	ck_assert_uint_eq(config.policy.n_rules, 0);
	ck_assert_int_eq(config.log_priority, -1);
}
END_TEST

static void assert_all_words(void)
{
	ck_assert_uint_eq(config.n_sockets, 2);
	ck_assert_str_eq(config.sockets[0], "/run/one.sock");
	ck_assert_str_eq(config.sockets[1], "@two");
	ck_assert_str_eq(config.runtime_dir, "/run/three");
	ck_assert_uint_eq(config.pool.n_ports, 102);
	ck_assert_uint_eq(config.quarantine_ms, 5);
	ck_assert_uint_eq(config.window, 6);
	ck_assert_uint_eq(config.connections_per_user, 7);
	ck_assert_uint_eq(config.requests_per_user, 8);
	ck_assert_uint_eq(config.leases_per_user, 9);
	ck_assert_uint_eq(config.policy.n_rules, 3);
	ck_assert(config.policy.rules[0].allows);
	ck_assert(!config.policy.rules[1].allows);
	ck_assert(config.policy.rules[2].allows);
	ck_assert_uint_eq(config.policy.rules[1].prefix, 24);
	ck_assert_int_eq(config.log_priority, LOG_NOTICE);
}

START_TEST(every_word_of_the_file)
{
	assert_read("# what this host has\n"
		    "; or so\n"
		    "\n"
		    "socket = /run/one.sock\n"
		    "socket=@two\n"
		    "runtime-dir = /run/three\n"
		    "pool = 3000,4000-4100\n"
		    "quarantine-ms = 5\n"
		    "window: 6\n"
		    "[quotas]\n"
		    "connections-per-user = 7\n"
		    "requests-per-user = 8 ; not many\n"
		    "leases-per-user = 9\n"
		    "[targets]\n"
		    "allow = 192.0.2.0/24\n"
		    "deny = 198.51.100.0/24\n"
		    "allow = 2001:db8::/32\n"
		    "log-level = notice");
	assert_all_words();
}
END_TEST

START_TEST(every_word_as_an_option)
{
	write_file("");
	assert_loaded(ARGUMENTS("--config", file, "--socket", "/run/one.sock", "--socket=@two",
				"--runtime-dir=/run/three", "--pool=3000,4000-4100",
				"--quarantine-ms=5", "--window=6", "--connections-per-user=7",
				"--requests-per-user=8", "--leases-per-user=9",
				"--allow=192.0.2.0/24", "--deny=198.51.100.0/24",
				"--allow=2001:db8::/32", "--log-level=notice"));
	assert_all_words();
}
END_TEST

START_TEST(options_win_over_the_file)
{
	write_file("socket = /run/file.sock\n"
		   "socket = /run/another.sock\n"
		   "runtime-dir = /run/file\n"
		   "pool = 1-2\n"
		   "quarantine-ms = 1\n"
		   "window = 1\n"
		   "connections-per-user = 1\n"
		   "requests-per-user = 1\n"
		   "leases-per-user = 11\n"
		   "allow = 192.0.2.0/24\n"
		   "log-level = err\n");
	assert_loaded(
		ARGUMENTS("--socket=/run/one.sock", "--socket=@two", "--runtime-dir=/run/three",
			  "--config", file, "--pool=3000,4000-4100", "--quarantine-ms=5",
			  "--window=6", "--connections-per-user=7", "--requests-per-user=8",
			  "--leases-per-user=9",
			  /* These add to each other. */
			  "--deny=198.51.100.0/24", "--allow=2001:db8::/32", "--log-level=notice"));
	assert_all_words();
	/* What isn't given as an option is the file's. */
	assert_loaded(ARGUMENTS("--config", file, "--window=6"));
	ck_assert_uint_eq(config.leases_per_user, 11);
	ck_assert_uint_eq(config.n_sockets, 2);
	ck_assert_str_eq(config.sockets[0], "/run/file.sock");
}
END_TEST

START_TEST(of_two_lines_the_last_one_counts)
{
	assert_read("window = 5\npool = 1-10\nwindow = 6\npool = 80\n");
	ck_assert_uint_eq(config.window, 6);
	ck_assert_uint_eq(config.pool.n_ports, 1);
}
END_TEST

#define NETWORK "a network such as 192.0.2.0/24, with no bits behind the prefix"

#define SOCKET "an absolute path or @name of at most 107 bytes, and at most 16 of them"

START_TEST(a_mistake_is_told_with_its_line)
{
	char line[128], told[256];

	assert_mistake("window = 1\n\n# nothing\nwindow = 0\n",
		       "4: window is \"0\"; it must be a number from 1 to 65535");
	assert_mistake("window = 65536\n",
		       "1: window is \"65536\"; it must be a number from 1 to 65535");
	assert_mistake("window = 1e3", "1: window is \"1e3\"; it must be a number from 1 to 65535");
	assert_mistake("window = -1", "1: window is \"-1\"; it must be a number from 1 to 65535");
	assert_mistake("window =\n", "1: window is \"\"; it must be a number from 1 to 65535");
	assert_mistake("\nsocket = run/portscand.sock\n",
		       "2: socket is \"run/portscand.sock\"; it must be " SOCKET);
	assert_mistake("socket = @\n", "1: socket is \"@\"; it must be " SOCKET);
	snprintf(line, sizeof(line), "socket = /%0107d\n", 0);
	snprintf(told, sizeof(told), "1: socket is \"/%0107d\"; it must be " SOCKET, 0);
	assert_mistake(line, told);
	assert_mistake("runtime-dir = here\n",
		       "1: runtime-dir is \"here\"; it must be an absolute path");
	assert_mistake("pool = 0\n", "1: pool is \"0\"; it must be ports such as 20000-29999");
	assert_mistake("quarantine-ms = 86400001\n", "1: quarantine-ms is \"86400001\"; it must be "
						     "milliseconds, from 0 to 86400000");
	assert_mistake("connections-per-user = 0\n", "1: connections-per-user is \"0\"; it must be "
						     "a number from 1 to 1000000");
	assert_mistake("requests-per-user = many\n", "1: requests-per-user is \"many\"; it must be "
						     "a number from 1 to 1000000");
	assert_mistake("leases-per-user = 65536\n", "1: leases-per-user is \"65536\"; it must be a "
						    "number from 1 to 65535");
	assert_mistake("allow = 10.0.0.1/8\n", "1: allow is \"10.0.0.1/8\"; it must be " NETWORK);
	assert_mistake("deny = example.org\n", "1: deny is \"example.org\"; it must be " NETWORK);
	assert_mistake("log-level = loud\n",
		       "1: log-level is \"loud\"; it must be err, warning, notice, info or debug");
}
END_TEST

START_TEST(an_unknown_word_is_a_mistake)
{
	assert_mistake("window = 1\nwindows = 1\n",
		       "2: windows is not known; portscand --help tells the words there are");
	assert_mistake("config = /etc/other\n",
		       "1: config is not known; portscand --help tells the words there are");
}
END_TEST

START_TEST(what_is_no_word_at_all_is_a_mistake)
{
	assert_mistake("window = 1\n\nnonsense\n", "3: not \"name = value\"");
	assert_mistake("[section\n", "1: not \"name = value\"");
}
END_TEST

START_TEST(every_mistake_is_told)
{
	char messages[4096], expected[8192];

	write_file("window = 0\nwindow = 5\nallow = x\n");
	ck_assert_int_eq(load(ARGUMENTS("--config", file), messages), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "portscand: %s:1: window is \"0\"; it must be a number from 1 to 65535\n"
		 "portscand: %s:3: allow is \"x\"; it must be " NETWORK "\n",
		 file, file);
	ck_assert_str_eq(messages, expected);
}
END_TEST

START_TEST(a_long_comment_is_a_comment)
{
	char text[2048] = "#";

	/* libinih reads some 200 bytes at a time: the rest of the line is not another one. */
	for (size_t i = 1; i < 1000; i++)
		text[i] = i % 10 == 0 ? ' ' : 'c';
	strcat(text, "\nwindow = 0\n");
	assert_mistake(text, "2: window is \"0\"; it must be a number from 1 to 65535");

	/* "window = 9" begins where a piece of it does. */
	for (size_t at = 150; at < 300; at++) {
		memset(text, ' ', sizeof(text));
		text[0] = '#';
		memcpy(text + at, "window = 9\n", sizeof("window = 9\n"));
		assert_read(text);
		ck_assert_uint_eq(config.window, 1024);
	}
}
END_TEST

START_TEST(a_long_line_is_a_mistake)
{
	char text[2048] = "window = 5\npool = 1";

	for (size_t i = 2; i < 200; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ",%zu", i);
	strcat(text, "\nwindow = 6\n");
	assert_mistake(text, "2: a line may have 198 bytes");
}
END_TEST

START_TEST(blanks_in_front_change_nothing)
{
	assert_read("window = 5\n\t  log-level = err\n   # so it is\n \n quarantine-ms = 7 \n");
	ck_assert_uint_eq(config.window, 5);
	ck_assert_int_eq(config.log_priority, LOG_ERR);
	ck_assert_uint_eq(config.quarantine_ms, 7);
	/* There are no values of several lines. */
	assert_mistake("pool = 1-10,\n  20-30\n",
		       "1: pool is \"1-10,\"; it must be ports such as 20000-29999");
	assert_mistake("pool = 1-10\n  20-30\n", "2: not \"name = value\"");
}
END_TEST

START_TEST(a_file_that_was_asked_for_must_be_there)
{
	char messages[4096], expected[256];

	ck_assert_int_eq(load(ARGUMENTS("--config", file), messages), -EINVAL);
	snprintf(expected, sizeof(expected), "portscand: %s: No such file or directory\n", file);
	ck_assert_str_eq(messages, expected);
}
END_TEST

START_TEST(a_directory_is_no_file)
{
	char messages[4096], expected[256];

	ck_assert_int_eq(load(ARGUMENTS("--config", directory), messages), -EINVAL);
	snprintf(expected, sizeof(expected), "portscand: %s: Is a directory\n", directory);
	ck_assert_str_eq(messages, expected);
}
END_TEST

START_TEST(a_wrong_option_is_told)
{
	char messages[4096];

	write_file("");
	ck_assert_int_eq(load(ARGUMENTS("--config", file, "--window=0"), messages), -EINVAL);
	ck_assert_str_eq(messages, "portscand: --window is \"0\"; it must be a number from 1 to "
				   "65535\n");
	ck_assert_int_eq(load(ARGUMENTS("--config", file, "more"), messages), -EINVAL);
	ck_assert_str_eq(messages, "portscand: \"more\" is not an option; try portscand --help\n");
	ck_assert_int_eq(load(ARGUMENTS("--config", file, "--nonsense"), messages), -EINVAL);
	ck_assert_ptr_nonnull(strstr(messages, "--nonsense"));
}
END_TEST

START_TEST(seventeen_sockets_are_too_many)
{
	char text[512] = "";

	for (int i = 0; i < 17; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "socket = @%d\n", i);
	assert_mistake(text, "17: socket is \"@16\"; it must be " SOCKET);
}
END_TEST

START_TEST(what_fails_leaves_the_old_one)
{
	char messages[4096];
	struct config old = { .window = 5 };
	char *argv[] = { (char *)"portscand", (char *)"--config", file, NULL };
	int before = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	write_file("window = 6\nallow = 10.0.0.0/8\nsocket = @one\npool = 0\n");
	dup2(null, STDERR_FILENO);
	ck_assert_int_eq(config_load(&old, 3, argv), -EINVAL);
	dup2(before, STDERR_FILENO);
	close(before);
	close(null);
	ck_assert_uint_eq(old.window, 5);
	ck_assert_uint_eq(old.n_sockets, 0);
	ck_assert_ptr_null(old.policy.rules);

	/* And the same arguments may be read again. */
	write_file("window = 7\n");
	ck_assert_int_eq(load(ARGUMENTS("--config", file), messages), 1);
	ck_assert_uint_eq(config.window, 7);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("config");
	Suite *suite = suite_create("config");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, without_anything_there_are_defaults);
	tcase_add_test(tcase, every_word_of_the_file);
	tcase_add_test(tcase, every_word_as_an_option);
	tcase_add_test(tcase, options_win_over_the_file);
	tcase_add_test(tcase, of_two_lines_the_last_one_counts);
	tcase_add_test(tcase, a_mistake_is_told_with_its_line);
	tcase_add_test(tcase, an_unknown_word_is_a_mistake);
	tcase_add_test(tcase, what_is_no_word_at_all_is_a_mistake);
	tcase_add_test(tcase, every_mistake_is_told);
	tcase_add_test(tcase, a_long_comment_is_a_comment);
	tcase_add_test(tcase, a_long_line_is_a_mistake);
	tcase_add_test(tcase, blanks_in_front_change_nothing);
	tcase_add_test(tcase, a_file_that_was_asked_for_must_be_there);
	tcase_add_test(tcase, a_directory_is_no_file);
	tcase_add_test(tcase, a_wrong_option_is_told);
	tcase_add_test(tcase, seventeen_sockets_are_too_many);
	tcase_add_test(tcase, what_fails_leaves_the_old_one);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
