#include "arrivals.h"

#include "util.h"

#include <string.h>
#include <sys/socket.h>

/* The kernel's SCM_MAX_FD: what one message may carry. */
#define FDS_MAX 253
/* An answer in the making and the next: one that has more is none of ours. */
#define ARRIVALS_MAX (2 * FDS_MAX)

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

void descriptors_deinit(struct descriptors *descriptors)
{
	close_all(descriptors->fds, descriptors->n);
	free(descriptors->fds);
	*descriptors = (struct descriptors){ 0 };
}

void arrivals_deinit(struct arrivals *arrivals)
{
	for (size_t i = 0; i < arrivals->n; i++)
		close_all(&arrivals->items[i].fd, 1);
	free(arrivals->items);
	*arrivals = (struct arrivals){ 0 };
}

static int append(struct arrivals *arrivals, const int *fds, size_t n)
{
	struct arrival *items;

	if (arrivals->n + n > ARRIVALS_MAX)
		return -EBADMSG;
	items = reallocarray(arrivals->items, arrivals->n + n, sizeof(*items));
	if (!items)
		return -ENOMEM;
	arrivals->items = items;
	for (size_t i = 0; i < n; i++)
		items[arrivals->n++] =
			(struct arrival){ .fd = fds[i], .end = arrivals->n_received };
	return 0;
}

/* Takes the descriptors out of what recvmsg() filled: they are closed if they can't be kept. */
static int take(struct arrivals *arrivals, struct msghdr *message)
{
	int r = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		int fds[FDS_MAX];
		size_t n;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(header), n * sizeof(int));
		if (r >= 0)
			r = append(arrivals, fds, n);
		if (r < 0)
			close_all(fds, n);
	}
	/* The kernel leaves out those that there is no room for among ours. */
	if (r >= 0 && message->msg_flags & MSG_CTRUNC)
		r = append(arrivals, &(int){ -EMFILE }, 1);
	return r;
}

ssize_t arrivals_receive(struct arrivals *arrivals, int fd, void *space, size_t size)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec part = { .iov_base = space, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;
	int r;

	n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	/*
	 * What comes with descriptors ends what one recvmsg() returns, though it need not begin
	 * it: so they are of the answer that the last of these bytes is in.
	 */
	arrivals->n_received += (uint64_t)n;
	r = take(arrivals, &message);
	return r < 0 ? r : n;
}

int arrivals_claim(struct arrivals *arrivals, uint64_t end, struct descriptors *ret_descriptors)
{
	size_t n = 0;

	while (n < arrivals->n && arrivals->items[n].end <= end)
		n++;
	if (n == 0)
		return 0;
	ret_descriptors->fds = calloc(n, sizeof(*ret_descriptors->fds));
	if (!ret_descriptors->fds)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		ret_descriptors->fds[ret_descriptors->n++] = arrivals->items[i].fd;
	arrivals->n -= n;
	memmove(arrivals->items, arrivals->items + n, arrivals->n * sizeof(*arrivals->items));
	return 0;
}
