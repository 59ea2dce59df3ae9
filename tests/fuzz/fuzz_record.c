// SPDX-License-Identifier: MIT
/*
 * What a planned restart hands over, spoiled: a record of channels of each kind of service, in
 * which the input changes bytes, is read by the device and by the services. Nothing crashes, and a
 * device that has read it can be run, reset and destroyed.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/record.h"
#include "channel/channel.h"
#include "device/classic.h"
#include "device/device.h"
#include "device/slot.h"
#include "fuzz_input.h"
#include "loop/loop.h"
#include "service/leave.h"
#include "service/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PORT		0
#define SLOTS		16
#define SPARE_FD	500	/* copies of what the record names lie from here on */
#define FD_COUNT	64
#define FRAME_SERVICE	1

static const char *const kinds[] = {
	"echo", "zero:100", "null", "pingpong:4", "throttle:1K", "unix:@manyport-fuzz-record",
	"unix-listen:@manyport-fuzz-record-2", "tcp:127.0.0.1:1", "exec:true",
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

static struct loop *loop;
static struct loop_task quit;
static struct mp_service *services[KINDS];
static struct device_kept kept;
static uint8_t *bases[2];	/* multi-open, and classic */
static struct device_kept kept_bases[2];
static size_t sizes[2];
static int named[FD_COUNT];
static unsigned int named_count;

/* --- The device's surroundings -------------------------------------------------- */

static uint64_t now(void *context) { (void)context; return loop_now(loop); }
static uint64_t clock_us(void *context) { (void)context; return loop_clock_us(); }
static void nothing(void *context) { (void)context; }
static void call(void *context, unsigned int queue) { (void)context; (void)queue; }

static struct mp_service *find(const char *kind)
{
	for (size_t i = 0; i < KINDS; i++)
		if (!strcmp(services[i]->kind, kind))
			return services[i];
	return NULL;
}

static enum mp_reason admit(void *context, const struct mp_opener *opener,
			    struct mp_service **service, const char **name)
{
	(void)context;
	*service = find(opener->service);
	if (!*service)
		return MP_REASON_NO_SERVICE;
	*name = (*service)->kind;
	return MP_REASON_NONE;
}

static void release(void *context, struct mp_service *service, uint32_t uid)
{
	(void)context;
	(void)service;
	(void)uid;
}

static int restore(void *context, struct mp_service *service, struct mp_peer *peer,
		   struct record *record, struct mp_stream **stream)
{
	char kind[MP_KIND_SIZE] = "";

	(void)context;
	record_text(record, kind, sizeof(kind));
	service = find(kind);
	return service ? service->ops->restore(service, peer, record, stream) : -MP_REASON_RESET;
}

static struct device *make_device(void)
{
	const struct device_port_config ports[] = {
		{ .gate = { .name = "multi" }, .max_channels = SLOTS },
		{ .gate = { .name = "fixed", .is_fixed = true, .service_name = "echo" },
		  .max_channels = SLOTS },
	};
	const struct device_config config = {
		.core = { .guest = "guest", .max_channels = 2 * SLOTS, .connect_ms = 1000 },
		.port_count = 2, .ports = ports, .max_io = 65536,
	};
	const struct device_env env = {
		.core = { .now = now, .clock_us = clock_us, .rearm = nothing, .wake = nothing,
			  .admit = admit, .release = release, .readmit = admit,
			  .restore = restore },
		.call = call, .kept = &kept,
	};
	struct device *device = device_create(&config, &env);

	CHECK(device);
	device_set_features(device, device_features(device));
	return device;
}

/* --- The record that is spoiled ---------------------------------------------------- */

static void on_quit(struct loop_task *task)
{
	loop_quit(task->loop);
}

static void run(void)
{
	for (int i = 0; i < 3; i++) {
		loop_task_queue(&quit);
		CHECK(loop_run(loop) == 0);
	}
}

static void changed(struct channel *ch)
{
	(void)ch;
}

static struct channel *open_slot(struct device *device, uint32_t number, const char *name)
{
	const struct mp_opener opener = { .uid = 1, .comm = "fuzz", .channel = number,
					  .generation = 1 };
	struct slot *slot = slot_create(device->ports[PORT], &opener, changed);

	CHECK(slot);
	connect_begin(&slot->channel, name, strlen(name));
	slot_refresh(slot);
	return &slot->channel;
}

static void write_bytes(struct channel *ch)
{
	struct iovec iov = { (char *)"some bytes", 10 };
	struct bytes bytes = { .iov = &iov, .count = 1 };

	if (ch->phase == CHANNEL_CONNECTED)
		transfer_write(ch, &bytes);
}

static void fill_multi(struct device *device)
{
	device->kept->life = LIFE_MULTI;
	device->kept->version = 2;
	for (size_t i = 0; i < KINDS; i++)
		write_bytes(open_slot(device, i, services[i]->kind));
	close_begin(open_slot(device, KINDS, "throttle"), 100);
	open_slot(device, KINDS + 1, "none");
	open_slot(device, KINDS + 2, "unix");
	port_say(device->ports[1], PORT_DUE_NAME);
}

static void fill_classic(struct device *device)
{
	struct port *port = device->ports[PORT];
	struct classic_open *open = classic_begin_open(port);
	struct classic_channel *channel = classic_create_channel(open);

	device->kept->life = LIFE_CLASSIC;
	connect_begin(&channel->channel, "unix", 4);
	open->is_ended = true;
	open->chains_left = 3;
	open = classic_begin_open(port);
	open->name_len = 3;
	memcpy(open->name, "nam", 3);
	classic_start(device->ports[1]);
}

static void hand_over_all(struct device *device, struct record *record)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (!services[i]->ops->hand_over || !record_begin(record, FRAME_SERVICE))
			continue;
		services[i]->ops->hand_over(services[i], record);
		record_end(record);
	}
	device_hand_over(device, record);
}

/* Descriptors that the record names are open again in each run: others of the same kind. */
static void keep_descriptors(const uint8_t *bytes)
{
	uint64_t at, count;

	memcpy(&at, bytes + 16, sizeof(at));
	memcpy(&count, bytes + 24, sizeof(count));
	for (uint64_t i = 0; i < count && named_count < FD_COUNT; i++) {
		int fd;

		memcpy(&fd, bytes + at + i * sizeof(fd), sizeof(fd));
		CHECK(fd < SPARE_FD);
		CHECK(fcntl(fd, F_DUPFD_CLOEXEC, SPARE_FD + (int)named_count) ==
		      SPARE_FD + (int)named_count);
		named[named_count++] = fd;
	}
}

static void make_base(int which, void (*fill)(struct device *device))
{
	struct record *record = record_create();
	struct device *device;
	int fd;

	memset(&kept, 0, sizeof(kept));
	device = make_device();
	fill(device);
	kept_bases[which] = kept;
	hand_over_all(device, record);
	fd = record_finish(record);
	CHECK(fd >= 0);
	sizes[which] = lseek(fd, 0, SEEK_END);
	bases[which] = malloc(sizes[which]);
	CHECK(pread(fd, bases[which], sizes[which], 0) == (ssize_t)sizes[which]);
	keep_descriptors(bases[which]);
	record_destroy(record);
	leave_end(NULL);
	device_destroy(device);
	run();
}

static void setup_once(void)
{
	struct sockaddr_un name = { AF_UNIX, "\0manyport-fuzz-record" };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (loop) {
		close(listener);
		return;
	}
	log_setup(LOG_LEVEL_ERROR);
	CHECK(!bind(listener, (struct sockaddr *)&name, offsetof(struct sockaddr_un, sun_path) +
		    1 + strlen(name.sun_path + 1)));
	CHECK(!listen(listener, 64));
	loop = loop_create();
	loop_task_init(loop, &quit, on_quit);
	for (size_t i = 0; i < KINDS; i++) {
		struct service_setup setup = { .loop = loop, .name = "fuzz", .linger_ms = 1000,
					       .exit_ms = 1000 };

		services[i] = service_create(&setup, kinds[i]);
		CHECK(services[i]);
	}
	make_base(0, fill_multi);
	make_base(1, fill_classic);
}

/* --- One input ------------------------------------------------------------------------ */

/* A few bytes at places that the input names; a length, a number or a descriptor mostly. */
static void spoil(uint8_t *bytes, size_t size)
{
	static const uint64_t values[] = { 0, 1, 2, 3, 5, 255, 65536, 1ULL << 31, 1ULL << 62,
					   ~0ULL, ~0ULL - 1, 16, 64, 4096 };

	while (input_left) {
		size_t at = next16() % size;
		uint8_t what = next();

		if (what < 0x80)
			bytes[at] = next();
		else if (at + 8 <= size)
			memcpy(bytes + at / 8 * 8, &values[what % (sizeof(values) / 8)], 8);
	}
}

static void close_named(void)
{
	for (unsigned int i = 0; i < named_count; i++)
		if (fcntl(named[i], F_GETFD) == 0)
			close(named[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record *record;
	struct device *device;
	uint8_t *bytes;
	int which, fd;
	bool runs;

	setup_once();
	input = data;
	input_left = size;
	which = next() & 1;
	/* Seldom: a start that is under way becomes a process. */
	runs = next() > 0xf0;
	bytes = malloc(sizes[which]);
	memcpy(bytes, bases[which], sizes[which]);
	spoil(bytes, sizes[which]);
	for (unsigned int i = 0; i < named_count; i++)
		if (fcntl(named[i], F_GETFD) < 0)
			CHECK(dup2(SPARE_FD + (int)i, named[i]) == named[i]);
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	CHECK(write(fd, bytes, sizes[which]) == (ssize_t)sizes[which]);
	free(bytes);
	record = record_open(fd);
	if (!record) {
		close(fd);
		close_named();
		return 0;
	}
	kept = kept_bases[which];
	device = make_device();
	hand_over_all(device, record);
	if (record_is_good(record))
		device_adopt(device);
	record_close_rest(record);
	record_destroy(record);
	close_named();
	if (runs)
		run();
	core_tick(device_core(device));
	core_run(device_core(device));
	if (runs)
		run();
	device_reset(device);
	leave_end(NULL);
	device_destroy(device);
	if (runs)
		run();
	return 0;
}
