/* fake_manager.c: the descriptor store of a service manager. */

#include "fake_manager.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct manager manager;

void manager_start(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(&manager, 0, sizeof(manager));
	strcpy(manager.folder, "/tmp/test_parking.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(manager.folder));
	snprintf(manager.path, sizeof(manager.path), "%s/notify", manager.folder);
	memcpy(address.sun_path, manager.path, sizeof(manager.path));
	manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(manager.fd, 0);
	ck_assert_int_eq(bind(manager.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", manager.path, 1), 0);
}

void manager_stop(void)
{
	while (manager.n > 0)
		manager_forget(0);
	close(manager.fd);
	unlink(manager.path);
	rmdir(manager.folder);
}

void manager_forget(unsigned i)
{
	close(manager.fds[i]);
	free(manager.names[i]);
	manager.n--;
	manager.fds[i] = manager.fds[manager.n];
	manager.names[i] = manager.names[manager.n];
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

void manager_run(void)
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

int manager_restore(struct parking *parking, struct parking_sockets *ret_sockets)
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
