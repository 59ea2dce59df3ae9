// SPDX-License-Identifier: MIT
#include "base/list.h"
#include "base/log.h"
#include "base/record.h"
#include "daemon/owner.h"

/* --- What the core asks for ---------------------------------------------------- */

static uint64_t now(void *context)
{
	return loop_now(((struct owner *)context)->loop);
}

static uint64_t clock_us(void *context)
{
	(void)context;
	return loop_clock_us();
}

static void rearm(void *context)
{
	struct owner *owner = context;
	uint64_t time = loop_now(owner->loop), deadline = UINT64_MAX;

	if (owner->core)
		deadline = core_deadline(owner->core);
	if (deadline == UINT64_MAX)
		loop_timer_stop(&owner->tick);
	else
		loop_timer_start(&owner->tick, deadline > time ? deadline - time : 0);
}

static void wake(void *context)
{
	loop_task_queue(&((struct owner *)context)->run);
}

static enum mp_reason admit(void *context, const struct mp_opener *opener,
			    struct mp_service **service, const char **service_name)
{
	return policy_admit(((struct owner *)context)->policy, opener, service, service_name);
}

static void release(void *context, struct mp_service *service, uint32_t uid)
{
	policy_release(((struct owner *)context)->policy, service, uid);
}

static enum mp_reason readmit(void *context, const struct mp_opener *opener,
			      struct mp_service **service, const char **service_name)
{
	return policy_readmit(((struct owner *)context)->policy, opener, service, service_name);
}

static int restore(void *context, struct mp_service *service, struct mp_peer *peer,
		   struct record *record, struct mp_stream **stream)
{
	char kind[MP_KIND_SIZE] = "";

	record_text(record, kind, sizeof(kind));
	return former_restore(((struct owner *)context)->former, service, kind, peer, record,
			      stream);
}

/* --- What the loop calls --------------------------------------------------------- */

static void entered(struct owner *owner)
{
	if (owner->entered)
		owner->entered(owner);
}

static void run(struct loop_task *task)
{
	struct owner *owner = container_of(task, struct owner, run);

	core_run(owner->core);
	entered(owner);
}

static void tick(struct loop_timer *timer)
{
	struct owner *owner = container_of(timer, struct owner, tick);

	core_tick(owner->core);
	rearm(owner);
	entered(owner);
}

/* --------------------------------------------------------------------------------- */

void owner_init(struct owner *owner, struct loop *loop, struct policy *policy, const char *guest)
{
	*owner = (struct owner){ .loop = loop, .policy = policy, .guest = guest };
	loop_task_init(loop, &owner->run, run);
	loop_timer_init(loop, &owner->tick, tick);
}

void owner_stop(struct owner *owner)
{
	loop_task_cancel(&owner->run);
	loop_timer_stop(&owner->tick);
	owner->core = NULL;
}

struct core_env owner_env(struct owner *owner)
{
	return (struct core_env){
		.context = owner, .now = now, .clock_us = clock_us, .rearm = rearm, .wake = wake,
		.admit = admit, .release = release, .readmit = readmit, .restore = restore,
	};
}
