#include "fake_host.h"

#include "names.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char host_path[64];
int host_directory = -1;

static int record(void *userdata, const struct lease *lease)
{
	struct host *host = userdata;

	return host->journal ? journal_put(host->journal, lease) : 0;
}

static void erase(void *userdata, const struct lease *lease)
{
	struct host *host = userdata;

	if (host->journal)
		journal_erase(host->journal, lease);
}

int host_open(struct host *host, const char *boot_id, struct journal_error *ret_error)
{
	const struct port_range pool = { 20000, 29999 };
	const struct lease_config config = { &pool, 1, 10000, 5000 };
	int r;

	fake_init(&host->kernel, 99);
	host->ops = fake_ops;
	host->ops.record = record;
	host->ops.erase = erase;
	host->journal = NULL;
	ck_assert_int_eq(lease_table_new(&host->table, &config, &host->ops, host), 0);
	r = journal_open(&host->journal, host_directory, boot_id, host->table, ret_error);
	return r;
}

void host_close(struct host *host)
{
	journal_free(host->journal);
	host->journal = NULL;
	lease_table_free(host->table);
}

struct host *host_new(void)
{
	struct host *host = calloc(1, sizeof(*host));
	struct journal_error error = { 0 };

	ck_assert_ptr_nonnull(host);
	ck_assert_msg(host_open(host, BOOT, &error) == 0, "line %zu: %s", error.line, error.what);
	return host;
}

void host_free(struct host *host)
{
	host_close(host);
	free(host);
}

void host_set_up(void)
{
	snprintf(host_path, sizeof(host_path), "/tmp/test-journal-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(host_path));
	host_directory = open(host_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(host_directory, 0);
}

void host_tear_down(void)
{
	unlinkat(host_directory, JOURNAL_FILE, 0);
	close(host_directory);
	ck_assert_int_eq(rmdir(host_path), 0);
}

int host_grant(struct host *host, const char *name, size_t count, struct lease **ret_lease)
{
	struct lease_request request = fake_request();

	request.name = name;
	request.count = count;
	request.until = LEASE_CLAIMED;
	request.ttl_ms = 777;
	request.pid = 5;
	request.pid_tag = UINT64_MAX;
	request.passes = true;
	return lease_table_grant(host->table, &request, 1000, ret_lease);
}

size_t host_read_file(char *text, size_t size)
{
	int fd = openat(host_directory, JOURNAL_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	ck_assert_int_ge(fd, 0);
	n = read(fd, text, size);
	ck_assert_int_ge(n, 0);
	close(fd);
	return (size_t)n;
}

static void check_same(const struct lease *a, const struct lease *b)
{
	check_that(a->id == b->id && a->uid == b->uid && a->pid == b->pid);
	check_that(a->pid_tag == b->pid_tag && a->protocol == b->protocol && a->hold == b->hold);
	check_that(a->passed == b->passed);
	check_that(a->until == b->until && a->state == b->state && a->ttl_ms == b->ttl_ms);
	check_that(a->created_ms == b->created_ms && a->expires_ms == b->expires_ms);
	check_that(strcmp(a->address, b->address) == 0);
	check_that(!a->name == !b->name && (!a->name || strcmp(a->name, b->name) == 0));
	check_that(a->n_ports == b->n_ports);
	for (size_t i = 0; i < a->n_ports; i++)
		check_that(a->ports[i].port == b->ports[i].port);
}

/* What was in one table, beside what came back in the other. */
static void check_same_tables(const struct lease_table *a, const struct lease_table *b)
{
	const struct lease *lease = NULL;
	const struct name *name = NULL;
	size_t n_a = 0, n_b = 0;

	for (; (lease = lease_table_next(a, lease)); n_a++) {
		check_that(lease_table_find_port(b, lease->ports[0].port) != NULL);
		check_same(lease, lease_table_find_port(b, lease->ports[0].port));
	}
	for (lease = NULL; (lease = lease_table_next(b, lease)); n_b++)
		;
	check_that(n_a == n_b);

	for (n_a = 0; (name = lease_table_next_name(a, name)); n_a++)
		;
	for (n_b = 0, name = NULL; (name = lease_table_next_name(b, name)); n_b++)
		;
	check_that(n_a == n_b);
}

struct host *host_restart(struct host *host)
{
	struct host *new;

	journal_free(host->journal);
	host->journal = NULL;
	new = host_new();
	check_same_tables(host->table, new->table);
	host_free(host);
	return new;
}
