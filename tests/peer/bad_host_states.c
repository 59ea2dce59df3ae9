// SPDX-License-Identifier: MIT
/* States that cannot be, and events that the driver did not ask for [protocol.md 7]. */
#include <string.h>

#include "bad_host.h"

#define ALL_BITS (MP_ST_ALL + 1)

static void hit(struct answer *answer)
{
	answer->device->hits++;
}

static void set_state(struct answer *answer, uint32_t seq, uint16_t bits, uint16_t reason)
{
	hit(answer);
	answer->result.state = (struct mp_state){ htole32(seq), htole16(bits), htole16(reason) };
}

static bool is_turn(struct answer *answer, unsigned int n)
{
	return answer->channel && answer_is_data(answer) && !(answer->device->step++ % n);
}

/* --- In results -------------------------------------------------------------- */

static void state_random(struct answer *answer)
{
	set_state(answer, device_random(answer->device), device_random(answer->device) & MP_ST_ALL,
		  device_random(answer->device) % (MP_REASON_MAX + 1));
}

static void state_random_newer(struct answer *answer)
{
	if (answer->channel)
		set_state(answer, ++answer->channel->state.seq,
			  device_random(answer->device) & MP_ST_ALL,
			  device_random(answer->device) % (MP_REASON_MAX + 1));
}

static void state_each_connect(struct answer *answer)
{
	if (answer->op == MP_OP_CONNECT)
		set_state(answer, 1, answer->device->hits % ALL_BITS,
			  answer->device->hits % (MP_REASON_MAX + 1));
}

static void refused_later(struct answer *answer)
{
	if (is_turn(answer, 2))
		set_state(answer, ++answer->channel->state.seq, MP_ST_REFUSED,
			  MP_REASON_DENIED);
}

static void closed_early(struct answer *answer)
{
	if (is_turn(answer, 2))
		set_state(answer, ++answer->channel->state.seq,
			  answer->channel->state.bits | MP_ST_CLOSED, MP_REASON_LINGER);
}

/* The end comes and goes. */
static void end_then_data(struct answer *answer)
{
	uint16_t bits = MP_ST_CONNECTED | MP_ST_IN | MP_ST_OUT;

	if (!is_turn(answer, 1))
		return;
	if (answer->device->step & 1)
		bits |= MP_ST_IN_END | MP_ST_OUT_END;
	set_state(answer, ++answer->channel->state.seq, bits, 0);
}

static void failed_then_data(struct answer *answer)
{
	uint16_t bits = MP_ST_CONNECTED | MP_ST_IN | MP_ST_OUT;

	if (!is_turn(answer, 1))
		return;
	if (answer->device->step & 1)
		bits |= MP_ST_FAILED;
	set_state(answer, ++answer->channel->state.seq, bits, MP_REASON_RESET);
}

static void seq_back(struct answer *answer)
{
	if (is_turn(answer, 2))
		set_state(answer, answer->channel->state.seq - 1000, 0, 0);
}

/* Almost half way round: whatever comes after it is old. */
static void seq_jump(struct answer *answer)
{
	if (is_turn(answer, 2))
		set_state(answer, answer->channel->state.seq + INT32_MAX, 0, 0);
}

static void bits_wild(struct answer *answer)
{
	if (answer->channel)
		set_state(answer, ++answer->channel->state.seq, 0xfe00 | device_random(
			  answer->device), 0);
}

/* None that there is, or the end of a program that has not failed. */
static void reason_wild(struct answer *answer)
{
	uint32_t random = device_random(answer->device);
	uint16_t bits = MP_ST_REFUSED | MP_ST_FAILED;
	uint16_t reason = MP_REASON_MAX + 1 + random % (MP_REASON_EXITED - MP_REASON_MAX);

	if (random & 1) {
		bits = MP_ST_REFUSED;
		reason = MP_REASON_EXITED + random % 1000;
	}
	if (answer->channel)
		set_state(answer, ++answer->channel->state.seq, bits, reason);
}

static void close_not_closed(struct answer *answer)
{
	if (answer->op == MP_OP_CLOSE)
		set_state(answer, 1, MP_ST_CONNECTED, 0);
}

/* --- Events ------------------------------------------------------------------ */

static unsigned int rx_queue(const struct port *port)
{
	return port->id ? 2 * port->id + 2 : 0;
}

/* Spends all event buffers of @port, or those of both victims. */
static void spend(struct device *device, struct port *port,
		  bool (*one)(struct device *device, struct port *port))
{
	while (one(device, port))
		device->hits++;
	device_publish(device, rx_queue(port));
}

static void for_victims(struct device *device, void (*events)(struct device *, struct port *))
{
	events(device, &device->ports[VICTIM]);
	events(device, &device->ports[FIXED]);
}

static bool is_live(const struct channel *ch)
{
	return ch->generation;
}

/* Walks through the channels that are. Returns NULL when there is none. */
static struct channel *next_live(struct device *device, struct port *port)
{
	for (int i = 0; i < SLOTS; i++) {
		struct channel *ch = &port->channels[device->step++ % SLOTS];

		if (is_live(ch))
			return ch;
	}
	return NULL;
}

static bool one_state(struct device *device, struct port *port)
{
	struct channel *ch = port->event_count ? next_live(device, port) : NULL;
	struct mp_state_host state;

	if (!ch)
		return false;
	state = (struct mp_state_host){
		++ch->state.seq, device->hits % ALL_BITS, device->hits % (MP_REASON_MAX + 1),
	};
	return device_event(device, port, ch - port->channels, ch->generation, state,
			    sizeof(struct mp_event), NULL);
}

static void each_state(struct device *device, struct port *port)
{
	if (one_state(device, port))
		device->hits++;
	device_publish(device, rx_queue(port));
}

static bool one_unknown(struct device *device, struct port *port)
{
	const struct mp_state_host state = { device_random(device), device_random(device) &
		MP_ST_ALL, MP_REASON_BUSY };

	return device_event(device, port, device->hits & 1 ? SLOTS + device->hits :
			    device_random(device), device_random(device) | 1U << 31, state,
			    sizeof(struct mp_event), NULL);
}

static bool one_generation(struct device *device, struct port *port)
{
	struct channel *ch = port->event_count ? next_live(device, port) : NULL;
	const struct mp_state_host state = { UINT32_MAX / 4, MP_ST_CLOSED | MP_ST_FAILED, 0 };

	return ch && device_event(device, port, ch - port->channels,
				  ch->generation + (device->hits & 1 ? 1000 : -1), state,
				  sizeof(struct mp_event), NULL);
}

/* For a channel that is, and says what is true: only too often. */
static bool one_of_flood(struct device *device, struct port *port)
{
	struct channel *ch = port->event_count ? next_live(device, port) : NULL;

	if (!ch)
		return false;
	ch->state.seq++;
	return device_event(device, port, ch - port->channels, ch->generation, ch->state,
			    sizeof(struct mp_event), NULL);
}

static bool one_none(struct device *device, struct port *port)
{
	return device_event(device, port, MP_CHANNEL_NONE, 0, (struct mp_state_host){ 0 },
			    sizeof(struct mp_event), NULL);
}

static bool one_short(struct device *device, struct port *port)
{
	struct channel *ch = port->event_count ? next_live(device, port) : NULL;
	const struct mp_state_host state = { UINT32_MAX / 4, MP_ST_CLOSED | MP_ST_FAILED, 0 };

	return ch && device_event(device, port, ch - port->channels, ch->generation, state,
				  device->hits % sizeof(struct mp_event), NULL);
}

/* Event buffers live as long as the driver: they may be written to at any time. */
static void event_changes(struct device *device, struct port *port)
{
	struct channel *ch = port->event_count ? next_live(device, port) : NULL;
	volatile struct mp_event *event;
	gpa_t addr;

	if (!ch || !device_event(device, port, ch - port->channels, ch->generation, ch->state,
				 sizeof(*event), &addr))
		return;
	device->hits++;
	device_publish(device, rx_queue(port));
	event = mem_at(device_rx(device, port)->mem, addr, sizeof(*event));
	for (uint32_t n = 0; n < 2000; n++) {
		event->channel = htole32(n & 1 ? n : ch - port->channels);
		event->state.bits = htole16(n & 1 ? 0xffff : MP_ST_CONNECTED);
	}
}

/* --- Everything --------------------------------------------------------------- */

static void mixed(struct answer *answer)
{
	static const struct attack *const tables[] = { attacks_results, attacks_states };
	const struct attack *table = tables[device_random(answer->device) % 2];
	unsigned int count = 0, hits = answer->device->hits;

	while (table[count].name)
		count++;
	table += device_random(answer->device) % count;
	/* The silent ones are rare, else everybody soon waits. */
	if (table->answer && table->answer != mixed &&
	    (strncmp(table->name, "silent", 6) || !(device_random(answer->device) % 32)))
		table->answer(answer);
	answer->device->hits = hits + 1;
}

#define FLOOD(name, one)								\
	static void events_##name(struct device *device, struct port *port)		\
	{										\
		spend(device, port, one);						\
	}										\
	static void tick_##name(struct device *device)					\
	{										\
		for_victims(device, events_##name);					\
	}

FLOOD(unknown, one_unknown)
FLOOD(generation, one_generation)
FLOOD(flood, one_of_flood)
FLOOD(none, one_none)
FLOOD(short, one_short)

static void tick_state(struct device *device)
{
	for_victims(device, each_state);
}

static void tick_changes(struct device *device)
{
	for_victims(device, event_changes);
}

const struct attack attacks_states[] = {
	{ .name = "state_random", .answer = state_random },
	{ .name = "state_random_newer", .answer = state_random_newer },
	{ .name = "state_each_connect", .answer = state_each_connect },
	{ .name = "state_each_event", .events = each_state, .tick = tick_state },
	{ .name = "refused_later", .answer = refused_later },
	{ .name = "closed_early", .answer = closed_early },
	{ .name = "end_then_data", .answer = end_then_data },
	{ .name = "failed_then_data", .answer = failed_then_data },
	{ .name = "seq_back", .answer = seq_back },
	{ .name = "seq_jump", .answer = seq_jump },
	{ .name = "bits_wild", .answer = bits_wild },
	{ .name = "reason_wild", .answer = reason_wild },
	{ .name = "close_not_closed", .answer = close_not_closed },
	{ .name = "mixed", .answer = mixed, .events = each_state },
	{ .name = "mixed_unbind", .answer = mixed, .events = each_state },
	{ .name = "event_unknown", .events = events_unknown, .tick = tick_unknown },
	{ .name = "event_generation", .events = events_generation, .tick = tick_generation },
	{ .name = "event_flood", .events = events_flood, .tick = tick_flood },
	{ .name = "event_none_flood", .events = events_none, .tick = tick_none },
	{ .name = "event_short", .events = events_short, .tick = tick_short },
	{ .name = "event_changes", .events = event_changes, .tick = tick_changes },
	{ .name = NULL },
};
