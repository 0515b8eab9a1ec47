#include "hangup.h"

#include "util.h"

#include <sys/epoll.h>

struct hangups {
	struct ev_loop *loop;
	ev_io readable;
	int fd;
};

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct hangups *hangups = container_of(watcher, struct hangups, readable);
	struct epoll_event event;

	(void)loop;
	(void)revents;
	/* One at a time: what a client's end brings about may take others out of the set. */
	if (epoll_wait(hangups->fd, &event, 1, 0) == 1) {
		struct hangup *hangup = event.data.ptr;

		hangup_unwatch(hangups, hangup);
		hangup->gone(hangup);
	}
}

int hangups_new(struct hangups **ret_hangups, struct ev_loop *loop)
{
	struct hangups *hangups = calloc(1, sizeof(*hangups));

	if (!hangups)
		return -ENOMEM;
	hangups->fd = epoll_create1(EPOLL_CLOEXEC);
	if (hangups->fd < 0) {
		int r = -errno;

		free(hangups);
		return r;
	}
	hangups->loop = loop;
	ev_io_init(&hangups->readable, on_readable, hangups->fd, EV_READ);
	ev_io_start(loop, &hangups->readable);
	*ret_hangups = hangups;
	return 0;
}

void hangups_free(struct hangups *hangups)
{
	if (!hangups)
		return;
	ev_io_stop(hangups->loop, &hangups->readable);
	close(hangups->fd);
	free(hangups);
}

int hangup_watch(struct hangups *hangups, struct hangup *hangup, int fd)
{
	/* EPOLLHUP and EPOLLERR come without being asked for. */
	struct epoll_event event = { .data.ptr = hangup };

	if (hangup->is_watched)
		return 0;
	if (epoll_ctl(hangups->fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	hangup->fd = fd;
	hangup->is_watched = true;
	return 0;
}

void hangup_unwatch(struct hangups *hangups, struct hangup *hangup)
{
	if (!hangup->is_watched)
		return;
	epoll_ctl(hangups->fd, EPOLL_CTL_DEL, hangup->fd, NULL);
	hangup->is_watched = false;
}
