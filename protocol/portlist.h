/*
 * portlist.h: ordered sets of ports, written "3000-3010,8080". The order is the one given, a
 * reversed range is turned round, "3000-" goes on to 65535, and a port that comes twice counts
 * once, where it came first. See README.md, "Ports".
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_MIN 1
#define PORT_MAX 65535

struct port_range {
	uint16_t first, last;
};

/* All zeroes is an empty list. No two ranges share a port. */
struct portlist {
	struct port_range *ranges;
	size_t n_ranges;
	size_t n_ports;
};

/* A place in a list. All zeroes is its beginning. */
struct portlist_cursor {
	size_t range;
	uint32_t offset;
};

/* Collects a list from pieces; freed by finish or free, of which the latter takes NULL. */
struct portlist_builder;

/* 0 or -ENOMEM. */
int portlist_builder_new(struct portlist_builder **ret_builder);
void portlist_builder_free(struct portlist_builder *builder);

/* Adds a range of ports, none of them 0, whichever way round. 0 or -ENOMEM. */
int portlist_builder_add(struct portlist_builder *builder, uint16_t first, uint16_t last);

/*
 * Adds what `text` of `size` bytes says. 0; -ENOMEM; or -EINVAL, and *ret_why says in a static
 * string what is wrong with it.
 */
int portlist_builder_parse(struct portlist_builder *builder, const char *text, size_t size,
			   const char **ret_why);

/* Moves what was collected into *ret_list and frees the builder. */
void portlist_builder_finish(struct portlist_builder *builder, struct portlist *ret_list);

/* A whole list from one text; errors as portlist_builder_parse(). */
int portlist_parse(struct portlist *ret_list, const char *text, const char **ret_why);

/* `list` without the ports of `exclude`, in the same order. 0 or -ENOMEM. */
int portlist_exclude(struct portlist *ret_list, const struct portlist *list,
		     const struct portlist *exclude);

/* Frees the ranges; the list is empty afterwards. */
void portlist_deinit(struct portlist *list);

bool portlist_contains(const struct portlist *list, uint16_t port);

/* The port at the cursor, which moves on; 0 at the end. */
uint16_t portlist_next(const struct portlist *list, struct portlist_cursor *cursor);

/*
 * One port in digits, and nothing but digits: 0, or -EINVAL for anything else, -ERANGE for a
 * number that is no port.
 */
int port_parse(const char *text, size_t size, uint16_t *ret_port);
