#include "output.h"

#include <string.h>
#include <sys/socket.h>

/* The kernel's SCM_MAX_FD. */
#define FDS_MAX 253

/* Descriptors that go with a part of the output. */
struct passing {
	struct list link;    /* output::passings */
	uint64_t begin, end; /* of the answer, in bytes since the connection was made */
	int *fds;
	size_t n;
};

static void passing_free(struct output *output, struct passing *passing)
{
	output->n_fds -= passing->n;
	*output->n_fds_of_user -= passing->n;
	for (size_t i = 0; i < passing->n; i++)
		close(passing->fds[i]);
	list_remove(&passing->link);
	free(passing->fds);
	free(passing);
}

int output_pass_fds(struct output *output, size_t size, const int fds[], size_t n)
{
	struct passing *passing = calloc(1, sizeof(*passing));
	int *copies = calloc(n, sizeof(*copies));

	if (!passing || !copies) {
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
		free(passing);
		free(copies);
		return -ENOMEM;
	}
	memcpy(copies, fds, n * sizeof(*copies));
	passing->fds = copies;
	passing->n = n;
	output->n_fds += n;
	*output->n_fds_of_user += n;
	passing->end = output->n_sent + buffer_size(&output->buffer);
	passing->begin = passing->end - size;
	list_append(&output->passings, &passing->link);
	return 0;
}

/* Sends what can be: up to where descriptors go along, or with them. As send(). */
static ssize_t send_part(struct output *output, int fd)
{
	struct buffer *buffer = &output->buffer;
	struct iovec part = { .iov_base = buffer_data(buffer), .iov_len = buffer_size(buffer) };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct passing *passing = NULL;
	ssize_t size;

	if (!list_empty(&output->passings)) {
		passing = list_first(&output->passings, struct passing, link);
		if (output->n_sent < passing->begin)
			part.iov_len = (size_t)(passing->begin - output->n_sent);
		else
			part.iov_len = (size_t)(passing->end - output->n_sent);
	}
	if (passing && output->n_sent == passing->begin) {
		/* The padding too. */
		memset(&control, 0, CMSG_SPACE(passing->n * sizeof(int)));
		control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						   .cmsg_type = SCM_RIGHTS,
						   .cmsg_len = CMSG_LEN(passing->n * sizeof(int)) };
		memcpy(CMSG_DATA(&control.header), passing->fds, passing->n * sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(passing->n * sizeof(int));
	}
	size = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (size < 0)
		return size;
	output->n_sent += (uint64_t)size;
	if (passing && output->n_sent >= passing->end)
		passing_free(output, passing);
	return size;
}

int output_send(struct output *output, int fd)
{
	while (buffer_size(&output->buffer) > 0) {
		ssize_t size = send_part(output, fd);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return errno == EAGAIN ? 0 : -errno;
		buffer_consume(&output->buffer, (size_t)size);
	}
	return 0;
}

void output_init(struct output *output, size_t *n_fds_of_user)
{
	*output = (struct output){ .n_fds_of_user = n_fds_of_user };
	list_init(&output->passings);
}

void output_deinit(struct output *output)
{
	while (!list_empty(&output->passings))
		passing_free(output, list_first(&output->passings, struct passing, link));
	buffer_deinit(&output->buffer);
}
