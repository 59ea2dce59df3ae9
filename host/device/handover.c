// SPDX-License-Identifier: MIT
/*
 * The device as one program leaves it and the next one finds it: record.h.
 *
 * Rings are stopped, so nothing of a ring is held, and no queue has work. What the driver was told
 * stays as it was told: how many channels a port has, how large a request may be. How far the
 * driver has come is in memory that outlives the program (kept.h).
 */
#include "base/record.h"
#include "device/classic.h"
#include "device/device.h"
#include "device/message.h"

#define FRAME_DEVICE	0x4445
#define FRAME_DUE	0x4455		/* ids of ports with control messages, in order */
#define FRAME_PORT	0x504f

static void hand_over_port(struct port *port, struct record *record)
{
	uint32_t max = port->config.max_channels;

	record_bool(record, &port->is_lost);
	record_bool(record, &port->is_removed);
	record_u32(record, &port->tx_old);
	port->due = record_number(record, port->due, PORT_DUE_ALL);
	max = record_number(record, max, MP_MAX_CHANNELS);
	if (!max || (max != port->config.max_channels && !port_resize(port, max))) {
		record_spoil(record);
		return;
	}
	classic_hand_over(port, record);
	slot_hand_over_all(port, bytes_changed, record);
	record_u32(record, &port->tx_doubtful);
	record_bool(record, &port->is_tx_unseen);
}

static void save_ports(struct device *device, struct record *record)
{
	for (unsigned int id = 0; id < device->port_count; id++) {
		if (device->ports[id] && record_begin(record, FRAME_PORT)) {
			record_number(record, id, UINT32_MAX);
			hand_over_port(device->ports[id], record);
			record_end(record);
		}
	}
}

/*
 * Both programs have the same ports, but for the stand-in of one that is gone: the program before
 * this one may have it still, when the driver has let go of it.
 */
static void restore_ports(struct device *device, struct record *record)
{
	while (record_begin(record, FRAME_PORT)) {
		uint32_t id = record_number(record, UINT32_MAX, UINT32_MAX);

		if (id < device->port_count && device->ports[id])
			hand_over_port(device->ports[id], record);
		record_end(record);
	}
}

static void save_due(struct device *device, struct record *record)
{
	struct list *link;

	list_for_each(link, &device->due)
		record_number(record, list_entry(link, struct port, due_link)->id, UINT32_MAX);
}

static void restore_due(struct device *device, struct record *record)
{
	uint32_t id;

	while ((id = record_number(record, UINT32_MAX, UINT32_MAX)) != UINT32_MAX)
		if (id < device->port_count && device->ports[id] && device->ports[id]->due)
			port_say(device->ports[id], 0);
}

static void hand_over_device(struct device *device, struct record *record)
{
	record_u64(record, &device->features);
	record_u16(record, &device->say);
	record_bool(record, &device->is_broken);
	record_bool(record, &device->is_down);
	device->config.max_io = record_number(record, device->config.max_io, MP_MAX_IO);
}

void device_hand_over(struct device *device, struct record *record)
{
	if (!record_begin(record, FRAME_DEVICE)) {
		record_spoil(record);
		return;
	}
	hand_over_device(device, record);
	record_end(record);
	if (record_is_reading(record))
		restore_ports(device, record);
	else
		save_ports(device, record);
	if (record_begin(record, FRAME_DUE)) {
		if (record_is_reading(record))
			restore_due(device, record);
		else
			save_due(device, record);
		record_end(record);
	}
	if (!record_is_reading(record))
		return;
	device->goes_on = true;
	device->core.settle(&device->core);
}
