#include "look.h"
#include "methods.h"
#include "target.h"

struct check {
	struct request *request;
	struct target target;
	struct look look;
};

static void check_free(struct check *check)
{
	look_deinit(&check->look);
	target_deinit(&check->target);
	free(check);
}

void check_cancel(struct request *request)
{
	check_free(request->work);
}

static void on_looked(struct look *look, const struct sweep_result *result)
{
	struct check *check = container_of(look, struct check, look);
	struct request *request = check->request;
	const struct check_params *params = request->params;
	char address[ADDRESS_SIZE];
	struct check_result reply = {
		.host = params->host,
		.address = address,
		.port = params->port,
		.status = look->verdict.status,
		.reason = look->verdict.reason,
	};

	if (result->end == SWEEP_DONE)
		address_format(look->verdict.address, address);
	check_free(check);
	if (result->end == SWEEP_DONE) {
		reply.elapsed_us = request_elapsed_us(request);
		request_reply(request, &reply);
	} else {
		sweep_fail_request(request, params->host, params->via, result, true);
	}
}

static void on_ready(struct target *target)
{
	struct check *check = container_of(target, struct check, target);
	struct request *request = check->request;
	const struct check_params *params = request->params;
	int r;

	r = look_start(&check->look, request, &target->addresses, params->port, params->via,
		       params->timeout_ms, params->timeout_ms);
	if (r < 0)
		request_abort_errno(request, -r);
}

int check_start(struct request *request)
{
	const struct check_params *params = request->params;
	struct check *check = calloc(1, sizeof(*check));
	int r;

	if (!check)
		return -ENOMEM;
	check->request = request;
	check->target.ready = on_ready;
	check->look.ended = on_looked;
	request->work = check;
	r = target_start(&check->target, request, params->host);
	if (r < 0)
		check_free(check);
	return r;
}
