#include "leases_internal.h"

#include <fcntl.h>

/* Clients that wait to be accepted, as in listen(2). */
#define BACKLOG 4096

/* What is passed. */
struct passing {
	const struct descriptors *descriptors;
	int *fds;
	uint16_t *ports;
	size_t n;
};

static int append(struct passing *passing, int fd, uint16_t port)
{
	if (fd < 0)
		return -errno;
	if (passing->n == LEASES_FDS_MAX) {
		close(fd);
		return -EMSGSIZE;
	}
	/* It may be long until the client reads. */
	if (descriptors_left(passing->descriptors, fd) == 0) {
		close(fd);
		return -EMFILE;
	}
	passing->fds[passing->n] = fd;
	passing->ports[passing->n++] = port;
	return 0;
}

/* A second socket on a shared port: what the client does with it leaves ours as it is. */
static int open_beside(const struct lease *lease, uint16_t port, struct holder *ret_holder)
{
	struct sockaddr_storage space;
	struct holder_request request = {
		.address = lease_sockaddr(lease, &space),
		.port = port,
		.protocol = HOLDER_TCP,
		.mode = HOLDER_SHARED,
		.allow_time_wait = true,
	};

	*ret_holder = (struct holder)HOLDER_INIT;
	return holder_bind(ret_holder, &request);
}

static int add_port(const struct lease *lease, const struct lease_port *port, bool listening,
		    struct passing *passing)
{
	struct holding *holding = port->holder;
	struct holder own = HOLDER_INIT, *tcp = &own;
	int r = 0;

	if (!holding)
		return -EADDRINUSE;
	if (holding->holder.tcp >= 0 && lease->hold == LEASE_EXCLUSIVE)
		tcp = &holding->holder;
	else if (holding->holder.tcp >= 0)
		r = open_beside(lease, port->port, &own);
	if (r >= 0 && listening)
		r = holder_listen(tcp, BACKLOG);
	if (r >= 0)
		r = holder_hand_over(&holding->holder);
	if (r >= 0 && tcp->tcp >= 0)
		r = append(passing, fcntl(tcp->tcp, F_DUPFD_CLOEXEC, 3), port->port);
	if (r >= 0 && holding->holder.udp >= 0)
		r = append(passing, fcntl(holding->holder.udp, F_DUPFD_CLOEXEC, 3), port->port);
	holder_deinit(&own);
	return r;
}

int leases_descriptors(struct leases *leases, struct lease *lease, bool listening,
		       int fds[static LEASES_FDS_MAX], uint16_t ports[static LEASES_FDS_MAX],
		       size_t *ret_n)
{
	struct passing passing = { .descriptors = &leases->daemon->descriptors,
				   .fds = fds,
				   .ports = ports };
	int r = 0;

	if (lease->hold == LEASE_UNHELD || (listening && lease->protocol == LEASE_UDP))
		return -EOPNOTSUPP;
	for (size_t i = 0; i < lease->n_ports && r >= 0; i++)
		r = add_port(lease, &lease->ports[i], listening, &passing);
	if (r < 0) {
		while (passing.n > 0)
			close(passing.fds[--passing.n]);
		return r;
	}
	*ret_n = passing.n;
	return 0;
}

void leases_handed_over(struct leases *leases, struct lease *lease)
{
	/*
	 * A copy of ours would listen on after the server is gone, and its clients would wait
	 * for nobody. Once the client's are closed the port is held again.
	 */
	for (size_t i = 0; i < lease->n_ports && lease->hold == LEASE_EXCLUSIVE; i++)
		holding_free(steal(lease->ports[i].holder));
	leases_changed(leases);
}
