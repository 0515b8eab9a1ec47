#include "target.h"

#include "daemon.h"
#include "peer.h"
#include "route.h"

#include <stdio.h>

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

static void deny(struct target *target, bool is_for_all)
{
	struct error error = { 0 };

	error_set(&error, ERROR_TARGET_DENIED, json_pack("{ss}", "host", target->host),
		  is_for_all
			  ? "%.80s may not be probed by anybody, as the administrator has it; ask "
			    "for another rule than its --deny"
			  : "%.80s may not be probed by you; ask the administrator to put you into "
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
			deny(target,
			     !policy_allows(&daemon->config.policy, &address, is_local, true));
			return;
		}
	}
	target->ready(target);
}

/* Nobody knows which of them would do, and asking them all is a stranger's sweep of hosts. */
static void fail_many(struct target *target)
{
	struct error error = { 0 };
	char detail[64];

	snprintf(detail, sizeof(detail), "the name has more than %u addresses", ADDRESSES_MAX);
	error_set(&error, ERROR_NOT_SUPPORTED, json_pack("{ss}", "detail", detail),
		  "%.80s has more than %u addresses; give the one that you mean", target->host,
		  ADDRESSES_MAX);
	request_abort(target->request, &error);
	error_deinit(&error);
}

static void on_looked_up(void *userdata, const struct address_list *addresses, const char *detail,
			 int short_of)
{
	struct target *target = userdata;
	struct error error = { 0 };
	int r = short_of == ENOMEM ? -ENOMEM : 0;

	target->lookup = NULL;
	if (short_of == E2BIG) {
		fail_many(target);
		return;
	}
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

static bool lacks_interface(const union address *address)
{
	return address->sa.sa_family == AF_INET6 && address->in6.sin6_scope_id == 0 &&
	       IN6_IS_ADDR_LINKLOCAL(&address->in6.sin6_addr);
}

/* `why` follows the host. */
static int fail_host(struct target *target, const char *why)
{
	struct error error = { 0 };

	error_set(&error, ERROR_INVALID_PARAMETER, json_pack("{ss}", "parameter", "host"),
		  "host is \"%.80s\"%s", target->host, why);
	request_abort(target->request, &error);
	error_deinit(&error);
	return 0;
}

int target_start(struct target *target, struct request *request, const char *host)
{
	int r;

	target->host = host;
	target->request = request;
	r = host_parse(&target->addresses, host);
	if (r == 1 && lacks_interface(&target->addresses.addresses[0]))
		return fail_host(target, ", which is another one on each link; add "
					 "the interface, as in fe80::1%eth0");
	if (r == 1) {
		target_judge(target);
		return 0;
	}
	if (r == 0)
		return resolver_start(request->daemon->resolver, request->connection->user, host,
				      on_looked_up, target, &target->lookup);
	if (r == -ENODEV)
		return fail_host(target, ", and there is no such interface; see ip link");
	if (r == -EINVAL)
		return fail_host(target, "; it must be a host name or an IP address, "
					 "such as localhost, 127.0.0.1 or ::1");
	return r;
}

void target_deinit(struct target *target)
{
	lookup_cancel(target->lookup);
	target->lookup = NULL;
	address_list_deinit(&target->addresses);
}
