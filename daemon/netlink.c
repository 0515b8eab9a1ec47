#include "netlink.h"

#include "sockdiag_message.h"
#include "util.h"

#include <stdint.h>
#include <sys/socket.h>

#define TRIES 3

int netlink_open(int protocol)
{
	/* Connected to port 0, the kernel: nobody else's messages get in. */
	static const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_cleanup_(closep) int fd = -EBADF;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (fd < 0)
		return negative_errno();
	if (connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return negative_errno();
	return steal_fd(&fd);
}

/* The kernel has answered when send() returns: what is not there then will not come. */
static int ask(int fd, const struct nlmsghdr *request, void *buffer, size_t size,
	       const struct nlmsghdr **ret_answer)
{
	const struct nlmsghdr *message;
	size_t position;
	ssize_t n;

	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return negative_errno();

	for (;;) {
		n = recv(fd, buffer, size, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ENOBUFS : negative_errno();

		position = 0;
		while ((message = sockdiag_next_message(buffer, (size_t)n, &position))) {
			/* What an earlier call left behind when it failed. */
			if (message->nlmsg_seq != request->nlmsg_seq)
				continue;
			if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE)
				return sockdiag_unpack_error(message);
			*ret_answer = message;
			return 0;
		}
	}
}

int netlink_exchange(int fd, const struct nlmsghdr *request, void *buffer, size_t size,
		     const struct nlmsghdr **ret_answer)
{
	int r = -ENOBUFS;

	for (int i = 0; i < TRIES && r == -ENOBUFS; i++) {
		/* Where there was no room, what takes it is not for us. */
		while (i > 0 && (recv(fd, buffer, size, 0) >= 0 || errno == ENOBUFS))
			;
		r = ask(fd, request, buffer, size, ret_answer);
	}
	return r;
}
