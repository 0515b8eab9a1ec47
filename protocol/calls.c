#include "calls.h"

const char *const status_names[] = { "open", "closed", NULL };
const char *const reason_names[] = {
	"accepted", "backlog_full",  "listening", "in_use", "refused",
	"timeout",  "not_listening", "bindable",  NULL,
};
const char *const via_names[] = { "connect", "table", "bind", NULL };
const char *const order_names[] = { "first", "any", "random", NULL };
const char *const protocol_names[] = { "tcp", "udp", "both", NULL };
const char *const hold_names[] = { "shared", "exclusive", "none", NULL };
const char *const until_names[] = { "claimed", "connection", "process", "released", NULL };
const char *const state_names[] = { "held", "in_use", "quarantined", NULL };

#define NAMES(jsonrpc_, varlink_)                                                                  \
	{                                                                                          \
		.jsonrpc = (jsonrpc_), .varlink = (varlink_)                                       \
	}

const struct method_names method_check = NAMES("check", PROTOCOL_INTERFACE ".Check");
const struct method_names method_find = NAMES("find", PROTOCOL_INTERFACE ".Find");
const struct method_names method_scan = NAMES("scan", PROTOCOL_INTERFACE ".Scan");
const struct method_names method_wait = NAMES("wait", PROTOCOL_INTERFACE ".Wait");
const struct method_names method_lease = NAMES("lease", PROTOCOL_INTERFACE ".Lease");
const struct method_names method_renew = NAMES("renew", PROTOCOL_INTERFACE ".Renew");
const struct method_names method_release = NAMES("release", PROTOCOL_INTERFACE ".Release");
const struct method_names method_leases = NAMES("leases", PROTOCOL_INTERFACE ".ListLeases");
const struct method_names method_who = NAMES("who", PROTOCOL_INTERFACE ".Who");
const struct method_names method_metrics = NAMES("metrics", PROTOCOL_INTERFACE ".GetMetrics");
const struct method_names method_info = NAMES("info", PROTOCOL_SERVICE ".GetInfo");
const struct method_names method_cancel = NAMES("cancel", NULL);
const struct method_names method_interface_description =
	NAMES(NULL, PROTOCOL_SERVICE ".GetInterfaceDescription");

const struct field check_params_fields[] = { CHECK_PARAMS(struct check_params) };
const struct field check_result_fields[] = { CHECK_RESULT(struct check_result, ROW_STRING) };
const struct field find_params_fields[] = { FIND_PARAMS(struct find_params) };
const struct field find_result_fields[] = { FIND_RESULT(struct find_result) };
const struct field scan_params_fields[] = { SCAN_PARAMS(struct scan_params) };
static const struct field counts_fields[] = { COUNTS(struct counts) };
const struct field scan_result_fields[] = { SCAN_RESULT(struct scan_result, counts_fields) };
const struct field scan_progress_fields[] = { SCAN_PROGRESS(struct scan_result) };
const struct field wait_params_fields[] = { WAIT_PARAMS(struct wait_params) };
const struct field wait_result_fields[] = { WAIT_RESULT(struct wait_result, ROW_STRING) };
const struct field lease_params_fields[] = { LEASE_PARAMS(struct lease_params) };
static const struct field lease_info_fields[] = { LEASE_INFO(struct lease_info, ROW_STRING,
							     ROW_STRING_OR_NULL) };
const struct field lease_result_fields[] = { LEASE_RESULT(struct lease_result, lease_info_fields) };
const struct field renew_params_fields[] = { RENEW_PARAMS(struct renew_params) };
const struct field renew_result_fields[] = { RENEW_RESULT(struct renew_result, lease_info_fields) };
const struct field release_params_fields[] = { RELEASE_PARAMS(struct release_params) };
const struct field leases_params_fields[] = { LEASES_PARAMS(struct leases_params) };
const struct field leases_result_fields[] = { LEASES_RESULT(struct leases_result, lease_info_fields,
							    struct lease_info) };
const struct field who_params_fields[] = { WHO_PARAMS(struct who_params) };
static const struct field socket_fields[] = { SOCKET(struct socket_info, ROW_STRING,
						     ROW_STRING_OR_NULL) };
const struct field who_result_fields[] = { WHO_RESULT(struct who_result, socket_fields,
						      struct socket_info, lease_info_fields) };
const struct field metrics_result_fields[] = { METRICS_RESULT(struct metrics_result, ROW_STRING) };
const struct field cancel_params_fields[] = { CANCEL_PARAMS(struct cancel_params, ROW_ID) };
const struct field cancel_result_fields[] = { CANCEL_RESULT(struct cancel_result) };
const struct field interface_description_params_fields[] = { INTERFACE_DESCRIPTION_PARAMS(
	struct interface_description_params) };
const struct field interface_description_result_fields[] = { INTERFACE_DESCRIPTION_RESULT(
	struct interface_description_result) };
const struct field no_fields[] = { ROW_END };
