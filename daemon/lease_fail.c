/* lease_fail.c: what is answered when there is no lease to be had. */

#include "daemon.h"
#include "leases.h"
#include "methods.h"

#include <string.h>

/* What needs no more than its words. */
static const struct {
	int error;
	enum error_code code;
	const char *detail, *message;
} refusals[] = {
	{ EPERM, ERROR_PERMISSION_DENIED, "pid is a process of another user",
	  "only root may lease for a process of another user" },
	{ EACCES, ERROR_PERMISSION_DENIED, "the port is privileged",
	  "ports below 1024 are for root, and for a daemon that may bind them; give others" },
	{ ENOSYS, ERROR_NOT_SUPPORTED, "this kernel has no pidfds",
	  "until process takes Linux 5.3 or later; take connection or released" },
	{ EADDRINUSE, ERROR_NOT_SUPPORTED, "the port is in use",
	  "somebody listens on the port of this lease of yours, or has its descriptor; end that, or "
	  "ask without pass_fd" },
};

void lease_refuse_member(struct request *request, const char *member, const char *what)
{
	request_fail(request, ERROR_INVALID_PARAMETER, json_pack("{ss}", "parameter", member),
		     "%s %s", member, what);
}

static void fail_choice(struct request *request, const struct lease_params *params)
{
	size_t checked = lease_table_choice(leases_table(request->daemon->leases));

	request_fail(request, ERROR_NO_PORT_AVAILABLE,
		     json_pack("{sI}", "checked", (json_int_t)checked),
		     "of %zu ports there are not %d free%s; release some, or give other ports",
		     checked, params->count, params->contiguous ? " in a row" : "");
}

static void fail_address(struct request *request, const char *address)
{
	request_fail(request, ERROR_NOT_SUPPORTED,
		     json_pack("{ss}", "detail", "address is none of this host"),
		     "%.64s is no address of this host; give one, or \"*\"",
		     address ? address : "*");
}

static void fail_quota(struct request *request)
{
	unsigned limit = request->daemon->config.leases_per_user;

	request_fail(request, ERROR_QUOTA_EXCEEDED,
		     json_pack("{ss,si}", "resource", "leases", "limit", (int)limit),
		     "you may have %u leased ports at once, and would have more; release some",
		     limit);
}

static void fail_record(struct request *request)
{
	const char *path = request->daemon->config.runtime_dir;

	request_fail(
		request, ERROR_RESOURCES_EXHAUSTED,
		json_pack("{ss}", "resource", "runtime directory"),
		"the lease can't be written down in %.128s: %s; see to that, or give the daemon "
		"another --runtime-dir",
		path ? path : "the runtime directory",
		strerror(leases_problem(request->daemon->leases)));
}

static void fail_descriptors(struct request *request)
{
	request_fail(
		request, ERROR_RESOURCES_EXHAUSTED, json_pack("{ss}", "resource", "descriptors"),
		"the daemon is short of descriptors, of which each port takes one; release some "
		"leases, or raise its LimitNOFILE=");
}

static void fail_otherwise(struct request *request, int error)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		if (refusals[i].error == error) {
			request_fail(request, refusals[i].code,
				     json_pack("{ss}", "detail", refusals[i].detail), "%s",
				     refusals[i].message);
			return;
		}
	}
	request_fail_errno(request, error);
}

void lease_fail(struct request *request, int error, const struct lease_params *params)
{
	if (params)
		leases_count_refusal(request->daemon->leases);
	if (error == EADDRNOTAVAIL && params)
		fail_choice(request, params);
	else if (error == ENODEV && params)
		fail_address(request, params->address);
	else if (error == EDQUOT)
		fail_quota(request);
	else if (error == EIO)
		fail_record(request);
	else if (error == EMFILE || error == ENFILE || error == ETOOMANYREFS)
		/* Too many descriptors in flight are too many descriptors. */
		fail_descriptors(request);
	else if (error == EEXIST)
		lease_refuse_member(request, "name",
				    "is that of a lease of yours with other ports or members; "
				    "release that, which leases tells of, or take another name");
	else if (error == ESRCH)
		lease_refuse_member(request, "pid", "is no process; it may have ended");
	else
		fail_otherwise(request, error);
}
