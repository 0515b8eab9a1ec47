#include "methods.h"
#include "calls.h"

#include <assert.h>
#include <string.h>

static_assert((int)PORTSCAN_OPEN == (int)STATUS_OPEN && (int)PORTSCAN_CLOSED == (int)STATUS_CLOSED,
	      "enum portscan_status");
static_assert((int)PORTSCAN_ACCEPTED == (int)REASON_ACCEPTED &&
		      (int)PORTSCAN_REFUSED == (int)REASON_REFUSED &&
		      (int)PORTSCAN_TIMEOUT == (int)REASON_TIMEOUT,
	      "enum portscan_reason");
static_assert((int)PORTSCAN_VIA_CONNECT == (int)VIA_CONNECT &&
		      (int)PORTSCAN_VIA_BIND == (int)VIA_BIND,
	      "enum portscan_via");
static_assert((int)PORTSCAN_FIRST == (int)ORDER_FIRST && (int)PORTSCAN_ANY == (int)ORDER_ANY &&
		      (int)PORTSCAN_RANDOM == (int)ORDER_RANDOM,
	      "enum portscan_order");
static_assert((int)PORTSCAN_ERROR_PARSE == (int)ERROR_PARSE &&
		      (int)PORTSCAN_ERROR_INTERNAL == (int)ERROR_INTERNAL &&
		      (int)PORTSCAN_ERROR_UNREACHABLE == (int)ERROR_UNREACHABLE &&
		      (int)PORTSCAN_ERROR_DEADLINE_EXCEEDED == (int)ERROR_DEADLINE_EXCEEDED &&
		      (int)PORTSCAN_ERROR_MESSAGE_TOO_LARGE == (int)ERROR_MESSAGE_TOO_LARGE,
	      "enum portscan_error_code");
static_assert(sizeof(((struct portscan_check_result *)0)->host) > HOST_MAX &&
		      sizeof(((struct portscan_check_result *)0)->address) >= ADDRESS_SIZE,
	      "a host or an address may be cut off");

/* What of a call is the library's own business is not in the structs of portscan.h. */
struct scan_params_sent {
	const char *ports;
	enum portscan_status status;
	const char *host;
	int timeout_ms;
	enum portscan_via via;
	bool stream;
};

struct cancel_params_sent {
	uint64_t id;
};

struct metrics_text {
	const char *text;
};

static const struct field check_params[] = { CHECK_PARAMS(struct portscan_check_args) };
static const struct field check_result[] = { CHECK_RESULT(struct portscan_check_result, ROW_TEXT) };
static const struct field find_params[] = { FIND_PARAMS(struct portscan_find_args) };
static const struct field find_result[] = { FIND_RESULT(struct portscan_find_result) };
static const struct field scan_params[] = { SCAN_PARAMS(struct scan_params_sent) };
static const struct field scan_counts[] = { COUNTS(struct portscan_counts) };
static const struct field scan_result[] = { SCAN_RESULT(struct portscan_scan_result, scan_counts) };
static const struct field wait_params[] = { WAIT_PARAMS(struct portscan_wait_args) };
static const struct field wait_result[] = { WAIT_RESULT(struct portscan_wait_result, ROW_TEXT) };
static const struct field info_result[] = { INFO_RESULT(struct portscan_info_result, ROW_TEXT) };
static const struct field metrics_result[] = { METRICS_RESULT(struct metrics_text, ROW_STRING) };
static const struct field cancel_params[] = { CANCEL_PARAMS(struct cancel_params_sent, ROW_COUNT) };

const char *name_of(const char *const *names, int value)
{
	for (int i = 1; names[i - 1]; i++)
		if (i == value)
			return names[i - 1];
	return NULL;
}

const char *portscan_status_name(enum portscan_status status)
{
	return name_of(status_names, (int)status);
}

const char *portscan_reason_name(enum portscan_reason reason)
{
	return name_of(reason_names, (int)reason);
}

const char *portscan_via_name(enum portscan_via via)
{
	return name_of(via_names, (int)via);
}

const char *portscan_order_name(enum portscan_order order)
{
	return name_of(order_names, (int)order);
}

/* Results */

int result_decode(const struct field *fields, const json_t *json, void *ret_result)
{
	struct error error = { 0 };
	int r;

	if (!json_is_object(json))
		return -EBADMSG;
	r = schema_decode(fields, json, DECODE_RESULT, ret_result, &error);
	error_deinit(&error);
	return r == -EINVAL ? -EBADMSG : r;
}

static int decode_check(const json_t *json, void *ret_result)
{
	return result_decode(check_result, json, ret_result);
}

static int decode_find(const json_t *json, void *ret_result)
{
	return result_decode(find_result, json, ret_result);
}

static int decode_scan(const json_t *json, void *ret_result)
{
	return result_decode(scan_result, json, ret_result);
}

static int decode_wait(const json_t *json, void *ret_result)
{
	return result_decode(wait_result, json, ret_result);
}

static int decode_info(const json_t *json, void *ret_result)
{
	struct portscan_info_result *info = ret_result;
	const json_t *interfaces = json_object_get(json, INFO_INTERFACES), *name;
	size_t i, used = 0;
	int r;

	r = result_decode(info_result, json, info);
	if (r < 0)
		return r;
	info->interfaces[0] = '\0';
	json_array_foreach (interfaces, i, name) {
		const char *text = json_string_value(name);
		size_t length = text ? strlen(text) : 0;

		if (length == 0 || used + 1 + length >= sizeof(info->interfaces))
			continue;
		if (used > 0)
			info->interfaces[used++] = ' ';
		memcpy(info->interfaces + used, text, length + 1);
		used += length;
	}
	return 0;
}

static int decode_metrics(const json_t *json, void *ret_result)
{
	struct metrics_text metrics;
	char *text;
	int r;

	r = result_decode(metrics_result, json, &metrics);
	if (r < 0)
		return r;
	text = strdup(metrics.text ? metrics.text : "");
	if (!text)
		return -ENOMEM;
	*(char **)ret_result = text;
	return 0;
}

static int decode_any(const json_t *json, void *ret_result)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!text)
		return -ENOMEM;
	*(char **)ret_result = text;
	return 0;
}

void result_clear_nothing(void *result)
{
	(void)result;
}

static void clear_find(void *result)
{
	schema_clear(find_result, result);
}

static void clear_scan(void *result)
{
	schema_clear(scan_result, result);
}

void portscan_find_result_clear(struct portscan_find_result *result)
{
	schema_clear(find_result, result);
	*result = (struct portscan_find_result){ 0 };
}

void portscan_scan_result_clear(struct portscan_scan_result *result)
{
	schema_clear(scan_result, result);
	*result = (struct portscan_scan_result){ 0 };
}

static const struct method check = { sizeof(struct portscan_check_result), decode_check,
				     result_clear_nothing };
static const struct method find = { sizeof(struct portscan_find_result), decode_find, clear_find };
static const struct method scan = { sizeof(struct portscan_scan_result), decode_scan, clear_scan };
static const struct method wait_until = { sizeof(struct portscan_wait_result), decode_wait,
					  result_clear_nothing };
static const struct method info = { sizeof(struct portscan_info_result), decode_info,
				    result_clear_nothing };
static const struct method metrics = { sizeof(char *), decode_metrics, freep };
static const struct method any = { sizeof(char *), decode_any, freep };

/* Calls: each blocks, or is started */

int portscan_check(struct portscan *p, const struct portscan_check_args *args,
		   struct portscan_check_result *ret_result)
{
	return connection_call(p, (struct pending_call){ .method = &check }, method_check.jsonrpc,
			       check_params, args, ret_result);
}

int portscan_check_start(struct portscan *p, const struct portscan_check_args *args,
			 portscan_done_fn *done, void *userdata, uint64_t *ret_id)
{
	struct pending_call call = { .method = &check, .done = done, .userdata = userdata };

	return connection_start(p, call, method_check.jsonrpc, check_params, args, ret_id);
}

int portscan_find(struct portscan *p, const struct portscan_find_args *args,
		  struct portscan_find_result *ret_result)
{
	return connection_call(p, (struct pending_call){ .method = &find }, method_find.jsonrpc,
			       find_params, args, ret_result);
}

int portscan_find_start(struct portscan *p, const struct portscan_find_args *args,
			portscan_done_fn *done, void *userdata, uint64_t *ret_id)
{
	struct pending_call call = { .method = &find, .done = done, .userdata = userdata };

	return connection_start(p, call, method_find.jsonrpc, find_params, args, ret_id);
}

static struct scan_params_sent scan_params_from(const struct portscan_scan_args *args, bool stream)
{
	return (struct scan_params_sent){
		.ports = args->ports,
		.status = args->status,
		.host = args->host,
		.timeout_ms = args->timeout_ms,
		.via = args->via,
		.stream = stream,
	};
}

int portscan_scan(struct portscan *p, const struct portscan_scan_args *args,
		  portscan_progress_fn *on_progress, void *userdata,
		  struct portscan_scan_result *ret_result)
{
	struct scan_params_sent params = scan_params_from(args, on_progress);
	struct pending_call call = { .method = &scan,
				     .on_progress = on_progress,
				     .userdata = userdata };

	return connection_call(p, call, method_scan.jsonrpc, scan_params, &params, ret_result);
}

int portscan_scan_start(struct portscan *p, const struct portscan_scan_args *args,
			portscan_progress_fn *on_progress, portscan_done_fn *done, void *userdata,
			uint64_t *ret_id)
{
	struct scan_params_sent params = scan_params_from(args, on_progress);
	struct pending_call call = {
		.method = &scan, .done = done, .on_progress = on_progress, .userdata = userdata
	};

	return connection_start(p, call, method_scan.jsonrpc, scan_params, &params, ret_id);
}

int portscan_wait(struct portscan *p, const struct portscan_wait_args *args,
		  struct portscan_wait_result *ret_result)
{
	return connection_call(p, (struct pending_call){ .method = &wait_until },
			       method_wait.jsonrpc, wait_params, args, ret_result);
}

int portscan_wait_start(struct portscan *p, const struct portscan_wait_args *args,
			portscan_done_fn *done, void *userdata, uint64_t *ret_id)
{
	struct pending_call call = { .method = &wait_until, .done = done, .userdata = userdata };

	return connection_start(p, call, method_wait.jsonrpc, wait_params, args, ret_id);
}

int portscan_info(struct portscan *p, struct portscan_info_result *ret_result)
{
	return connection_call(p, (struct pending_call){ .method = &info }, method_info.jsonrpc,
			       no_fields, NULL, ret_result);
}

int portscan_info_start(struct portscan *p, portscan_done_fn *done, void *userdata,
			uint64_t *ret_id)
{
	struct pending_call call = { .method = &info, .done = done, .userdata = userdata };

	return connection_start(p, call, method_info.jsonrpc, no_fields, NULL, ret_id);
}

int portscan_metrics(struct portscan *p, char **ret_text)
{
	return connection_call(p, (struct pending_call){ .method = &metrics },
			       method_metrics.jsonrpc, no_fields, NULL, ret_text);
}

int portscan_metrics_start(struct portscan *p, portscan_done_fn *done, void *userdata,
			   uint64_t *ret_id)
{
	struct pending_call call = { .method = &metrics, .done = done, .userdata = userdata };

	return connection_start(p, call, method_metrics.jsonrpc, no_fields, NULL, ret_id);
}

/*
 * `text` as an object, in *ret_json. -EINVAL if it is none, or nested so deep that with the
 * envelope around it the daemon would not read it: told in *ret_error.
 */
static int parse_params(json_t **ret_json, const char *text, struct error *ret_error)
{
	_cleanup_(buffer_deinit) struct buffer wrapped = { 0 };
	json_t *json;
	int r;

	r = message_parse(&json, text, strlen(text), ret_error);
	if (r < 0)
		return r == -EBADMSG ? -EINVAL : r;
	if (!json_is_object(json)) {
		error_set(ret_error, ERROR_INVALID_PARAMETER, NULL,
			  "the parameters must be a JSON object, such as {\"port\":22}");
		r = -EINVAL;
	}
	/* The same, one level deeper. */
	if (r >= 0)
		r = buffer_printf(&wrapped, "[%s]", text);
	json_decref(json);
	if (r >= 0)
		r = message_parse(&json, buffer_data(&wrapped), buffer_size(&wrapped), ret_error);
	if (r < 0)
		return r == -EBADMSG ? -EINVAL : r;
	*ret_json = json_incref(json_array_get(json, 0));
	json_decref(json);
	return 0;
}

static int params_from_text(struct portscan *p, json_t **ret_json, const char *text)
{
	struct error error = { 0 };
	int r;

	r = parse_params(ret_json, text ? text : "{}", &error);
	if (r == -EINVAL && !p->is_busy && outcome_set_error(&p->last, &error) < 0)
		r = -ENOMEM;
	error_deinit(&error);
	return r;
}

int portscan_call(struct portscan *p, const char *method, const char *params, char **ret_result)
{
	json_t *json;
	int r;

	r = params_from_text(p, &json, params);
	if (r < 0)
		return r;
	r = connection_call(p, (struct pending_call){ .method = &any }, method, NULL, json,
			    ret_result);
	json_decref(json);
	return r;
}

int portscan_call_start(struct portscan *p, const char *method, const char *params,
			portscan_done_fn *done, void *userdata, uint64_t *ret_id)
{
	struct pending_call call = { .method = &any, .done = done, .userdata = userdata };
	json_t *json;
	int r;

	r = params_from_text(p, &json, params);
	if (r < 0)
		return r;
	r = connection_start(p, call, method, NULL, json, ret_id);
	json_decref(json);
	return r;
}

int portscan_cancel(struct portscan *p, uint64_t id)
{
	struct cancel_params_sent params = { .id = id };

	if (!pending_find(&p->pending, id))
		return -ENOENT;
	return connection_start(p, (struct pending_call){ .method = &any }, method_cancel.jsonrpc,
				cancel_params, &params, NULL);
}
