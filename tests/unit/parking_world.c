/* parking_world.c: daemons that park leases and are killed. */

#include "parking_world.h"

#include "somebody.h"
#include "util.h"

#include <check.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct shared *shared;
struct lease leases[MANY];

void world_start(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);

	/* Where we may: what is free here stays free, whatever else runs on the host. */
	(void)own_network(20000, 60999);
	manager_start();

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	for (unsigned i = 0; i < MANY; i++) {
		leases[i].holder = (struct holder)HOLDER_INIT;
		parked_init(&leases[i].parked);
	}
}

void world_stop(void)
{
	manager_stop();
	munmap(shared, sizeof(*shared));
}

struct parking *parking_start(void)
{
	struct parking *parking;

	ck_assert_int_eq(parking_new(&parking, parking_notify_manager, NULL), 0);
	return parking;
}

int lease_start(struct lease *lease, struct parking *parking, enum holder_protocol protocol)
{
	struct holder_request request = { .protocol = protocol, .mode = HOLDER_SHARED };
	int fds[2], r;

	lease->holder = (struct holder)HOLDER_INIT;
	parked_init(&lease->parked);
	r = holder_bind(&lease->holder, &request);
	if (r < 0)
		return r;
	holder_fds(&lease->holder, fds);
	return parking_add(parking, &lease->parked, fds[0]);
}

void lease_end(struct lease *lease)
{
	parked_remove(&lease->parked);
	holder_deinit(&lease->holder);
}

void kill_and_reap(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}

void wait_for(volatile unsigned *counter, unsigned value)
{
	for (unsigned i = 0; i < 60000 && *counter < value; i++)
		usleep(1000);
	ck_assert_uint_ge(*counter, value);
}

pid_t start_killed_daemon(unsigned n, enum holder_protocol protocol)
{
	struct parking *parking;
	pid_t pid;

	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	parking = parking_start();
	for (unsigned i = 0; i < n; i++) {
		if (lease_start(&leases[i], parking, protocol) < 0)
			_exit(1);
		shared->ports[i] = leases[i].holder.port;
		shared->held[leases[i].holder.port] = 1;
		shared->n = i + 1;
	}
	for (;;)
		pause();
}

void find_all(const struct parking_sockets *sockets, unsigned n)
{
	struct holder_identity identity;

	ck_assert_uint_eq(sockets->n, n);
	for (size_t i = 0; i < sockets->n; i++) {
		ck_assert_int_eq(holder_identify(sockets->items[i].fd, &identity), 0);
		ck_assert_int_eq(shared->held[identity.port], 1);
		shared->held[identity.port] = 0;
	}
}
