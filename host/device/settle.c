// SPDX-License-Identifier: MIT
/* The end of every entry: see settle.h and state.h. */
#include "device/control.h"
#include "device/life.h"
#include "device/message.h"
#include "device/settle.h"

/* Nothing will be served again: services and their clients are let go. */
static void take_down(struct device *device)
{
	if (!device->is_broken || device->is_down)
		return;
	device->is_down = true;
	life_end(device, MP_END_CUT);
	/* Its owner looks after device_run(), whatever entry this is. */
	device->env.core.wake(device->env.core.context);
}

void settle_device(struct device *device)
{
	struct list *link;

	take_down(device);
	control_send(device);
	while ((link = list_pop(&device->owing)))
		answer_events(list_entry(link, struct port, owing));
	/* Delivery maps what was held, and may find that the guest took it away. */
	take_down(device);
	queue_publish_all(device);
	/* Truncated memory that a stream's call met, or the kernel: no kick need follow. */
	if (mem_guard_is_tripped())
		device->env.core.wake(device->env.core.context);
	core_settle(&device->core);
}

void settle_core(struct core *core)
{
	settle_device(container_of(core, struct device, core));
}
