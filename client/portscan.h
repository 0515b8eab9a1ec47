/*
 * portscan.h: ask portscand about the ports of any host. A whole program:
 *
 *	#include <portscan.h>
 *	#include <stdio.h>
 *
 *	int main(void)
 *	{
 *		struct portscan *p;
 *		struct portscan_find_args args = { .ports = "3000-3010" };
 *		struct portscan_find_result free_ports;
 *
 *		if (portscan_new(&p, NULL) < 0 || portscan_find(p, &args, &free_ports) < 0)
 *			return 1;
 *		printf("port %d is free\n", free_ports.port);
 *		portscan_find_result_clear(&free_ports);
 *		portscan_free(p);
 *	}
 *
 * Build it with: cc program.c $(pkg-config --cflags --libs portscan)
 *
 * Every function that can fail returns 0 or a negative errno. -EREMOTEIO says that the daemon
 * answered with an error, and portscan_last_error() says which. Common to all calls are also
 * -ENOMEM; -ECONNRESET when the connection has ended; -EMSGSIZE when the arguments are longer
 * than a message may be; -EILSEQ when a string is not UTF-8; -EINVAL for an enum's value that
 * does not exist; -EBADMSG for an answer that is none. What ret_ arguments point to is untouched
 * on failure. What else may be wrong with arguments the daemon says.
 *
 * Arguments are plain structs, zeroed for defaults. Strings in them are only read during the
 * call. Times are in the unit that the member's name ends with.
 *
 * A handle is for one thread at a time; different handles are independent of each other. The
 * library keeps no globals, handles no signals and prints nothing.
 */

#ifndef PORTSCAN_H
#define PORTSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The environment variable with the address of the daemon. */
#define PORTSCAN_SOCKET_VARIABLE "PORTSCAND_SOCKET"

/* The host of a call that names none. */
#define PORTSCAN_HOST_DEFAULT "127.0.0.1"

/* A connection to the daemon. */
struct portscan;

/* In each enum 0 is unset: the default, as an argument. */

enum portscan_status {
	PORTSCAN_OPEN = 1, /* something accepts connections: in use */
	PORTSCAN_CLOSED,   /* nothing does: available */
};

/* What decided a status. */
enum portscan_reason {
	/* For open: */
	PORTSCAN_ACCEPTED = 1, /* the handshake completed */
	PORTSCAN_BACKLOG_FULL, /* no answer in time, but this host has a listener */
	PORTSCAN_LISTENING,    /* the kernel's table has a listener */
	PORTSCAN_IN_USE,       /* it can't be bound */
	/* For closed: */
	PORTSCAN_REFUSED,       /* the host refused */
	PORTSCAN_TIMEOUT,       /* no answer in time */
	PORTSCAN_NOT_LISTENING, /* the kernel's table has no listener */
	PORTSCAN_BINDABLE,      /* it can be bound */
};

/* How to find out. */
enum portscan_via {
	PORTSCAN_VIA_CONNECT = 1, /* by a TCP handshake (default) */
	/* For addresses of this host alone: */
	PORTSCAN_VIA_TABLE, /* from the kernel's table of listeners: no service sees a connection */
	PORTSCAN_VIA_BIND,  /* by binding the port */
};

/* Which ports of a list to return. */
enum portscan_order {
	PORTSCAN_FIRST = 1, /* the earliest in the order given (default) */
	PORTSCAN_ANY,       /* whichever is known soonest */
	PORTSCAN_RANDOM,    /* a random choice */
};

enum portscan_protocol {
	PORTSCAN_TCP = 1,
	PORTSCAN_UDP,
	PORTSCAN_BOTH,
};

/* The names on the wire and of the command line: "open", "refused" …; NULL for any other value. */
const char *portscan_status_name(enum portscan_status status);
const char *portscan_reason_name(enum portscan_reason reason);
const char *portscan_via_name(enum portscan_via via);
const char *portscan_order_name(enum portscan_order order);
const char *portscan_protocol_name(enum portscan_protocol protocol);

/* The codes of errors: those of JSON-RPC, and from 1 on those of the interface io.portscand. */
enum portscan_error_code {
	PORTSCAN_ERROR_PARSE = -32700,
	PORTSCAN_ERROR_INVALID_REQUEST = -32600,
	PORTSCAN_ERROR_METHOD_NOT_FOUND = -32601,
	PORTSCAN_ERROR_INVALID_PARAMETER = -32602,
	PORTSCAN_ERROR_INTERNAL = -32603,
	PORTSCAN_ERROR_UNREACHABLE = 1,
	PORTSCAN_ERROR_NAME_NOT_FOUND,
	PORTSCAN_ERROR_RESOURCES_EXHAUSTED,
	PORTSCAN_ERROR_QUOTA_EXCEEDED,
	PORTSCAN_ERROR_TARGET_DENIED,
	PORTSCAN_ERROR_PERMISSION_DENIED,
	PORTSCAN_ERROR_DEADLINE_EXCEEDED,
	PORTSCAN_ERROR_NO_PORT_AVAILABLE,
	PORTSCAN_ERROR_NO_SUCH_LEASE,
	PORTSCAN_ERROR_NOT_SUPPORTED,
	PORTSCAN_ERROR_CANCELLED,
	PORTSCAN_ERROR_SHUTTING_DOWN,
	PORTSCAN_ERROR_MESSAGE_TOO_LARGE,
};

/* An error of the daemon's. */
struct portscan_error {
	int code;            /* enum portscan_error_code, or one that is newer than this library */
	const char *name;    /* "Unreachable", "InvalidParameter" …; "" if it has none */
	const char *message; /* one sentence for people: what happened; what to do */
	const char *members; /* all members, as a JSON object */
	/* The members that errors of a port have, such as DeadlineExceeded; NULL or 0 otherwise. */
	const char *host;
	uint16_t port;
	enum portscan_status status;
	enum portscan_reason reason;
};

/* Connecting */

/*
 * Connects to the daemon at `address`: a path, or "@name" in the abstract namespace. NULL stands
 * for $PORTSCAND_SOCKET, else the user's own daemon ($XDG_RUNTIME_DIR/portscand.sock), else that
 * of the host (/run/portscand.sock); and where none of the last two is there, portscand is started
 * for this connection and ends with it: looked for in $PATH and where it was installed, with
 * stdin and stdout from and to /dev/null and a session of its own. It is no child of the
 * caller's: there is no SIGCHLD for it and nothing to wait for. It knows of no leases: see
 * portscan_new_shared().
 * Returns 0; -ENOENT or -ECONNREFUSED when no daemon is there and none could be started; -EINVAL
 * for an empty address; -ENAMETOOLONG; or -errno. Blocks until the daemon has started, or while
 * its queue of connections is full. The caller frees *ret with portscan_free().
 */
int portscan_new(struct portscan **ret, const char *address);

/*
 * The same, but starts nothing: for leases, which are only worth something with a daemon that all
 * share. -ENOENT or -ECONNREFUSED when none is there.
 */
int portscan_new_shared(struct portscan **ret, const char *address);

/*
 * A handle on a stream socket that is connected to a daemon. On success the descriptor belongs to
 * the handle, which closes it; on failure it is still the caller's. Its flags are left as they
 * are. 0 or -ENOMEM; never blocks.
 */
int portscan_new_from_fd(struct portscan **ret, int fd);

/*
 * Disconnects, which cancels all that is under way: completions are called with -ECANCELED. May
 * be called from a completion; takes NULL. Never blocks.
 */
void portscan_free(struct portscan *p);

/*
 * The error of the synchronous call that returned -EREMOTEIO last, or of portscan_call() that
 * returned -EINVAL; in a completion, that of its call. NULL if the last one had none. Good until
 * the next call of any other function with this handle.
 */
const struct portscan_error *portscan_last_error(const struct portscan *p);

/*
 * The result of the last synchronous call, and in a completion that of its call, as JSON text in
 * one line: the result object of the wire. NULL if there is none. Good until the next call of any
 * other function with this handle.
 */
const char *portscan_last_result(struct portscan *p);

/*
 * Calls that block until the answer is there
 *
 * While they wait, calls that were started on the same handle go on, and their completions are
 * called. From within a completion they fail with -EDEADLK.
 */

struct portscan_check_args {
	uint16_t port;    /* required */
	const char *host; /* a name or an address; default 127.0.0.1 */
	int timeout_ms;   /* 1-600,000, default 400 */
	enum portscan_via via;
};

struct portscan_check_result {
	char host[256];   /* as asked for */
	char address[64]; /* that decided the status */
	uint16_t port;
	enum portscan_status status;
	enum portscan_reason reason;
	int64_t elapsed_us;
};

/* Is this port open or closed? */
int portscan_check(struct portscan *p, const struct portscan_check_args *args,
		   struct portscan_check_result *ret_result);

struct portscan_find_args {
	const char *ports;           /* required: "3000-3010,8080", "3000-" */
	enum portscan_status status; /* default closed */
	const char *host;            /* default 127.0.0.1 */
	int count;                   /* of ports wanted, 1-65,535, default 1 */
	enum portscan_order order;
	const char *exclude; /* ports to leave out */
	bool include_leased; /* ports that somebody has leased, too */
	bool strict; /* neither is a port closed that did not answer in time, or can't be bound */
	int timeout_ms; /* of each port, 1-600,000, default 400 */
	enum portscan_via via;
};

struct portscan_find_result {
	uint16_t port;   /* the first of them, or 0 if there is none */
	uint16_t *ports; /* as many as asked for, or fewer */
	size_t n_ports;
	int64_t checked; /* ports looked at */
	int64_t elapsed_us;
};

/* Finds ports with a status. The caller ends *ret_result with portscan_find_result_clear(). */
int portscan_find(struct portscan *p, const struct portscan_find_args *args,
		  struct portscan_find_result *ret_result);

/* Frees the array of ports; the result is zeroed afterwards. */
void portscan_find_result_clear(struct portscan_find_result *result);

struct portscan_scan_args {
	const char *ports;           /* default 1-65535 */
	enum portscan_status status; /* default open */
	const char *host;            /* default 127.0.0.1 */
	int timeout_ms;              /* of each port, 1-600,000, default 400 */
	enum portscan_via via;
};

struct portscan_counts {
	int64_t open, closed, timeout;
};

struct portscan_scan_result {
	uint16_t *ports; /* those with the status asked for */
	size_t n_ports;
	struct portscan_counts counts;
	int64_t done, total; /* ports */
	int64_t elapsed_us;
};

struct portscan_progress {
	uint64_t id;           /* of the call, for portscan_cancel() */
	const uint16_t *ports; /* found since the last time */
	size_t n_ports;
	int64_t done, total; /* ports */
};

/*
 * Told of a scan's progress, at most ten times a second. `progress` is good until it returns.
 * The rules of completions hold.
 */
typedef void portscan_progress_fn(struct portscan *p, const struct portscan_progress *progress,
				  void *userdata);

/*
 * The status of every port. `on_progress` may be NULL. The caller ends *ret_result with
 * portscan_scan_result_clear().
 */
int portscan_scan(struct portscan *p, const struct portscan_scan_args *args,
		  portscan_progress_fn *on_progress, void *userdata,
		  struct portscan_scan_result *ret_result);

/* Frees the array of ports; the result is zeroed afterwards. */
void portscan_scan_result_clear(struct portscan_scan_result *result);

struct portscan_wait_args {
	uint16_t port;              /* required */
	const char *host;           /* default 127.0.0.1 */
	enum portscan_status until; /* default open */
	int deadline_ms;            /* 1-86,400,000, default 30,000 */
	int interval_ms;            /* between two looks, 1-600,000, default 50 */
	int timeout_ms;             /* of each look, 1-600,000, default 400 */
	enum portscan_via via;
};

struct portscan_wait_result {
	char host[256];
	char address[64];
	uint16_t port;
	enum portscan_status status;
	enum portscan_reason reason;
	int64_t waited_ms;
};

/*
 * Waits until a port is open (or closed). A deadline that is over is the error DeadlineExceeded; or
 * NameNotFound or ResourcesExhausted, if the port could not be looked at in all that time.
 */
int portscan_wait(struct portscan *p, const struct portscan_wait_args *args,
		  struct portscan_wait_result *ret_result);

struct portscan_info_result {
	char vendor[64];
	char product[64];
	char version[64];
	char url[256];
	char interfaces[256]; /* names with blanks between */
	int64_t pid;
	int64_t uptime_ms;
};

/* Who answers here. */
int portscan_info(struct portscan *p, struct portscan_info_result *ret_result);

/* Counters since the daemon started, in the OpenMetrics format. The caller frees *ret_text. */
int portscan_metrics(struct portscan *p, char **ret_text);

/*
 * Any method by its name, with its parameters as a JSON object (NULL: none). The caller frees
 * *ret_result: the result as JSON text in one line. -EINVAL if `params` is not a JSON object, and
 * then portscan_last_error() says where it is wrong. Descriptors that come along are closed.
 */
int portscan_call(struct portscan *p, const char *method, const char *params, char **ret_result);

/*
 * Calls that do not block, for programs with a loop of their own
 *
 * Poll portscan_get_fd() for portscan_get_events(), both asked for anew each time, and call
 * portscan_dispatch() when anything is ready. Any number of calls may be started, answers come
 * in any order, and what is written is collected: start many, then go back to the loop.
 */

/* How a call ended. */
struct portscan_reply {
	uint64_t id; /* of the call */
	/*
	 * 0; -EREMOTEIO when `error` says more; -ECONNRESET or whatever else ended the
	 * connection; -ECANCELED from portscan_free(); -EBADMSG; or -ENOMEM.
	 */
	int status;
	/* NULL unless `status` is -EREMOTEIO. */
	const struct portscan_error *error;
	/*
	 * The one of the method called; NULL unless `status` is 0. To keep what it owns (ports,
	 * descriptors, text), move the struct out and leave a zeroed one: what is there when the
	 * completion returns is freed. Of no meaning for release.
	 */
	union {
		struct portscan_check_result *check;
		struct portscan_find_result *find;
		struct portscan_scan_result *scan;
		struct portscan_wait_result *wait;
		struct portscan_lease_result *lease;
		struct portscan_renew_result *renew;
		struct portscan_leases_result *leases;
		struct portscan_who_result *who;
		struct portscan_info_result *info;
		char **text; /* of metrics, and of call: JSON */
	};
};

/*
 * A completion: called once for every call that was started, never from within the function that
 * starts it, but from portscan_dispatch(), a call that blocks, or portscan_free(). `reply` and
 * all that it points to is good until it returns. It may start, cancel and free the handle;
 * calls that block, and portscan_dispatch(), return -EDEADLK.
 */
typedef void portscan_done_fn(struct portscan *p, struct portscan_reply *reply, void *userdata);

/* The descriptor to poll, the handle's own: neither read, write nor close it. */
int portscan_get_fd(const struct portscan *p);

/* What to poll for: POLLIN, with POLLOUT while there is something to send. */
short portscan_get_events(const struct portscan *p);

/*
 * Sends and receives what can be, and calls completions; never blocks. Returns 0; or a negative
 * errno when the connection is over and every call has been completed with it: the descriptor
 * is then of no more use.
 */
int portscan_dispatch(struct portscan *p);

/*
 * These start a call and return 0, or an error as the functions that block (then `done` is not
 * called). `done` may be NULL, and so may `ret_id`, the call's number for portscan_cancel().
 * Never block.
 */
int portscan_check_start(struct portscan *p, const struct portscan_check_args *args,
			 portscan_done_fn *done, void *userdata, uint64_t *ret_id);
int portscan_find_start(struct portscan *p, const struct portscan_find_args *args,
			portscan_done_fn *done, void *userdata, uint64_t *ret_id);
/* `on_progress` may be NULL; it and `done` get the same `userdata`. */
int portscan_scan_start(struct portscan *p, const struct portscan_scan_args *args,
			portscan_progress_fn *on_progress, portscan_done_fn *done, void *userdata,
			uint64_t *ret_id);
int portscan_wait_start(struct portscan *p, const struct portscan_wait_args *args,
			portscan_done_fn *done, void *userdata, uint64_t *ret_id);
int portscan_info_start(struct portscan *p, portscan_done_fn *done, void *userdata,
			uint64_t *ret_id);
int portscan_metrics_start(struct portscan *p, portscan_done_fn *done, void *userdata,
			   uint64_t *ret_id);
int portscan_call_start(struct portscan *p, const char *method, const char *params,
			portscan_done_fn *done, void *userdata, uint64_t *ret_id);

/*
 * Asks the daemon to end the call `id`, which then completes with the error Cancelled (or with
 * its result, if that is quicker). Returns 0; -ENOENT if no such call is under way; or an error
 * as the above. Never blocks.
 */
int portscan_cancel(struct portscan *p, uint64_t id);

#include "portscan_leases.h"

#ifdef __cplusplus
}
#endif

#endif
