#include "methods.h"

#include <stdio.h>
#include <string.h>

static const struct method methods[] = {
	{ &method_check, check_params_fields, sizeof(struct check_params), check_result_fields,
	  check_start, check_cancel },
	{ &method_find, find_params_fields, sizeof(struct find_params), find_result_fields,
	  find_start, find_cancel },
	{ &method_scan, scan_params_fields, sizeof(struct scan_params), scan_result_fields,
	  scan_start, scan_cancel },
	{ &method_wait, wait_params_fields, sizeof(struct wait_params), wait_result_fields,
	  wait_start, wait_cancel },
	{ &method_lease, lease_params_fields, sizeof(struct lease_params), lease_result_fields,
	  lease_start, lease_cancel },
	{ &method_renew, renew_params_fields, sizeof(struct renew_params), renew_result_fields,
	  renew_start, NULL },
	{ &method_release, release_params_fields, sizeof(struct release_params), no_fields,
	  release_start, NULL },
	{ &method_leases, leases_params_fields, sizeof(struct leases_params), leases_result_fields,
	  leases_start, leases_cancel },
	{ &method_who, who_params_fields, sizeof(struct who_params), who_result_fields, who_start,
	  who_cancel },
	{ &method_metrics, no_fields, 0, metrics_result_fields, metrics_start, NULL },
	{ &method_info, no_fields, 0, NULL, info_start, NULL },
	{ &method_cancel, cancel_params_fields, sizeof(struct cancel_params), cancel_result_fields,
	  cancel_start, NULL },
	{ &method_interface_description, interface_description_params_fields,
	  sizeof(struct interface_description_params), interface_description_result_fields,
	  interface_description_start, NULL },
};

const struct method *method_find_by_name(const char *name, enum dialect dialect)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		const struct method_names *names = methods[i].names;
		const char *candidate =
			dialect == DIALECT_VARLINK ? names->varlink : names->jsonrpc;

		if (candidate && strcmp(candidate, name) == 0)
			return &methods[i];
	}
	return NULL;
}

const char *method_names(char ret_text[METHOD_NAMES_SIZE])
{
	size_t size = 0;

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (methods[i].names->jsonrpc && size < METHOD_NAMES_SIZE)
			size += (size_t)snprintf(ret_text + size, METHOD_NAMES_SIZE - size, "%s%s",
						 size > 0 ? ", " : "", methods[i].names->jsonrpc);
	return ret_text;
}

size_t method_index(const struct method *method)
{
	return (size_t)(method - methods);
}

const struct method *method_at(size_t index)
{
	return index < ARRAY_SIZE(methods) ? &methods[index] : NULL;
}
