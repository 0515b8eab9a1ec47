/*
 * portscan_leases.h: ports of this host: may I have one, and who has it. A part of portscan.h, to
 * be included by that alone, whose rules hold for all of it.
 *
 * A lease is some ports for oneself, kept by the daemon: they are given to nobody else, nor for
 * some time after its end. See protocol/README.md, "Leases". Connect with portscan_new_shared().
 */

#ifndef PORTSCAN_LEASES_H
#define PORTSCAN_LEASES_H

/* How a leased port is kept from everybody else. */
enum portscan_hold {
	/* An ordinary server (one that sets SO_REUSEADDR) can bind it, nobody else can (default). */
	PORTSCAN_HOLD_SHARED = 1,
	PORTSCAN_HOLD_EXCLUSIVE, /* it is of use only by the descriptor that comes with it */
	PORTSCAN_HOLD_NONE,      /* it is not leased to anybody else, and that is all */
};

/* What ends a lease, besides being released. */
enum portscan_until {
	/* Nobody listens there (any more); until somebody first does it has ttl_ms (default). */
	PORTSCAN_UNTIL_CLAIMED = 1,
	PORTSCAN_UNTIL_CONNECTION, /* portscan_free(), or the end of the program */
	PORTSCAN_UNTIL_PROCESS,    /* the end of a process */
	PORTSCAN_UNTIL_RELEASED,   /* nothing else, or ttl_ms if given */
};

enum portscan_lease_state {
	PORTSCAN_LEASE_HELD = 1,    /* nobody listens */
	PORTSCAN_LEASE_IN_USE,      /* somebody does */
	PORTSCAN_LEASE_QUARANTINED, /* it is over, but the ports are not given out yet */
};

/* As portscan_status_name(). */
const char *portscan_hold_name(enum portscan_hold hold);
const char *portscan_until_name(enum portscan_until until);
const char *portscan_lease_state_name(enum portscan_lease_state state);

/* Calls that block until the answer is there */

struct portscan_lease_args {
	const char *ports;               /* to choose from; default the daemon's pool */
	const char *exclude;             /* ports to leave out */
	int count;                       /* of ports wanted, 1-65,535, default 1 */
	bool contiguous;                 /* in a row */
	enum portscan_protocol protocol; /* default TCP */
	const char *address;             /* of this host, or "*" (default) for all */
	enum portscan_hold hold;
	enum portscan_until until;
	int pid;          /* until process: which; default this one */
	int64_t ttl_ms;   /* 1-2,592,000,000; default 60,000 if until claimed, else no limit */
	const char *name; /* 1-255 bytes: asked for again it is the same lease, or its ports */
	bool pass_fd;     /* the bound sockets, too: 253 at most */
	bool listen;      /* ... which listen already */
};

struct portscan_lease_info {
	char lease[32]; /* its id, for renewing and releasing it */
	char name[256]; /* "": none */
	enum portscan_protocol protocol;
	char address[64];
	uint16_t *ports; /* ascending */
	size_t n_ports;
	enum portscan_hold hold;
	enum portscan_until until;
	enum portscan_lease_state state;
	int64_t uid;
	int64_t pid; /* 0: unknown */
	int64_t age_ms;
	int64_t expires_in_ms; /* -1: never, as things are */
	uint16_t *lost; /* those of `ports` that somebody else took while they could not be held */
	size_t n_lost;
};

struct portscan_lease_result {
	struct portscan_lease_info lease;
	uint16_t port; /* the first one */
	/*
	 * With pass_fd the sockets and the port of each: one for each port in ascending order,
	 * two (TCP first) where it is for both protocols. They are nonblocking, and close-on-exec.
	 * The caller owns them: to keep one, take it out and leave -1 in its place.
	 */
	int *fds;
	uint16_t *fd_ports;
	size_t n_fds;
};

/*
 * Takes ports. None are free: the error NoPortAvailable. Besides the errors of all calls -EMFILE,
 * when the process has no room for the descriptors: then the lease was given back. The caller
 * ends *ret_result with portscan_lease_result_clear().
 */
int portscan_lease(struct portscan *p, const struct portscan_lease_args *args,
		   struct portscan_lease_result *ret_result);

/* Closes the descriptors that are left in it and frees its arrays; it is zeroed afterwards. */
void portscan_lease_result_clear(struct portscan_lease_result *result);

struct portscan_renew_args {
	const char *lease; /* required: its id */
	int64_t ttl_ms;    /* 1-2,592,000,000; default as it was */
};

struct portscan_renew_result {
	struct portscan_lease_info lease;
};

/*
 * Starts the time of a lease anew. The error NoSuchLease: it is over, or never was. The caller
 * ends *ret_result with portscan_renew_result_clear().
 */
int portscan_renew(struct portscan *p, const struct portscan_renew_args *args,
		   struct portscan_renew_result *ret_result);

/* Frees its arrays; it is zeroed afterwards. */
void portscan_renew_result_clear(struct portscan_renew_result *result);

struct portscan_release_args {
	const char *lease; /* required: its id */
};

/* Gives a lease back. The error NoSuchLease: it is over, or never was. */
int portscan_release(struct portscan *p, const struct portscan_release_args *args);

struct portscan_leases_args {
	bool all; /* root: those of everybody */
};

struct portscan_leases_result {
	struct portscan_lease_info *leases;
	size_t n_leases;
};

/* The caller's leases. The caller ends *ret_result with portscan_leases_result_clear(). */
int portscan_leases(struct portscan *p, const struct portscan_leases_args *args,
		    struct portscan_leases_result *ret_result);

/* Frees the array and all in it; the result is zeroed afterwards. */
void portscan_leases_result_clear(struct portscan_leases_result *result);

struct portscan_who_args {
	uint16_t port;                   /* required */
	enum portscan_protocol protocol; /* default both */
};

/* A socket of this host, as the kernel tells of it. Text that is too long is cut off. */
struct portscan_socket {
	enum portscan_protocol protocol;
	char address[64]; /* its own, with `port` */
	uint16_t port;
	char state[16];   /* as ss(8) names it: "LISTEN", "ESTAB", "UNCONN" … */
	int64_t uid;      /* of the user who made it */
	int64_t inode;    /* 0: no process has it any more */
	char cgroup[512]; /* of the process that made it, below the mount point; "": unknown */
	char unit[256];   /* that systemd runs the cgroup as; "": none, or unknown */
	/* Of a process that has it. 0 and "": none of the caller's, who isn't root. */
	int64_t pid;
	char command[256]; /* with its arguments */
};

struct portscan_who_result {
	struct portscan_socket *sockets; /* those that listen first, 1,024 at most */
	size_t n_sockets;
	struct portscan_lease_info lease; /* its id "": there is none, or it is another user's */
};

/*
 * Who has this port of this host? Nobody: there are no sockets and no lease. The caller ends
 * *ret_result with portscan_who_result_clear().
 */
int portscan_who(struct portscan *p, const struct portscan_who_args *args,
		 struct portscan_who_result *ret_result);

/* Frees all that is in it; the result is zeroed afterwards. */
void portscan_who_result_clear(struct portscan_who_result *result);

/* Calls that do not block: see portscan_check_start() */

int portscan_lease_start(struct portscan *p, const struct portscan_lease_args *args,
			 portscan_done_fn *done, void *userdata, uint64_t *ret_id);
int portscan_renew_start(struct portscan *p, const struct portscan_renew_args *args,
			 portscan_done_fn *done, void *userdata, uint64_t *ret_id);
int portscan_release_start(struct portscan *p, const struct portscan_release_args *args,
			   portscan_done_fn *done, void *userdata, uint64_t *ret_id);
int portscan_leases_start(struct portscan *p, const struct portscan_leases_args *args,
			  portscan_done_fn *done, void *userdata, uint64_t *ret_id);
int portscan_who_start(struct portscan *p, const struct portscan_who_args *args,
		       portscan_done_fn *done, void *userdata, uint64_t *ret_id);

#endif
