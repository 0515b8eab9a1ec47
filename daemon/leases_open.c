#include "ephemeral.h"
#include "leases_internal.h"
#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

static void owners_free(struct leases *leases)
{
	while (!list_empty(&leases->owners))
		owner_free(list_first(&leases->owners, struct owner, link));
}

void leases_free(struct leases *leases)
{
	if (!leases)
		return;
	leases_stop_watchers(leases);
	/* First: what is let go of below is not to be taken out of it, but there after a restart. */
	parking_free(leases->parking);
	if (leases->table)
		lease_table_free(leases->table);
	owners_free(leases);
	journal_free(leases->journal);
	process_table_free(leases->processes);
	bitmap_deinit(&leases->listening);
	bitmap_deinit(&leases->taken);
	free(leases);
}

static void leases_freep(struct leases **leases)
{
	leases_free(*leases);
}

static struct lease_config table_config(const struct config *config)
{
	return (struct lease_config){
		.pool = config->pool.ranges,
		.n_pool = config->pool.n_ranges,
		.quarantine_ms = config->quarantine_ms,
		.claim_grace_ms = CLAIM_GRACE_MS,
	};
}

static int open_table(struct leases *leases)
{
	struct lease_config config = table_config(&leases->daemon->config);

	return lease_table_new(&leases->table, &config, &leases_ops, leases);
}

int leases_configure(struct leases *leases, const struct config *config)
{
	struct lease_config changed = table_config(config);

	ephemeral_check_pool(&config->pool);
	return lease_table_configure(leases->table, &changed);
}

static int open_directory(const char *path)
{
	int fd;

	if (!path)
		return -ENOENT;
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* 0; a problem that only leases have is noted, and logged. */
static int open_journal(struct leases *leases)
{
	const char *path = leases->daemon->config.runtime_dir;
	_cleanup_(closep) int directory = -EBADF;
	struct journal_error error = { 0 };
	char boot_id[SD_ID128_STRING_MAX] = "";
	sd_id128_t id;
	int r;

	if (sd_id128_get_boot(&id) >= 0)
		sd_id128_to_string(id, boot_id);
	directory = open_directory(path);
	if (directory < 0) {
		leases->problem = -directory;
		log_warning("there are no leases to be had: %s: %s; give a --runtime-dir",
			    path ? path : "no runtime directory", strerror(-directory));
		return 0;
	}
	r = journal_open(&leases->journal, directory, boot_id, leases->table, &error);
	if (r == -EBUSY)
		log_error("%s is in use by another portscand; end that one, or give another "
			  "--runtime-dir",
			  path);
	else if (r == -EBADMSG)
		log_error("%s/" JOURNAL_FILE ", line %zu: %s; mend it, or move it away and lose "
			  "the leases",
			  path, error.line, error.what);
	else if (r < 0)
		log_error("%s/" JOURNAL_FILE ": %s", path, strerror(-r));
	return r;
}

static int open_parking(struct leases *leases, struct passed *passed)
{
	struct parking_sockets sockets = { 0 };
	int r;

	if (!getenv("NOTIFY_SOCKET"))
		return 0;
	r = parking_new(&leases->parking, parking_notify_manager, NULL);
	if (r >= 0)
		r = parking_restore(leases->parking, passed->fds, passed->names, passed->n,
				    &sockets);
	for (size_t i = 0; i < passed->n; i++)
		if (parking_is_ours(passed->names[i]))
			passed->fds[i] = -EBADF;
	if (r < 0) {
		log_error("the ports that were parked with the service manager can't be had: %s; "
			  "raise LimitNOFILE=",
			  strerror(-r));
		return r;
	}
	return finds_init(&leases->finds, &sockets);
}

static void resume(struct leases *leases)
{
	struct lease_counts counts;
	size_t n_lost;

	leases->is_restoring = false;
	leases_watch_processes(leases);
	n_lost = lease_table_resume(leases->table, leases_now());
	finds_deinit(&leases->finds);
	lease_table_count(leases->table, &counts);
	if (counts.by_state[LEASE_HELD] + counts.by_state[LEASE_IN_USE] > 0)
		log_info("%zu leases are as they were before the restart, %zu ports of them lost",
			 counts.by_state[LEASE_HELD] + counts.by_state[LEASE_IN_USE], n_lost);
	if (leases->parking)
		while (parking_tidy(leases->parking, UINT16_MAX) > 0)
			;
	leases_changed(leases);
}

/* What users other than root may bind; without the sysctl it is as it always was. */
static uint16_t first_unprivileged_port(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	unsigned port = 1024;

	if (file) {
		if (fscanf(file, "%u", &port) != 1 || port > PORT_MAX)
			port = 1024;
		fclose(file);
	}
	return (uint16_t)port;
}

int leases_new(struct leases **ret_leases, struct daemon *daemon, struct passed *passed)
{
	_cleanup_(leases_freep) struct leases *leases = NULL;
	int r;

	leases = calloc(1, sizeof(*leases));
	if (!leases)
		return -ENOMEM;
	leases->daemon = daemon;
	leases->is_restoring = true;
	leases->first_port_of_all = first_unprivileged_port();
	list_init(&leases->owners);
	list_init(&leases->looks);
	list_init(&leases->next_looks);
	leases_init_watchers(leases);
	r = bitmap_init(&leases->listening, PORT_MAX + 1);
	if (r >= 0)
		r = bitmap_init(&leases->taken, PORT_MAX + 1);
	if (r >= 0)
		r = process_table_new(&leases->processes, daemon->loop);
	if (r >= 0)
		r = open_table(leases);
	if (r >= 0)
		r = open_journal(leases);
	if (r >= 0)
		r = open_parking(leases, passed);
	if (r < 0)
		return r;
	ephemeral_check_pool(&daemon->config.pool);
	resume(leases);
	*ret_leases = steal(leases);
	return 0;
}
