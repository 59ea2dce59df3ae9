// SPDX-License-Identifier: MIT
/*
 * A bad host: a vhost-user back end that lies to the guest's driver. See bad_host.h.
 *
 *	bad_host SOCKET		serve the front end that connects, until it is gone
 *	bad_host -l		the names of all attacks
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bad_host.h"
#include "bad_host_table.h"
#include "base/log.h"
#include "vhost/kept.h"
#include "vhost/session.h"

static struct loop *loop;
static struct device *device;
static struct kept *kept;
static struct session *session;
static struct loop_timer timer;

static uint64_t env_now(void *context)
{
	(void)context;
	return loop_now(loop);
}

static void env_rearm(void *context)
{
	(void)context;
	if (device && device_deadline(device) != UINT64_MAX)
		loop_timer_start(&timer, 1);
	else
		loop_timer_stop(&timer);
}

static void env_wake(void *context)
{
	(void)context;
}

static void env_call(void *context, unsigned int queue)
{
	(void)context;
	session_call(session, queue);
}

static void on_timer(struct loop_timer *fired)
{
	(void)fired;
	device_tick(device);
	env_rearm(NULL);
}

static void on_end(void *context, int why)
{
	(void)context;
	(void)why;
	loop_quit(loop);
}

/* The file of the socket is there when it takes connections. */
static int accept_one(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), connected;
	const size_t size = sizeof(address.sun_path);

	if (fd < 0 || snprintf(address.sun_path, size, "%s.new", path) >= (int)size)
		return -1;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1) ||
	    rename(address.sun_path, path))
		return -1;
	connected = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	close(fd);
	unlink(path);
	return connected;
}

static int list_attacks(void)
{
	int status = 0, how;
	unsigned int hits;

#define LIST(name, attack_hits, attack_how)						\
	puts(#name);									\
	if (!attack_find(#name, &hits, &how)) {						\
		fprintf(stderr, "%s is not implemented\n", #name);			\
		status = 1;								\
	}
	BAD_HOST_ATTACKS(LIST)
	return status;
}

int main(int argc, char **argv)
{
	const struct device_env env = {
		.core = { .now = env_now, .rearm = env_rearm, .wake = env_wake },
		.call = env_call,
	};
	int fd;

	if (argc == 2 && !strcmp(argv[1], "-l"))
		return list_attacks();
	if (argc != 2 || mem_guard_install())
		return 2;
	log_setup(LOG_LEVEL_WARNING);
	fd = accept_one(argv[1]);
	if (fd < 0) {
		perror(argv[1]);
		return 2;
	}
	loop = loop_create();
	if (!loop)
		return 2;
	loop_timer_init(loop, &timer, on_timer);
	kept = kept_create(NULL);
	device = device_create(NULL, &env);
	if (device && kept)
		session = session_create(loop, device, kept, fd, on_end, NULL);
	if (!session)
		return 2;
	loop_run(loop);
	session_destroy(session);
	device_destroy(device);
	kept_destroy(kept);
	return 0;
}
