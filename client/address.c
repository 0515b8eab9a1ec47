#include "exec.h"
#include "portscan.h"
#include "protocol.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int fill_address(struct sockaddr_un *ret_address, socklen_t *ret_size, const char *text)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(text);

	if (length == 0)
		return -EINVAL;
	/* A name in the abstract namespace needs no NUL at its end, a path does. */
	if (length > sizeof(address.sun_path) - (text[0] != '@'))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, text, length);
	if (text[0] == '@')
		address.sun_path[0] = '\0';
	*ret_address = address;
	*ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] != '@'));
	return 0;
}

static int connect_to(int *ret_fd, const char *text)
{
	_cleanup_(closep) int fd = -EBADF;
	struct sockaddr_un address;
	socklen_t size;
	int r;

	r = fill_address(&address, &size, text);
	if (r < 0)
		return r;
	/* Blocking: a full queue of connections is waited for, and all else sent with DONTWAIT. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	do
		r = connect(fd, (struct sockaddr *)&address, size);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static bool is_nobody_there(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

/* The daemon of the user, else that of the host. */
static int connect_to_any(int *ret_fd)
{
	const char *directory = secure_getenv("XDG_RUNTIME_DIR");
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int r = -ENOENT;

	if (directory && *directory &&
	    (size_t)snprintf(path, sizeof(path), "%s/" SOCKET_NAME, directory) < sizeof(path))
		r = connect_to(ret_fd, path);
	if (is_nobody_there(r))
		r = connect_to(ret_fd, SOCKET_OF_THE_HOST);
	return r;
}

/* `may_start`: where no daemon is, one for this connection. */
static int new_connected(struct portscan **ret, const char *address, bool may_start)
{
	_cleanup_(closep) int fd = -EBADF;
	const char *variable = secure_getenv(SOCKET_VARIABLE);
	int r;

	if (!address && variable && *variable)
		address = variable;
	r = address ? connect_to(&fd, address) : connect_to_any(&fd);
	if (!address && may_start && is_nobody_there(r))
		r = exec_daemon(&fd);
	if (r < 0)
		return r;
	r = portscan_new_from_fd(ret, fd);
	if (r < 0)
		return r;
	steal_fd(&fd);
	return 0;
}

int portscan_new(struct portscan **ret, const char *address)
{
	return new_connected(ret, address, true);
}

int portscan_new_shared(struct portscan **ret, const char *address)
{
	return new_connected(ret, address, false);
}
