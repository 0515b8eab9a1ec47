/*
 * parking.h: keeps held sockets open while the daemon is not there.
 *
 * The sockets lie as messages in AF_UNIX socket pairs, both ends of which are in the service
 * manager's descriptor store: what is in flight stays open, whoever dies. The store has four
 * descriptors in all, handed to it once in the service's lifetime; from then on it isn't asked:
 *
 * - A new socket is one message in the open pair.
 * - When that is full, what is alive in it is sealed: into as few messages as hold it, in the
 *   sealed pair.
 * - What is over is popped from the front of a pair, and a message that is alive in part goes
 *   to the end anew, without the dead, before it is popped: parking_tidy().
 *
 * A socket is always sent again before its old message is taken out, so a crash between any two
 * steps leaves a second copy at worst, which the next start finds unclaimed and drops. After a
 * restart the messages are peeked at and stay where they are.
 *
 * Needs as many descriptors in flight as there are sockets: RLIMIT_NOFILE is their limit too,
 * counted for all processes of the user; CAP_SYS_ADMIN and CAP_SYS_RESOURCE lift it.
 */

#pragma once

#include "list.h"

#include <stdbool.h>

struct parking;
struct parking_message;

/* A parked socket. Embedded by its owner; parked_init()ed, or zeroed, before anything else. */
struct parked {
	struct list link; // parking_message::sockets
	struct parking_message *message;
	int fd; /* the owner's own descriptor, to be kept open while it is parked */
};

/*
 * Tells the service manager `state`, with descriptors that stay the caller's. Messages must
 * arrive in order. Returns 0 or -errno.
 */
typedef int parking_notify(void *data, const char *state, const int fds[], unsigned n_fds);

/* That, by sd_pid_notify_with_fds(); -ENOTCONN without NOTIFY_SOCKET. */
int parking_notify_manager(void *data, const char *state, const int fds[], unsigned n_fds);

/* The caller frees *ret_parking, which leaves everything parked and closes only our copies. */
int parking_new(struct parking **ret_parking, parking_notify *notify, void *data);
void parking_free(struct parking *parking);

/*
 * Parks `fd`, which must stay open until parked_remove(). Costs one sendmsg(), and now and then
 * the sealing of some 278. On failure it is not parked and the rest is as before:
 * -ETOOMANYREFS: RLIMIT_NOFILE, see above. -ENOBUFS: both pairs are full, at some 70,000 sockets.
 * What the notify function failed with, the first time. -EMFILE, -ENFILE, -ENOMEM.
 */
int parking_add(struct parking *parking, struct parked *parked, int fd);

void parked_init(struct parked *parked);

/*
 * The socket is over; call it before closing the descriptor, at any time, and twice. The port
 * is free at once if nothing alive was parked before it, else after parking_tidy().
 */
void parked_remove(struct parked *parked);

/*
 * Whether ports of sockets that are over may still be bound, or a pair is to be given up: time for
 * parking_tidy(), within the quarantine.
 */
bool parking_is_untidy(const struct parking *parking);

/*
 * Lets go of dead sockets, moving about `budget` living ones at most (0.15 us each). Returns 1 if
 * there is more to do, 0 if not, or -errno, and then nothing is lost: call it later.
 */
int parking_tidy(struct parking *parking, unsigned budget);

/* A socket found at start. */
struct parking_socket {
	int fd; /* closed by parking_sockets_free() unless claimed */
	struct parking_message *message;
};

struct parking_sockets {
	struct parking_socket *items;
	size_t n;
};

/*
 * Reads what the daemon before us left, without taking it out. `fds` and `names` are those of
 * sd_listen_fds_with_names(); those that parking_is_ours() become the parking's in any case, the
 * others are left alone. To be called before the first parking_add(). Which lease a socket is for,
 * holder_identify() tells; the same socket may be there twice. Claim one of each, and free the
 * list; unclaimed ones are dead, and parking_tidy() frees their ports.
 * -EMFILE, -ENFILE: more is parked than we may have open; it stays parked, unread.
 * -ENOMEM or what recvmsg() failed with: the same.
 */
int parking_restore(struct parking *parking, const int fds[], char *const names[], size_t n,
		    struct parking_sockets *ret_sockets);
bool parking_is_ours(const char *name);

/* Now it is parked as if by parking_add(). Its descriptor is the caller's, in parked->fd. */
void parking_claim(struct parking_socket *socket, struct parked *parked);
void parking_sockets_free(struct parking_sockets *sockets);

/* For metrics. */
struct parking_counts {
	unsigned pairs;
	unsigned messages;
	unsigned alive;
	unsigned dead; /* places in messages whose socket is over or was moved */
};

void parking_count(const struct parking *parking, struct parking_counts *ret_counts);
