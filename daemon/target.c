#include "target.h"

#include "daemon.h"

static void on_looked_up(void *userdata, const struct address_list *addresses, const char *detail,
			 int short_of)
{
	struct target *target = userdata;
	struct error error = { 0 };
	int r = 0;

	target->lookup = NULL;
	for (size_t i = 0; i < addresses->n_addresses && r >= 0; i++)
		r = address_list_add(&target->addresses, &addresses->addresses[i]);
	if (r < 0)
		error_set(&error, ERROR_RESOURCES_EXHAUSTED,
			  json_pack("{ss}", "resource", "memory"),
			  "the daemon is short of memory; try again later");
	else if (short_of)
		error_set(&error, ERROR_RESOURCES_EXHAUSTED,
			  json_pack("{ss}", "resource", "descriptors"),
			  "the daemon is short of descriptors; try again later");
	else if (addresses->n_addresses == 0)
		error_set(&error, ERROR_NAME_NOT_FOUND,
			  json_pack("{ss,ss}", "host", target->host, "detail", detail),
			  "no address is known for %.80s (%s); check the name, or the name "
			  "servers in resolv.conf",
			  target->host, detail);

	if (error.code)
		target->failed(target, &error);
	else
		target->ready(target);
	error_deinit(&error);
}

int target_start(struct target *target, struct request *request, const char *host)
{
	struct error error = { 0 };
	int r;

	target->host = host;
	r = host_parse(&target->addresses, host);
	if (r == 1) {
		target->ready(target);
		return 0;
	}
	if (r == 0)
		return resolver_start(request->daemon->resolver, host, on_looked_up, target,
				      &target->lookup);
	if (r != -EINVAL && r != -ENODEV)
		return r;

	error_set(&error, ERROR_INVALID_PARAMETER, json_pack("{ss}", "parameter", "host"),
		  r == -ENODEV ? "host is \"%.80s\", and there is no such interface; see ip link"
			       : "host is \"%.80s\"; it must be a host name or an IP address, "
				 "such as localhost, 127.0.0.1 or ::1",
		  host);
	target->failed(target, &error);
	error_deinit(&error);
	return 0;
}

void target_deinit(struct target *target)
{
	lookup_cancel(target->lookup);
	target->lookup = NULL;
	address_list_deinit(&target->addresses);
}
