/*
 * somebody.h: another process that tries to have a port, for the tests of holders.
 */

#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SOMEBODY_UID 61234

union somebody_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct attempt {
	const char *address;
	int type; /* SOCK_STREAM, and then it listens; SOCK_DGRAM; 0 is the former */
	bool v6only;
	bool reuseaddr;
	bool reuseport;
	bool bind_only; /* a TCP socket that does not listen */
};

struct somebody {
	pid_t pid;
	uint16_t port; /* what it got */
	int result;    /* 0 or -errno */
};

/* Returns the size. */
socklen_t somebody_address(const char *text, uint16_t port, union somebody_address *ret_address);

/* The same in this process: a socket, or -errno. */
int attempt_here(const struct attempt *attempt, uint16_t port);

/* In a process of its own, of user `uid` where we are root; it keeps what it got until its end. */
struct somebody somebody_start(const struct attempt *attempt, uint16_t port, uid_t uid);
void somebody_end(struct somebody *somebody);

/* Start, end, and only the result. */
int somebody_tries(const struct attempt *attempt, uint16_t port, uid_t uid);

uint16_t port_of(int fd);

/*
 * Puts this process into a network namespace of its own, its loopback up, where ports that the
 * kernel chooses are from `first` to `last`. false if we may not.
 */
bool own_network(unsigned first, unsigned last);

/* Writes a file of /proc/sys/net. */
bool sysctl_write(const char *name, const char *value);
