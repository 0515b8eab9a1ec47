/* service.c: the methods about the daemon itself. */

#include "clock.h"
#include "daemon.h"
#include "interface.h"
#include "methods.h"
#include "request.h"

#include <string.h>

int metrics_start(struct request *request)
{
	_cleanup_(buffer_deinit) struct buffer text = { 0 };
	struct metrics_result result;
	int r;

	r = metrics_put(&text, request->daemon);
	if (r >= 0)
		r = buffer_put_char(&text, '\0');
	if (r < 0)
		return r;
	result.text = buffer_data(&text);
	request_reply(request, &result);
	return 0;
}

/* JSON-RPC tells more: Varlink's GetInfo has its five members and no other. */
int info_start(struct request *request)
{
	const struct daemon *daemon = request->daemon;
	json_t *info;

	info = json_pack("{ss,ss,ss,ss,s[s,s]}", "vendor", PROTOCOL_VENDOR, "product",
			 PROTOCOL_PRODUCT, "version", VERSION, "url", PROTOCOL_URL, "interfaces",
			 PROTOCOL_SERVICE, PROTOCOL_INTERFACE);
	if (info && request->envelope.dialect == DIALECT_JSONRPC)
		json_object_update_new(
			info, json_pack("{si,sI}", "pid", (int)getpid(), "uptime_ms",
					(json_int_t)((monotonic_now() - daemon->started) * 1e3)));
	if (!info)
		return -ENOMEM;
	request_reply(request, info);
	json_decref(info);
	return 0;
}

int cancel_start(struct request *request)
{
	const struct cancel_params *params = request->params;
	struct connection *connection = request->connection;
	struct request *other, *following;
	struct cancel_result result = { 0 };

	list_for_each_safe (other, following, &connection->requests, link) {
		if (other == request || other->envelope.dialect != DIALECT_JSONRPC ||
		    !other->envelope.id || !json_equal(other->envelope.id, params->id))
			continue;
		result.cancelled++;
		request_cancel(other, ERROR_CANCELLED, "cancelled, as you asked");
	}
	request_reply(request, &result);
	return 0;
}

int interface_description_start(struct request *request)
{
	static const struct {
		const char *name;
		const char *description;
	} interfaces[] = {
		{ PROTOCOL_SERVICE, interface_org_varlink_service },
		{ PROTOCOL_INTERFACE, interface_io_portscand },
	};
	const struct interface_description_params *params = request->params;

	for (size_t i = 0; i < ARRAY_SIZE(interfaces); i++) {
		struct interface_description_result result = { .description =
								       interfaces[i].description };

		if (strcmp(interfaces[i].name, params->interface) != 0)
			continue;
		request_reply(request, &result);
		return 0;
	}
	request_fail(request, ERROR_INTERFACE_NOT_FOUND,
		     json_pack("{ss}", "interface", params->interface),
		     "there is no interface %.80s", params->interface);
	return 0;
}
