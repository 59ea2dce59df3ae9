// SPDX-License-Identifier: MIT
/*
 * Turns, the work list, the time limits and the end of an entry; see core.h.
 *
 * One work list serves queues and channels alike, in turn: an item is run once a round, and puts
 * itself behind the others if it has more. The budget is the turn's. Work that is bounded by bytes
 * for each millisecond waits apart (paused), since to find it again and again in the work list
 * would keep the loop busy until then.
 *
 * Chains and bytes bound what a queue may take at once where each of them costs little. TURN_US
 * bounds the rest: services that take their time to be opened (a program is started), or many
 * requests that move nothing. An entry that finds its turn over leaves the rest on the work list,
 * which core_run() goes on with in the next round of the loop. What has begun is finished, so a
 * turn is longer than its limit by the last call at most.
 *
 * To look at the clock costs as much as a small request. So the turn looks once in LOOK_CHAINS
 * chains, and before and after what may take long; a round trip of a channel never looks.
 */
#include "channel/core.h"

#define TURN_US	      1000
#define LOOK_CHAINS   8
#define DISCARD_BYTES (256U << 10)	/* of all channels in a millisecond */

void core_init(struct core *core, const struct core_config *config, const struct core_env *env,
	       void (*settle)(struct core *core))
{
	core->config = *config;
	core->env = *env;
	core->settle = settle;
	list_init(&core->work);
	list_init(&core->paused);
	list_init(&core->dead);
}

/* --- Turns ---------------------------------------------------------------- */

static uint64_t look(struct core *core)
{
	uint64_t now = core->env.clock_us(core->env.context);

	core->turn_chains = 0;
	if (!core->turn_end_us)
		core->turn_end_us = now + TURN_US;
	return now;
}

void core_expect_delay(struct core *core)
{
	if (!core->turn_end_us)
		look(core);
	core->turn_chains = LOOK_CHAINS;
}

bool core_turn_is_over(struct core *core)
{
	if (!core->turn_is_over && ++core->turn_chains >= LOOK_CHAINS)
		core->turn_is_over = look(core) >= core->turn_end_us;
	return core->turn_is_over;
}

/* --- Work ---------------------------------------------------------------- */

static void run_all(struct list *items)
{
	struct list *link;

	while ((link = list_pop(items))) {
		struct work *work = list_entry(link, struct work, link);

		work->run(work);
	}
}

void core_exit(struct core *core)
{
	run_all(&core->dead);
	log_limits_free(&core->channel_lines);
}

void core_defer(struct core *core, struct work *work)
{
	if (!list_is_linked(&work->link))
		list_add_tail(&core->work, &work->link);
}

void core_pause(struct core *core, struct work *work)
{
	if (!list_is_linked(&work->link))
		list_add_tail(&core->paused, &work->link);
}

void core_bury(struct core *core, struct work *work)
{
	list_del(&work->link);
	list_add_tail(&core->dead, &work->link);
}

/* A service that never stops talking must not keep a processor busy until its time limit. */
uint32_t *core_may_discard(struct core *core)
{
	uint64_t now = core_now(core);

	if (now != core->discard_ms)
		core->discard_left = DISCARD_BYTES;
	core->discard_ms = now;
	return &core->discard_left;
}

void core_run(struct core *core)
{
	struct list items, *link;

	list_init(&items);
	list_splice_tail(&core->work, &items);
	while (!core_turn_is_over(core) && (link = list_pop(&items))) {
		struct work *work = list_entry(link, struct work, link);

		work->run(work);
	}
	/* What was not reached comes before what was, and has more. */
	list_splice_tail(&core->work, &items);
	list_splice_tail(&items, &core->work);
	core->settle(core);
}

/* --- Time limits --------------------------------------------------------- */

void core_start_timer(struct core *core, struct timer *timer, uint32_t ms,
		      void (*expired)(struct timer *timer))
{
	core_start_timer_at(core, timer, core_now(core) + ms, expired);
}

void core_start_timer_at(struct core *core, struct timer *timer, uint64_t when,
			 void (*expired)(struct timer *timer))
{
	core_stop_timer(core, timer);
	timer->expired = expired;
	heap_add(&core->timers, &timer->due, when);
	if (core->timers.first == &timer->due)
		core->env.rearm(core->env.context);
}

void core_stop_timer(struct core *core, struct timer *timer)
{
	heap_remove(&core->timers, &timer->due);
}

uint64_t core_deadline(const struct core *core)
{
	uint64_t first = core->timers.first ? core->timers.first->key : UINT64_MAX;

	if (!list_is_empty(&core->paused) && core->discard_ms < first)
		first = core->discard_ms + 1;
	return first;
}

/*
 * What does not fit into the turn is due still: the owner comes back. One that is started again
 * comes due later than now, so the others are reached.
 */
void core_tick(struct core *core)
{
	uint64_t now = core_now(core);
	struct heap_node *due;

	while (!core_turn_is_over(core) && (due = core->timers.first) && due->key <= now) {
		struct timer *timer = container_of(due, struct timer, due);

		core_stop_timer(core, timer);
		timer->expired(timer);
	}
	core->settle(core);
}

/* --- The end of every entry ---------------------------------------------- */

void core_settle(struct core *core)
{
	run_all(&core->dead);
	if (!list_is_empty(&core->paused) && *core_may_discard(core))
		list_splice_tail(&core->paused, &core->work);
	if (!list_is_empty(&core->work))
		core->env.wake(core->env.context);
	else if (!list_is_empty(&core->paused))
		core->env.rearm(core->env.context);
	core->turn_end_us = 0;
	core->turn_chains = 0;
	core->turn_is_over = false;
}
