/* leases.c: calls about ports of this host: may I have one, and who has it. */

#include "methods.h"

#include <assert.h>

static_assert((int)PORTSCAN_TCP == (int)PROTOCOL_TCP && (int)PORTSCAN_BOTH == (int)PROTOCOL_BOTH,
	      "enum portscan_protocol");
static_assert((int)PORTSCAN_HOLD_SHARED == (int)HOLD_SHARED &&
		      (int)PORTSCAN_HOLD_NONE == (int)HOLD_NONE,
	      "enum portscan_hold");
static_assert((int)PORTSCAN_UNTIL_CLAIMED == (int)UNTIL_CLAIMED &&
		      (int)PORTSCAN_UNTIL_RELEASED == (int)UNTIL_RELEASED,
	      "enum portscan_until");
static_assert((int)PORTSCAN_LEASE_HELD == (int)STATE_HELD &&
		      (int)PORTSCAN_LEASE_QUARANTINED == (int)STATE_QUARANTINED,
	      "enum portscan_lease_state");
static_assert(sizeof(((struct portscan_lease_info *)0)->name) > NAME_MAX_BYTES &&
		      sizeof(((struct portscan_lease_info *)0)->address) >= ADDRESS_SIZE,
	      "a name or an address may be cut off");

/* On the wire `fds` are ports; the descriptors themselves come beside it. */
struct lease_received {
	struct portscan_lease_info lease;
	uint16_t port;
	uint16_t *fds;
	size_t n_fds;
};

static const struct field lease_info[] = { LEASE_INFO(struct portscan_lease_info, ROW_TEXT,
						      ROW_TEXT) };
static const struct field lease_params[] = { LEASE_PARAMS(struct portscan_lease_args) };
static const struct field lease_result[] = { LEASE_RESULT(struct lease_received, lease_info) };
static const struct field renew_params[] = { RENEW_PARAMS(struct portscan_renew_args) };
static const struct field renew_result[] = { RENEW_RESULT(struct portscan_renew_result,
							  lease_info) };
static const struct field release_params[] = { RELEASE_PARAMS(struct portscan_release_args) };
static const struct field leases_params[] = { LEASES_PARAMS(struct portscan_leases_args) };
static const struct field leases_result[] = {
	LEASES_RESULT(struct portscan_leases_result, lease_info, struct portscan_lease_info)
};
static const struct field who_params[] = { WHO_PARAMS(struct portscan_who_args) };
static const struct field who_socket[] = { SOCKET(struct portscan_socket, ROW_TEXT, ROW_TEXT) };
static const struct field who_result[] = { WHO_RESULT(struct portscan_who_result, who_socket,
						      struct portscan_socket, lease_info) };

const char *portscan_protocol_name(enum portscan_protocol protocol)
{
	return name_of(protocol_names, (int)protocol);
}

const char *portscan_hold_name(enum portscan_hold hold)
{
	return name_of(hold_names, (int)hold);
}

const char *portscan_until_name(enum portscan_until until)
{
	return name_of(until_names, (int)until);
}

const char *portscan_lease_state_name(enum portscan_lease_state state)
{
	return name_of(state_names, (int)state);
}

/* Results */

static int decode_lease(const json_t *json, void *ret_result)
{
	struct portscan_lease_result *result = ret_result;
	struct lease_received received;
	int r;

	r = result_decode(lease_result, json, &received);
	if (r < 0)
		return r;
	*result = (struct portscan_lease_result){
		.lease = received.lease,
		.port = received.port,
		.fd_ports = received.fds,
		.n_fds = received.n_fds,
	};
	return 0;
}

static int decode_renew(const json_t *json, void *ret_result)
{
	return result_decode(renew_result, json, ret_result);
}

static int decode_release(const json_t *json, void *ret_result)
{
	return result_decode(no_fields, json, ret_result);
}

static int decode_leases(const json_t *json, void *ret_result)
{
	return result_decode(leases_result, json, ret_result);
}

static int decode_who(const json_t *json, void *ret_result)
{
	return result_decode(who_result, json, ret_result);
}

void portscan_lease_result_clear(struct portscan_lease_result *result)
{
	for (size_t i = 0; result->fds && i < result->n_fds; i++)
		if (result->fds[i] >= 0)
			close(result->fds[i]);
	free(result->fds);
	free(result->fd_ports);
	schema_clear(lease_info, &result->lease);
	*result = (struct portscan_lease_result){ 0 };
}

void portscan_renew_result_clear(struct portscan_renew_result *result)
{
	schema_clear(renew_result, result);
	*result = (struct portscan_renew_result){ 0 };
}

void portscan_leases_result_clear(struct portscan_leases_result *result)
{
	schema_clear(leases_result, result);
	*result = (struct portscan_leases_result){ 0 };
}

void portscan_who_result_clear(struct portscan_who_result *result)
{
	schema_clear(who_result, result);
	*result = (struct portscan_who_result){ 0 };
}

static void clear_lease(void *result)
{
	portscan_lease_result_clear(result);
}

static void clear_renew(void *result)
{
	portscan_renew_result_clear(result);
}

static void clear_leases(void *result)
{
	portscan_leases_result_clear(result);
}

static void clear_who(void *result)
{
	portscan_who_result_clear(result);
}

static int check_descriptors(const struct portscan_lease_result *result,
			     const struct descriptors *descriptors)
{
	for (size_t i = 0; i < descriptors->n; i++)
		if (descriptors->fds[i] < 0)
			return descriptors->fds[i];
	return descriptors->n == result->n_fds ? 0 : -EBADMSG;
}

static int take_descriptors(struct portscan *p, void *result_, struct descriptors *descriptors)
{
	struct portscan_lease_result *result = result_;
	struct portscan_release_args args = { .lease = result->lease.lease };
	int r;

	r = check_descriptors(result, descriptors);
	if (r < 0) {
		/* The ports are of no use without; should this fail as well, they run out. */
		(void)portscan_release_start(p, &args, NULL, NULL, NULL);
		return r;
	}
	result->fds = descriptors->fds;
	*descriptors = (struct descriptors){ 0 };
	return 0;
}

static const struct method lease = { sizeof(struct portscan_lease_result), decode_lease,
				     clear_lease, take_descriptors };
static const struct method renew = { sizeof(struct portscan_renew_result), decode_renew,
				     clear_renew, NULL };
static const struct method release = { 0, decode_release, result_clear_nothing, NULL };
static const struct method leases = { sizeof(struct portscan_leases_result), decode_leases,
				      clear_leases, NULL };
static const struct method who = { sizeof(struct portscan_who_result), decode_who, clear_who,
				   NULL };

/* Calls: each blocks, or is started */

int portscan_lease(struct portscan *p, const struct portscan_lease_args *args,
		   struct portscan_lease_result *ret_result)
{
	return connection_call(p, (struct pending_call){ .method = &lease }, method_lease.jsonrpc,
			       lease_params, args, ret_result);
}

int portscan_lease_start(struct portscan *p, const struct portscan_lease_args *args,
			 portscan_done_fn *done, void *userdata, uint64_t *ret_id)
{
	struct pending_call call = { .method = &lease, .done = done, .userdata = userdata };

	return connection_start(p, call, method_lease.jsonrpc, lease_params, args, ret_id);
}

int portscan_renew(struct portscan *p, const struct portscan_renew_args *args,
		   struct portscan_renew_result *ret_result)
{
	return connection_call(p, (struct pending_call){ .method = &renew }, method_renew.jsonrpc,
			       renew_params, args, ret_result);
}

int portscan_renew_start(struct portscan *p, const struct portscan_renew_args *args,
			 portscan_done_fn *done, void *userdata, uint64_t *ret_id)
{
	struct pending_call call = { .method = &renew, .done = done, .userdata = userdata };

	return connection_start(p, call, method_renew.jsonrpc, renew_params, args, ret_id);
}

int portscan_release(struct portscan *p, const struct portscan_release_args *args)
{
	char nothing;

	return connection_call(p, (struct pending_call){ .method = &release },
			       method_release.jsonrpc, release_params, args, &nothing);
}

int portscan_release_start(struct portscan *p, const struct portscan_release_args *args,
			   portscan_done_fn *done, void *userdata, uint64_t *ret_id)
{
	struct pending_call call = { .method = &release, .done = done, .userdata = userdata };

	return connection_start(p, call, method_release.jsonrpc, release_params, args, ret_id);
}

int portscan_leases(struct portscan *p, const struct portscan_leases_args *args,
		    struct portscan_leases_result *ret_result)
{
	return connection_call(p, (struct pending_call){ .method = &leases }, method_leases.jsonrpc,
			       leases_params, args, ret_result);
}

int portscan_leases_start(struct portscan *p, const struct portscan_leases_args *args,
			  portscan_done_fn *done, void *userdata, uint64_t *ret_id)
{
	struct pending_call call = { .method = &leases, .done = done, .userdata = userdata };

	return connection_start(p, call, method_leases.jsonrpc, leases_params, args, ret_id);
}

int portscan_who(struct portscan *p, const struct portscan_who_args *args,
		 struct portscan_who_result *ret_result)
{
	return connection_call(p, (struct pending_call){ .method = &who }, method_who.jsonrpc,
			       who_params, args, ret_result);
}

int portscan_who_start(struct portscan *p, const struct portscan_who_args *args,
		       portscan_done_fn *done, void *userdata, uint64_t *ret_id)
{
	struct pending_call call = { .method = &who, .done = done, .userdata = userdata };

	return connection_start(p, call, method_who.jsonrpc, who_params, args, ret_id);
}
