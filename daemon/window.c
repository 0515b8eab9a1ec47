#include "window.h"

#include "route.h"

#include <search.h>

struct host_window {
	struct windows *windows;
	union address host;
	unsigned n_users, n_under_way;
	struct list waiters; /* of prober_waiter::link */
};

static int compare_windows(const void *a, const void *b)
{
	const struct host_window *one = a, *other = b;

	return address_compare(&one->host, &other->host);
}

int host_window_get(struct windows *windows, const union address *address,
		    struct host_window **ret_window)
{
	struct host_window key = { .host = *address };
	struct host_window **found, *window;
	int is_local = route_is_local(windows->route, address);

	if (is_local < 0)
		return is_local;
	if (is_local) {
		*ret_window = NULL;
		return 0;
	}
	address_set_port(&key.host, 0);
	window = calloc(1, sizeof(*window));
	if (!window)
		return -ENOMEM;
	window->windows = windows;
	window->host = key.host;
	list_init(&window->waiters);

	found = tsearch(window, &windows->tree, compare_windows);
	if (!found || *found != window)
		free(window);
	if (!found)
		return -ENOMEM;
	(*found)->n_users++;
	*ret_window = *found;
	return 0;
}

void host_window_put(struct host_window *window)
{
	if (!window || --window->n_users > 0)
		return;
	tdelete(window, &window->windows->tree, compare_windows);
	free(window);
}

bool host_window_enter(struct host_window *window)
{
	if (!window)
		return true;
	if (window->n_under_way >= window->windows->limit)
		return false;
	window->n_under_way++;
	return true;
}

void host_window_leave(struct host_window *window)
{
	if (!window)
		return;
	window->n_under_way--;
	prober_wake_first(&window->waiters);
}

void host_window_wait(struct host_window *window, struct prober_waiter *waiter)
{
	list_append(&window->waiters, &waiter->link);
}

void host_window_pass_on(struct host_window *window)
{
	prober_wake_first(&window->waiters);
}
