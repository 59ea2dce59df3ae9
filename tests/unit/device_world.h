/* SPDX-License-Identifier: MIT */
/*
 * A device with a multi-open port 1 and a fixed port 2, a driver, a service,
 * and the short words that the tests of the device core are written in.
 */
#ifndef TESTS_UNIT_DEVICE_WORLD_H
#define TESTS_UNIT_DEVICE_WORLD_H

#include "device/kept.h"
#include "fake_service.h"

#define PORT	  1
#define FIXED	  2
#define FIXED_CHANNELS 16
#define TX	  tx_of(PORT)
#define RX	  rx_of(PORT)
#define CONNECT_MS 5000
#define LINGER_MS 3000
#define END_MS	  3000
#define LATE_MS	  10		/* of a call for CLOSED */

struct world {
	struct device_kept kept;
	struct fake_driver driver;
	struct fake_service service;
	struct device_port_config ports[3];
	struct device_config config;
};

static struct world *world;
static struct fake_driver *driver;
static struct fake_service *service;

static enum mp_reason world_admit(void *context, const struct mp_opener *opener,
				  struct mp_service **result, const char **name)
{
	assert_ptr_equal(context, driver);
	assert_non_null(opener->service);
	assert_non_null(opener->argument);
	assert_string_equal(opener->guest, "guest");
	if (service->admission != MP_REASON_NONE)
		return service->admission;
	if (!strcmp(opener->service, "none"))
		return MP_REASON_NO_SERVICE;
	if (!strcmp(opener->service, "denied"))
		return MP_REASON_DENIED;
	service->admitted++;
	*result = &service->service;
	*name = "service";
	return MP_REASON_NONE;
}

static void world_release(void *context, struct mp_service *which, uint32_t uid)
{
	(void)uid;
	assert_ptr_equal(context, driver);
	assert_ptr_equal(which, &service->service);
	service->released += !service->is_leaving;
}

/* Limits are not asked. */
static enum mp_reason world_readmit(void *context, const struct mp_opener *opener,
				    struct mp_service **result, const char **name)
{
	assert_ptr_equal(context, driver);
	assert_string_equal(opener->service, "service");
	if (service->admission == MP_REASON_NO_SERVICE) {
		service->released++;
		return service->admission;
	}
	*result = &service->service;
	*name = "service";
	return MP_REASON_NONE;
}

static int world_restore(void *context, struct mp_service *which, struct mp_peer *peer,
			 struct record *record, struct mp_stream **stream)
{
	char kind[MP_KIND_SIZE] = "";

	assert_ptr_equal(context, driver);
	assert_true(!which || which == &service->service);
	record_text(record, kind, sizeof(kind));
	assert_string_equal(kind, "fake");
	return fake_restore(&service->service, peer, record, stream);
}

static inline void world_create_as(enum device_binding binding, uint16_t size,
				   uint32_t max_channels)
{
	log_setup(LOG_LEVEL_ERROR);
	world = calloc(1, sizeof(*world));
	assert_non_null(world);
	driver = &world->driver;
	service = &world->service;
	driver->world = world;
	driver->event_idx = true;
	driver->env.core.admit = world_admit;
	driver->env.core.release = world_release;
	driver->env.core.readmit = world_readmit;
	driver->env.core.restore = world_restore;
	driver->env.kept = &world->kept;
	service->service.ops = &fake_service_ops;
	service->service.linger_ms = LINGER_MS;
	service->service.end_ms = END_MS;
	service->driver = driver;
	service->answer = 1;
	service->out_room = 1U << 30;
	world->ports[PORT] = (struct device_port_config){
		.gate = { .name = "multi" }, .max_channels = max_channels,
	};
	world->ports[FIXED] = (struct device_port_config){
		.gate = { .name = "fixed", .is_fixed = true, .service_name = "tied" },
		.max_channels = FIXED_CHANNELS,
	};
	world->config = (struct device_config){
		.core = {
			.guest = "guest", .max_channels = max_channels + FIXED_CHANNELS,
			.connect_ms = CONNECT_MS,
		},
		.binding = binding, .port_count = 3, .ports = world->ports,
		.max_io = 1 << 20, .linger_ms = LINGER_MS,
	};
	fake_setup(driver, &world->config, size);
}

static inline void world_create(uint16_t size, uint32_t max_channels)
{
	world_create_as(DEVICE_CONSOLE, size, max_channels);
}

/* Up to confirmed ports; @events event buffers on each. */
static inline void world_boot(unsigned int events)
{
	const char *name;

	fake_boot(driver, true);
	fake_add_port(driver, PORT, MP_PORT_MULTI_OPEN, events);
	fake_expect_control(driver, FIXED, MP_CONTROL_PORT_MODE, MP_PORT_FIXED);
	fake_expect_control(driver, FIXED, VIRTIO_CONSOLE_PORT_ADD, 1);
	name = (const char *)fake_expect_control(driver, PORT, VIRTIO_CONSOLE_PORT_NAME, 1);
	assert_string_equal(name, "multi");
	assert_int_equal(driver->control_seen, driver->control_count);
}

static inline int world_destroy(void **state)
{
	(void)state;
	if (!world)
		return 0;
	fake_teardown(driver);
	/* Whatever happened, everything that was opened or admitted has been let go. */
	assert_int_equal(service->opened, service->closed);
	assert_int_equal(service->admitted, service->released);
	free(world);
	world = NULL;
	return 0;
}

/* --- Requests -------------------------------------------------------------- */

/* Sends and does not wait. */
static inline struct fake_request *send_on(unsigned int queue, uint16_t op, uint32_t slot,
					   uint32_t generation, uint64_t offset,
					   const void *payload, uint32_t length)
{
	struct fake_request *r = fake_make(driver, queue, op, slot, generation, offset, payload,
					   length);

	fake_offer(driver, r);
	fake_kick(driver, queue);
	return r;
}

/* The result must be there now. Frees the request. */
static inline struct mp_result finish(struct fake_request *r)
{
	struct mp_result result;

	fake_run(driver);
	assert_true(r->done);
	result = r->result;
	fake_drop(driver, r);
	return result;
}

static inline struct mp_result do_request(uint16_t op, uint32_t slot, uint32_t generation,
					  uint64_t offset, uint16_t flags, const void *payload,
					  uint32_t length)
{
	struct fake_request *r = fake_make(driver, TX, op, slot, generation, offset, payload,
					   length);

	fake_header(driver, r)->flags = htole16(flags);
	fake_offer(driver, r);
	fake_kick(driver, TX);
	return finish(r);
}

static inline uint32_t make_connect(uint8_t *payload, const char *name)
{
	struct mp_connect connect = {
		.uid = htole32(1000), .gid = htole32(100), .pid = htole32(4711),
		.name_len = htole32(strlen(name)), .comm = "co\nmm",
	};

	memcpy(payload, &connect, sizeof(connect));
	memcpy(payload + sizeof(connect), name, strlen(name));
	return sizeof(connect) + strlen(name);
}

static inline struct mp_result connect_to(uint32_t slot, uint32_t generation, const char *name)
{
	uint8_t payload[sizeof(struct mp_connect) + 512];
	uint32_t len = make_connect(payload, name);

	return do_request(MP_OP_CONNECT, slot, generation, 0, 0, payload, len);
}

static inline struct mp_result write_to(uint32_t slot, uint32_t generation, uint64_t offset,
					const void *bytes, uint32_t len)
{
	return do_request(MP_OP_WRITE, slot, generation, offset, 0, bytes, len);
}

/* Reads on the transmit queue: answered at once. @buf may be NULL. */
static inline struct mp_result read_from(uint32_t slot, uint32_t generation, uint64_t offset,
					 void *buf, uint32_t len)
{
	struct fake_request *r = send_on(TX, MP_OP_READ, slot, generation, offset, NULL, len);
	struct mp_result result;

	fake_run(driver);
	assert_true(r->done);
	result = r->result;
	if (buf)
		memcpy(buf, fake_payload(driver, r), le32toh(result.count));
	fake_drop(driver, r);
	return result;
}

static inline struct mp_result shut(uint32_t slot, uint32_t generation, uint64_t final,
				    uint16_t how)
{
	return do_request(MP_OP_SHUTDOWN, slot, generation, final, how, NULL, 0);
}

static inline struct mp_result close_at(uint32_t slot, uint32_t generation, uint64_t final,
					uint16_t flags)
{
	return do_request(MP_OP_CLOSE, slot, generation, final, flags, NULL, 0);
}

static inline struct mp_result cancel(uint32_t slot, uint32_t generation)
{
	return do_request(MP_OP_CANCEL, slot, generation, 0, 0, NULL, 0);
}

/* A READ that may be parked, of one page. */
static inline struct fake_request *fetch(uint32_t slot, uint32_t generation, uint64_t offset)
{
	struct fake_request *r = send_on(RX, MP_OP_READ, slot, generation, offset, NULL, 4096);

	fake_run(driver);
	return r;
}

/* --- Expectations ----------------------------------------------------------- */

static inline uint16_t bits_of(struct mp_result result) { return le16toh(result.state.bits); }

#define expect_result(result, status_, count_) do { \
	struct mp_result r_ = (result); \
	assert_int_equal(le32toh(r_.status), (status_)); \
	assert_int_equal(le32toh(r_.count), (count_)); \
} while (0)

#define expect_state(result, status_, bits_, reason_) do { \
	struct mp_result r_ = (result); \
	assert_int_equal(le32toh(r_.status), (status_)); \
	assert_int_equal(le16toh(r_.state.bits), (bits_)); \
	assert_int_equal(le16toh(r_.state.reason), (reason_)); \
} while (0)

/* The next event is this one. */
#define expect_event(slot_, generation_, bits_, reason_) do { \
	struct mp_event e_; \
	assert_true(driver->event_seen < driver->event_count); \
	e_ = driver->events[driver->event_seen++ % FAKE_EVENTS].event; \
	assert_int_equal(le32toh(e_.channel), (slot_)); \
	assert_int_equal(le32toh(e_.generation), (generation_)); \
	assert_int_equal(le16toh(e_.state.bits), (bits_)); \
	assert_int_equal(le16toh(e_.state.reason), (reason_)); \
} while (0)

#define expect_no_event() assert_int_equal(driver->event_seen, driver->event_count)

/* No time is waited for any more, once the last call that may be late has been made. */
static inline void expect_no_limit(void)
{
	fake_pass_time(driver, LATE_MS);
	assert_int_equal(core_deadline(device_core(driver->device)), UINT64_MAX);
}

#define CONNECTED (MP_ST_CONNECTED | MP_ST_OUT)		/* nothing to read yet */
#define FAILED	  (MP_ST_CONNECTED | MP_ST_FAILED | MP_ST_IN | MP_ST_OUT | MP_ST_IN_END | \
		   MP_ST_OUT_END)

static inline struct device_stats stats_now(void)
{
	struct device_stats stats;

	device_get_stats(driver->device, &stats);
	return stats;
}

#endif
