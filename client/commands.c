#include "cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum portscan_status status_wanted(const struct options *options)
{
	if (options->open)
		return PORTSCAN_OPEN;
	return options->closed ? PORTSCAN_CLOSED : 0;
}

void print_json(struct portscan *p)
{
	const char *text = portscan_last_result(p);

	puts(text ? text : "null");
}

/* As in "127.0.0.1:22 open (accepted, 0.1 ms)". */
static void print_status(const char *host, uint16_t port, enum portscan_status status,
			 enum portscan_reason reason, double elapsed_ms)
{
	bool is_ipv6 = strchr(host, ':');

	printf("%s%s%s:%u %s (%s, %.1f ms)\n", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "",
	       (unsigned)port, portscan_status_name(status), portscan_reason_name(reason),
	       elapsed_ms);
}

enum exit_status run_check(struct portscan *p, const struct options *options)
{
	struct portscan_check_args args = {
		.port = options->port,
		.host = options->host,
		.timeout_ms = options->timeout_ms,
		.via = options->via,
	};
	struct portscan_check_result result;
	int r;

	r = portscan_check(p, &args, &result);
	if (r < 0)
		return complain_of(p, r);
	if (options->json)
		print_json(p);
	else
		print_status(result.host, result.port, result.status, result.reason,
			     (double)result.elapsed_us / 1000);
	return result.status == PORTSCAN_OPEN ? EXIT_YES : EXIT_NO;
}

enum exit_status run_find(struct portscan *p, const struct options *options)
{
	struct portscan_find_args args = {
		.ports = options->ports,
		.status = status_wanted(options),
		.host = options->host,
		.count = options->count,
		.order = options->order,
		.exclude = options->exclude,
		.include_leased = options->include_leased,
		.strict = options->strict,
		.timeout_ms = options->timeout_ms,
		.via = options->via,
	};
	struct portscan_find_result result;
	enum exit_status status;
	int r;

	r = portscan_find(p, &args, &result);
	if (r < 0)
		return complain_of(p, r);
	if (options->json)
		print_json(p);
	for (size_t i = 0; !options->json && i < result.n_ports; i++)
		printf("%u\n", (unsigned)result.ports[i]);
	status = result.n_ports > 0 ? EXIT_YES : EXIT_NO;
	portscan_find_result_clear(&result);
	return status;
}

/* scan and wait take long enough to show what they are doing. */
struct task {
	const struct options *options;
	struct progress progress;
	const char *host;
	enum exit_status status;
	bool is_done;
	/* Of a scan, so far. */
	int64_t done, total;
	size_t n_found;
};

typedef void draw_fn(struct task *task);

/* The loop until `task` is done; `started` is what starting it returned. */
static enum exit_status run_task(struct portscan *p, struct task *task, int started, draw_fn *draw)
{
	if (started < 0)
		return complain_of(p, started);
	while (!task->is_done) {
		struct pollfd ready = { .fd = portscan_get_fd(p),
					.events = portscan_get_events(p) };
		int r = poll(&ready, 1, progress_timeout(&task->progress));

		if (r < 0 && errno != EINTR)
			return complain_of(p, -errno);
		/* Once it is over, the completion has said so. */
		if (r > 0)
			portscan_dispatch(p);
		if (!task->is_done)
			draw(task);
	}
	return task->status;
}

static void on_scan_progress(struct portscan *p, const struct portscan_progress *progress,
			     void *userdata)
{
	struct task *task = userdata;

	(void)p;
	task->n_found += progress->n_ports;
	task->done = progress->done;
	task->total = progress->total;
}

static void draw_scan(struct task *task)
{
	if (task->total == 0)
		progress_draw(&task->progress, "scanning %s", task->host);
	else
		progress_draw(&task->progress,
			      "scanning %s: %lld of %lld ports (%d%%), %zu %s, %.1f s", task->host,
			      (long long)task->done, (long long)task->total,
			      (int)(task->done * 100 / task->total), task->n_found,
			      task->options->closed ? "closed" : "open",
			      (double)progress_elapsed_ms(&task->progress) / 1000);
}

/*
 * The names of all TCP services by their ports, in one pass: getservbyport() goes through the
 * whole list for each, which for a table of 65,535 ports takes longer than the scan.
 */
static void read_services(char (*names)[NI_MAXSERV])
{
	const struct servent *service;

	setservent(1);
	while ((service = getservent())) {
		char *name = names[ntohs((uint16_t)service->s_port)];

		if (strcmp(service->s_proto, "tcp") == 0 && !name[0])
			snprintf(name, NI_MAXSERV, "%s", service->s_name);
	}
	endservent();
}

static void print_table(const struct portscan_scan_result *result)
{
	char(*names)[NI_MAXSERV] = calloc(UINT16_MAX + 1, sizeof(*names));

	if (result->n_ports > 0) {
		if (names)
			read_services(names);
		puts("PORT   SERVICE");
	}
	for (size_t i = 0; i < result->n_ports; i++) {
		uint16_t port = result->ports[i];

		printf("%-5u  %s\n", (unsigned)port, names && names[port][0] ? names[port] : "-");
	}
	free(names);
}

static void on_scan_done(struct portscan *p, struct portscan_reply *reply, void *userdata)
{
	struct task *task = userdata;
	const struct portscan_counts *counts;

	task->is_done = true;
	progress_clear(&task->progress);
	if (reply->status < 0) {
		task->status = complain_of(p, reply->status);
		return;
	}
	if (task->options->json) {
		print_json(p);
		return;
	}
	print_table(reply->scan);
	counts = &reply->scan->counts;
	printf("%lld open, %lld closed, %lld timed out: %lld port%s of %s in %.1f ms\n",
	       (long long)counts->open, (long long)counts->closed, (long long)counts->timeout,
	       (long long)reply->scan->done, reply->scan->done == 1 ? "" : "s", task->host,
	       (double)reply->scan->elapsed_us / 1000);
}

enum exit_status run_scan(struct portscan *p, const struct options *options)
{
	struct portscan_scan_args args = {
		.ports = options->ports,
		.status = status_wanted(options),
		.host = options->host,
		.timeout_ms = options->timeout_ms,
		.via = options->via,
	};
	struct task task = { .options = options,
			     .host = options->host ? options->host : PORTSCAN_HOST_DEFAULT };
	int r;

	progress_init(&task.progress);
	r = portscan_scan_start(p, &args, task.progress.is_terminal ? on_scan_progress : NULL,
				on_scan_done, &task, NULL);
	return run_task(p, &task, r, draw_scan);
}

static void draw_wait(struct task *task)
{
	progress_draw(&task->progress, "waiting for %s port %u to be %s, %.1f s", task->host,
		      (unsigned)task->options->port, task->options->closed ? "closed" : "open",
		      (double)progress_elapsed_ms(&task->progress) / 1000);
}

/* The deadline is over: what was seen last is an answer, too. */
static enum exit_status tell_last_seen(const struct task *task, const struct portscan_error *error)
{
	if (task->options->json)
		puts(error->members);
	else if (error->host && error->status && error->reason)
		print_status(error->host, error->port, error->status, error->reason,
			     (double)progress_elapsed_ms(&task->progress));
	return EXIT_NO;
}

static void on_wait_done(struct portscan *p, struct portscan_reply *reply, void *userdata)
{
	struct task *task = userdata;

	task->is_done = true;
	progress_clear(&task->progress);
	if (reply->error && reply->error->code == PORTSCAN_ERROR_DEADLINE_EXCEEDED)
		task->status = tell_last_seen(task, reply->error);
	else if (reply->status < 0)
		task->status = complain_of(p, reply->status);
	else if (task->options->json)
		print_json(p);
	else
		print_status(reply->wait->host, reply->wait->port, reply->wait->status,
			     reply->wait->reason, (double)reply->wait->waited_ms);
}

enum exit_status run_wait(struct portscan *p, const struct options *options)
{
	struct portscan_wait_args args = {
		.port = options->port,
		.host = options->host,
		.until = status_wanted(options),
		.deadline_ms = options->deadline_ms,
		.interval_ms = options->interval_ms,
		.timeout_ms = options->timeout_ms,
		.via = options->via,
	};
	struct task task = { .options = options,
			     .host = options->host ? options->host : PORTSCAN_HOST_DEFAULT };

	progress_init(&task.progress);
	return run_task(p, &task, portscan_wait_start(p, &args, on_wait_done, &task, NULL),
			draw_wait);
}

enum exit_status run_info(struct portscan *p, const struct options *options)
{
	struct portscan_info_result result;
	int r;

	r = portscan_info(p, &result);
	if (r < 0)
		return complain_of(p, r);
	if (options->json) {
		print_json(p);
		return EXIT_YES;
	}
	printf("vendor      %s\n", result.vendor);
	printf("product     %s\n", result.product);
	printf("version     %s\n", result.version);
	printf("url         %s\n", result.url);
	printf("interfaces  %s\n", result.interfaces);
	printf("pid         %lld\n", (long long)result.pid);
	printf("uptime      %.1f s\n", (double)result.uptime_ms / 1000);
	return EXIT_YES;
}

enum exit_status run_metrics(struct portscan *p, const struct options *options)
{
	char *text;
	int r;

	r = portscan_metrics(p, &text);
	if (r < 0)
		return complain_of(p, r);
	if (options->json)
		print_json(p);
	else
		fputs(text, stdout);
	free(text);
	return EXIT_YES;
}

enum exit_status run_call(struct portscan *p, const struct options *options)
{
	const struct portscan_error *error;
	char *text;
	int r;

	r = portscan_call(p, options->method, options->params, &text);
	error = portscan_last_error(p);
	if (r == -EINVAL && error) {
		complain("%s", error->message);
		return EXIT_USAGE;
	}
	if (r < 0) {
		enum exit_status status = complain_of(p, r);

		/* An error is one of the two answers that are asked for. */
		return r == -EREMOTEIO ? EXIT_NO : status;
	}
	puts(text);
	free(text);
	return EXIT_YES;
}
