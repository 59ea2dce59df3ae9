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
#include <stdlib.h>

#include "channel/core.h"

#define TURN_US	      1000
#define LOOK_CHAINS   8
#define DISCARD_BYTES (256U << 10)	/* of all channels in a millisecond */

/* The timers with a limit of this length, in the order in which they began, so end. */
struct timer_list {
	struct list link;		/* in core->timers */
	struct list timers;
	uint32_t ms;
};

bool core_init(struct core *core, const struct core_config *config, const struct core_env *env,
	       void (*settle)(struct core *core))
{
	core->config = *config;
	core->env = *env;
	core->settle = settle;
	list_init(&core->work);
	list_init(&core->paused);
	list_init(&core->dead);
	list_init(&core->timers);
	return core_make_timers(core, config->connect_ms) &&
	       core_make_timers(core, CORE_RETRY_MS);
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
	struct list *link;

	run_all(&core->dead);
	while ((link = list_pop(&core->timers)))
		free(list_entry(link, struct timer_list, link));
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

/* There are as many lists as the configuration has lengths: a few. */
static struct timer_list *find_timers(struct core *core, uint32_t ms)
{
	struct list *link;

	list_for_each(link, &core->timers) {
		struct timer_list *timers = list_entry(link, struct timer_list, link);

		if (timers->ms == ms)
			return timers;
	}
	return NULL;
}

bool core_make_timers(struct core *core, uint32_t ms)
{
	struct timer_list *timers;

	if (find_timers(core, ms))
		return true;
	timers = calloc(1, sizeof(*timers));
	if (!timers)
		return false;
	timers->ms = ms;
	list_init(&timers->timers);
	list_add_tail(&core->timers, &timers->link);
	return true;
}

void core_start_timer(struct core *core, struct timer *timer, uint32_t ms,
		      void (*expired)(struct timer *timer))
{
	struct timer_list *timers = find_timers(core, ms);
	bool is_first = list_is_empty(&timers->timers);

	list_del(&timer->link);
	timer->deadline = core_now(core) + ms;
	timer->expired = expired;
	list_add_tail(&timers->timers, &timer->link);
	if (is_first)
		core->env.rearm(core->env.context);
}

static struct timer *first_due(const struct list *link)
{
	struct timer_list *timers = list_entry((struct list *)link, struct timer_list, link);

	return list_first(&timers->timers, struct timer, link);
}

uint64_t core_deadline(const struct core *core)
{
	uint64_t first = UINT64_MAX;
	const struct list *link;

	list_for_each(link, &core->timers) {
		struct timer *timer = first_due(link);

		if (timer && timer->deadline < first)
			first = timer->deadline;
	}
	if (!list_is_empty(&core->paused) && core->discard_ms < first)
		first = core->discard_ms + 1;
	return first;
}

/*
 * A timer whose limit has passed, or NULL. Its list goes behind the others, so that one whose
 * timers are due again and again (fixed ports that try again) does not keep them waiting.
 */
static struct timer *take_expired(struct core *core, uint64_t now)
{
	struct list *link;

	list_for_each(link, &core->timers) {
		struct timer *timer = first_due(link);

		if (!timer || timer->deadline > now)
			continue;
		list_del(link);
		list_add_tail(&core->timers, link);
		list_del(&timer->link);
		return timer;
	}
	return NULL;
}

/* What does not fit into the turn is due still: the owner comes back. */
void core_tick(struct core *core)
{
	uint64_t now = core_now(core);
	struct timer *timer;

	/* One that is started again comes due later than now. */
	while (!core_turn_is_over(core) && (timer = take_expired(core, now)))
		timer->expired(timer);
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
