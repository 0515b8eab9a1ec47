/*
 * protocol.h: the limits, names and errors of the wire. Every string of the protocol that is not
 * a member of a call (calls.h) has its only home in protocol.[ch]. See README.md.
 */

#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util.h"

#define PROTOCOL_INTERFACE "io.portscand"
#define PROTOCOL_SERVICE   "org.varlink.service"
#define PROTOCOL_VENDOR    "portscand"
#define PROTOCOL_PRODUCT   "portscand"
#define PROTOCOL_URL       "https://github.com/portscand/portscand"

#define SOCKET_VARIABLE         "PORTSCAND_SOCKET"
#define SOCKET_NAME             "portscand.sock"
#define RUNTIME_DIR_NAME        "portscand"
#define RUNTIME_DIR_OF_THE_HOST "/run/" RUNTIME_DIR_NAME
#define SOCKET_OF_THE_HOST      "/run/" SOCKET_NAME

/* Bytes of one message to the daemon, its ending apart. */
#define MESSAGE_MAX 131072u
/* Arrays and objects inside each other, the message itself being the first. */
#define NESTING_MAX 32u
/* Past this the daemon stops reading a connection, until half of it is gone. */
#define UNSENT_MAX     (1024u * 1024u)
#define UNSENT_FDS_MAX 256u /* descriptors in them */
#define UNDER_WAY_MAX  1024u
/* What one request under way counts for at most, so that some can be, however large they are. */
#define WEIGHT_MAX (64u * 1024u)
/* Descriptors for all clients of one user that they have not read yet. */
#define UNSENT_FDS_PER_USER_MAX 1024u
/* Bytes of a JSON-RPC id that is a string: it is kept as long as its call is under way. */
#define ID_MAX 4096u
/* Calls of one batch. */
#define BATCH_MAX 8192u
/* Bytes that the answers to one batch may have together before the rest of it is refused. */
#define BATCH_ANSWER_MAX (8u * 1024u * 1024u)
/*
 * Calls of who that are worked on at once, for all users: each has up to a megabyte of what it
 * found, and three descriptors.
 */
#define WHO_MAX 16u
/* Times between two replies that tell of progress, in seconds. */
#define PROGRESS_INTERVAL 0.1

/* Addresses of one name: each is judged, and asked for each port, at every look. */
#define ADDRESSES_MAX 64u

#define HOST_MAX     253
#define HOST_DEFAULT "127.0.0.1"
/* An IPv6 address with the name of an interface, and the NUL. */
#define ADDRESS_SIZE 64

/* The codes of JSON-RPC; those from 1 on are the errors of the interface, in its order. */
enum error_code {
	ERROR_PARSE = -32700,
	ERROR_INVALID_REQUEST = -32600,
	ERROR_METHOD_NOT_FOUND = -32601,
	ERROR_INVALID_PARAMETER = -32602,
	ERROR_INTERNAL = -32603,
	/* Known to Varlink alone: JSON-RPC has no interfaces. */
	ERROR_INTERFACE_NOT_FOUND = -32001,
	ERROR_UNREACHABLE = 1,
	ERROR_NAME_NOT_FOUND,
	ERROR_RESOURCES_EXHAUSTED,
	ERROR_QUOTA_EXCEEDED,
	ERROR_TARGET_DENIED,
	ERROR_PERMISSION_DENIED,
	ERROR_DEADLINE_EXCEEDED,
	ERROR_NO_PORT_AVAILABLE,
	ERROR_NO_SUCH_LEASE,
	ERROR_NOT_SUPPORTED,
	ERROR_CANCELLED,
	ERROR_SHUTTING_DOWN,
	ERROR_MESSAGE_TOO_LARGE,
};

/* Without its interface: "Unreachable", "InvalidParameter". NULL for a code that is none. */
const char *error_name(enum error_code code);

/* Its place in the table of errors, for counting; that of Internal for a code that is none. */
#define ERRORS_MAX 32
size_t error_index(enum error_code code);

/* The name of the error in that place, or NULL behind the last. */
const char *error_name_at(size_t index);

/* The interface that declares the error. */
const char *error_interface(enum error_code code);

/* One error answer. All zeroes is none. */
struct error {
	enum error_code code;
	/* The Varlink error's members, and "status" and the like for JSON-RPC; may be NULL. */
	json_t *members;
	/* One sentence: what happened; what to do. */
	char message[384];
};

/*
 * Fills *ret_error, in place of what it held; takes over `members`, NULL included (out of memory
 * costs the members, never the error). What of the message is not UTF-8 becomes question marks.
 */
void error_set(struct error *ret_error, enum error_code code, json_t *members, const char *format,
	       ...) _printf_(4, 5);
void error_deinit(struct error *error);

/* At most this many bytes of a value are quoted in an error. */
#define QUOTED_MAX 80

/* `value` as JSON text, cut off behind QUOTED_MAX bytes, for the message of an error. */
void quote_json(char ret_text[QUOTED_MAX + 8], const json_t *value);

/* The same for a string: in quotes, and whatever is in it is ASCII then. */
void quote_text(char ret_text[QUOTED_MAX + 8], const char *text);
