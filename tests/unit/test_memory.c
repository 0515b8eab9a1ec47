/*
 * test_memory.c: each allocation of a request's life fails once, and once with all that come after
 * it. The client gets the right answer, or ResourcesExhausted, or its connection is closed; the
 * next client is served, and nothing is left over.
 */

#include "embedded.h"
#include "faults.h"

#include "calls.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PATIENCE    10.
#define ANSWERS_MAX 8
#define FAULTS_MAX  3000
#define TEXT_MAX    512
#define ALL         1000000u

/*
 * @ is a port that somebody listens on, # one that is bound, and & the id of a lease. What ends
 * with a bar is Varlink's: the bar becomes a NUL, anything else gets an LF.
 */
static const char *const scenarios[] = {
	// NOLINT(bugprone-suspicious-missing-comma)
	"{\"method\":\"check\",\"params\":{\"port\":@}}",
	"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"check\",\"params\":{\"port\":#}}",
	"{\"method\":\"check\",\"params\":{\"port\":@,\"host\":\"localhost\"}}",
	"{\"method\":\"check\",\"params\":{\"port\":@,\"via\":\"table\"}}",
	"{\"method\":\"check\",\"params\":{\"port\":#,\"via\":\"bind\"}}",
	"{\"method\":\"check\",\"params\":{\"port\":@,\"host\":\"name.invalid\"}}",
	"{\"method\":\"check\",\"params\":{\"port\":@,\"host\":\"192.0.2.1\"}}",
	"{\"method\":\"io.portscand.Check\",\"parameters\":{\"port\":@}}|",
	"{\"method\":\"find\",\"params\":{\"ports\":\"@\",\"status\":\"open\"}}",
	"{\"method\":\"find\",\"params\":{\"ports\":[\"1-64\",@],\"status\":\"open\","
	"\"order\":\"random\",\"host\":\"localhost\",\"exclude\":\"9,17-40\"}}",
	"{\"method\":\"find\",\"params\":{\"ports\":\"#\",\"strict\":true}}",
	"{\"method\":\"find\",\"params\":{\"ports\":\"@,#\",\"via\":\"table\"}}",
	"{\"method\":\"find\",\"params\":{\"ports\":\"@,#\",\"via\":\"table\","
	"\"strict\":true,\"order\":\"any\"}}",
	"{\"method\":\"io.portscand.Find\",\"parameters\":{\"ports\":[\"@\"]}}|",
	"{\"method\":\"scan\",\"params\":{\"ports\":\"@,1-99\",\"stream\":true}}",
	"{\"method\":\"scan\",\"params\":{\"ports\":\"@,1-99\",\"via\":\"table\"}}",
	"{\"method\":\"scan\",\"params\":{\"via\":\"table\",\"status\":\"open\"}}",
	"{\"method\":\"io.portscand.Scan\",\"more\":true,\"parameters\":{\"ports\":[\"@\"]}}|",
	"{\"method\":\"wait\",\"params\":{\"port\":@}}",
	"{\"method\":\"wait\",\"params\":{\"port\":#,\"deadline_ms\":12,\"interval_ms\":5}}",
	"{\"method\":\"io.portscand.Wait\",\"more\":true,\"parameters\":{\"port\":#,"
	"\"deadline_ms\":12,\"interval_ms\":5}}|",
	"{\"method\":\"lease\"}",
	"{\"method\":\"lease\",\"params\":{\"name\":\"web\",\"protocol\":\"both\"}}",
	"{\"method\":\"lease\",\"params\":{\"count\":3,\"contiguous\":true,\"ports\":\"20000-\"}}",
	"{\"method\":\"lease\",\"params\":{\"count\":2,\"ports\":\"20000-20300\","
	"\"exclude\":\"20002\"}}",
	"{\"method\":\"lease\",\"params\":{\"ports\":#}}",
	"{\"method\":\"lease\",\"params\":{\"pass_fd\":true,\"count\":2}}",
	"{\"method\":\"lease\",\"params\":{\"pass_fd\":true,\"listen\":true,"
	"\"hold\":\"exclusive\"}}",
	"{\"method\":\"lease\",\"params\":{\"until\":\"process\"}}",
	"{\"method\":\"lease\",\"params\":{\"until\":\"connection\",\"address\":\"127.0.0.1\"}}",
	"{\"method\":\"lease\",\"params\":{\"address\":\"192.0.2.1\"}}",
	"{\"method\":\"io.portscand.Lease\",\"parameters\":{\"hold\":\"none\"}}|",
	"{\"method\":\"renew\",\"params\":{\"lease\":\"&\",\"ttl_ms\":5000}}",
	"{\"method\":\"release\",\"params\":{\"lease\":\"&\"}}",
	"{\"method\":\"release\",\"params\":{\"lease\":\"0\"}}",
	"{\"method\":\"leases\"}",
	"{\"method\":\"io.portscand.ListLeases\",\"parameters\":{\"all\":true}}|",
	"{\"method\":\"who\",\"params\":{\"port\":@}}",
	"{\"method\":\"io.portscand.Who\",\"parameters\":{\"port\":#,\"protocol\":\"tcp\"}}|",
	"{\"method\":\"metrics\"}",
	"{\"method\":\"info\"}",
	"{\"method\":\"org.varlink.service.GetInfo\"}|",
	"{\"method\":\"org.varlink.service.GetInterfaceDescription\","
	"\"parameters\":{\"interface\":\"io.portscand\"}}|",
	"{\"method\":\"org.example.Nothing\"}|",
	"{\"method\":\"wait\",\"id\":1,\"params\":{\"port\":#,\"deadline_ms\":50}}\n"
	"{\"method\":\"cancel\",\"id\":2,\"params\":{\"id\":1}}",
	"[{\"method\":\"check\",\"id\":1,\"params\":{\"port\":@}},1,"
	"{\"method\":\"find\",\"id\":2,\"params\":{\"ports\":#}},"
	"{\"jsonrpc\":\"2.0\",\"method\":\"info\"},{\"method\":\"leases\",\"id\":3}]",
	"{\"method\":\"nothing\"}",
	"{\"method\":\"check\",\"parms\":{}}",
	"{\"method\":\"check\",\"params\":{\"prt\":1}}",
	"{\"method\":\"check\",\"params\":{\"port\":99999999999999999999}}",
	"{\"method\":\"check\",\"params\":[1]}",
	"not JSON",
	"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	"[]",
	"0",
};

static struct embedded embedded;
static int listener, bound;
static uint16_t open_port, closed_port;

/* What came back. */
struct answers {
	json_t *values[ANSWERS_MAX];
	size_t n;
	bool is_closed;
};

static int open_bound(uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void setup(void)
{
	static const char *const options[] = { "--quarantine-ms", "0", NULL };

	faults_init();
	embedded_isolate();
	listener = open_bound(&open_port);
	ck_assert_int_eq(listen(listener, 4096), 0);
	bound = open_bound(&closed_port);
	embedded_open(&embedded, options);
}

static void teardown(void)
{
	embedded_close(&embedded);
	close(listener);
	close(bound);
}

static void answers_deinit(struct answers *answers)
{
	for (size_t i = 0; i < answers->n; i++)
		json_decref(answers->values[i]);
}

static void close_descriptors(struct msghdr *message)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++)
			close(((int *)(void *)CMSG_DATA(header))[i]);
	}
}

/* The messages in the buffer, but for those that tell of progress. */
static void take_messages(struct buffer *buffer, struct answers *answers)
{
	size_t size;

	while ((size = strcspn(buffer_data(buffer), "\n")) < buffer_size(buffer)) {
		json_t *value = json_loadb(buffer_data(buffer), size, JSON_DECODE_ANY, NULL);

		ck_assert_msg(value, "not JSON: %.*s", (int)size, buffer_data(buffer));
		if (json_object_get(value, "continues") ||
		    json_string_value(json_object_get(value, "method"))) {
			json_decref(value);
		} else {
			ck_assert_uint_lt(answers->n, ANSWERS_MAX);
			answers->values[answers->n++] = value;
		}
		buffer_consume(buffer, size + 1);
		if (buffer_size(buffer) == 0)
			return;
	}
}

static void receive(int fd, struct buffer *buffer, struct answers *answers)
{
	char control[CMSG_SPACE(253 * sizeof(int))];
	struct iovec part = { .iov_len = 65536 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t size;

	ck_assert_int_eq(buffer_reserve(buffer, part.iov_len, (char **)&part.iov_base), 0);
	size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	if (size < 0 && errno == EAGAIN)
		return;
	answers->is_closed = size <= 0;
	if (size <= 0)
		return;
	close_descriptors(&message);
	buffer_added(buffer, (size_t)size);
	ck_assert_int_eq(buffer_reserve(buffer, 1, (char **)&part.iov_base), 0);
	*(char *)part.iov_base = '\0';
	take_messages(buffer, answers);
}

/* Sends `text`, and runs the daemon until there are `n` answers or the connection is closed. */
static struct answers ask(const char *text, size_t size, size_t n)
{
	struct answers answers = { 0 };
	_cleanup_(buffer_deinit) struct buffer buffer = { 0 };
	ev_tstamp end = ev_time() + PATIENCE;
	int fd = embedded_connect(&embedded, 0);

	ck_assert_int_eq(send(fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
	while (answers.n < n && !answers.is_closed) {
		faults_begin();
		embedded_turn(&embedded, true);
		faults_end();
		receive(fd, &buffer, &answers);
		ck_assert_msg(ev_time() < end, "neither answered nor closed: %s", text);
	}
	close(fd);
	return answers;
}

/* What is another in every run. */
static void normalize(json_t *value)
{
	static const char *const volatiles[] = { "elapsed_us", "waited_ms",     "uptime_ms",
						 "age_ms",     "expires_in_ms", "text",
						 "fds",        "port",          "pid",
						 "checked",    "cancelled" };
	json_t *element, *lease = json_object_get(value, "lease");
	const char *name;
	size_t i;

	if (json_is_string(lease))
		json_object_del(value, "ports");
	if (json_is_string(lease))
		json_object_del(value, "lease");
	for (i = 0; i < ARRAY_SIZE(volatiles); i++)
		json_object_del(value, volatiles[i]);
	json_object_foreach (value, name, element)
		normalize(element);
	json_array_foreach (value, i, element)
		normalize(element);
}

/* "Unreachable", or NULL where it is no error. */
static const char *error_of(const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	const char *name = json_string_value(error);

	if (json_is_object(error)) {
		/* Its members take memory, the code doesn't. */
		name = error_name(
			(enum error_code)json_integer_value(json_object_get(error, "code")));
		return name;
	}
	return name && strrchr(name, '.') ? strrchr(name, '.') + 1 : name;
}

static bool is_error(const char *error, enum error_code code)
{
	return error && strcmp(error, error_name(code)) == 0;
}

static void check_answer(const char *text, json_t *answer, json_t *expected)
{
	const char *error = error_of(answer), *expected_error = error_of(expected);

	normalize(answer);
	normalize(expected);
	if (is_error(error, ERROR_RESOURCES_EXHAUSTED))
		return;
	if (error && expected_error && strcmp(error, expected_error) == 0)
		return;
	/* It was the cancel that failed. */
	if (is_error(error, ERROR_DEADLINE_EXCEEDED) && is_error(expected_error, ERROR_CANCELLED))
		return;
	ck_assert_msg(json_equal(answer, expected), "%s: %.300s instead of %.300s", text,
		      json_dumps(answer, 0), json_dumps(expected, 0));
}

/* The one of `values` with the id of `answer`, none being one too; or NULL. */
static json_t *find_answer(json_t *const values[], size_t n, const json_t *answer)
{
	const json_t *id = json_object_get(answer, "id");

	for (size_t i = 0; i < n; i++) {
		const json_t *other = json_object_get(values[i], "id");

		if (id == other || json_equal(id, other))
			return values[i];
	}
	return NULL;
}

static void check_batch(const char *text, const json_t *batch, const json_t *expected)
{
	json_t *values[ANSWERS_MAX] = { 0 }, *element;
	size_t i;

	ck_assert_uint_eq(json_array_size(batch), json_array_size(expected));
	json_array_foreach (expected, i, element)
		values[i] = element;
	json_array_foreach (batch, i, element)
		check_answer(text, element,
			     find_answer(values, json_array_size(expected), element));
}

static void check_answers(const char *text, struct answers *answers, struct answers *expected)
{
	ck_assert_uint_le(answers->n, expected->n);
	for (size_t i = 0; i < answers->n; i++) {
		json_t *answer = answers->values[i];

		if (json_is_array(answer))
			check_batch(text, answer, expected->values[i]);
		else
			check_answer(text, answer,
				     find_answer(expected->values, expected->n, answer));
	}
}

/* The id of a lease that was granted. */
static void get_lease(char ret_id[17])
{
	static const char text[] = "{\"method\":\"lease\",\"params\":{\"until\":\"released\"}}\n";
	struct answers answers = ask(text, strlen(text), 1);
	json_t *result = json_object_get(answers.values[0], "result");
	json_t *lease = json_object_get(result, "lease");

	ck_assert_int_eq(snprintf(ret_id, 17, "%s",
				  json_string_value(json_object_get(lease, "lease"))),
			 16);
	answers_deinit(&answers);
}

/* The scenario with what its signs stand for; returns its length. */
static int fill(const char *scenario, const char *id, char ret_text[TEXT_MAX])
{
	int size = 0;

	for (; *scenario; scenario++) {
		ck_assert_int_lt(size, TEXT_MAX - 32);
		if (*scenario == '@' || *scenario == '#')
			size += snprintf(ret_text + size, 32, "%d",
					 (int)(*scenario == '@' ? open_port : closed_port));
		else if (*scenario == '&')
			size += snprintf(ret_text + size, 32, "%s", id);
		else
			ret_text[size++] = *scenario;
	}
	return size;
}

/* One run of a scenario whose n-th allocation fails (0: none), and is seen to have been cleaned. */
static bool run(const char *scenario, unsigned n, unsigned more, size_t n_answers,
		struct answers *ret_answers)
{
	char text[TEXT_MAX], id[17] = "";
	int size, fd;
	bool has_failed;

	if (strchr(scenario, '&'))
		get_lease(id);
	size = fill(scenario, id, text);
	text[size] = '\n';
	if (text[size - 1] == '|')
		text[--size] = '\0';

	faults_arm(n, more);
	*ret_answers = ask(text, (size_t)size + 1, n_answers);
	has_failed = faults_disarm();
	/* Its queue is not to become full. */
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		close(fd);
	embedded_settle(&embedded);
	embedded_end_leases(&embedded);
	return has_failed;
}

/* Without a failure, to see what is right: all of it comes, and the connection stays. */
static size_t rehearse(const char *scenario, struct answers *ret_expected)
{
	size_t n = strchr(scenario, '\n') ? 2 : 1, alive;
	struct answers again;

	run(scenario, 0, 0, n, ret_expected);
	run(scenario, 0, 0, n, &again);
	check_answers(scenario, &again, ret_expected);
	answers_deinit(&again);
	alive = faults_alive();
	run(scenario, 0, 0, n, &again);
	answers_deinit(&again);
	ck_assert_msg(faults_alive() <= alive, "%s: %zu blocks more", scenario,
		      faults_alive() - alive);
	return alive;
}

static void check_scenario(const char *scenario, unsigned more)
{
	size_t n_answers = strchr(scenario, '\n') ? 2 : 1;
	struct answers expected, answers;
	size_t alive = rehearse(scenario, &expected);
	bool has_failed = true;

	for (unsigned n = 1; has_failed; n++) {
		ck_assert_uint_lt(n, FAULTS_MAX);
		has_failed = run(scenario, n, more, n_answers, &answers);
		check_answers(scenario, &answers, &expected);
		ck_assert_msg(has_failed || answers.n == expected.n, "%s: no answer", scenario);
		answers_deinit(&answers);
		/* Who comes next is served as if nothing had been. */
		run(scenario, 0, 0, n_answers, &answers);
		ck_assert_uint_eq(answers.n, expected.n);
		check_answers(scenario, &answers, &expected);
		answers_deinit(&answers);
		ck_assert_msg(faults_alive() <= alive, "%s, failure %u: %zu blocks are left",
			      scenario, n, faults_alive() - alive);
	}
	answers_deinit(&expected);
}

START_TEST(test_one_fails)
{
	check_scenario(scenarios[_i], 0);
}
END_TEST

START_TEST(test_all_fail_from_there)
{
	check_scenario(scenarios[_i], ALL);
}
END_TEST

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	(void)loop;
	(void)watcher;
	(void)revents;
}

/* libev ends the process when it gets no memory: there is a reserve, and after a request again. */
START_TEST(test_loop_grows_on_its_reserve)
{
	static ev_timer timers[20000];
	struct answers answers;
	unsigned n_failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		faults_arm(1, 0);
		faults_begin();
		ev_timer_init(&timers[i], on_timer, 60., 0.);
		ev_timer_start(embedded.daemon.loop, &timers[i]);
		faults_end();
		if (!faults_disarm())
			continue;
		n_failed++;
		run(scenarios[0], 0, 0, 1, &answers);
		ck_assert_uint_eq(answers.n, 1);
		answers_deinit(&answers);
	}
	ck_assert_uint_gt(n_failed, 1);
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
		ev_timer_stop(embedded.daemon.loop, &timers[i]);
	run(scenarios[0], 0, 0, 1, &answers);
	ck_assert_uint_eq(answers.n, 1);
	answers_deinit(&answers);
}
END_TEST

/* With a number, that scenario alone. */
int main(int argc, char *argv[])
{
	int first = argc > 1 ? atoi(argv[1]) : 0;
	int end = argc > 1 ? first + 1 : (int)ARRAY_SIZE(scenarios);
	Suite *suite = suite_create("memory");
	TCase *tcase = tcase_create("faults");
	SRunner *runner;
	int n_failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, test_one_fails, first, end);
	tcase_add_loop_test(tcase, test_all_fail_from_there, first, end);
	tcase_add_test(tcase, test_loop_grows_on_its_reserve);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
