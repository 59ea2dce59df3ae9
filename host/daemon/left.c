// SPDX-License-Identifier: MIT
#include "daemon/left.h"

#include "channel/core.h"
#include "daemon/former.h"
#include "daemon/policy.h"
#include "service/leave.h"

static const char *name(void *context, const struct mp_service *service)
{
	return policy_title(((struct left *)context)->policy, service);
}

static void leave_place(const struct mp_place *place)
{
	struct left *left = place->context;

	policy_release(left->policy, place->service, place->uid);
	left->core->live--;
}

/* The service is gone, and so are its limits. */
static void leave_nothing(const struct mp_place *place)
{
	(void)place;
}

static struct mp_stream *restore(void *context, const char *title, const char *kind,
				 struct mp_place *place, struct record *record)
{
	static struct mp_peer nothing;	/* the stream is closed at once: it calls nothing */
	struct left *left = context;
	struct mp_service *service = NULL;
	struct mp_stream *stream = NULL;

	place->context = left;
	place->leave = leave_nothing;
	if (policy_readmit_left(left->policy, title, place->uid, &service) == MP_REASON_NONE) {
		place->leave = leave_place;
		left->core->live++;
	}
	place->service = service ? service : former_service(left->former, kind);
	if (!place->service)
		return NULL;
	if (former_restore(left->former, service, kind, &nothing, record, &stream) > 0)
		return stream;
	if (stream)
		stream->ops->close(stream, MP_END_ABORT, NULL);
	place->leave(place);
	return NULL;
}

void left_hand_over(struct left *left, struct record *record)
{
	const struct leave_handover handover = {
		.name = name, .restore = restore, .context = left,
	};

	leave_hand_over(&handover, record);
}
