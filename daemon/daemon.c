#include "daemon.h"

#include "clock.h"
#include "leases.h"
#include "log.h"
#include "memory.h"
#include "passed.h"
#include "route.h"
#include "server.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>

/*
 * From the file alone: name services may block, and the libraries they load would be a fifth of
 * what an idle daemon has in memory. -1 for none.
 */
static gid_t find_group(void)
{
	FILE *file = fopen("/etc/group", "re");
	const struct group *group;
	gid_t gid = (gid_t)-1;

	while (file && gid == (gid_t)-1 && (group = fgetgrent(file)))
		if (strcmp(group->gr_name, TRUSTED_GROUP) == 0)
			gid = group->gr_gid;
	if (file)
		fclose(file);
	return gid;
}

void daemon_set_limits(struct daemon *daemon, const struct config *config)
{
	daemon->users.limits[CHARGE_CONNECTIONS] = config->connections_per_user;
	daemon->users.limits[CHARGE_REQUESTS] = config->requests_per_user;
	daemon->users.limits[CHARGE_DESCRIPTORS] = UNSENT_FDS_PER_USER_MAX;
}

int daemon_open(struct daemon *daemon)
{
	int r = memory_init();

	if (r < 0)
		return r;
	r = descriptors_init(&daemon->descriptors);
	if (r < 0)
		return r;
	daemon->loop = ev_loop_new(EVFLAG_AUTO);
	if (!daemon->loop)
		return -ENOMEM;
	daemon->started = monotonic_now();
	users_init(&daemon->users);
	daemon_set_limits(daemon, &daemon->config);
	daemon->trusted_group = find_group();
	turns_init(&daemon->turns, daemon->loop);
	places_init(&daemon->who_places, WHO_MAX, CHARGE_WHO);
	r = route_init(&daemon->route);
	windows_init(&daemon->windows, &daemon->route, daemon->config.window);
	if (r >= 0)
		r = prober_new(&daemon->prober, daemon->loop, &daemon->descriptors);
	if (r >= 0)
		r = resolver_new(&daemon->resolver, daemon->loop);
	if (r >= 0)
		r = hangups_new(&daemon->hangups, daemon->loop);
	if (r >= 0)
		r = sockdiag_new(&daemon->sockdiag, daemon->loop);
	if (r >= 0)
		r = cgroups_new(&daemon->cgroups, NULL);
	return r;
}

int daemon_open_service(struct daemon *daemon, struct passed *passed)
{
	int r;

	r = server_new(&daemon->server, daemon, passed);
	if (r < 0)
		return r;
	/* One client's own daemon ends with it, and its leases would. */
	if (!server_is_private(daemon->server))
		return leases_new(&daemon->leases, daemon, passed);
	/* Nor has that client asked for the daemon's news. */
	if (daemon->config.log_priority < 0)
		log_open(LOG_WARNING);
	return 0;
}

void daemon_close(struct daemon *daemon)
{
	server_free(daemon->server);
	leases_free(daemon->leases);
	config_deinit(&daemon->config);
	if (!daemon->loop)
		return;
	turns_finish(&daemon->turns);
	cgroups_free(daemon->cgroups);
	sockdiag_free(daemon->sockdiag);
	hangups_free(daemon->hangups);
	resolver_free(daemon->resolver);
	prober_free(daemon->prober);
	route_deinit(&daemon->route);
	turns_deinit(&daemon->turns);
	ev_loop_destroy(daemon->loop);
}
