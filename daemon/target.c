#include "target.h"

#include "daemon.h"
#include "peer.h"
#include "route.h"

/* Whether the client may probe foreign hosts, as of its connect(): root, our user, or the group. */
static bool is_trusted(const struct connection *connection)
{
	uid_t uid = connection->user->uid;

	return uid == 0 || uid == geteuid() ||
	       peer_is_in_group(connection->fd, connection->daemon->trusted_group);
}

static void fail(struct target *target, const char *resource)
{
	struct error error = { 0 };

	error_set(&error, ERROR_RESOURCES_EXHAUSTED, json_pack("{ss}", "resource", resource),
		  "the daemon is short of %s; try again later", resource);
	request_abort(target->request, &error);
	error_deinit(&error);
}

static void deny(struct target *target)
{
	struct error error = { 0 };

	error_set(&error, ERROR_TARGET_DENIED, json_pack("{ss}", "host", target->host),
		  "%.80s may not be probed by you; ask the administrator to put you into "
		  "the group " TRUSTED_GROUP ", or to --allow the host",
		  target->host);
	request_abort(target->request, &error);
	error_deinit(&error);
}

/* Every address counts: a name may be anybody's, and its addresses may be of any host. */
void target_judge(struct target *target)
{
	struct daemon *daemon = target->request->daemon;

	for (size_t i = 0; i < target->addresses.n_addresses; i++) {
		union address address = address_destination(&target->addresses.addresses[i]);
		int is_local = route_is_local(&daemon->route, &address);

		if (is_local < 0) {
			fail(target, "memory");
			return;
		}
		if (!policy_allows(&daemon->config.policy, &address, is_local,
				   !is_local && is_trusted(target->request->connection))) {
			deny(target);
			return;
		}
	}
	target->ready(target);
}

static void on_looked_up(void *userdata, const struct address_list *addresses, const char *detail,
			 int short_of)
{
	struct target *target = userdata;
	struct error error = { 0 };
	int r = short_of == ENOMEM ? -ENOMEM : 0;

	target->lookup = NULL;
	for (size_t i = 0; i < addresses->n_addresses && r >= 0; i++)
		r = address_list_add(&target->addresses, &addresses->addresses[i]);
	if (r < 0) {
		fail(target, "memory");
		return;
	}
	if (short_of) {
		fail(target, "descriptors");
		return;
	}
	if (addresses->n_addresses > 0) {
		target_judge(target);
		return;
	}
	error_set(&error, ERROR_NAME_NOT_FOUND,
		  json_pack("{ss,ss}", "host", target->host, "detail", detail),
		  "no address is known for %.80s (%s); check the name, or the name servers in "
		  "resolv.conf",
		  target->host, detail);
	request_abort(target->request, &error);
	error_deinit(&error);
}

int target_start(struct target *target, struct request *request, const char *host)
{
	struct error error = { 0 };
	int r;

	target->host = host;
	target->request = request;
	r = host_parse(&target->addresses, host);
	if (r == 1) {
		target_judge(target);
		return 0;
	}
	if (r == 0)
		return resolver_start(request->daemon->resolver, request->connection->user, host,
				      on_looked_up, target, &target->lookup);
	if (r != -EINVAL && r != -ENODEV)
		return r;

	error_set(&error, ERROR_INVALID_PARAMETER, json_pack("{ss}", "parameter", "host"),
		  r == -ENODEV ? "host is \"%.80s\", and there is no such interface; see ip link"
			       : "host is \"%.80s\"; it must be a host name or an IP address, "
				 "such as localhost, 127.0.0.1 or ::1",
		  host);
	request_abort(target->request, &error);
	error_deinit(&error);
	return 0;
}

void target_deinit(struct target *target)
{
	lookup_cancel(target->lookup);
	target->lookup = NULL;
	address_list_deinit(&target->addresses);
}
