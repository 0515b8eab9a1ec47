/*
 * libportscan_test.h: what the tests of the library share. They are users of portscan.h alone,
 * with a real daemon that the library starts. $PORTSCAND is its path.
 */

#pragma once

#include "portscan.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <libgen.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of meson: the test was left out. */
#define EXIT_SKIPPED 77

/* A daemon of this host would be talked to, and ended, in place of one of the test's own. */
static inline bool is_daemon_running(void)
{
	return access("/run/portscand.sock", F_OK) == 0;
}

/* Nobody has a socket in this place, and nobody can make one. */
#define NOWHERE "/proc/self/fdinfo"

static inline void set_environment(void)
{
	char *path = strdup(getenv("PORTSCAND"));

	ck_assert_int_eq(setenv("PATH", dirname(path), 1), 0);
	ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", NOWHERE, 1), 0);
	unsetenv(PORTSCAN_SOCKET_VARIABLE);
	free(path);
}

/* A bound socket and its port; without `listening` the port stays closed. */
static inline int bind_port(uint16_t *ret_port, bool listening)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
	/* Room for all who sweep this host meanwhile: with a full queue the port would be silent. */
	if (listening)
		ck_assert_int_eq(listen(fd, 1024), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static inline void dispatch_once(struct portscan *handle)
{
	struct pollfd ready = { .fd = portscan_get_fd(handle),
				.events = portscan_get_events(handle) };

	ck_assert_int_eq(poll(&ready, 1, 20000), 1);
	ck_assert_int_eq(portscan_dispatch(handle), 0);
}

/* Runs the tests of `suite`, which it frees; the exit status. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int n_failed;

	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
