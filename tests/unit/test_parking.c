/* test_parking.c: held sockets survive the daemon, in the store of a manager that the test plays. */

#include "holder.h"
#include "parking.h"
#include "util.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

#define MANY      10000
#define STORE_MAX 32
#define ROUNDS    25
#define CHURN     600

/* A service manager as far as its descriptor store goes, on a real notification socket. */
struct manager {
	char folder[64];
	char path[96];
	int fd;
	unsigned messages;
	unsigned n;
	int fds[STORE_MAX];
	char *names[STORE_MAX];
};

static struct manager manager;

/* What a daemon that will be killed tells of itself. */
struct shared {
	volatile unsigned n;
	volatile unsigned attempts;
	volatile unsigned stolen;
	volatile int stop;
	volatile uint16_t ports[MANY];
	volatile unsigned char held[1 << 16]; /* 1: must be there after a crash; 2: may be */
};

static struct shared *shared;

struct lease {
	struct holder holder;
	struct parked parked;
};

static struct lease leases[MANY];

static void setup(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);

	memset(&manager, 0, sizeof(manager));
	strcpy(manager.folder, "/tmp/test_parking.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(manager.folder));
	snprintf(manager.path, sizeof(manager.path), "%s/notify", manager.folder);
	memcpy(address.sun_path, manager.path, sizeof(manager.path));
	manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(manager.fd, 0);
	ck_assert_int_eq(bind(manager.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", manager.path, 1), 0);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	for (unsigned i = 0; i < MANY; i++) {
		leases[i].holder = (struct holder)HOLDER_INIT;
		parked_init(&leases[i].parked);
	}
}

static void manager_forget(unsigned i)
{
	close(manager.fds[i]);
	free(manager.names[i]);
	manager.n--;
	manager.fds[i] = manager.fds[manager.n];
	manager.names[i] = manager.names[manager.n];
}

static void teardown(void)
{
	while (manager.n > 0)
		manager_forget(0);
	close(manager.fd);
	unlink(manager.path);
	rmdir(manager.folder);
	munmap(shared, sizeof(*shared));
}

static void manager_handle(char *state, const int fds[], unsigned n_fds)
{
	char *name = strstr(state, "FDNAME=");
	char *rest;

	manager.messages++;
	ck_assert_ptr_nonnull(name);
	name += strlen("FDNAME=");
	name = strtok_r(name, "\n", &rest);
	ck_assert(parking_is_ours(name));

	if (strncmp(state, "FDSTORE=1\nFDPOLL=0\n", strlen("FDSTORE=1\nFDPOLL=0\n")) == 0) {
		ck_assert_uint_eq(n_fds, 2);
		for (unsigned i = 0; i < n_fds; i++) {
			ck_assert_uint_lt(manager.n, STORE_MAX);
			manager.fds[manager.n] = fds[i];
			manager.names[manager.n++] = strdup(name);
		}
		return;
	}
	ck_assert_int_eq(strncmp(state, "FDSTOREREMOVE=1\n", strlen("FDSTOREREMOVE=1\n")), 0);
	ck_assert_uint_eq(n_fds, 0);
	for (unsigned i = 0; i < manager.n;)
		if (strcmp(manager.names[i], name) == 0)
			manager_forget(i);
		else
			i++;
}

/* Handles the notifications there are; a service manager need not be quick. */
static void manager_run(void)
{
	union {
		struct cmsghdr header;
		char space[256];
	} control;
	char state[512];
	struct iovec payload = { .iov_base = state, .iov_len = sizeof(state) - 1 };
	struct msghdr header = { .msg_iov = &payload, .msg_iovlen = 1 };
	struct cmsghdr *message;
	ssize_t size;
	int fds[16];
	unsigned n;

	for (;;) {
		header.msg_control = control.space;
		header.msg_controllen = sizeof(control.space);
		size = recvmsg(manager.fd, &header, MSG_CMSG_CLOEXEC);
		if (size < 0)
			break;
		state[size] = '\0';
		n = 0;
		for (message = CMSG_FIRSTHDR(&header); message;
		     message = CMSG_NXTHDR(&header, message)) {
			if (message->cmsg_type != SCM_RIGHTS)
				continue;
			n = (unsigned)((message->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(message), n * sizeof(int));
		}
		manager_handle(state, fds, n);
	}
	ck_assert_int_eq(errno, EAGAIN);
}

/* As the next daemon gets it, in an order that says nothing. */
static int manager_restore(struct parking *parking, struct parking_sockets *ret_sockets)
{
	int fds[STORE_MAX], r;

	for (unsigned i = 0; i < manager.n; i++) {
		fds[i] = fcntl(manager.fds[i], F_DUPFD_CLOEXEC, 3);
		if (fds[i] < 0)
			return -errno;
	}
	for (unsigned i = 0; i + 1 < manager.n; i += 2)
		if (random() % 2) {
			r = fds[i];
			fds[i] = fds[i + 1];
			fds[i + 1] = r;
		}
	return parking_restore(parking, fds, manager.names, manager.n, ret_sockets);
}

static struct parking *parking_start(void)
{
	struct parking *parking;

	ck_assert_int_eq(parking_new(&parking, parking_notify_manager, NULL), 0);
	return parking;
}

static int lease_start(struct lease *lease, struct parking *parking, enum holder_protocol protocol)
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

static void lease_end(struct lease *lease)
{
	parked_remove(&lease->parked);
	holder_deinit(&lease->holder);
}

static void kill_and_reap(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}

/* How many of what the store has can be leased from, for tests: MANY if the limit allows. */
static unsigned many(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	return limit.rlim_cur > MANY + 500 ? MANY : (unsigned)limit.rlim_cur / 2;
}

static void wait_for(volatile unsigned *counter, unsigned value)
{
	for (unsigned i = 0; i < 60000 && *counter < value; i++)
		usleep(1000);
	ck_assert_uint_ge(*counter, value);
}

static pid_t start_killed_daemon(unsigned n, enum holder_protocol protocol)
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

static pid_t start_thief(unsigned n)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	for (unsigned i = 0; !shared->stop; i = (i + 1) % n) {
		if (bind_try(NULL, shared->ports[i], HOLDER_TCP) != -EADDRINUSE)
			shared->stolen++;
		shared->attempts++;
	}
	_exit(0);
}

static void find_all(const struct parking_sockets *sockets, unsigned n)
{
	struct holder_identity identity;

	ck_assert_uint_eq(sockets->n, n);
	for (size_t i = 0; i < sockets->n; i++) {
		ck_assert_int_eq(holder_identify(sockets->items[i].fd, &identity), 0);
		ck_assert_int_eq(shared->held[identity.port], 1);
		shared->held[identity.port] = 0;
	}
}

START_TEST(ten_thousand_ports_are_never_free)
{
	struct parking_sockets sockets;
	struct parking_counts counts;
	struct parking *parking;
	unsigned n = many();
	pid_t daemon, thief;
	int status;

	daemon = start_killed_daemon(n, HOLDER_TCP);
	wait_for(&shared->n, n);
	thief = start_thief(n);
	kill_and_reap(daemon);
	manager_run();
	/* Two pairs, however many leases. */
	ck_assert_uint_eq(manager.messages, 2);
	ck_assert_uint_eq(manager.n, 4);
	/* Every port, while no daemon is there. */
	wait_for(&shared->attempts, shared->attempts + 2 * n);

	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), 0);
	find_all(&sockets, n);
	for (unsigned i = 0; i < n; i++)
		parking_claim(&sockets.items[i], &leases[i].parked);
	parking_count(parking, &counts);
	ck_assert_uint_eq(counts.alive, n);
	ck_assert_uint_le(counts.messages, 278 + n / 253 + n / 278 + 1);
	wait_for(&shared->attempts, shared->attempts + n);

	shared->stop = 1;
	ck_assert_int_eq(waitpid(thief, &status, 0), thief);
	ck_assert_uint_eq(shared->stolen, 0);

	/* And then all of them are. */
	for (unsigned i = 0; i < n; i++) {
		close(leases[i].parked.fd);
		parked_remove(&leases[i].parked);
	}
	parking_sockets_free(&sockets);
	ck_assert(!parking_is_untidy(parking));
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(bind_try(NULL, shared->ports[i], HOLDER_TCP), 0);
	manager_run();
	ck_assert_uint_eq(manager.messages, 2);
	parking_free(parking);
}
END_TEST

START_TEST(udp_is_parked_as_well)
{
	struct parking_sockets sockets;
	struct parking *parking;
	pid_t daemon;

	daemon = start_killed_daemon(300, HOLDER_UDP);
	wait_for(&shared->n, 300);
	kill_and_reap(daemon);
	manager_run();
	for (unsigned i = 0; i < 300; i++)
		ck_assert_int_eq(bind_try(NULL, shared->ports[i], HOLDER_UDP), -EADDRINUSE);

	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), 0);
	find_all(&sockets, 300);
	parking_sockets_free(&sockets);
	parking_free(parking);
}
END_TEST

START_TEST(what_is_over_is_free_at_once_in_order)
{
	struct parking *parking = parking_start();
	struct lease *lease = &leases[0];
	uint16_t port;

	for (unsigned i = 0; i < 2000; i++) {
		ck_assert_int_eq(lease_start(lease, parking, HOLDER_TCP), 0);
		port = lease->holder.port;
		lease_end(lease);
		ck_assert_int_eq(bind_try(NULL, port, HOLDER_TCP), 0);
	}
	manager_run();
	ck_assert_uint_eq(manager.messages, 1);
	parking_free(parking);
}
END_TEST

START_TEST(what_is_over_behind_the_living_is_free_when_tidied)
{
	struct parking *parking = parking_start();
	struct parking_counts counts;
	uint16_t port;
	unsigned calls = 0;
	int r;

	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(lease_start(&leases[i], parking, HOLDER_TCP), 0);
	for (unsigned i = 1; i < 1000; i += 2) {
		port = leases[i].holder.port;
		lease_end(&leases[i]);
		shared->ports[i] = port;
	}
	ck_assert(parking_is_untidy(parking));
	ck_assert_int_eq(bind_try(NULL, shared->ports[1], HOLDER_TCP), -EADDRINUSE);

	while ((r = parking_tidy(parking, 100)) == 1)
		calls++;
	ck_assert_int_eq(r, 0);
	ck_assert_uint_ge(calls, 1);
	ck_assert(!parking_is_untidy(parking));
	parking_count(parking, &counts);
	ck_assert_uint_eq(counts.alive, 500);
	ck_assert_uint_eq(counts.dead, 0);
	for (unsigned i = 0; i < 1000; i++)
		if (i % 2)
			ck_assert_int_eq(bind_try(NULL, shared->ports[i], HOLDER_TCP), 0);
		else
			lease_end(&leases[i]);
	parking_free(parking);
}
END_TEST

/* One step of a daemon at random. Whatever it does not finish, `held` says what must be there. */
static void churn(struct parking *parking, unsigned n)
{
	struct lease *lease = &leases[random() % n];
	uint16_t port = lease->holder.port;

	if (lease->parked.message) {
		shared->held[port] = 2;
		lease_end(lease);
		shared->held[port] = 0;
	} else {
		if (lease_start(lease, parking, HOLDER_TCP) < 0)
			_exit(2);
		shared->held[lease->holder.port] = 1;
	}
	if (random() % 50 == 0)
		(void)parking_tidy(parking, 200);
}

/* Takes over what was parked: one socket for each port that is held. */
static int take_over(struct parking *parking)
{
	struct parking_sockets sockets;
	struct holder_identity identity;
	unsigned char seen[1 << 16] = { 0 };
	unsigned n = 0;
	int r;

	r = manager_restore(parking, &sockets);
	if (r < 0)
		return 3;
	for (size_t i = 0; i < sockets.n; i++) {
		if (holder_identify(sockets.items[i].fd, &identity) < 0)
			return 4;
		if (shared->held[identity.port] != 1 || seen[identity.port])
			continue;
		seen[identity.port] = 1;
		parking_claim(&sockets.items[i], &leases[n].parked);
		if (holder_adopt(&leases[n].holder, leases[n].parked.fd) < 0)
			return 5;
		n++;
	}
	parking_sockets_free(&sockets);
	/* Lost: what the journal would have, and nobody holds. */
	for (unsigned port = 0; port < 1 << 16; port++) {
		if (shared->held[port] == 1 && !seen[port])
			return 6;
		if (shared->held[port] == 2)
			shared->held[port] = 0;
	}
	return 0;
}

static pid_t start_churning_daemon(unsigned seed)
{
	struct parking *parking;
	pid_t pid = fork();
	int r;

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	srandom(seed);
	parking = parking_start();
	r = take_over(parking);
	if (r != 0)
		_exit(r);
	shared->n++;
	for (;;)
		churn(parking, CHURN);
}

START_TEST(a_crash_loses_nothing_and_holds_nothing_for_ever)
{
	struct parking *parking;
	unsigned messages = 0;
	int r;

	for (unsigned round = 1; round <= ROUNDS; round++) {
		pid_t pid = start_churning_daemon(round);

		wait_for(&shared->n, round);
		usleep((useconds_t)(random() % 40000));
		kill_and_reap(pid);
		manager_run();
	}
	messages = manager.messages;
	ck_assert_uint_le(messages, 2);

	parking = parking_start();
	ck_assert_int_eq(take_over(parking), 0);
	for (unsigned i = 0; i < MANY; i++)
		lease_end(&leases[i]);
	while ((r = parking_tidy(parking, 1000)) == 1)
		;
	ck_assert_int_eq(r, 0);
	for (unsigned port = 0; port < 1 << 16; port++)
		if (shared->held[port])
			ck_assert_int_eq(bind_try(NULL, (uint16_t)port, HOLDER_TCP), 0);
	parking_free(parking);
}
END_TEST

START_TEST(half_a_pair_is_given_up_for_a_whole_one)
{
	struct parking_sockets sockets;
	struct parking *parking;
	char *old;
	pid_t daemon;

	daemon = start_killed_daemon(10, HOLDER_TCP);
	wait_for(&shared->n, 10);
	kill_and_reap(daemon);
	manager_run();
	ck_assert_uint_eq(manager.n, 2);
	/* Only the end that is read from, which is the first in the message. */
	manager_forget(1);
	old = strdup(manager.names[0]);

	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), 0);
	find_all(&sockets, 10);
	for (unsigned i = 0; i < 10; i++)
		parking_claim(&sockets.items[i], &leases[i].parked);
	parking_sockets_free(&sockets);
	ck_assert(parking_is_untidy(parking));
	ck_assert_int_eq(parking_tidy(parking, 1000), 0);
	ck_assert(!parking_is_untidy(parking));
	manager_run();
	/* Stored, removed. */
	ck_assert_uint_eq(manager.messages, 3);
	ck_assert_uint_eq(manager.n, 2);
	ck_assert_str_ne(manager.names[0], old);
	free(old);

	for (unsigned i = 0; i < 10; i++)
		close(leases[i].parked.fd);
	parking_free(parking);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(bind_try(NULL, shared->ports[i], HOLDER_TCP), -EADDRINUSE);
}
END_TEST

START_TEST(too_few_descriptors_take_nothing_away)
{
	struct rlimit limit, low;
	struct parking_sockets sockets = { 0 };
	struct parking *parking;
	pid_t daemon;

	daemon = start_killed_daemon(600, HOLDER_TCP);
	wait_for(&shared->n, 600);
	kill_and_reap(daemon);
	manager_run();

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 400;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), -EMFILE);
	ck_assert_ptr_null(sockets.items);
	parking_free(parking);

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	parking = parking_start();
	ck_assert_int_eq(manager_restore(parking, &sockets), 0);
	find_all(&sockets, 600);
	parking_sockets_free(&sockets);
	parking_free(parking);
}
END_TEST

static int refuse(void *data, const char *state, const int fds[], unsigned n_fds)
{
	(void)state;
	(void)fds;
	(void)n_fds;
	return *(int *)data;
}

START_TEST(a_manager_that_fails_is_reported)
{
	struct parking *parking;
	struct parking_counts counts;
	int answer = -ENOBUFS;

	ck_assert_int_eq(parking_new(&parking, refuse, &answer), 0);
	ck_assert_int_eq(lease_start(&leases[0], parking, HOLDER_TCP), -ENOBUFS);
	ck_assert_ptr_null(leases[0].parked.message);
	parking_count(parking, &counts);
	ck_assert_uint_eq(counts.pairs, 0);
	answer = 0;
	ck_assert_int_eq(parking_add(parking, &leases[0].parked, leases[0].holder.tcp), 0);
	lease_end(&leases[0]);
	parking_free(parking);

	unsetenv("NOTIFY_SOCKET");
	parking = parking_start();
	ck_assert_int_eq(lease_start(&leases[0], parking, HOLDER_TCP), -ENOTCONN);
	lease_end(&leases[0]);
	parking_free(parking);
}
END_TEST

/* The same socket as often as it takes; a socket for each would need more descriptors. */
static unsigned park_until(struct parking *parking, struct parked *parked, unsigned n, int fd,
			   int *ret_error)
{
	int r = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		r = parking_add(parking, &parked[i], fd);
		if (r < 0)
			break;
	}
	*ret_error = r;
	return i;
}

START_TEST(full_pairs_say_so)
{
	const struct holder_request request = { .protocol = HOLDER_TCP };
	const unsigned most = 100000;
	struct parking *parking = parking_start();
	struct parked *parked = calloc(most, sizeof(*parked));
	unsigned n, again = 0;
	int r, fd;

	if (getuid() != 0) {
		/* RLIMIT_NOFILE is in the way. */
		free(parked);
		parking_free(parking);
		return;
	}
	ck_assert_int_eq(holder_bind(&leases[0].holder, &request), 0);
	fd = leases[0].holder.tcp;
	n = park_until(parking, parked, most, fd, &r);
	ck_assert_int_eq(r, -ENOBUFS);
	ck_assert_uint_ge(n, 60000);
	/* Every second, so that no message is empty. */
	for (unsigned i = 0; i < n; i += 2)
		parked_remove(&parked[i]);
	for (unsigned i = 0; i < n; i += 2) {
		r = parking_add(parking, &parked[i], fd);
		if (r < 0)
			break;
		again = i;
	}
	/* But for what the last seal needs. */
	ck_assert_uint_ge(again, n - 2000);
	for (unsigned i = 0; i < n; i++)
		parked_remove(&parked[i]);
	ck_assert(!parking_is_untidy(parking));
	manager_run();
	ck_assert_uint_eq(manager.messages, 2);
	lease_end(&leases[0]);
	parking_free(parking);
	free(parked);
}
END_TEST

/* Run as a user without privileges: returns the error of the first parking_add() that fails. */
static int park_without_rights(struct parking *parking, struct parked *parked, int fd)
{
	struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };
	int r;

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || setuid(61234) < 0)
		return 1;
	park_until(parking, parked, 400, fd, &r);
	return r;
}

START_TEST(the_limit_of_descriptors_in_flight_is_reported)
{
	struct parking *parking;
	struct parked parked[400];
	int status, answer = 0;
	pid_t pid;

	if (getuid() != 0)
		return;
	ck_assert_int_eq(parking_new(&parking, refuse, &answer), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(park_without_rights(parking, parked, manager.fd) == -ETOOMANYREFS ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	parking_free(parking);
}
END_TEST

START_TEST(foreign_descriptors_are_left_alone)
{
	char *names[] = { (char[]){ "portscand.socket" },
			  (char[]){ "portscand-parking-0123456789abcdef" } };
	struct parking *parking = parking_start();
	struct parking_sockets sockets;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(parking_restore(parking, ends, names, 2, &sockets), 0);
	ck_assert_uint_eq(sockets.n, 0);
	ck_assert_int_ge(fcntl(ends[0], F_GETFD), 0);
	/* Under our name, but no socket pair. */
	ck_assert_int_lt(fcntl(ends[1], F_GETFD), 0);
	close(ends[0]);
	parking_sockets_free(&sockets);
	parking_free(parking);
}
END_TEST

int main(void)
{
	SRunner *runner;
	TCase *tests = tcase_create("parking");
	Suite *suite = suite_create("parking");
	int failed;

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, ten_thousand_ports_are_never_free);
	tcase_add_test(tests, udp_is_parked_as_well);
	tcase_add_test(tests, what_is_over_is_free_at_once_in_order);
	tcase_add_test(tests, what_is_over_behind_the_living_is_free_when_tidied);
	tcase_add_test(tests, a_crash_loses_nothing_and_holds_nothing_for_ever);
	tcase_add_test(tests, half_a_pair_is_given_up_for_a_whole_one);
	tcase_add_test(tests, too_few_descriptors_take_nothing_away);
	tcase_add_test(tests, a_manager_that_fails_is_reported);
	tcase_add_test(tests, full_pairs_say_so);
	tcase_add_test(tests, the_limit_of_descriptors_in_flight_is_reported);
	tcase_add_test(tests, foreign_descriptors_are_left_alone);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
