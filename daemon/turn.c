#include "turn.h"

static void run_first(struct turns *turns)
{
	struct turn *turn = list_first(&turns->queue, struct turn, link);

	list_remove(&turn->link);
	turn->run(turn);
}

static void on_check(struct ev_loop *loop, ev_check *watcher, int revents)
{
	struct turns *turns = container_of(watcher, struct turns, check);

	(void)revents;
	if (!list_empty(&turns->queue))
		run_first(turns);
	if (list_empty(&turns->queue))
		ev_idle_stop(loop, &turns->idle);
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
	list_init(&turns->queue);
	ev_idle_init(&turns->idle, on_idle);
	ev_check_init(&turns->check, on_check);
	/* Whoever has been heard from since the last turn goes first. */
	ev_set_priority(&turns->check, EV_MINPRI);
	ev_check_start(loop, &turns->check);
}

void turns_finish(struct turns *turns)
{
	while (!list_empty(&turns->queue))
		run_first(turns);
}

void turns_deinit(struct turns *turns)
{
	if (!turns->loop)
		return;
	ev_check_stop(turns->loop, &turns->check);
	ev_idle_stop(turns->loop, &turns->idle);
}

void turn_init(struct turn *turn, void (*run)(struct turn *turn))
{
	list_init(&turn->link);
	turn->run = run;
}

void turn_queue(struct turns *turns, struct turn *turn)
{
	if (turn_is_queued(turn))
		return;
	list_append(&turns->queue, &turn->link);
	ev_idle_start(turns->loop, &turns->idle);
}

void turn_cancel(struct turn *turn)
{
	list_remove(&turn->link);
}
