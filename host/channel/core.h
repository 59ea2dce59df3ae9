/* SPDX-License-Identifier: MIT */
/*
 * What the channels of one guest share: limits, time, the work that is left for later, the end of
 * each entry. Knows neither channels nor how the guest reaches them.
 *
 * A binding (the virtqueues of host/device, or another road to the guest) embeds a core, makes
 * channels of it (channel.h), and calls core_settle() at the end of whatever its owner calls.
 * Entries that begin in the core (a stream reports, core_run(), core_tick()) end in the binding's
 * settle(), which does the same.
 */
#ifndef HOST_CHANNEL_CORE_H
#define HOST_CHANNEL_CORE_H

#include <manyport/service.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/log.h"

/* Something to go on with: a queue, a channel that throws bytes away. Zeroed, then work_init(). */
struct work {
	struct list link;		/* in core->work, core->paused or core->dead */
	void (*run)(struct work *work);
};

/* A time limit, which has begun or not. */
struct timer {
	struct heap_node due;		/* in core->timers; key: the deadline, in milliseconds */
	void (*expired)(struct timer *timer);
};

/* Where channels come in: a port, or what another binding has in its place. Outlives them. */
struct gate {
	const char *name;		/* for the log and the openers */
	bool is_fixed;			/* all its channels go to service_name */
	const char *service_name;	/* may be NULL */
};

struct core_config {
	const char *guest;		/* for the log and the openers */
	uint32_t max_channels;		/* all gates together */
	uint32_t connect_ms;		/* time limit */
	bool access_log;		/* a line for each open and each end, without limit */
};

/* What the owner provides. All calls from the loop's thread. */
struct core_env {
	void *context;
	/* Milliseconds, monotonic. */
	uint64_t (*now)(void *context);
	/* Microseconds, monotonic, as they pass, while now() may be the time of a round. */
	uint64_t (*clock_us)(void *context);
	/* core_deadline() may be earlier than it was. */
	void (*rearm)(void *context);
	/* Call core_run() soon, not from inside this call. */
	void (*wake)(void *context);
	/*
	 * Policy: may @opener (service and argument filled in) have a channel to the service it
	 * names? Sets *service and returns MP_REASON_NONE, or says why not. *service_name then
	 * lives as long as the configuration. A channel that was let in is reported once by
	 * release().
	 */
	enum mp_reason (*admit)(void *context, const struct mp_opener *opener,
				struct mp_service **service, const char **service_name);
	void (*release)(void *context, struct mp_service *service, uint32_t uid);
	/*
	 * For what a program before this one had let in: as admit(), with the service's configured
	 * name, and without a look at the limits, which may have become smaller since.
	 */
	enum mp_reason (*readmit)(void *context, const struct mp_opener *opener,
				  struct mp_service **service, const char **service_name);
	/*
	 * The stream in @record, of @service or, with NULL, of one that is configured no more: as
	 * mp_service_ops.restore().
	 */
	int (*restore)(void *context, struct mp_service *service, struct mp_peer *peer,
		       struct record *record, struct mp_stream **stream);
};

struct core_stats {
	uint64_t refused, aborted;
	uint64_t bytes_in, bytes_out;	/* to the guest, from the guest */
	uint32_t channels;		/* now */
};

#define SCRATCH_SIZE  16384
#define CORE_RETRY_MS 1000	/* between attempts to reach the service of a fixed gate */

struct core {
	struct core_config config;
	struct core_env env;
	/* The binding's end of each entry that begins in the core. */
	void (*settle)(struct core *core);
	struct list work;		/* for core_run() */
	struct list paused;		/* work that goes on in the next millisecond */
	struct list dead;		/* channels whose memory goes when the entry settles */
	struct heap timers;
	uint32_t live;			/* channels with a service, or streams in their places */
	uint64_t discard_ms;		/* the millisecond of discard_left */
	uint32_t discard_left;		/* bytes that may still be discarded in discard_ms */
	uint64_t turn_end_us;		/* 0: the clock was not looked at yet */
	unsigned int turn_chains;	/* since the last look at it */
	bool turn_is_over;
	struct log_limits channel_lines;	/* by enum channel_line and service */
	struct core_stats stats;
	uint8_t scratch[SCRATCH_SIZE];	/* bytes that are thrown away */
};

/* @core is zeroed. */
void core_init(struct core *core, const struct core_config *config, const struct core_env *env,
	       void (*settle)(struct core *core));
/* No channel is left. */
void core_exit(struct core *core);

static inline uint64_t core_now(const struct core *core)
{
	return core->env.now(core->env.context);
}

/* Payload bytes, both ways. */
static inline uint64_t core_moved(const struct core *core)
{
	return core->stats.bytes_in + core->stats.bytes_out;
}

static inline void work_init(struct work *work, void (*run)(struct work *work))
{
	list_init(&work->link);
	work->run = run;
}

/* @work is run once by core_run(), after what is there already. Idempotent. */
void core_defer(struct core *core, struct work *work);
/* The same, from the next millisecond on. */
void core_pause(struct core *core, struct work *work);
/* @work, whose run() frees, is run once by core_settle(). */
void core_bury(struct core *core, struct work *work);

/* Is it time for others to work? To be asked for each chain, or for what costs as much. */
bool core_turn_is_over(struct core *core);
/* What is called now may take long. */
void core_expect_delay(struct core *core);

/* How many bytes may still be discarded in this millisecond; who discards some subtracts them. */
uint32_t *core_may_discard(struct core *core);

/* (Re)starts @timer, which calls @expired. What takes long is left to the work list. */
void core_start_timer(struct core *core, struct timer *timer, uint32_t ms,
		      void (*expired)(struct timer *timer));

/* The same at @when, in milliseconds. */
void core_start_timer_at(struct core *core, struct timer *timer, uint64_t when,
			 void (*expired)(struct timer *timer));

/* Idempotent. */
void core_stop_timer(struct core *core, struct timer *timer);

/* What the owner calls; each settles. */
void core_run(struct core *core);
void core_tick(struct core *core);
/* The time at which core_tick() is wanted, or UINT64_MAX. */
uint64_t core_deadline(const struct core *core);

/* The end of every entry: frees the dead, asks the owner for what is left to do. */
void core_settle(struct core *core);

#endif
