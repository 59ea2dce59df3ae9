// SPDX-License-Identifier: MIT
/*
 * manyportd: options, configuration, and the loop.
 *
 * Exit status: 0 done, 1 a failure, 64 wrong options, 78 wrong configuration.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd_limit.h"
#include "base/list.h"
#include "base/log.h"
#include "base/unix_address.h"
#include "daemon/config.h"
#include "daemon/given.h"
#include "daemon/guest.h"
#include "daemon/handover.h"
#include "daemon/options.h"
#include "daemon/road.h"
#include "daemon/signals.h"
#include "device/device.h"
#include "keep/keeper.h"
#include "loop/log_timer.h"
#include "loop/loop.h"
#include "mem/mem.h"

/* Descriptors that are neither a channel's nor the front end's: the log, the loop, listeners. */
#define OTHER_FDS	32
/* Of one channel; of one with a program: a socket, a pipe and the process. */
#define CHANNEL_FDS	1
#define PROGRAM_FDS	3
#define ROAD_FDS	64

static const char capabilities[] =
	"{\n"
	"  \"type\": \"console\"\n"
	"}\n";

/*
 * Programs run as our user, and may not look into our memory, where the guest's is mapped: so no
 * process of that user can trace this one. There is no core dump of it either.
 */
static void close_memory(void)
{
	if (prctl(PR_SET_DUMPABLE, 0))
		log_warning("processes of this user can trace this one: %s", strerror(errno));
}

/*
 * Programs that are started get 0 to 2; none of ours may lie there, for what is written to
 * standard output or error would go into it. Returns false if it might.
 */
static bool open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	for (fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			return false;
	}
	return true;
}

static void apply_settings(struct config *config, const struct options *options)
{
	for (int i = 0; i < options->setting_count; i++) {
		const struct option_setting *setting = &options->settings[i];
		const struct config_origin origin = { CONFIG_COMMAND_LINE, setting->origin };

		if (setting->key)
			config_set(config, &origin, setting->section, setting->key, setting->value);
		else
			config_begin(config, &origin, setting->section);
	}
}

/* The configuration with its services, or NULL after messages. */
static struct config *make_config(const struct options *options, struct loop *loop)
{
	struct config *config = config_create(stderr);
	int errors;

	if (!config)
		return NULL;
	if (options->config_file)
		config_read_file(config, options->config_file);
	apply_settings(config, options);
	config_check(config);
	errors = config->errors;
	/* After errors the services are still checked, so that one run shows all errors. */
	config_start(config, loop, options->check || config->errors);
	/* Channels of the other services go on: that one of them cannot start ends no guest. */
	if (options->handover >= 0 && !options->check && !errors)
		config->errors = 0;
	if (!config->errors)
		return config;
	fprintf(stderr, "manyportd: %d error%s in the configuration\n", config->errors,
		config->errors == 1 ? "" : "s");
	config_destroy(config);
	return NULL;
}

static uint64_t wanted_fds(const struct config *config, bool has_roads)
{
	uint64_t each = CHANNEL_FDS;

	for (int i = 0; i < config->service_count; i++) {
		if (!strncmp(config->services[i]->connect, "exec:", 5))
			each = PROGRAM_FDS;
	}
	/* A road has a connection for each channel, and some that have no name yet. */
	each += has_roads;
	return config->guest.max_channels * each + OTHER_FDS + (has_roads ? ROAD_FDS : 0);
}

/* Raises the limit of descriptors as far as allowed; warns if that may be too few. */
static void raise_fd_limit(const struct config *config, const struct guest *guest,
			   unsigned int roads)
{
	uint64_t wanted = wanted_fds(config, roads);
	/* And a copy of each road's socket that is held. */
	unsigned int reserve = guest_front_end_fds(guest) + roads;
	unsigned long left = fd_limit_init(reserve);

	if (left < wanted)
		log_warning("at most %lu descriptors for channels, and %u for the front end "
			    "(LimitNOFILE=, ulimit -n), but %u channels may want up to %llu: some "
			    "may be refused as busy", left, reserve, config->guest.max_channels,
			    (unsigned long long)wanted);
}

static void say_how_to_attach(const struct config *config, const struct guest *guest,
			      const char *path)
{
	unsigned int queues = guest_queue_count(guest);
	char device[128];

	log_info("guest %s: %d port%s, %d service%s, %u queues", config->guest.name,
		 config->port_count, config->port_count == 1 ? "" : "s", config->service_count,
		 config->service_count == 1 ? "" : "s", queues);
	if (!path)
		return;
	if (config->guest.binding == DEVICE_FS)
		snprintf(device, sizeof(device), "vhost-user-fs-pci,chardev=manyport,tag=manyport,"
			 "num-request-queues=%u,queue-size=1024", queues - 1);
	else
		snprintf(device, sizeof(device), "vhost-user-test-device-pci,chardev=manyport,"
			 "virtio-id=3,num_vqs=%u,config_size=12,vq_size=1024", queues);
	log_info("QEMU: -object memory-backend-memfd,id=mem,size=RAM,share=on "
		 "-machine memory-backend=mem -chardev socket,id=manyport,path=%s -device %s",
		 path, device);
	if (config->guest.binding == DEVICE_CONSOLE)
		log_info("User Mode Linux: virtio_uml.device=%s:3", path);
	/* Last: a script that has waited for it finds the lines above. */
	log_info("listening on %s", path);
}

/* --- Serving -------------------------------------------------------------------- */

/* A front end at a descriptor that we were given. Returns 0 or -errno. */
static int attach_given(struct guest *guest, int fd)
{
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, O_NONBLOCK))
		return -errno;
	return guest_attach(guest, fd);
}

static const char *explain_road(const struct road_config *config, int error)
{
	if (error == -ENODEV)
		return config->gate ? "there is no multi-open port of this name" :
				      "there is no multi-open port";
	if (config->path)
		return unix_address_explain(error);
	/* A file that nothing can wait for. */
	if (config->kind == ROAD_STREAM_STDIO && error == -EPERM)
		return "standard input and output should be pipes, sockets or a terminal; one of "
		       "them is another file";
	return error == -EAFNOSUPPORT ? "this kernel has no vsock (modprobe vsock)" :
					strerror(-error);
}

static int open_roads(struct guest *guest, const struct options *options)
{
	int first = 0;

	for (int i = 0; i < options->road_count; i++) {
		const struct option_road *road = &options->roads[i];
		int ret = guest_open_road(guest, &road->config);

		if (ret)
			log_error("%s: %s", road->origin, explain_road(&road->config, ret));
		else
			log_info("serving %s", road->origin);
		first = first ? first : ret;
	}
	return first;
}

/*
 * @record: of the program before this one, or NULL. Where a guest is served already, what cannot be
 * opened any more costs that door, and not the guest.
 */
static int serve(struct loop *loop, struct guest *guest, const struct config *config,
		 const struct options *options, struct record *record)
{
	bool is_served = guest_take_over(guest, !options->socket_path);
	bool goes_on = is_served || (record && options->fd < 0);
	int ret = 0;

	if (options->socket_path)
		ret = guest_listen(guest, options->socket_path, &options->socket_access);
	else if (options->fd >= 0)
		ret = !record ? attach_given(guest, options->fd) : is_served ? 0 : -ENOTCONN;
	if (ret) {
		if (options->socket_path)
			log_error("cannot listen on %s: %s", options->socket_path,
				  unix_address_explain(ret));
		else
			log_error("cannot serve descriptor %d: %s", options->fd, strerror(-ret));
		if (!goes_on)
			return ret;
	}
	ret = open_roads(guest, options);
	guest_keep_listeners(guest);
	handover_close(record);
	if (ret && !goes_on)
		return ret;
	/* Only now: a process that waits for this line, or for READY=1, connects at once. */
	say_how_to_attach(config, guest, options->socket_path);
	sd_notifyf(0, "READY=1\nSTATUS=Guest %s: ports %d, services %d", config->guest.name,
		   config->port_count, config->service_count);
	return loop_run(loop);
}

/*
 * Where the next program is, at the time when it is wanted: the path that this one was started by.
 * A name without a slash is what was found then.
 */
static const char *program_path(char **argv)
{
	static char path[PATH_MAX];
	ssize_t len;

	if (strchr(argv[0], '/'))
		return argv[0];
	len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	return path;
}

/* A restart has failed after the roads had ended. */
static void open_roads_again(void *context)
{
	const struct handover *handover = context;

	open_roads(handover->guest, handover->options);
	guest_keep_listeners(handover->guest);
}

static int run(struct loop *loop, const struct config *config, const struct options *options,
	       char **argv, struct record *record)
{
	struct signals signals;
	struct guest *guest = NULL;
	struct handover handover = {
		.loop = loop, .config = config, .options = options, .argv = argv,
		.path = program_path(argv), .undone = open_roads_again, .context = &handover,
	};
	int ret = signals_watch(&signals, loop);

	log_timer_begin(loop);
	if (!ret)
		ret = mem_guard_install();
	if (!ret) {
		guest = guest_create(loop, config);
		ret = guest ? 0 : -ENOMEM;
		handover.guest = guest;
		handover_init(&handover);
		signals_serve(&signals, guest, &handover);
	}
	if (ret) {
		log_error("cannot start: %s", strerror(-ret));
	} else {
		raise_fd_limit(config, guest, options->road_count);
		if (record)
			ret = guest_restore(guest, record);
		if (!ret)
			ret = serve(loop, guest, config, options, record);
		if (!ret)
			ret = guest_result(guest);
		handover_stop(&handover);
	}
	guest_destroy(guest);
	signals_forget(&signals);
	log_timer_end();
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Before a keeper has it: that one is sure of it. */
static bool check_given(const struct options *options)
{
	const char *complaint = NULL;

	if (options->fd >= 0 && options->handover < 0 && !options->check)
		complaint = given_complaint(options->fd);
	if (complaint)
		log_error("--fd=%d: %s", options->fd, complaint);
	return !complaint;
}

/* Runs this program under a keeper. Returns its exit status. */
static int run_keeper(const struct options *options, char **argv)
{
	const struct keeper_config config = {
		.path = program_path(argv), .argv = argv, .fd = options->fd,
	};

	return keeper_run(&config);
}

int main(int argc, char **argv)
{
	struct options options;
	struct config *config = NULL;
	struct record *record = NULL;
	struct loop *loop = NULL;
	int status = EXIT_FAILURE;
	bool is_kept;

	if (!open_standard_fds())
		return EXIT_FAILURE;
	options_parse(&options, argc, argv);
	if (options.print_capabilities) {
		fputs(capabilities, stdout);
		status = fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
		goto out;
	}
	log_setup(options.log_level);
	close_memory();
	is_kept = options.keep && keeper_is_parent(&options.fd);
	if (!is_kept && !check_given(&options)) {
		status = EX_USAGE;
		goto out;
	}
	if (options.keep && !options.check && !is_kept) {
		status = run_keeper(&options, argv);
		goto out;
	}
	if (options.handover >= 0) {
		record = handover_open(options.handover);
		if (!record)
			goto out;
	}
	loop = loop_create();
	if (!loop) {
		log_error("cannot start: %s", strerror(errno));
		goto out;
	}
	config = make_config(&options, loop);
	if (!config || (record && !handover_fits(record, config))) {
		/* One that was good a moment ago: a keeper starts the daemon again. */
		status = record && !options.check ? EXIT_FAILURE : EX_CONFIG;
	} else if (options.check) {
		printf("guest %s: the configuration is valid\n", config->guest.name);
		status = EXIT_SUCCESS;
	} else {
		status = run(loop, config, &options, argv, record);
		record = NULL;
	}
	config_destroy(config);
	loop_destroy(loop);
	log_tell_left_out(true);
out:
	handover_close(record);
	options_free(&options);
	return status;
}
