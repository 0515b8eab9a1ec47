/*
 * calls.h: the members of every call and of its result, in the order of the interface, with their
 * types, ranges and defaults. Written once, as rows over any struct with members of these names:
 * the daemon binds them to its structs (calls.c), the library to those of portscan.h.
 */

#pragma once

#include "portlist.h"
#include "schema.h"

#define TIMEOUT_MS_MAX      600000
#define TIMEOUT_MS_DEFAULT  400
#define INTERVAL_MS_MAX     600000
#define INTERVAL_MS_DEFAULT 50
#define DEADLINE_MS_MAX     86400000
#define DEADLINE_MS_DEFAULT 30000
#define COUNT_MAX           65535
#define TTL_MS_MAX          2592000000
#define NAME_MAX_BYTES      255
#define SOCKETS_TOLD_MAX    1024
#define SCAN_PORTS_DEFAULT  "1-65535"

/* 0 is unset in each of them; portscan.h has the same numbers. */
enum status {
	STATUS_OPEN = 1,
	STATUS_CLOSED,
};

enum reason {
	REASON_ACCEPTED = 1,
	REASON_BACKLOG_FULL,
	REASON_LISTENING,
	REASON_IN_USE,
	REASON_REFUSED,
	REASON_TIMEOUT,
	REASON_NOT_LISTENING,
	REASON_BINDABLE,
};

enum via {
	VIA_CONNECT = 1,
	VIA_TABLE,
	VIA_BIND,
};

enum order {
	ORDER_FIRST = 1,
	ORDER_ANY,
	ORDER_RANDOM,
};

enum protocol {
	PROTOCOL_TCP = 1,
	PROTOCOL_UDP,
	PROTOCOL_BOTH,
};

enum hold {
	HOLD_SHARED = 1,
	HOLD_EXCLUSIVE,
	HOLD_NONE,
};

enum until {
	UNTIL_CLAIMED = 1,
	UNTIL_CONNECTION,
	UNTIL_PROCESS,
	UNTIL_RELEASED,
};

enum state {
	STATE_HELD = 1,
	STATE_IN_USE,
	STATE_QUARANTINED,
};

extern const char *const status_names[];
extern const char *const reason_names[];
extern const char *const via_names[];
extern const char *const order_names[];
extern const char *const protocol_names[];
extern const char *const hold_names[];
extern const char *const until_names[];
extern const char *const state_names[];

#define ROW_TIMEOUT(S) ROW_INT(S, timeout_ms, 1, TIMEOUT_MS_MAX, TIMEOUT_MS_DEFAULT)
#define ROW_VIA(S)     ROW_ENUM(S, via, via_names, VIA_CONNECT)

/* One row a line: */
/* clang-format off */
#define CHECK_PARAMS(S) \
	ROW_PORT(S, port), \
	ROW_HOST(S, host), \
	ROW_TIMEOUT(S), \
	ROW_VIA(S), \
	ROW_END

/* `STRING` is how the struct keeps strings: ROW_STRING or ROW_TEXT. */
#define CHECK_RESULT(S, STRING) \
	STRING(S, host), \
	STRING(S, address), \
	ROW_PORT(S, port), \
	ROW_ENUM(S, status, status_names, 0), \
	ROW_ENUM(S, reason, reason_names, 0), \
	ROW_COUNT(S, elapsed_us), \
	ROW_END

#define FIND_PARAMS(S) \
	ROW_PORTS(S, ports), \
	ROW_ENUM(S, status, status_names, STATUS_CLOSED), \
	ROW_HOST(S, host), \
	ROW_INT(S, count, 1, COUNT_MAX, 1), \
	ROW_ENUM(S, order, order_names, ORDER_FIRST), \
	ROW_OPTIONAL_PORTS(S, exclude), \
	ROW_BOOL(S, include_leased), \
	ROW_BOOL(S, strict), \
	ROW_TIMEOUT(S), \
	ROW_VIA(S), \
	ROW_END

#define FIND_RESULT(S) \
	ROW_PORT_OR_NULL(S, port), \
	ROW_PORT_ARRAY(S, ports), \
	ROW_COUNT(S, checked), \
	ROW_COUNT(S, elapsed_us), \
	ROW_END

#define SCAN_PARAMS(S) \
	ROW_OPTIONAL_PORTS(S, ports), \
	ROW_ENUM(S, status, status_names, STATUS_OPEN), \
	ROW_HOST(S, host), \
	ROW_TIMEOUT(S), \
	ROW_VIA(S), \
	ROW_LOOSE_BOOL(S, stream), \
	ROW_END

#define COUNTS(S) \
	ROW_COUNT(S, open), \
	ROW_COUNT(S, closed), \
	ROW_COUNT(S, timeout), \
	ROW_END

/* `counts_fields` is COUNTS() for the struct's own counts. */
#define SCAN_RESULT(S, counts_fields) \
	ROW_PORT_ARRAY(S, ports), \
	ROW_OBJECT(S, counts, counts_fields), \
	ROW_COUNT(S, done), \
	ROW_COUNT(S, total), \
	ROW_COUNT(S, elapsed_us), \
	ROW_END

/* The params of a progress notification, behind "id". */
#define SCAN_PROGRESS(S) \
	ROW_PORT_ARRAY(S, ports), \
	ROW_COUNT(S, done), \
	ROW_COUNT(S, total), \
	ROW_END

#define WAIT_PARAMS(S) \
	ROW_PORT(S, port), \
	ROW_HOST(S, host), \
	ROW_ENUM(S, until, status_names, STATUS_OPEN), \
	ROW_INT(S, deadline_ms, 1, DEADLINE_MS_MAX, DEADLINE_MS_DEFAULT), \
	ROW_INT(S, interval_ms, 1, INTERVAL_MS_MAX, INTERVAL_MS_DEFAULT), \
	ROW_TIMEOUT(S), \
	ROW_VIA(S), \
	ROW_END

#define WAIT_RESULT(S, STRING) \
	STRING(S, host), \
	STRING(S, address), \
	ROW_PORT(S, port), \
	ROW_ENUM(S, status, status_names, 0), \
	ROW_ENUM(S, reason, reason_names, 0), \
	ROW_COUNT(S, waited_ms), \
	ROW_END

#define LEASE_PARAMS(S) \
	ROW_OPTIONAL_PORTS(S, ports), \
	ROW_OPTIONAL_PORTS(S, exclude), \
	ROW_INT(S, count, 1, COUNT_MAX, 1), \
	ROW_BOOL(S, contiguous), \
	ROW_ENUM(S, protocol, protocol_names, PROTOCOL_TCP), \
	ROW_STRING(S, address), \
	ROW_ENUM(S, hold, hold_names, HOLD_SHARED), \
	ROW_ENUM(S, until, until_names, UNTIL_CLAIMED), \
	ROW_INT(S, pid, 1, INT32_MAX, 0), \
	ROW_INT(S, ttl_ms, 1, TTL_MS_MAX, 0), \
	ROW_STRING(S, name), \
	ROW_BOOL(S, pass_fd), \
	ROW_BOOL(S, listen), \
	ROW_END

#define LEASE_INFO(S, STRING, STRING_OR_NULL) \
	STRING(S, lease), \
	STRING_OR_NULL(S, name), \
	ROW_ENUM(S, protocol, protocol_names, 0), \
	STRING(S, address), \
	ROW_PORT_ARRAY(S, ports), \
	ROW_ENUM(S, hold, hold_names, 0), \
	ROW_ENUM(S, until, until_names, 0), \
	ROW_ENUM(S, state, state_names, 0), \
	ROW_COUNT(S, uid), \
	ROW_INT_OR_NULL(S, pid), \
	ROW_COUNT(S, age_ms), \
	ROW_TIME_OR_NULL(S, expires_in_ms), \
	ROW_PORT_ARRAY(S, lost), \
	ROW_END

#define LEASE_RESULT(S, lease_fields) \
	ROW_OBJECT(S, lease, lease_fields), \
	ROW_PORT(S, port), \
	ROW_PORT_ARRAY(S, fds), \
	ROW_END

#define RENEW_PARAMS(S) \
	ROW_REQUIRED_STRING(S, lease), \
	ROW_INT(S, ttl_ms, 1, TTL_MS_MAX, 0), \
	ROW_END

#define RENEW_RESULT(S, lease_fields) \
	ROW_OBJECT(S, lease, lease_fields), \
	ROW_END

#define RELEASE_PARAMS(S) \
	ROW_REQUIRED_STRING(S, lease), \
	ROW_END

#define LEASES_PARAMS(S) \
	ROW_BOOL(S, all), \
	ROW_END

/* `lease_fields` is LEASE_INFO() for the struct that `E` is. */
#define LEASES_RESULT(S, lease_fields, E) \
	ROW_OBJECT_ARRAY(S, leases, lease_fields, E), \
	ROW_END

#define WHO_PARAMS(S) \
	ROW_PORT(S, port), \
	ROW_ENUM(S, protocol, protocol_names, PROTOCOL_BOTH), \
	ROW_END

#define SOCKET(S, STRING, STRING_OR_NULL) \
	ROW_ENUM(S, protocol, protocol_names, 0), \
	STRING(S, address), \
	ROW_PORT(S, port), \
	STRING(S, state), \
	ROW_COUNT(S, uid), \
	ROW_COUNT(S, inode), \
	STRING_OR_NULL(S, cgroup), \
	STRING_OR_NULL(S, unit), \
	ROW_INT_OR_NULL(S, pid), \
	STRING_OR_NULL(S, command), \
	ROW_END

/* `socket_fields` is SOCKET() for the struct that `E` is. */
#define WHO_RESULT(S, socket_fields, E, lease_fields) \
	ROW_OBJECT_ARRAY(S, sockets, socket_fields, E), \
	ROW_OBJECT_OR_NULL(S, lease, lease_fields), \
	ROW_END

#define METRICS_RESULT(S, STRING) \
	STRING(S, text), \
	ROW_END

/* JSON-RPC's info, all but the array of its interfaces. */
#define INFO_RESULT(S, STRING) \
	STRING(S, vendor), \
	STRING(S, product), \
	STRING(S, version), \
	STRING(S, url), \
	ROW_COUNT(S, pid), \
	ROW_COUNT(S, uptime_ms), \
	ROW_END

#define INFO_INTERFACES "interfaces"

/* `ID` is how the struct keeps it: ROW_ID, or ROW_COUNT where all ids are one's own numbers. */
#define CANCEL_PARAMS(S, ID) \
	ID(S, id), \
	ROW_END

#define CANCEL_RESULT(S) \
	ROW_COUNT(S, cancelled), \
	ROW_END

#define INTERFACE_DESCRIPTION_PARAMS(S) \
	ROW_REQUIRED_STRING(S, interface), \
	ROW_END

#define INTERFACE_DESCRIPTION_RESULT(S) \
	ROW_STRING(S, description), \
	ROW_END
/* clang-format on */

/* A method's name in JSON-RPC, and in Varlink with the interface; NULL where it has none. */
struct method_names {
	const char *jsonrpc;
	const char *varlink;
};

extern const struct method_names method_check, method_find, method_scan, method_wait, method_lease,
	method_renew, method_release, method_leases, method_who, method_metrics, method_info,
	method_cancel, method_interface_description;

/* What the daemon decodes calls to and encodes results from. Strings are borrowed. */

struct check_params {
	uint16_t port;
	const char *host;
	int timeout_ms;
	enum via via;
};

struct check_result {
	const char *host;
	const char *address;
	uint16_t port;
	enum status status;
	enum reason reason;
	int64_t elapsed_us;
};

struct find_params {
	struct portlist ports;
	enum status status;
	const char *host;
	int count;
	enum order order;
	struct portlist exclude;
	bool include_leased;
	bool strict;
	int timeout_ms;
	enum via via;
};

struct find_result {
	uint16_t port; /* 0: none */
	uint16_t *ports;
	size_t n_ports;
	int64_t checked;
	int64_t elapsed_us;
};

struct scan_params {
	struct portlist ports; /* empty: all of them */
	enum status status;
	const char *host;
	int timeout_ms;
	enum via via;
	bool stream;
};

struct counts {
	int64_t open, closed, timeout;
};

struct scan_result {
	uint16_t *ports;
	size_t n_ports;
	struct counts counts;
	int64_t done, total;
	int64_t elapsed_us;
};

struct wait_params {
	uint16_t port;
	const char *host;
	enum status until;
	int deadline_ms;
	int interval_ms;
	int timeout_ms;
	enum via via;
};

struct wait_result {
	const char *host;
	const char *address;
	uint16_t port;
	enum status status;
	enum reason reason;
	int64_t waited_ms;
};

struct lease_params {
	struct portlist ports, exclude;
	int count;
	bool contiguous;
	enum protocol protocol;
	const char *address; /* NULL or "*": all */
	enum hold hold;
	enum until until;
	int pid;        /* 0: not given */
	int64_t ttl_ms; /* 0: not given */
	const char *name;
	bool pass_fd, listen;
};

struct lease_info {
	const char *lease;
	const char *name;
	enum protocol protocol;
	const char *address;
	uint16_t *ports;
	size_t n_ports;
	enum hold hold;
	enum until until;
	enum state state;
	int64_t uid;
	int64_t pid; /* 0: unknown */
	int64_t age_ms;
	int64_t expires_in_ms; /* -1: never */
	uint16_t *lost;
	size_t n_lost;
};

struct lease_result {
	struct lease_info lease;
	uint16_t port; /* the first of them */
	uint16_t *fds; /* for each descriptor that comes along, its port */
	size_t n_fds;
};

struct renew_params {
	const char *lease;
	int64_t ttl_ms;
};

struct renew_result {
	struct lease_info lease;
};

struct release_params {
	const char *lease;
};

struct leases_params {
	bool all;
};

struct leases_result {
	struct lease_info *leases;
	size_t n_leases;
};

struct who_params {
	uint16_t port;
	enum protocol protocol;
};

struct socket_info {
	enum protocol protocol;
	const char *address;
	uint16_t port;
	const char *state;
	int64_t uid;
	int64_t inode;
	const char *cgroup; /* NULL: unknown, and so the others */
	const char *unit;
	int64_t pid; /* 0: unknown */
	const char *command;
};

struct who_result {
	struct socket_info *sockets;
	size_t n_sockets;
	struct lease_info lease; /* lease NULL: none */
};

struct metrics_result {
	const char *text;
};

struct cancel_params {
	const json_t *id;
};

struct cancel_result {
	int64_t cancelled;
};

struct interface_description_params {
	const char *interface;
};

struct interface_description_result {
	const char *description;
};

extern const struct field check_params_fields[], check_result_fields[], find_params_fields[],
	find_result_fields[], scan_params_fields[], scan_result_fields[], scan_progress_fields[],
	wait_params_fields[], wait_result_fields[], lease_params_fields[], lease_result_fields[],
	renew_params_fields[], renew_result_fields[], release_params_fields[],
	leases_params_fields[], leases_result_fields[], who_params_fields[], who_result_fields[],
	metrics_result_fields[], cancel_params_fields[], cancel_result_fields[],
	interface_description_params_fields[], interface_description_result_fields[], no_fields[];
