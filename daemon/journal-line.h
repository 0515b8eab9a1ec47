/* journal-line.h: lines of the journal, written and read. See journal.h for what they look like. */

#pragma once

#include "journal.h"
#include "names.h"

#include <sys/types.h>

/* Text that grows. All zeroes is empty. An error sticks: it is looked at once, at the end. */
struct line {
	char *text;
	size_t size;
	size_t n_allocated;
	int error; /* -ENOMEM, -EILSEQ: a string isn't UTF-8; 0: none */
};

void line_deinit(struct line *line);

/* Each adds one line to what is there. */
void line_add_header(struct line *line, const char *boot_id);
void line_add_lease(struct line *line, const struct lease *lease);
void line_add_gone(struct line *line, const struct lease *lease);
void line_add_name(struct line *line, const struct name *name);

/*
 * Reads a header. 0, and *ret_same_boot; -EBADMSG, and ret_error->what; or -ENOMEM.
 * Here and below `text` goes without its LF, and ret_error->line is the caller's.
 */
int line_read_header(const char *text, size_t size, const char *boot_id, bool *ret_same_boot,
		     struct journal_error *ret_error);

/* Does to the table what any other line says. 0; -EBADMSG as above; or -ENOMEM. */
int line_replay(const char *text, size_t size, struct lease_table *table,
		struct journal_error *ret_error);
