#include "leases_internal.h"
#include "log.h"

#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define PIDFS_MAGIC 0x50494446

uint64_t process_tag(pid_t pid)
{
	_cleanup_(closep)
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct statfs file_system;
	struct stat status;

	if (fd < 0 || fstatfs(fd, &file_system) < 0 || file_system.f_type != PIDFS_MAGIC ||
	    fstat(fd, &status) < 0)
		return 0;
	return status.st_ino;
}

/* Whether its sockets may be kept: by users but root at most half of what the others leave. */
static bool may_keep(const struct leases *leases, const struct lease *lease,
		     const struct holding *holding)
{
	size_t own = lease->uid == 0
			     ? 0
			     : lease_table_charge(leases->table, lease->uid) + lease->n_ports;
	int fds[2];
	unsigned n = holding ? holder_fds(&holding->holder, fds) : 0;

	for (unsigned i = 0; i < n; i++)
		if (descriptors_left(&leases->daemon->descriptors, fds[i]) <= own)
			return false;
	return true;
}

static int hold(void *userdata, const struct lease *lease, uint16_t port, void **ret_holder)
{
	struct leases *leases = userdata;
	struct holding *holding;
	int r;

	r = holding_new(&holding, lease, port, leases->allow_time_wait, leases->parking);
	if (r < 0)
		return r;
	if (!may_keep(leases, lease, holding)) {
		holding_free(holding);
		return -EMFILE;
	}
	*ret_holder = holding;
	return 0;
}

/* Whether it is the user of the lease who listens there, so that nobody else can have it. */
static bool is_kept_by_server(struct leases *leases, const struct lease *lease, uint16_t port)
{
	static const struct in_addr loopback = { .s_addr = 0x0100007f };
	struct sockaddr_storage space;
	const struct sockaddr *address = lease_sockaddr(lease, &space);
	struct sockdiag *sockdiag = leases->daemon->sockdiag;
	struct sockdiag_socket listener;
	int r;

	if (address) {
		r = sockdiag_lookup_listener(sockdiag, address->sa_family,
					     address_bytes(
						     (const union address *)(const void *)address),
					     port, &listener);
	} else {
		r = sockdiag_lookup_listener(sockdiag, AF_INET, &loopback, port, &listener);
		if (r == -ENOENT)
			r = sockdiag_lookup_listener(sockdiag, AF_INET6, &in6addr_loopback, port,
						     &listener);
	}
	return r == 0 && listener.uid == lease->uid;
}

static int hold_again(void *userdata, const struct lease *lease, uint16_t port, void **ret_holder)
{
	struct leases *leases = userdata;
	struct holding *holding = NULL;
	int r = -ENOENT;

	if (lease->hold == LEASE_UNHELD)
		return 0;
	if (leases->finds.n > 0)
		r = holding_new_found(&holding, lease, port, &leases->finds);
	if (r == -ENOENT)
		r = holding_new(&holding, lease, port, false, leases->parking);
	if (r == -EADDRINUSE && is_kept_by_server(leases, lease, port))
		/* Its own server listens. Held again by us when that ends: see hold_missing(). */
		return 0;
	if (r == -EADDRINUSE)
		log_warning("port %d of lease %016llx was taken by somebody else while it was not "
			    "held; it is not given out again as long as that is so",
			    (int)port, (unsigned long long)lease->id);
	if (r >= 0)
		*ret_holder = holding;
	return r;
}

static void drop(void *userdata, const struct lease *lease, uint16_t port, void *holder)
{
	(void)userdata;
	(void)lease;
	(void)port;
	holding_free(holder);
}

static int listens(void *userdata, const struct lease *lease, uint16_t port)
{
	struct leases *leases = userdata;

	(void)lease;
	if (!leases->has_looked)
		return -EAGAIN;
	return bitmap_get(&leases->listening, port);
}

static int record(void *userdata, const struct lease *lease)
{
	struct leases *leases = userdata;
	int r;

	if (leases->is_restoring)
		return 0;
	if (leases->journal) {
		r = journal_put(leases->journal, lease);
		leases->problem = r < 0 ? -r : 0;
	}
	/* The same errnos would be about ports. */
	return leases->problem ? -EIO : 0;
}

static void erase(void *userdata, const struct lease *lease)
{
	struct leases *leases = userdata;

	if (leases->journal && !leases->is_restoring)
		journal_erase(leases->journal, lease);
}

static uint64_t random_id(void *userdata)
{
	uint64_t id = 0;

	(void)userdata;
	/* 64 bits never fail and never wait once the system is up. */
	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		log_error("there is no randomness to be had: %s", strerror(errno));
	return id;
}

const struct lease_ops leases_ops = {
	.hold = hold,
	.hold_again = hold_again,
	.drop = drop,
	.listens = listens,
	.record = record,
	.erase = erase,
	.random = random_id,
};
