#include "journal.h"

#include "journal-line.h"
#include "util.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define NEW_FILE JOURNAL_FILE ".new"
#define CHUNK    (64 * 1024)

struct journal {
	int directory_fd; /* locked */
	int fd;
	off_t size; /* bytes that count; a failed write may have left more behind them */
	size_t n_lines;
	size_t retry_lines; /* a compaction failed: not again before there are as many */
	bool stale;         /* the file has to be replaced before anything is added to it */
	char *boot_id;
	struct lease_table *table;
	struct line line;
};

void journal_free(struct journal *journal)
{
	if (!journal)
		return;

	closep(&journal->fd);
	closep(&journal->directory_fd);
	line_deinit(&journal->line);
	free(journal->boot_id);
	free(journal);
}

static void journal_freep(struct journal **journal)
{
	journal_free(*journal);
}

/*
 * A lock on the directory and not on a file in it: it stays when the journal is replaced, needs no
 * file, and works where none can be made.
 */
static int lock_directory(struct journal *journal, int directory_fd)
{
	/* Our own open file, because a lock belongs to that and not to a descriptor. */
	journal->directory_fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (journal->directory_fd < 0)
		return -errno;
	if (flock(journal->directory_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

/* In one write(), but for what the file system stops at: then in another one, which tells why. */
static int write_at(int fd, const char *bytes, size_t size, off_t at)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, bytes, size, at);

		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENOSPC;
		bytes += n;
		size -= (size_t)n;
		at += n;
	}
	return 0;
}

/* Writes what has been collected once there is enough, so that the text needs little memory. */
static int flush(int fd, struct line *line, size_t at_least, off_t *size)
{
	int r = line->error;

	if (r >= 0 && line->size >= at_least) {
		r = write_at(fd, line->text, line->size, *size);
		*size += (off_t)line->size;
		line->size = 0;
	}
	return r;
}

/* The whole table. *ret_size in bytes, *ret_n_lines with the header. */
static int write_table(const struct journal *journal, int fd, off_t *ret_size, size_t *ret_n_lines)
{
	_cleanup_(line_deinit) struct line line = { 0 };
	const struct lease *lease = NULL;
	const struct name *name = NULL;
	size_t n_lines = 1;
	off_t size = 0;
	int r;

	line_add_header(&line, journal->boot_id);
	while ((lease = lease_table_next(journal->table, lease))) {
		line_add_lease(&line, lease);
		n_lines++;
		r = flush(fd, &line, CHUNK, &size);
		if (r < 0)
			return r;
	}
	while ((name = lease_table_next_name(journal->table, name))) {
		line_add_name(&line, name);
		n_lines++;
		r = flush(fd, &line, CHUNK, &size);
		if (r < 0)
			return r;
	}
	r = flush(fd, &line, 1, &size);
	if (r < 0)
		return r;

	*ret_size = size;
	*ret_n_lines = n_lines;
	return 0;
}

static int replace(struct journal *journal)
{
	_cleanup_(closep) int fd = -EBADF;
	size_t n_lines;
	off_t size;
	int r;

	fd = openat(journal->directory_fd, NEW_FILE,
		    O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;

	r = write_table(journal, fd, &size, &n_lines);
	if (r >= 0 &&
	    renameat(journal->directory_fd, NEW_FILE, journal->directory_fd, JOURNAL_FILE) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(journal->directory_fd, NEW_FILE, 0);
		return r;
	}

	closep(&journal->fd);
	journal->fd = steal_fd(&fd);
	journal->size = size;
	journal->n_lines = n_lines;
	journal->stale = false;
	return 0;
}

int journal_compact(struct journal *journal)
{
	int r;

	r = replace(journal);
	journal->retry_lines = r < 0 ? journal->n_lines * 2 : 0;
	return r;
}

bool journal_wants_compaction(const struct journal *journal)
{
	struct lease_counts counts;
	size_t n_alive;

	if (journal->size <= JOURNAL_COMPACT_MIN || journal->n_lines < journal->retry_lines)
		return false;

	lease_table_count(journal->table, &counts);
	n_alive = counts.names + counts.by_state[LEASE_HELD] + counts.by_state[LEASE_IN_USE] +
		  counts.by_state[LEASE_QUARANTINED];
	return journal->n_lines > 4 * n_alive;
}

/* What is in journal->line. */
static int append(struct journal *journal)
{
	size_t size = journal->line.size;
	int r;

	if (journal->line.error < 0)
		return journal->line.error;

	if (journal->stale) {
		r = journal_compact(journal);
		if (r < 0)
			return r;
	}

	r = write_at(journal->fd, journal->line.text, size, journal->size);
	if (r >= 0) {
		journal->size += (off_t)size;
		journal->n_lines++;
		return 0;
	}

	if (ftruncate(journal->fd, journal->size) < 0)
		journal->stale = true;
	return r;
}

int journal_put(struct journal *journal, const struct lease *lease)
{
	int r;

	journal->line.size = 0;
	journal->line.error = 0;
	line_add_lease(&journal->line, lease);
	r = append(journal);

	/* A lease that is over stays so; a change of any other is undone by who made it. */
	if (r < 0 && lease->state == LEASE_QUARANTINED)
		journal->stale = true;
	return r;
}

int journal_erase(struct journal *journal, const struct lease *lease)
{
	int r;

	journal->line.size = 0;
	journal->line.error = 0;
	line_add_gone(&journal->line, lease);
	r = append(journal);
	if (r < 0)
		journal->stale = true;
	return r;
}

/* *ret_text is the caller's to free. */
static int read_all(int fd, char **ret_text, size_t *ret_size)
{
	_cleanup_(freep) char *text = NULL;
	struct stat status;
	size_t size = 0;

	if (fstat(fd, &status) < 0)
		return negative_errno();

	text = malloc((size_t)status.st_size + 1);
	if (!text)
		return -ENOMEM;

	while (size < (size_t)status.st_size) {
		ssize_t n = pread(fd, text + size, (size_t)status.st_size - size, (off_t)size);

		if (n < 0)
			return negative_errno();
		if (n == 0)
			break;
		size += (size_t)n;
	}

	*ret_text = steal(text);
	*ret_size = size;
	return 0;
}

static int replay(struct journal *journal, const char *text, size_t size,
		  struct journal_error *error)
{
	const char *end;
	int r;

	for (; (end = memchr(text, '\n', size)); size -= (size_t)(end + 1 - text), text = end + 1) {
		size_t line_size = (size_t)(end - text);
		bool same_boot = true;

		error->line = journal->n_lines + 1;
		if (journal->n_lines == 0)
			r = line_read_header(text, line_size, journal->boot_id, &same_boot, error);
		else
			r = line_replay(text, line_size, journal->table, error);
		if (r < 0)
			return r;

		if (!same_boot) {
			journal->stale = true;
			return 0;
		}
		journal->n_lines++;
		journal->size += (off_t)(line_size + 1);
	}

	/* Died while it was being made: not even the header is whole. */
	if (journal->n_lines == 0 || (size > 0 && ftruncate(journal->fd, journal->size) < 0))
		journal->stale = true;
	return 0;
}

/* Leaves journal->fd negative if there is no file. */
static int open_file(struct journal *journal)
{
	journal->fd = openat(journal->directory_fd, JOURNAL_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (journal->fd < 0 && (errno == EROFS || errno == EACCES)) {
		journal->stale = true;
		journal->fd = openat(journal->directory_fd, JOURNAL_FILE,
				     O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	return journal->fd < 0 && errno != ENOENT ? -errno : 0;
}

static int load_file(struct journal *journal, struct journal_error *error)
{
	_cleanup_(freep) char *text = NULL;
	size_t size = 0;
	int r;

	r = read_all(journal->fd, &text, &size);
	if (r < 0 || !text)
		return r;
	return replay(journal, text, size, error);
}

static int load(struct journal *journal, struct journal_error *error)
{
	int r;

	r = open_file(journal);
	if (r < 0)
		return r;
	if (journal->fd < 0) {
		journal->stale = true;
		return 0;
	}
	return load_file(journal, error);
}

int journal_open(struct journal **ret_journal, int directory_fd, const char *boot_id,
		 struct lease_table *table, struct journal_error *ret_error)
{
	_cleanup_(journal_freep) struct journal *journal = NULL;
	struct journal_error error = { 0 };
	int r;

	journal = calloc(1, sizeof(*journal));
	if (!journal)
		return -ENOMEM;
	journal->directory_fd = -EBADF;
	journal->fd = -EBADF;
	journal->table = table;
	journal->boot_id = strdup(boot_id);
	if (!journal->boot_id)
		return -ENOMEM;

	r = lock_directory(journal, directory_fd);
	if (r < 0)
		return r;

	r = load(journal, &error);
	if (r == -EBADMSG)
		*ret_error = error;
	if (r < 0)
		return r;

	/* Not being able to write is for the first change to say: see journal.h. */
	if (journal->stale)
		journal_compact(journal);

	*ret_journal = steal(journal);
	return 0;
}
