// SPDX-License-Identifier: MIT
/*
 * Parked READs [protocol.md 6.5].
 *
 * A read is parked only while its in half is armed, and the stream's next report serves it before
 * any other request can read. So a parked read's offset is always the expected one. What is kept
 * are guest addresses, which are translated again when they are used.
 */
#include <errno.h>
#include <stdlib.h>

#include "device/message.h"

/* Half of the receive queue at most, so that events and fetches have room [protocol.md 6.5]. */
int park_request(const struct request *request)
{
	struct slot *slot = request->slot;
	const struct ring_chain *chain = &request->queue->scratch->chain;
	struct held *held;

	if (slot->port->parked + chain->descriptors > request->queue->ring->size / 2U)
		return MP_AGAIN;
	held = port_hold(chain, request->header.flags);
	if (!held)
		return MP_AGAIN;
	slot_park(slot, held);
	return -EINPROGRESS;
}

void park_answer(const struct request *request, enum mp_status status)
{
	free(slot_unpark(request->slot));
	answer_request(request, status);
}

void park_return(struct slot *slot, enum mp_status status)
{
	struct request request;

	/* Without a ring, or broken, it stays held until the life ends. */
	if (!slot->parked || !slot->port->rx->ring || slot->port->device->is_broken)
		return;
	if (message_get_parked(&request, slot))
		park_answer(&request, status);
}
