/* netlink.h: questions that the kernel answers within the system call. */

#pragma once

#include <linux/netlink.h>
#include <stddef.h>

/* A nonblocking netlink socket that only the kernel can send to. Returns it, or -errno. */
int netlink_open(int protocol);

/*
 * Sends a request that has one message for an answer, and finds that in `buffer`. 0; the -errno
 * that is the answer; or -ENOBUFS if the kernel had no memory for one, also when asked again.
 */
int netlink_exchange(int fd, const struct nlmsghdr *request, void *buffer, size_t size,
		     const struct nlmsghdr **ret_answer);
