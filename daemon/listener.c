#include "listener.h"

#include "log.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>

/* Milliseconds that another daemon's start-up is waited for. */
#define LOCK_PATIENCE 1000

int listener_set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

static int fill_address(struct sockaddr_un *ret_address, socklen_t *ret_size, const char *text)
{
	size_t size = strlen(text);

	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (size >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret_address->sun_path, text, size);
	*ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
	if (text[0] == '@') {
		ret_address->sun_path[0] = '\0';
		(*ret_size)--;
	}
	return 0;
}

/* Who listens at the address: 0 and the pid, -ECONNREFUSED for nobody, or -errno. */
static int find_owner(const struct sockaddr_un *address, socklen_t size, pid_t *ret_pid)
{
	_cleanup_(closep) int fd = -EBADF;
	struct ucred peer;
	socklen_t peer_size = sizeof(peer);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: its queue is full, so it lives. */
	if (connect(fd, (const struct sockaddr *)address, size) < 0) {
		if (errno != EAGAIN)
			return -errno;
		*ret_pid = 0;
		return 0;
	}
	*ret_pid = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0 ? peer.pid : 0;
	return 0;
}

/*
 * Two daemons that start at once must not each take the other's socket for a stale one: the
 * directory is locked from the look to the listen(). Who holds that lock for longer than this
 * takes is none of ours, and doesn't keep us from starting.
 */
static int lock_directory(const char *path)
{
	struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	int fd;

	memccpy(copy, path, '\0', sizeof(copy) - 1);
	copy[sizeof(copy) - 1] = '\0';
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int waited = 0; fd >= 0 && waited < LOCK_PATIENCE; waited += 10) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

static int bind_for_all(int fd, const struct sockaddr_un *address, socklen_t size)
{
	mode_t mask = umask(0);
	int r = bind(fd, (const struct sockaddr *)address, size) < 0 ? -errno : 0;

	umask(mask);
	return r;
}

/* Removes the file that is in the way, if nobody listens at it. -EBUSY: told why it may not. */
static int clear_stale(const struct sockaddr_un *address, socklen_t size, const char *name)
{
	struct stat status;
	pid_t pid = 0;
	int r;

	r = find_owner(address, size, &pid);
	if (r >= 0) {
		if (pid == getpid())
			log_error("%s is given twice; give it once", name);
		else
			log_error("%s is served by process %d already; end that one, or give "
				  "another --socket",
				  name, (int)pid);
		return -EBUSY;
	}
	if (address->sun_path[0] == '\0' || (r != -ECONNREFUSED && r != -ENOENT))
		return r;
	/* A daemon that was just ending may have removed it. */
	if (lstat(name, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (stat(name, &status) < 0 || !S_ISSOCK(status.st_mode)) {
		log_error("%s is in the way, and no socket; remove it, or give another --socket",
			  name);
		return -EBUSY;
	}
	log_notice("%s is left over from a daemon that is gone: replaced", name);
	return unlink(name) < 0 ? -errno : 0;
}

static int open_socket(struct listening_socket *socket_, const char *name)
{
	_cleanup_(closep) int directory = -EBADF, fd = -EBADF;
	struct sockaddr_un address;
	socklen_t size;
	int r;

	r = fill_address(&address, &size, name);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (name[0] != '@')
		directory = lock_directory(name);
	r = bind_for_all(fd, &address, size);
	if (r == -EADDRINUSE) {
		r = clear_stale(&address, size, name);
		if (r >= 0)
			r = bind_for_all(fd, &address, size);
	}
	if (r < 0)
		return r;
	if (listen(fd, SOMAXCONN) < 0)
		return -errno;
	if (name[0] != '@' && stat(name, &socket_->file) < 0)
		return -errno;
	socket_->fd = steal_fd(&fd);
	return 0;
}

/* What to do about it. */
static const char *advice(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return "; make its directory, or give another --socket";
	case EACCES:
	case EPERM:
	case EROFS:
		return "; start it as a user who may write there, or give another --socket";
	case ENAMETOOLONG:
		return "; give a shorter --socket";
	default:
		return "; give another --socket";
	}
}

int listener_open(struct listening_socket *ret_socket, const char *address)
{
	struct listening_socket opened = { 0 };
	int r;

	memccpy(opened.name, address, '\0', sizeof(opened.name) - 1);
	r = open_socket(&opened, address);
	if (r < 0) {
		/* That has been explained. */
		if (r != -EBUSY)
			log_error("can't listen at %s: %s%s", address, strerror(-r), advice(-r));
		return r;
	}
	*ret_socket = opened;
	return 0;
}

int listener_adopt(struct listening_socket *ret_socket, int fd)
{
	struct listening_socket adopted = { .fd = fd };
	struct sockaddr_un address;
	socklen_t size = sizeof(address);
	int r;

	r = listener_set_flags(fd);
	if (r < 0)
		return r;
	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	size -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
	memcpy(adopted.name, address.sun_path, size);
	if (size > 0 && adopted.name[0] == '\0')
		adopted.name[0] = '@';
	*ret_socket = adopted;
	return 0;
}

void listener_close(struct listening_socket *socket_)
{
	struct stat status;

	if (socket_->file.st_ino != 0 && stat(socket_->name, &status) == 0 &&
	    status.st_ino == socket_->file.st_ino && status.st_dev == socket_->file.st_dev)
		unlink(socket_->name);
	closep(&socket_->fd);
}
