#include "turn.h"

#include "clock.h"

/* Microseconds of slices in one turn of the loop; the last one may go beyond. */
#define BUDGET_US 500

/* One slice of the user whose turn it is, who then goes to the end. */
static void run_first(struct turns *turns)
{
	struct user *user = list_first(&turns->users, struct user, turn_link);
	struct turn *turn = list_first(&user->turns, struct turn, link);

	list_remove(&turn->link);
	list_remove(&user->turn_link);
	if (!list_empty(&user->turns))
		list_append(&turns->users, &user->turn_link);
	turn->run(turn);
}

static void on_check(struct ev_loop *loop, ev_check *watcher, int revents)
{
	struct turns *turns = container_of(watcher, struct turns, check);
	uint64_t end = list_empty(&turns->users) ? 0 : monotonic_us() + BUDGET_US;

	(void)revents;
	while (!list_empty(&turns->users)) {
		run_first(turns);
		if (monotonic_us() >= end)
			break;
	}
	if (list_empty(&turns->users))
		ev_idle_stop(loop, &turns->idle);
	else
		ev_idle_start(loop, &turns->idle);
}

/* Only there to keep the loop from sleeping. */
static void on_idle(struct ev_loop *loop, ev_idle *watcher, int revents)
{
	(void)loop;
	(void)watcher;
	(void)revents;
}

void turns_init(struct turns *turns, struct ev_loop *loop)
{
	turns->loop = loop;
	list_init(&turns->users);
	ev_idle_init(&turns->idle, on_idle);
	ev_check_init(&turns->check, on_check);
	/* Whoever has been heard from since the last turn is in the queue by then. */
	ev_set_priority(&turns->check, EV_MINPRI);
	ev_check_start(loop, &turns->check);
}

void turns_finish(struct turns *turns)
{
	while (!list_empty(&turns->users))
		run_first(turns);
}

void turns_deinit(struct turns *turns)
{
	if (!turns->loop)
		return;
	ev_check_stop(turns->loop, &turns->check);
	ev_idle_stop(turns->loop, &turns->idle);
}

void turn_init(struct turn *turn, struct user *user, void (*run)(struct turn *turn))
{
	list_init(&turn->link);
	turn->user = user_ref(user);
	turn->run = run;
}

void turn_deinit(struct turn *turn)
{
	struct user *user = turn->user;

	if (!user)
		return;
	turn_cancel(turn);
	turn->user = NULL;
	user_unref(user);
}

void turn_queue(struct turns *turns, struct turn *turn)
{
	struct user *user = turn->user;

	if (turn_is_queued(turn))
		return;
	list_append(&user->turns, &turn->link);
	if (list_empty(&user->turn_link))
		list_append(&turns->users, &user->turn_link);
	/* In the middle of a turn of the loop it need not sleep first. */
	ev_idle_start(turns->loop, &turns->idle);
}

void turn_cancel(struct turn *turn)
{
	list_remove(&turn->link);
	if (list_empty(&turn->user->turns))
		list_remove(&turn->user->turn_link);
}
