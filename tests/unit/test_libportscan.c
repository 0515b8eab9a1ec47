/* The library with a real daemon: calls that block, and calls for a loop of one's own. */

#include "libportscan_test.h"

#include <signal.h>
#include <stdio.h>

static struct portscan *p;

static void setup(void)
{
	set_environment();
	ck_assert_int_eq(portscan_new(&p, NULL), 0);
}

static void teardown(void)
{
	portscan_free(p);
}

/* Calls that block */

START_TEST(test_check)
{
	uint16_t open_port, closed_port;
	int listening = bind_port(&open_port, true), bound = bind_port(&closed_port, false);
	struct portscan_check_args args = { .port = open_port };
	struct portscan_check_result result;

	ck_assert_int_eq(portscan_check(p, &args, &result), 0);
	ck_assert_str_eq(result.host, "127.0.0.1");
	ck_assert_str_eq(result.address, "127.0.0.1");
	ck_assert_uint_eq(result.port, open_port);
	ck_assert_int_eq(result.status, PORTSCAN_OPEN);
	ck_assert_int_eq(result.reason, PORTSCAN_ACCEPTED);

	args = (struct portscan_check_args){ .port = closed_port,
					     .host = "localhost",
					     .timeout_ms = 1000,
					     .via = PORTSCAN_VIA_CONNECT };
	ck_assert_int_eq(portscan_check(p, &args, &result), 0);
	ck_assert_str_eq(result.host, "localhost");
	ck_assert_int_eq(result.status, PORTSCAN_CLOSED);
	ck_assert_int_eq(result.reason, PORTSCAN_REFUSED);
	ck_assert_ptr_nonnull(strstr(portscan_last_result(p), "\"reason\":\"refused\""));
	close(listening);
	close(bound);
}
END_TEST

START_TEST(test_errors_of_the_daemon)
{
	struct portscan_check_args args = { .host = "127.0.0.1" };
	struct portscan_check_result result = { .port = 7 };
	const struct portscan_error *error;

	ck_assert_ptr_null(portscan_last_error(p));
	ck_assert_int_eq(portscan_check(p, &args, &result), -EREMOTEIO);
	ck_assert_uint_eq(result.port, 7);
	error = portscan_last_error(p);
	ck_assert_int_eq(error->code, PORTSCAN_ERROR_INVALID_PARAMETER);
	ck_assert_str_eq(error->name, "InvalidParameter");
	ck_assert_str_eq(error->members, "{\"parameter\":\"port\"}");
	ck_assert_ptr_null(error->host);
	ck_assert_ptr_null(portscan_last_result(p));

	args = (struct portscan_check_args){ .port = 9, .host = "127.255.255.255" };
	ck_assert_int_eq(portscan_check(p, &args, &result), -EREMOTEIO);
	error = portscan_last_error(p);
	ck_assert_int_eq(error->code, PORTSCAN_ERROR_UNREACHABLE);
	ck_assert_str_eq(error->name, "Unreachable");
	ck_assert_str_eq(error->host, "127.255.255.255");
	ck_assert_uint_eq(error->port, 9);
	ck_assert_int_eq(error->status, PORTSCAN_CLOSED);

	args.host = NULL;
	ck_assert_int_eq(portscan_check(p, &args, &result), 0);
	ck_assert_ptr_null(portscan_last_error(p));
}
END_TEST

START_TEST(test_arguments_that_cannot_be_sent)
{
	static char long_list[200000];
	struct portscan_check_args args = { .port = 9, .via = (enum portscan_via)77 };
	struct portscan_check_result result;
	struct portscan_find_args find = { .ports = long_list };
	struct portscan_find_result found;

	ck_assert_int_eq(portscan_check(p, &args, &result), -EINVAL);
	args = (struct portscan_check_args){ .port = 9, .host = "\xff" };
	ck_assert_int_eq(portscan_check(p, &args, &result), -EILSEQ);
	memset(long_list, '1', sizeof(long_list) - 1);
	ck_assert_int_eq(portscan_find(p, &find, &found), -EMSGSIZE);
	/* None of them has left anything half sent. */
	args.host = NULL;
	ck_assert_int_eq(portscan_check(p, &args, &result), 0);
}
END_TEST

START_TEST(test_find)
{
	uint16_t port;
	int bound = bind_port(&port, false);
	char ports[16];
	struct portscan_find_args args = { .ports = ports };
	struct portscan_find_result result;

	snprintf(ports, sizeof(ports), "%u", port);
	ck_assert_int_eq(portscan_find(p, &args, &result), 0);
	ck_assert_uint_eq(result.port, port);
	ck_assert_uint_eq(result.n_ports, 1);
	ck_assert_uint_eq(result.ports[0], port);
	ck_assert_int_eq(result.checked, 1);
	portscan_find_result_clear(&result);
	ck_assert_ptr_null(result.ports);

	args.status = PORTSCAN_OPEN;
	ck_assert_int_eq(portscan_find(p, &args, &result), 0);
	ck_assert_uint_eq(result.port, 0);
	ck_assert_uint_eq(result.n_ports, 0);
	portscan_find_result_clear(&result);
	close(bound);
}
END_TEST

struct seen {
	int64_t done;
	size_t n_ports;
	int n;
};

static void on_progress(struct portscan *handle, const struct portscan_progress *progress,
			void *userdata)
{
	struct seen *seen = userdata;

	ck_assert_ptr_eq(handle, p);
	ck_assert_int_ge(progress->done, seen->done);
	ck_assert_int_eq(progress->total, 65535);
	seen->done = progress->done;
	seen->n_ports += progress->n_ports;
	seen->n++;
}

START_TEST(test_scan)
{
	uint16_t port;
	int listening = bind_port(&port, true);
	struct portscan_scan_args args = { 0 };
	struct portscan_scan_result result;
	struct seen seen = { 0 };
	bool is_there = false;

	ck_assert_int_eq(portscan_scan(p, &args, on_progress, &seen, &result), 0);
	ck_assert_int_gt(seen.n, 0);
	ck_assert_int_eq(result.total, 65535);
	ck_assert_int_eq(result.done, 65535);
	ck_assert_int_eq(result.counts.open + result.counts.closed + result.counts.timeout, 65535);
	ck_assert_int_eq((int64_t)result.n_ports, result.counts.open);
	ck_assert_uint_le(seen.n_ports, result.n_ports);
	for (size_t i = 0; i < result.n_ports; i++)
		is_there |= result.ports[i] == port;
	ck_assert_msg(is_there, "%u is not in %s", port, portscan_last_result(p));
	portscan_scan_result_clear(&result);
	close(listening);
}
END_TEST

START_TEST(test_wait)
{
	uint16_t port;
	int bound = bind_port(&port, false);
	struct portscan_wait_args args = { .port = port, .deadline_ms = 100, .interval_ms = 10 };
	struct portscan_wait_result result;
	const struct portscan_error *error;

	ck_assert_int_eq(portscan_wait(p, &args, &result), -EREMOTEIO);
	error = portscan_last_error(p);
	ck_assert_int_eq(error->code, PORTSCAN_ERROR_DEADLINE_EXCEEDED);
	ck_assert_str_eq(error->name, "DeadlineExceeded");
	ck_assert_uint_eq(error->port, port);
	ck_assert_int_eq(error->reason, PORTSCAN_REFUSED);

	args.until = PORTSCAN_CLOSED;
	ck_assert_int_eq(portscan_wait(p, &args, &result), 0);
	ck_assert_int_eq(result.status, PORTSCAN_CLOSED);
	close(bound);
}
END_TEST

START_TEST(test_info_metrics_call)
{
	struct portscan_info_result info;
	char *text;

	ck_assert_int_eq(portscan_info(p, &info), 0);
	ck_assert_str_eq(info.product, "portscand");
	ck_assert_str_eq(info.interfaces, "org.varlink.service io.portscand");
	ck_assert_int_eq(kill((pid_t)info.pid, 0), 0);

	ck_assert_int_eq(portscan_metrics(p, &text), 0);
	ck_assert_uint_gt(strlen(text), 6);
	ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
	free(text);

	ck_assert_int_eq(portscan_call(p, "find", "{\"ports\":\n[9],\"status\":\"open\"}", &text),
			 0);
	ck_assert_ptr_nonnull(strstr(text, "\"port\":null"));
	ck_assert_str_eq(text, portscan_last_result(p));
	free(text);
	ck_assert_int_eq(portscan_call(p, "brew", NULL, &text), -EREMOTEIO);
	ck_assert_str_eq(portscan_last_error(p)->name, "MethodNotFound");
}
END_TEST

START_TEST(test_call_with_bad_json)
{
	char deep[80] = "", *text;

	ck_assert_int_eq(portscan_call(p, "check", "{\"port\":}", &text), -EINVAL);
	ck_assert_int_eq(portscan_last_error(p)->code, PORTSCAN_ERROR_PARSE);
	ck_assert_str_eq(portscan_last_error(p)->members, "{\"line\":1,\"column\":9}");
	ck_assert_int_eq(portscan_call(p, "check", "[22]", &text), -EINVAL);
	ck_assert_int_eq(portscan_last_error(p)->code, PORTSCAN_ERROR_INVALID_PARAMETER);
	/* 32 deep, which with the request around it is one too much. */
	strcat(deep, "{\"a\":");
	memset(deep + 5, '[', 31);
	memset(deep + 36, ']', 31);
	strcat(deep, "}");
	ck_assert_int_eq(portscan_call(p, "check", deep, &text), -EINVAL);
	ck_assert_int_eq(portscan_last_error(p)->code, PORTSCAN_ERROR_PARSE);
	ck_assert_int_eq(portscan_call(p, "info", "{}", &text), 0);
	free(text);
}
END_TEST

START_TEST(test_via)
{
	uint16_t open_port, closed_port;
	int listening = bind_port(&open_port, true), bound = bind_port(&closed_port, false);
	struct portscan_check_args args = { .port = open_port, .via = PORTSCAN_VIA_TABLE };
	struct portscan_check_result result;

	ck_assert_int_eq(portscan_check(p, &args, &result), 0);
	ck_assert_int_eq(result.status, PORTSCAN_OPEN);
	ck_assert_int_eq(result.reason, PORTSCAN_LISTENING);
	args.port = closed_port;
	ck_assert_int_eq(portscan_check(p, &args, &result), 0);
	ck_assert_int_eq(result.reason, PORTSCAN_NOT_LISTENING);
	args.via = PORTSCAN_VIA_BIND;
	ck_assert_int_eq(portscan_check(p, &args, &result), 0);
	ck_assert_int_eq(result.status, PORTSCAN_OPEN);
	ck_assert_int_eq(result.reason, PORTSCAN_IN_USE);
	close(bound);
	ck_assert_int_eq(portscan_check(p, &args, &result), 0);
	ck_assert_int_eq(result.reason, PORTSCAN_BINDABLE);
	args.host = "192.0.2.1";
	ck_assert_int_eq(portscan_check(p, &args, &result), -EREMOTEIO);
	ck_assert_int_eq(portscan_last_error(p)->code, PORTSCAN_ERROR_NOT_SUPPORTED);
	close(listening);
}
END_TEST

static void assert_is_ours(const struct portscan_who_result *result, uint16_t port)
{
	ck_assert_uint_eq(result->n_sockets, 1);
	ck_assert_int_eq(result->sockets[0].protocol, PORTSCAN_TCP);
	ck_assert_str_eq(result->sockets[0].address, "127.0.0.1");
	ck_assert_uint_eq(result->sockets[0].port, port);
	ck_assert_str_eq(result->sockets[0].state, "LISTEN");
	ck_assert_int_eq(result->sockets[0].uid, geteuid());
	ck_assert_int_gt(result->sockets[0].inode, 0);
	ck_assert_int_eq(result->sockets[0].pid, getpid());
	ck_assert_ptr_nonnull(strstr(result->sockets[0].command, "test_libportscan"));
}

static void on_who(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	struct portscan_who_result *kept = userdata;

	(void)handle;
	ck_assert_int_eq(reply->status, 0);
	*kept = *reply->who;
	*reply->who = (struct portscan_who_result){ 0 };
}

START_TEST(test_who)
{
	uint16_t port;
	int listening = bind_port(&port, true);
	struct portscan_who_args args = { .port = port, .protocol = PORTSCAN_TCP };
	struct portscan_who_result result, kept = { 0 };

	ck_assert_int_eq(portscan_who(p, &args, &result), 0);
	assert_is_ours(&result, port);
	portscan_who_result_clear(&result);
	ck_assert_ptr_null(result.sockets);

	ck_assert_int_eq(portscan_who_start(p, &args, on_who, &kept, NULL), 0);
	/* And one that nobody keeps. */
	ck_assert_int_eq(portscan_who_start(p, &args, NULL, NULL, NULL), 0);
	while (!kept.sockets)
		dispatch_once(p);
	assert_is_ours(&kept, port);
	portscan_who_result_clear(&kept);

	args.protocol = PORTSCAN_UDP;
	ck_assert_int_eq(portscan_who(p, &args, &result), 0);
	ck_assert_uint_eq(result.n_sockets, 0);
	portscan_who_result_clear(&result);
	args.port = 0;
	ck_assert_int_eq(portscan_who(p, &args, &result), -EREMOTEIO);
	close(listening);
}
END_TEST

/* A loop of one's own */

#define N_CALLS 20000

static struct {
	bool is_done[N_CALLS + 1000];
	int n_done;
} calls;

static void on_counted(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	ck_assert_ptr_eq(handle, p);
	ck_assert_ptr_eq(userdata, &calls);
	ck_assert_int_eq(reply->status, 0);
	ck_assert_ptr_null(reply->error);
	ck_assert(!calls.is_done[reply->id]);
	ck_assert_uint_eq(reply->check->port, reply->id % 3 + 1);
	calls.is_done[reply->id] = true;
	calls.n_done++;
}

static void start_checks(int n)
{
	static uint64_t expected = 1;

	for (int i = 0; i < n; i++, expected++) {
		struct portscan_check_args args = { .port = (uint16_t)(expected % 3 + 1) };
		uint64_t id;

		ck_assert_int_eq(portscan_check_start(p, &args, on_counted, &calls, &id), 0);
		ck_assert_uint_eq(id, expected);
	}
}

START_TEST(test_many_at_once)
{
	/* More than the daemon takes at a time: it stops reading until answers are read. */
	start_checks(N_CALLS);
	ck_assert_int_eq(calls.n_done, 0);
	while (calls.n_done < N_CALLS)
		dispatch_once(p);
	ck_assert_int_eq(portscan_get_events(p), POLLIN);
}
END_TEST

START_TEST(test_blocking_between)
{
	struct portscan_check_args args = { .port = 0 };
	struct portscan_check_result result;

	start_checks(5000);
	ck_assert_int_eq(portscan_check(p, &args, &result), -EREMOTEIO);
	ck_assert_str_eq(portscan_last_error(p)->members, "{\"parameter\":\"port\"}");
	ck_assert_int_gt(calls.n_done, 0);
	while (calls.n_done < 5000)
		dispatch_once(p);
}
END_TEST

static void on_chained(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	struct portscan_check_args args = { .port = 1 };
	struct portscan_check_result result;
	int *left = userdata;

	ck_assert_int_eq(reply->status, 0);
	ck_assert_int_eq(portscan_check(handle, &args, &result), -EDEADLK);
	ck_assert_int_eq(portscan_dispatch(handle), -EDEADLK);
	if (--*left > 0)
		ck_assert_int_eq(portscan_check_start(handle, &args, on_chained, left, NULL), 0);
}

START_TEST(test_chain)
{
	struct portscan_check_args args = { .port = 1 };
	int left = 100;

	ck_assert_int_eq(portscan_check_start(p, &args, on_chained, &left, NULL), 0);
	while (left > 0)
		dispatch_once(p);
}
END_TEST

static void on_found(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	struct portscan_find_result *kept = userdata;

	(void)handle;
	ck_assert_int_eq(reply->status, 0);
	*kept = *reply->find;
	*reply->find = (struct portscan_find_result){ 0 };
}

START_TEST(test_keeping_a_result)
{
	struct portscan_find_args args = { .ports = "1-65535",
					   .count = 3,
					   .order = PORTSCAN_RANDOM };
	struct portscan_find_result kept = { 0 };

	ck_assert_int_eq(portscan_find_start(p, &args, on_found, &kept, NULL), 0);
	/* And one that nobody keeps. */
	ck_assert_int_eq(portscan_find_start(p, &args, NULL, NULL, NULL), 0);
	while (!kept.ports)
		dispatch_once(p);
	ck_assert_uint_eq(kept.n_ports, 3);
	ck_assert_uint_eq(kept.ports[0], kept.port);
	portscan_find_result_clear(&kept);
}
END_TEST

static void on_cancelled(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	(void)handle;
	ck_assert_int_eq(reply->status, -EREMOTEIO);
	ck_assert_int_eq(reply->error->code, PORTSCAN_ERROR_CANCELLED);
	ck_assert_ptr_eq(reply->error, portscan_last_error(handle));
	*(uint64_t *)userdata = reply->id;
}

START_TEST(test_cancel)
{
	uint16_t port;
	int bound = bind_port(&port, false);
	struct portscan_wait_args args = { .port = port };
	uint64_t id, ended = 0;

	ck_assert_int_eq(portscan_wait_start(p, &args, on_cancelled, &ended, &id), 0);
	ck_assert_int_eq(portscan_cancel(p, id + 1), -ENOENT);
	ck_assert_int_eq(portscan_cancel(p, id), 0);
	while (!ended)
		dispatch_once(p);
	ck_assert_uint_eq(ended, id);
	ck_assert_int_eq(portscan_cancel(p, id), -ENOENT);
	close(bound);
}
END_TEST

START_TEST(test_names)
{
	ck_assert_str_eq(portscan_status_name(PORTSCAN_CLOSED), "closed");
	ck_assert_str_eq(portscan_reason_name(PORTSCAN_TIMEOUT), "timeout");
	ck_assert_str_eq(portscan_via_name(PORTSCAN_VIA_CONNECT), "connect");
	ck_assert_str_eq(portscan_via_name(PORTSCAN_VIA_BIND), "bind");
	ck_assert_str_eq(portscan_order_name(PORTSCAN_RANDOM), "random");
	ck_assert_str_eq(portscan_protocol_name(PORTSCAN_BOTH), "both");
	ck_assert_ptr_null(portscan_status_name((enum portscan_status)0));
	ck_assert_ptr_null(portscan_order_name((enum portscan_order)4));
	ck_assert_ptr_null(portscan_reason_name((enum portscan_reason) - 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libportscan");
	TCase *tcase = tcase_create("libportscan");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_check);
	tcase_add_test(tcase, test_errors_of_the_daemon);
	tcase_add_test(tcase, test_arguments_that_cannot_be_sent);
	tcase_add_test(tcase, test_find);
	tcase_add_test(tcase, test_scan);
	tcase_add_test(tcase, test_wait);
	tcase_add_test(tcase, test_via);
	tcase_add_test(tcase, test_who);
	tcase_add_test(tcase, test_info_metrics_call);
	tcase_add_test(tcase, test_call_with_bad_json);
	tcase_add_test(tcase, test_many_at_once);
	tcase_add_test(tcase, test_blocking_between);
	tcase_add_test(tcase, test_chain);
	tcase_add_test(tcase, test_keeping_a_result);
	tcase_add_test(tcase, test_cancel);
	tcase_add_test(tcase, test_names);
	suite_add_tcase(suite, tcase);
	return is_daemon_running() ? EXIT_SKIPPED : run_suite(suite);
}
