/*
 * journal.h: leases across a restart of the daemon. A file in the runtime directory, a line of
 * JSON for each change, replayed at start and written anew when most of it is history:
 *
 *	{"journal":"portscand leases","version":1,"boot":"0d1c…"}
 *	{"lease":"a3f19c0e5b7d2481","uid":1000,"ports":[20417],"until":"claimed",…}
 *	{"gone":"a3f19c0e5b7d2481"}
 *	{"name":"web","uid":1000,"ports":[20417]}
 *
 * The lease is now like this; it is no more, not even in quarantine; the name had these ports last.
 * Members of a lease that are as usual are left out: tcp, "*", shared, held, no pid, no name, no
 * ttl, no end, not passed. Times are milliseconds of CLOCK_BOOTTIME, so a lease means something until the next
 * boot only: a journal of another boot is begun anew, and nothing is ever synced to the disk. A
 * line is written by one write(). A last line without an end was being written when the daemon
 * died, its answer was never sent, and it is dropped; anything else that can't be read is an error.
 *
 * Where the file can't be written the journal is opened all the same: what it says is replayed,
 * and each change is refused with the reason until it can be.
 */

#pragma once

#include "lease.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_FILE        "leases.journal"
#define JOURNAL_COMPACT_MIN (64 * 1024) /* bytes; below it history does not matter */

struct journal;

/* Which line can't be read, and what is wrong with it: text for a log. */
struct journal_error {
	size_t line;
	char what[160];
};

/*
 * Replays the file in `directory_fd` into `table`, which is empty, and keeps the directory to
 * itself (flock) until journal_free(). `boot_id` is copied; directory_fd stays the caller's and may
 * be closed; the table must outlive the journal, and its ops are not called.
 *
 * 0; -EBUSY: another process has the directory; -EBADMSG: *ret_error says which line can't be
 * read, the file is as it was, and the table is not to be used; -ENOMEM; or -errno.
 * Reads a file, so not for the loop.
 */
int journal_open(struct journal **ret_journal, int directory_fd, const char *boot_id,
		 struct lease_table *table, struct journal_error *ret_error);

/* NULL is fine. The file stays. */
void journal_free(struct journal *journal);

/*
 * For lease_ops::record and lease_ops::erase. 0, or -ENOSPC, -EROFS or another -errno, and the file
 * is as if the call had not been made. When the end of a lease could not be written, which can't be
 * undone, then nothing else is until the file has been made to agree with the table again: each
 * call tries.
 */
int journal_put(struct journal *journal, const struct lease *lease);
int journal_erase(struct journal *journal, const struct lease *lease);

/* Whether the file is large, and no more than a quarter of its lines tell what is so. */
bool journal_wants_compaction(const struct journal *journal);

/*
 * Writes what is in the table to a new file and puts that in place of the old one. 0, or -errno,
 * and the old one is kept. Takes about a microsecond for each lease.
 */
int journal_compact(struct journal *journal);
