#include "portserver.h"

#include "daemon.h"
#include "leases.h"
#include "log.h"

#include <string.h>

bool portserver_is_message(const char *data, size_t size)
{
	if (size > 0 && data[0] == '-') {
		data++;
		size--;
	}
	for (size_t i = 0; i < size; i++)
		if (data[i] < '0' || data[i] > '9')
			return false;
	return size > 0;
}

/* -EINVAL for numbers that can't be the client's pid. */
static int parse_pid(const char *data, size_t size, pid_t *ret_pid)
{
	int64_t pid = 0;

	if (data[0] == '-')
		return -EINVAL;
	for (size_t i = 0; i < size && pid <= INT32_MAX; i++)
		pid = pid * 10 + (data[i] - '0');
	/* 1 is the pid of who started the service: a client that sends it counts wrong. */
	if (pid <= 1 || pid > INT32_MAX)
		return -EINVAL;
	*ret_pid = (pid_t)pid;
	return 0;
}

void portserver_answer(struct connection *connection, const char *data, size_t size)
{
	struct daemon *daemon = connection->daemon;
	struct lease_request request = {
		.uid = connection->user->uid,
		.count = 1,
		.protocol = LEASE_BOTH,
		.hold = LEASE_UNHELD,
		.until = LEASE_PROCESS,
		.address = "*",
		.limit = connection->user->uid == 0 ? 0 : daemon->config.leases_per_user,
	};
	struct lease *lease;
	int r = daemon->leases ? parse_pid(data, size, &request.pid) : -EOPNOTSUPP;

	if (r >= 0)
		r = leases_grant(daemon->leases, &request, -EBADF, false, &lease);
	if (r < 0 && daemon->leases)
		leases_count_refusal(daemon->leases);
	if (r < 0) {
		log_debug("no port for %.*s: %s", (int)size, data, strerror(-r));
		return;
	}
	r = buffer_printf(&connection->output.buffer, "%d\n", (int)lease->ports[0].port);
	if (r < 0)
		lease_table_end(leases_table(daemon->leases), lease, leases_now());
}
