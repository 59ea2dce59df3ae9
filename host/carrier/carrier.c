// SPDX-License-Identifier: MIT
/* See carrier.h. */
#include "carrier/carrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "channel/channel.h"

#define VERSION	  MP_STREAM_VERSION
#define ANSWER_MS 60000

/* The bits of the level state that travel. */
#define STATE_BITS (MP_ST_ALL & ~(MP_ST_IN | MP_ST_OUT))

struct carried {
	struct channel channel;		/* first: the core frees the record */
	struct lane lane;
	uint16_t told;			/* the state that the guest was told last; 0: none */
	bool is_open;			/* DATA was let in once */
	bool is_leaving;		/* the guest has closed, and still sends what was written */
	bool is_over;			/* nothing more comes for it */
};

static struct carried *of_lane(struct lane *lane)
{
	return container_of(lane, struct carried, lane);
}

static struct carried *of_channel(struct channel *ch)
{
	return container_of(ch, struct carried, channel);
}

static struct link *link_of(const struct carried *c)
{
	return container_of(c->channel.core, struct carrier, core)->link;
}

static uint16_t state_of(const struct carried *c)
{
	return channel_bits(&c->channel, c->told) & STATE_BITS;
}

/* --- What a lane owes, and what it takes ------------------------------------- */

static void set_takes(struct carried *c, enum lane_takes takes)
{
	if (c->lane.takes != takes)
		link_set_takes(link_of(c), &c->lane, takes);
}

static bool takes_bytes(const struct channel *ch)
{
	return ch->phase == CHANNEL_CONNECTED || ch->phase == CHANNEL_CLOSING;
}

/* Whatever the core was asked to do: the outcome, as the lane has it. */
static void note(struct carried *c)
{
	struct channel *ch = &c->channel;

	if (ch->phase == CHANNEL_CONNECTING)
		return;
	if (ch->phase == CHANNEL_CONNECTED && !c->is_open) {
		c->is_open = true;
		set_takes(c, LANE_BYTES);
	}
	/* What was sent before the guest heard of it is counted and dropped [protocol.md 15.4]. */
	if (c->lane.takes == LANE_BYTES && (!takes_bytes(ch) || ch->out.has_ended))
		set_takes(c, LANE_DROPS);
	if (state_of(c) != c->told)
		link_owe(link_of(c), &c->lane, LANE_STATE);
}

/* Bytes may move again. */
static void move(struct carried *c)
{
	struct link *link = link_of(c);
	struct channel *ch = &c->channel;

	if (!ch->out.is_armed && c->lane.held_len)
		link_taken(link, &c->lane);
	if (ch->phase == CHANNEL_CONNECTED && !ch->in.is_armed && !ch->in.has_ended)
		link_owe(link, &c->lane, LANE_DATA);
	note(c);
}

static void changed(struct channel *ch)
{
	move(of_channel(ch));
}

/* --- What the link calls: bytes ----------------------------------------------- */

static uint32_t consume(void *context, struct lane *lane, const void *buf, uint32_t len)
{
	struct carried *c = of_lane(lane);
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct bytes bytes = { .iov = &iov, .count = 1 };
	enum moved result;

	(void)context;
	if (!takes_bytes(&c->channel))
		return len;
	if (c->channel.out.is_armed)
		return 0;
	result = transfer_write(&c->channel, &bytes);
	note(c);
	return result == MOVED_END || result == MOVED_FAILED ? len : bytes.moved;
}

static uint32_t produce(void *context, struct lane *lane, void *buf, uint32_t max)
{
	struct carried *c = of_lane(lane);
	struct iovec iov = { .iov_base = buf, .iov_len = max };
	struct bytes bytes = { .iov = &iov, .count = 1, .is_once = true };

	(void)context;
	if (c->channel.phase != CHANNEL_CONNECTED || c->channel.in.is_armed)
		return 0;
	transfer_read(&c->channel, &bytes);
	note(c);
	return bytes.moved;
}

/* No memory for bytes that the guest was granted. */
static void lost(void *context, struct lane *lane)
{
	struct carried *c = of_lane(lane);

	(void)context;
	if (takes_bytes(&c->channel))
		close_fail(&c->channel);
	note(c);
}

/* --- What the link calls: frames ---------------------------------------------- */

static struct carried *make(struct carrier *carrier, const struct frame *frame,
			    const struct frame_connect *connect)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct mp_opener opener = {
		.uid = connect->uid, .gid = connect->gid, .pid = connect->pid,
		.channel = frame->slot, .generation = frame->generation,
	};

	if (!c)
		return NULL;
	log_escape(opener.comm, sizeof(opener.comm), connect->comm,
		   strnlen(connect->comm, sizeof(connect->comm)));
	channel_init(&c->channel, &carrier->core, changed, &carrier->gate, &opener);
	link_attach(carrier->link, &c->lane, frame->slot, frame->generation,
		    core_now(&carrier->core));
	return c;
}

static bool connect_lane(void *context, struct lane *lane, const struct frame *frame,
			 const void *body)
{
	struct frame_connect connect;
	struct carried *c = lane ? of_lane(lane) : NULL;

	if (!frame->generation || !frame_get_connect(&connect, body, frame->length))
		return false;
	/* The guest tries again when it has heard of the refusal. */
	if (c && (c->channel.phase != CHANNEL_REFUSED || (lane->owed & LANE_STATE)))
		return false;
	if (!c)
		c = make(context, frame, &connect);
	if (!c)
		return false;		/* without memory: a new session */
	c->told = 0;			/* each attempt has its answer */
	connect_begin(&c->channel, connect.name, connect.name_len);
	move(c);
	return true;
}

/* The driver sends an end behind the last byte before it, so it is where the bytes are now. */
static bool is_at_end(const struct carried *c, const struct frame *frame)
{
	return frame->offset == c->lane.in.expected;
}

static bool shut(struct carried *c, const struct frame *frame)
{
	struct channel *ch = &c->channel;
	bool ends = frame->flags & MP_SHUT_WRITE;

	if (c->is_leaving)
		return true;		/* no process holds it any more: that says nothing new */
	if (!frame->flags || (ends && !is_at_end(c, frame)) || ch->phase == CHANNEL_CONNECTING ||
	    ch->phase == CHANNEL_REFUSED || ch->phase == CHANNEL_CLOSING)
		return false;
	if (ch->phase == CHANNEL_CONNECTED && !close_shut(ch, frame->flags, frame->offset))
		return false;
	if (ends)
		set_takes(c, LANE_NOTHING);
	move(c);
	return true;
}

/* The guest has closed, and what was written before is still to come. */
static bool leave(struct carried *c)
{
	if (c->is_leaving || c->channel.phase == CHANNEL_CLOSING)
		return false;
	c->is_leaving = true;
	close_begin(&c->channel, OFFSET_NONE);
	move(c);
	return true;
}

static bool close_lane(struct carried *c, const struct frame *frame)
{
	struct channel *ch = &c->channel;
	bool aborts = frame->flags & MP_CLOSE_ABORT;

	if (!aborts && frame->offset == MP_CLOSE_LATER)
		return leave(c);
	if (!aborts && !is_at_end(c, frame))
		return false;
	c->is_over = true;
	if (aborts)
		set_takes(c, LANE_DROPS);	/* what is held, too */
	set_takes(c, LANE_NOTHING);
	if (ch->phase == CHANNEL_CLOSED)
		return true;			/* a limit was faster */
	if (aborts)
		close_abort(ch);
	else if (c->is_leaving)
		close_at_offset(ch, frame->offset);
	else
		close_begin(ch, frame->offset);
	move(c);
	return true;
}

static bool message(void *context, struct lane *lane, const struct frame *frame)
{
	struct carried *c = of_lane(lane);

	(void)context;
	/* An abort may follow a close that lingers [protocol.md 8.3]. */
	if (c->is_over && !(frame->type == MP_FRAME_CLOSE && (frame->flags & MP_CLOSE_ABORT)))
		return false;
	return frame->type == MP_FRAME_SHUTDOWN ? shut(c, frame) : close_lane(c, frame);
}

static void fill(void *context, struct lane *lane, struct frame *frame, void *body)
{
	struct carried *c = of_lane(lane);

	(void)context, (void)body;
	c->told = state_of(c);
	frame->flags = c->told;
	frame->offset = c->channel.cause;
}

static void closed(void *context, struct lane *lane)
{
	(void)context;
	channel_drop(&of_lane(lane)->channel);
}

/* --- What the link calls: sessions -------------------------------------------- */

static void nonce(void *context, uint8_t *nonce_bytes)
{
	(void)context;
	/* Never short for so few bytes; it may wait for the system's first entropy. */
	while (getrandom(nonce_bytes, MP_NONCE_SIZE, 0) != MP_NONCE_SIZE)
		;
}

static void begin(void *context, const struct link_session_peer *peer)
{
	struct carrier *carrier = context;

	(void)peer;
	log_limited_here(LOG_LEVEL_INFO, "%s: port %s: the guest is there",
			 carrier->core.config.guest, carrier->gate.name);
}

static void end(void *context, enum link_session_why why)
{
	static const char *const text[] = {
		[SESSION_STOPPED] = "the stream has ended",
		[SESSION_RESTARTED] = "the guest's daemon has started",
		[SESSION_LOST] = "bytes were lost on the stream",
		[SESSION_BROKEN] = "the guest broke a rule of the protocol",
		[SESSION_SILENT] = "the guest does not answer",
	};
	struct carrier *carrier = context;

	log_limited_here(LOG_LEVEL_INFO, "%s: port %s: the session has ended: %s",
			 carrier->core.config.guest, carrier->gate.name, text[why]);
}

static void cut(void *context, struct lane *lane)
{
	struct carried *c = of_lane(lane);

	(void)context;
	channel_leave(&c->channel, MP_END_CUT);
}

static const struct link_ops link_ops = {
	.nonce = nonce, .begin = begin, .end = end, .connect = connect_lane, .message = message,
	.produce = produce, .consume = consume, .fill = fill, .closed = closed, .cut = cut,
	.lost = lost,
};

/* --- Life --------------------------------------------------------------------- */

static void settle(struct core *core)
{
	carrier_settle(container_of(core, struct carrier, core));
}

void carrier_settle(struct carrier *carrier)
{
	core_settle(&carrier->core);
	carrier->settled(carrier);
	/* What was sent may have ended channels. */
	core_settle(&carrier->core);
}

int carrier_init(struct carrier *carrier, const struct gate *gate,
		 const struct core_config *config, const struct core_env *env, uint64_t held_max,
		 void (*settled)(struct carrier *carrier))
{
	const struct link_config link = {
		.session = {
			.is_device = true, .version = VERSION, .window = MP_WINDOW_MAX,
			.max_channels = config->max_channels, .answer_ms = ANSWER_MS,
		},
		.slots = config->max_channels,
		.granted_max = held_max,
	};

	memset(carrier, 0, sizeof(*carrier));
	carrier->gate = *gate;
	carrier->settled = settled;
	carrier->link = link_create(&link, &link_ops, carrier);
	if (!carrier->link)
		return -ENOMEM;
	core_init(&carrier->core, config, env, settle);
	return 0;
}

void carrier_exit(struct carrier *carrier)
{
	if (!carrier->link)
		return;
	link_destroy(carrier->link);
	core_exit(&carrier->core);
}
