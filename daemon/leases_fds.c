#include "leases_internal.h"

#include <fcntl.h>
#include <limits.h>

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

/* Sockets of the client's own on a shared port: what it does with them leaves ours as they are. */
static int open_beside(const struct lease *lease, uint16_t port, struct holder *ret_holder)
{
	union address address;
	struct holder_request request = {
		.port = port,
		.protocol = lease_holder_protocol(lease),
		.mode = HOLDER_SHARED,
		.beside = true,
	};
	int r = lease_address(lease, &address);

	if (r < 0)
		return r;
	request.address = r > 0 ? &address.sa : NULL;
	return holder_bind(ret_holder, &request);
}

static int add_port(const struct lease *lease, const struct lease_port *port,
		    struct passing *passing)
{
	struct holding *holding = port->holder;
	struct holder beside = HOLDER_INIT, *holder = &beside;
	int fds[2], r = 0;
	unsigned n;

	if (lease->hold == LEASE_SHARED)
		r = open_beside(lease, port->port, &beside);
	else if (holding)
		holder = &holding->holder;
	else
		r = -EADDRINUSE;
	if (r >= 0)
		r = holder_hand_over(holder);
	n = holder_fds(holder, fds);
	for (unsigned i = 0; i < n && r >= 0; i++)
		r = append(passing, fcntl(fds[i], F_DUPFD_CLOEXEC, 3), port->port);
	holder_deinit(&beside);
	return r;
}

/* Last: a socket of our own that listens, and nobody has it, would be a server that never answers. */
static int listen_on_all(const struct passing *passing)
{
	for (size_t i = 0; i < passing->n; i++)
		/* Of both protocols one can't. */
		if (listen(passing->fds[i], BACKLOG) < 0 && errno != EOPNOTSUPP)
			return -errno;
	return 0;
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
		r = add_port(lease, &lease->ports[i], &passing);
	if (r >= 0 && listening)
		r = listen_on_all(&passing);
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
	bool was_parked = false;

	/*
	 * A copy of ours would listen on after the server is gone, and its clients would wait
	 * for nobody. Once the client's are closed the port is held again.
	 */
	if (lease->hold != LEASE_EXCLUSIVE)
		return;
	for (size_t i = 0; i < lease->n_ports; i++) {
		struct holding *holding = steal(lease->ports[i].holder);

		was_parked |= holding && holding_is_parked(holding);
		holding_free(holding);
	}
	/* At once, or else the next daemon could find it. What fails is tidied up by the next round. */
	if (was_parked)
		parking_tidy(leases->parking, UINT_MAX);
}
