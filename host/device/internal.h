/* SPDX-License-Identifier: MIT */
/*
 * The inside of the device core.
 *
 * A device has queues and ports; a port has channels; a channel has one stream
 * of a service. The files, each of which knows the structures below:
 *
 *	device	 life: create, features, rings, reset, tick, the end of each entry
 *	queue	 fair, bounded serving of rings; publishing
 *	turn	 how long an entry may work
 *	map	 chain -> checked iovecs: the only door to guest memory
 *	control	 messages of the control queues
 *	port	 slots, event buffers, owed events
 *	request	 take, check, act, answer
 *	transfer READ, WRITE, parked reads
 *	channel	 state machine, level state, peer callbacks, time limits
 *	connect	 limits, policy, the way to a stream
 *	close	 shutdown, close, linger, discard
 *	classic, classic_ring	a port under a driver without MULTI_OPEN
 *	fuse	 a virtio-fs device before HELLO: requests of file systems are refused
 *
 * Entries are device_*() and the peer callbacks. Each ends in device_settle(),
 * which sends what became due: control messages, events, used entries, calls.
 * So nothing inside publishes or calls, and order is the order of giving.
 */
#ifndef HOST_DEVICE_INTERNAL_H
#define HOST_DEVICE_INTERNAL_H

#include <linux/virtio_console.h>

#include <manyport/wire_check.h>

#include "base/list.h"
#include "base/log.h"
#include "device/device.h"

#define OFFSET_NONE	UINT64_MAX	/* no final offset yet */
#define RETRY_MS	1000		/* between attempts to reach a fixed port's service */

struct channel;
struct classic_open;
struct port;

/* --- Queues -------------------------------------------------------------- */

enum queue_kind { QUEUE_RX, QUEUE_TX, QUEUE_CONTROL_RX, QUEUE_CONTROL_TX };

struct queue {
	struct device *device;
	struct port *port;		/* NULL: control, or no such port */
	struct ring *ring;		/* NULL: does not run */
	unsigned int index;
	enum queue_kind kind;
	struct list pending;		/* in device->pending: serve it from device_run() */
	struct list dirty;		/* in device->dirty: used entries to publish */
	struct list warm;		/* in device->warm: served, and wants no kicks yet */
};

/* --- Requests ------------------------------------------------------------ */

/* A range may cross from one memory region to the next, in one segment each. */
#define REQUEST_IOVS	(RING_MAX_SEGMENTS + MEM_MAX_REGIONS)
/* A header may be split into single bytes. */
#define HEADER_IOVS	((int)sizeof(struct mp_request))
#define PARKED_IOVS	(MP_PARK_SEGMENTS + MEM_MAX_REGIONS)
/* A result may be split into single bytes. */
#define RESULT_IOVS	((int)sizeof(struct mp_result))

/* The header in host byte order: the copy that is checked and acted on. */
struct request_header {
	uint16_t op, flags;
	uint32_t length, slot, generation;
	uint64_t offset;
};

/*
 * Where a result and a payload go, or a payload comes from; valid in one entry. The payload
 * is described only when its bytes are about to move.
 */
struct request_map {
	struct iovec result[RESULT_IOVS];
	int result_count;
	struct iovec *payload;		/* inside the array that was mapped into */
	int payload_count;
};

struct request {
	struct queue *queue;
	struct port *port;
	struct channel *channel;	/* the one it names, or NULL */
	struct request_header header;
	uint32_t count;			/* payload bytes moved */
	struct request_map map;
	struct ring_chain chain;
	struct iovec iov[REQUEST_IOVS];
};

/* Chains that wait with the device: guest addresses, translated again at use. */
struct held {
	struct list link;		/* an event buffer: in port->events */
	uint16_t head;
	uint16_t descriptors;		/* of the ring: what it counts for */
	uint16_t count;			/* segments, all writable */
	bool is_lazy;			/* a parked READ whose result is looked at late */
	struct ring_segment segments[];
};

/* --- Channels ------------------------------------------------------------ */

/* [protocol.md 4.2]; free is: there is no record. */
enum channel_phase {
	CHANNEL_CONNECTING,	/* a stream under way, or (fixed) none and a retry timer */
	CHANNEL_REFUSED,	/* no stream, no admission */
	CHANNEL_CONNECTED,	/* a stream */
	CHANNEL_FAILED,		/* no stream; still counted */
	CHANNEL_CLOSING,	/* a stream, draining */
	CHANNEL_CLOSED,		/* nothing left but the state that is owed */
};

/* What happens to a channel when its time limit has passed; it has one at most. */
enum timer_kind { TIMER_CONNECT, TIMER_LINGER, TIMER_RETRY };

/* The channels with a limit of this length, in the order in which they began, so end. */
struct timer_list {
	struct list link;		/* in device->timers */
	struct list channels;
	uint32_t ms;
};

struct channel {
	struct port *port;
	struct mp_peer peer;		/* what the stream calls */
	struct mp_stream *stream;
	struct mp_service *service;	/* admitted to: release() is due */
	const char *service_name;	/* NULL: unknown */
	struct held *parked;		/* implies in_wait */
	struct classic_open *open;	/* classic: the open whose chains it takes */
	struct list owed;		/* in port->owed */
	struct list timer;		/* in a timer_list of the device */
	struct list drain;		/* in device->draining */
	struct list member;		/* classic: in port->classic.channels, or device->dead */
	uint64_t deadline;		/* of the timer */
	enum timer_kind timer_kind;
	uint64_t in_offset, out_offset;	/* the next that is expected */
	uint64_t out_final;		/* where the out stream ends, or OFFSET_NONE */
	uint32_t slot, generation;
	uint32_t uid, gid, pid;		/* claims */
	uint32_t seq;
	uint16_t bits, reason;		/* the level state as last numbered */
	uint16_t told_bits;		/* as last delivered */
	uint16_t cause;			/* enum mp_reason: why it is in this phase */
	enum channel_phase phase;
	uint64_t taken_ms;		/* closing: when the service last took something */
	uint64_t progress_ms;		/* closing: since when its limit counts */
	uint64_t backlog;		/* closing: of the stream at the last look */
	bool is_classic;
	bool is_counted;		/* in device->live */
	bool is_retrying;		/* the first failure to connect has been logged */
	bool in_wait, out_wait;		/* the stream owes readable(), writable() */
	bool in_end, out_end;		/* as the driver sees it */
	bool in_hup;			/* the service says that no more comes */
	bool is_drained;		/* the service has ended */
	bool is_handed_over;		/* closing: and the service has what it gets */
	char comm[MP_COMM_LEN + 1];	/* as the guest sent it, NUL-terminated; not printable */
};

/* --- Ports --------------------------------------------------------------- */

#define PAGE_SLOTS 64

struct channel_page {
	struct channel *slots[PAGE_SLOTS];
};

/* Control messages that are due for a port, in the order in which they go. */
enum port_due {
	PORT_DUE_MODE	= 1,
	PORT_DUE_ADD	= 2,
	PORT_DUE_NAME	= 4,
	PORT_DUE_OPEN	= 8,
};

/* Only used without MULTI_OPEN; see classic.c. */
struct classic {
	struct list opens;		/* oldest first: who gets the next tx chain */
	struct classic_open *current;	/* not ended; the last of opens, or NULL */
	struct list channels;		/* all of the port, also without an open */
	uint32_t channel_count;
	uint32_t generation;		/* of the last channel: only for the log */
	uint64_t tx_skip;		/* bytes already taken of the next tx chain */
	bool guest_open;		/* the driver said PORT_OPEN 1 */
	bool host_open, told_open;	/* what PORT_OPEN should say; said last */
};

struct port {
	struct device *device;
	uint32_t id;
	struct device_port_config config;
	struct queue *rx, *tx;
	bool is_ready;			/* PORT_READY 1 has come [protocol.md 3.3] */
	unsigned int due;		/* enum port_due */
	struct list due_link;		/* in device->due */
	struct channel_page **pages;	/* by slot / PAGE_SLOTS; NULL: none yet */
	unsigned int page_count;
	struct list owed;		/* channels, in the order in which they came to be owed */
	struct list owing;		/* in device->owing: look at owed */
	struct list events;		/* event buffers, oldest first */
	unsigned int parked;		/* descriptors of parked reads [protocol.md 6.5] */
	unsigned int rx_first;		/* chains of rx that go before the next of tx: request.c */
	struct classic classic;
};

/* --- The device ---------------------------------------------------------- */

enum device_life {
	LIFE_NONE,		/* no driver yet, or it said BYE */
	LIFE_CLASSIC,		/* DEVICE_READY without MULTI_OPEN */
	LIFE_HELLO,		/* our HELLO waits for its answer */
	LIFE_MULTI,		/* confirmed */
	LIFE_ABSENT,		/* a wrong answer: our ports stay absent [protocol.md 3.1] */
};

/* The time of the entry that is running; see turn.c. */
struct turn {
	uint64_t end_us;		/* 0: nobody has looked at the clock yet */
	unsigned int chains;		/* since somebody did */
	bool is_over;
};

#define SCRATCH_SIZE 16384

struct device {
	struct device_config config;	/* limits clamped to the wire's */
	struct device_env env;
	uint64_t features;
	unsigned int port_count, queue_count;
	struct port **ports;		/* by id; NULL: not used */
	struct queue *queues;
	enum device_life life;
	uint16_t version;		/* that the driver chose, while life is MULTI */
	bool hello_due;
	bool is_broken, is_down;	/* is_down: and what it held has been let go */
	struct list due;		/* ports with control messages */
	struct list owing;		/* ports with owed events */
	struct list pending;		/* queues to serve from device_run() */
	struct list dirty;		/* queues to publish */
	struct list warm;		/* queues that device_look() looks at */
	bool is_polled;
	struct list draining;		/* channels with more to discard */
	uint64_t discard_ms;		/* the millisecond that ... */
	uint32_t discard_left;		/* ... so many more bytes may be discarded in */
	struct list dead;		/* classic channels to free when the entry settles */
	struct list timers;		/* struct timer_list: one for each length of a limit */
	uint32_t live;			/* channels that count against max_channels */
	uint64_t moved;			/* payload bytes since the start of this pass */
	struct turn turn;
	struct log_limits channel_lines;	/* by enum channel_line and service */
	struct log_limit missing;
	struct device_stats stats;
	/* A request of the receive queue may be handled inside one of transmit (8.2). */
	struct request tx_request, rx_request;
	uint8_t scratch[SCRATCH_SIZE];	/* what nobody will read */
};

/* close.c */
/* How many bytes may be discarded now. */
uint32_t close_may_discard(struct device *device);

/* device.c */
/* The driver broke a rule that costs it the device [protocol.md 10.7]. */
void device_break(struct device *device, const char *why);
/*
 * Says in the log that guest memory at @addr cannot be reached, and @cost: what the guest
 * loses by it.
 */
void device_report_missing(struct device *device, gpa_t addr, const char *cost);
/* Likewise, of the first address among @count @segments that is not guest memory. */
void device_report_segments(struct device *device, const struct mem *mem,
			    const struct ring_segment *segments, unsigned int count,
			    const char *cost);
/* Every channel ends, unanswered; nothing is ready [protocol.md 3.4, 3.5]. @how: CUT or ABORT. */
void device_end_life(struct device *device, enum mp_end how);
/* The list for limits of @ms, or NULL without memory; from then on it is there. */
struct timer_list *device_timers(struct device *device, uint32_t ms);
/* The end of every entry; channels may be freed by it. */
void device_settle(struct device *device);
static inline uint64_t device_now(struct device *device)
{
	return device->env.now(device->env.context);
}
static inline bool device_has_feature(const struct device *device, unsigned int bit)
{
	return device->features >> bit & 1;
}

/* turn.c */
void turn_begin(struct device *device);
/* Is it time for others to work? To be asked for each chain, or for what costs as much. */
bool turn_is_over(struct device *device);
/* What is called now may take long. */
void turn_expect_delay(struct device *device);

/* queue.c */
/* Serves @queue within bounds; what is left becomes pending. */
void queue_serve(struct queue *queue);
void queue_defer(struct queue *queue);
/* May chains be taken from @queue now? */
bool queue_is_live(const struct queue *queue);
/* Kicks are wanted again. Returns true when chains have come meanwhile. */
bool queue_cool(struct queue *queue);
/* May @queue go on in this pass? Counts one chain; defers it when not. */
bool queue_has_budget(struct queue *queue, unsigned int *chains);
/* Has this pass moved enough, or lasted long enough? To be asked for each chain. */
bool queue_is_spent(const struct queue *queue);
void queue_give(struct queue *queue, uint16_t head, uint32_t written);
/* The next chain that is given back needs no call [protocol.md 6.8]. */
void queue_give_quietly(struct queue *queue);
/* Makes what was given visible and calls where the driver wants it. */
void queue_publish_all(struct device *device);

/* map.c */
/*
 * Describes @len bytes behind the first @skip of @count @segments in @iov; fewer where the
 * segments end. Returns the number of iovecs, -EFAULT (not guest memory) or -E2BIG.
 */
int map_range(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
	      uint64_t skip, uint64_t len, struct iovec *iov, int max);
/* The result in front of the writable @segments. Returns 0 or -errno. */
int map_result(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
	       struct request_map *map);
/* The payload behind the first @skip bytes of @segments. Returns 0 or -errno. */
int map_payload(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
		uint64_t skip, struct request_map *map, struct iovec *iov, int max);
/* Copies @len bytes of the readable part. Returns bytes copied, or -errno. */
ssize_t map_read(const struct mem *mem, const struct ring_chain *chain, void *buf, size_t len);
/* Copies @len bytes into the writable @segments. Returns bytes copied, or -errno. */
ssize_t map_write(const struct mem *mem, const struct ring_segment *segments, unsigned int count,
		  const void *buf, size_t len);

/* control.c */
void control_receive(struct queue *queue, const struct ring_chain *chain);
/* Sends what is due as far as there are buffers. */
void control_send(struct device *device);
void control_due(struct port *port, unsigned int due);

/* Fills @hello with what this device has [protocol.md 3.1]. */
void control_get_hello(const struct device *device, struct mp_hello *hello);

/* fuse.c */
/* May the chains of @device be FUSE requests? */
static inline bool device_is_fuse(const struct device *device)
{
	return device->config.binding == DEVICE_FS && device->life != LIFE_MULTI;
}
/* Serves @queue of such a device. */
void fuse_serve(struct queue *queue);

/* port.c */
struct port *port_create(struct device *device, uint32_t id,
			 const struct device_port_config *config);
void port_destroy(struct port *port);	/* accepts NULL */
/* The channel in @slot, of any generation, or NULL. */
struct channel *port_channel(const struct port *port, uint32_t slot);
/* Returns 0 or -ENOMEM. The slot is free and below max_channels. */
int port_insert(struct port *port, struct channel *channel);
void port_remove(struct port *port, struct channel *channel);
/* Keeps an event buffer. */
void port_keep_event(struct port *port, const struct ring_chain *chain);
/* Delivers owed events as far as there are buffers [protocol.md 7.3]. */
void port_deliver(struct port *port);
/* The receive queue stops: gives back what is held [protocol.md 10.3]. */
void port_return_held(struct port *port);
/* Channels, slots and held chains are gone, unanswered. @how: CUT or ABORT. */
void port_reset(struct port *port, enum mp_end how);

/* request.c */
/*
 * Takes one chain of @queue and deals with it. Returns 1, 0 (none), -EAGAIN (the queue's turn is
 * over, and the chain comes again) or -EPROTO.
 */
int request_serve(struct queue *queue);
/* Describes the payload. Returns MP_OK, or MP_FAULT: the device cannot reach it. */
enum mp_status request_map_payload(struct request *request);
/* Writes a result and gives the chain back; the state of @channel goes along. */
void request_answer(struct queue *queue, uint16_t head, const struct request_map *map,
		    const struct channel *channel, const struct mp_result *result,
		    uint32_t payload);

/* transfer.c; each returns an enum mp_status, or -EINPROGRESS when parked. */
int transfer_read(struct request *request);
int transfer_write(struct request *request);
/* The stream of a connected channel can be read again. */
void transfer_readable(struct channel *channel);
/* Gives the parked read, if there is one, back with @status and nothing moved. */
void transfer_unpark(struct channel *channel, enum mp_status status);
/* Drops it without a word: the ring is gone. */
void transfer_forget(struct channel *channel);
/*
 * Hands bytes over until all are taken or the stream has had enough; returns how many.
 * *@fault: what follows those cannot be read from guest memory.
 */
size_t transfer_push(struct channel *channel, struct iovec *iov, int count, bool *fault);

/* channel.c */
struct channel *channel_create(struct port *port, uint32_t slot, uint32_t generation);
/* Ends the stream if there is one, gives back what it holds, frees. */
void channel_free(struct channel *channel);
/*
 * The same for a channel whose guest, or device, goes, with CUT: what was taken still arrives, and
 * the stream may keep the channel's place until it has [protocol.md 10.8].
 */
void channel_leave(struct channel *channel, enum mp_end how);
/* The stream broke. The channel still exists when this returns. */
void channel_fail(struct channel *channel);
/* Ends the stream, if there is one. */
void channel_end_stream(struct channel *channel, enum mp_end how);
/* The place that it had in the limits is free again. */
void channel_release(struct channel *channel);
/* Numbers the state if it differs from the last one; then it is owed. */
void channel_refresh(struct channel *channel);
void channel_get_state(const struct channel *channel, struct mp_state *state);
/* The state was delivered: nothing is owed. Frees a closed channel. */
void channel_delivered(struct channel *channel);
/* As above, in a result that is looked at late: news is owed still [protocol.md 6.8]. */
void channel_delivered_lazily(struct channel *channel);
/* The list for limits of @ms must be there (device_timers()). */
void channel_start_timer(struct channel *channel, enum timer_kind kind, uint32_t ms);
void channel_expired(struct channel *channel);
/*
 * The kinds of lines about a channel. Each kind has a limit of its own for each service: who makes
 * noise with one name does not hide what happens with another.
 */
enum channel_line {
	CHANNEL_LINE_OPENED,
	CHANNEL_LINE_CLOSED,
	CHANNEL_LINE_CUT,
	CHANNEL_LINE_WAITS,
	CHANNEL_LINE_FAILED,
	CHANNEL_LINE_LIMIT,		/* a time limit has passed */
	CHANNEL_LINE_FINAL,
	CHANNEL_LINE_REFUSED,		/* + enum mp_reason */
};

/* What a channel has moved, at its end. */
void channel_log_end(struct channel *channel, enum channel_line kind, const char *how);
void channel_log(struct channel *channel, enum channel_line kind, enum log_level level,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* connect.c */
/* Begins to connect, or connects again after a refusal; the outcome is in the state. */
void connect_begin(struct channel *channel, const char *name, size_t len);
/* Fixed ports: now, or after a while. */
void connect_fixed(struct channel *channel);
void connect_later(struct channel *channel);
/* The outcomes. */
void connect_reached(struct channel *channel);
void connect_not_reached(struct channel *channel, int reason);
void connect_refuse(struct channel *channel, enum mp_reason reason);

/* close.c */
int close_shutdown(struct request *request);
int close_close(struct request *request);
/* A connected channel begins to close; the out stream ends at @final. */
void close_begin(struct channel *channel, uint64_t final);
/* Goes on with a closing channel. */
void close_advance(struct channel *channel);
/* The out stream of a connected or closing channel may have reached its end. */
void close_reach_final(struct channel *channel);
/* The service of a closing channel has taken bytes. */
void close_took(struct channel *channel);
/* Makes the lists that close_begin() will need. False without memory. */
bool close_make_timers(struct device *device, const struct mp_service *service);
/* It is time to look whether a closing channel still makes progress. */
void close_expired(struct channel *channel);
/* The channel is over: CLOSED is owed, or it is freed when the entry settles. */
void close_finish(struct channel *channel, enum mp_end how, enum mp_reason reason);

/* classic.c */
void classic_serve(struct queue *queue);
void classic_start(struct port *port);		/* PORT_READY 1 */
void classic_set_guest_open(struct port *port, bool is_open);
void classic_reset(struct port *port, enum mp_end how);
/* What became of a channel that has, or had, an open. */
void classic_connected(struct channel *channel);
void classic_gone(struct channel *channel);	/* it is freed when the entry settles */
void classic_readable(struct channel *channel);
void classic_writable(struct channel *channel);

#endif
