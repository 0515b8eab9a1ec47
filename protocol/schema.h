/*
 * schema.h: from the members of a JSON object to a C struct and back, by a table with one row a
 * member. The tables themselves are in calls.h. Pure.
 */

#pragma once

#include "buffer.h"
#include "protocol.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
	FIELD_END,          /* ends a table */
	FIELD_BOOL,         /* bool */
	FIELD_INT,          /* a signed integer of any size, or uint16_t */
	FIELD_PORT,         /* uint16_t; a string of digits too, where ports are given loosely */
	FIELD_ENUM,         /* int-sized enum, 0 for unset, then in the order of `names` */
	FIELD_ID,           /* const json_t *: the id of a request, a string, a number or null */
	FIELD_STRING,       /* const char *, into the decoded JSON: lives as long as that */
	FIELD_HOST,         /* the same, for a name or an address */
	FIELD_TEXT,         /* char[], cut off where it is too small */
	FIELD_PORTS,        /* decoded: struct portlist; encoded: const char * */
	FIELD_PORT_ARRAY,   /* uint16_t *x; size_t n_x: an array of their own in memory */
	FIELD_OBJECT,       /* an embedded struct, by the table `fields` */
	FIELD_OBJECT_ARRAY, /* struct *x; size_t n_x: structs by the table, an array in memory */
};

enum field_flags {
	FIELD_REQUIRED = 1 << 0,   /* in params: must be there */
	FIELD_NULLABLE = 1 << 1,   /* in results: null where the value is `fallback` */
	FIELD_LOOSE_ONLY = 1 << 2, /* not in the interface: JSON-RPC alone knows it */
};

struct field {
	const char *name;
	enum field_type type;
	unsigned flags;
	size_t offset, size;
	size_t count_offset; /* of n_x, for arrays */
	int64_t min, max, fallback;
	const char *const *names;   /* of an enum, NULL at the end */
	const struct field *fields; /* of an object */
	size_t element_size;        /* of a struct in an array of objects */
};

/* What a decoder does with what the other side sent. */
enum decode_mode {
	DECODE_STRICT, /* params as in the interface: ports are integers, lists arrays of strings */
	DECODE_LOOSE,  /* params of JSON-RPC: ports and lists as they are easy to type */
	DECODE_RESULT, /* a result: members that this side does not know are passed over */
};

/*
 * Fills the struct at `ret` from `object` (NULL: as if it were empty), optional members that are
 * not there with their fallback. Returns 0; -ENOMEM; or -EINVAL and *ret_error names the member,
 * what was given and what is allowed. Frees what it allocated on failure.
 */
int schema_decode(const struct field *fields, const json_t *object, enum decode_mode mode,
		  void *ret, struct error *ret_error);

/* Frees what schema_decode() allocated in the struct (port lists and arrays), and zeroes that. */
void schema_clear(const struct field *fields, void *decoded);

/*
 * These append the struct as a JSON object: of params, what is set (not zero), of a result, all
 * members. Return 0; -ENOMEM; -EILSEQ for a string that isn't UTF-8; or -EINVAL for an enum's
 * value that has no name and a string that is NULL. Then nothing was appended.
 */
int schema_encode_params(const struct field *fields, const void *values, struct buffer *buffer);
int schema_encode_result(const struct field *fields, const void *values, struct buffer *buffer);

/* Appends `string` as JSON, or -EILSEQ if it isn't UTF-8. */
int schema_put_string(struct buffer *buffer, const char *string);

/* Whether `text` is written like a host's name or address: 1-253 characters of either. */
bool host_is_valid(const char *text);

/* Rows of tables. `S` is the struct, `member` both its member and the name on the wire. */
#define FIELD_ROW_(S, member, type_, ...)                                                          \
	{                                                                                          \
		.name = #member, .type = (type_), .offset = offsetof(S, member),                   \
		.size = sizeof(((S *)0)->member), __VA_ARGS__                                      \
	}
#define ROW_PORT(S, member)                                                                        \
	FIELD_ROW_(S, member, FIELD_PORT, .flags = FIELD_REQUIRED, .min = 1, .max = 65535)
#define ROW_PORT_OR_NULL(S, member)                                                                \
	FIELD_ROW_(S, member, FIELD_PORT, .flags = FIELD_NULLABLE, .min = 1, .max = 65535)
#define ROW_INT(S, member, min_, max_, fallback_)                                                  \
	FIELD_ROW_(S, member, FIELD_INT, .flags = 0, .min = (min_), .max = (max_),                 \
		   .fallback = (fallback_))
#define ROW_INT_OR_NULL(S, member)                                                                 \
	FIELD_ROW_(S, member, FIELD_INT, .flags = FIELD_NULLABLE, .max = INT64_MAX)
#define ROW_COUNT(S, member) ROW_INT(S, member, 0, INT64_MAX, 0)
#define ROW_BOOL(S, member)  FIELD_ROW_(S, member, FIELD_BOOL, .flags = 0, .max = 1)
#define ROW_LOOSE_BOOL(S, member)                                                                  \
	FIELD_ROW_(S, member, FIELD_BOOL, .flags = FIELD_LOOSE_ONLY, .max = 1)
#define ROW_HOST(S, member)            FIELD_ROW_(S, member, FIELD_HOST, .flags = 0)
#define ROW_ID(S, member)              FIELD_ROW_(S, member, FIELD_ID, .flags = FIELD_REQUIRED)
#define ROW_REQUIRED_STRING(S, member) FIELD_ROW_(S, member, FIELD_STRING, .flags = FIELD_REQUIRED)
#define ROW_STRING(S, member)          FIELD_ROW_(S, member, FIELD_STRING, .flags = 0)
#define ROW_STRING_OR_NULL(S, member)  FIELD_ROW_(S, member, FIELD_STRING, .flags = FIELD_NULLABLE)
#define ROW_TEXT(S, member)            FIELD_ROW_(S, member, FIELD_TEXT, .flags = 0)
#define ROW_ENUM(S, member, names_, fallback_)                                                     \
	FIELD_ROW_(S, member, FIELD_ENUM, .flags = 0, .names = (names_), .fallback = (fallback_))
#define ROW_PORTS(S, member)          FIELD_ROW_(S, member, FIELD_PORTS, .flags = FIELD_REQUIRED)
#define ROW_OPTIONAL_PORTS(S, member) FIELD_ROW_(S, member, FIELD_PORTS, .flags = 0)
#define ROW_PORT_ARRAY(S, member)                                                                  \
	FIELD_ROW_(S, member, FIELD_PORT_ARRAY, .flags = 0, .count_offset = offsetof(S, n_##member))
#define ROW_OBJECT(S, member, fields_)                                                             \
	FIELD_ROW_(S, member, FIELD_OBJECT, .flags = 0, .fields = (fields_))
#define ROW_OBJECT_ARRAY(S, member, fields_, E)                                                    \
	FIELD_ROW_(S, member, FIELD_OBJECT_ARRAY, .flags = 0, .fields = (fields_),                 \
		   .count_offset = offsetof(S, n_##member), .element_size = sizeof(E))
/* -1 stands for null: 0 is a time. */
#define ROW_TIME_OR_NULL(S, member)                                                                \
	FIELD_ROW_(S, member, FIELD_INT, .flags = FIELD_NULLABLE, .min = 0, .max = INT64_MAX,      \
		   .fallback = -1)
/* Null where the first member of the object, a string, is unset. */
#define ROW_OBJECT_OR_NULL(S, member, fields_)                                                     \
	FIELD_ROW_(S, member, FIELD_OBJECT, .flags = FIELD_NULLABLE, .fields = (fields_))
#define ROW_END                                                                                    \
	{                                                                                          \
		.type = FIELD_END                                                                  \
	}
