// SPDX-License-Identifier: MIT
/*
 * See road_stream.h. The carrier is there all the time; a stream comes, is pumped, and goes, and
 * with it the session and its channels.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "carrier/carrier.h"
#include "loop/acceptor.h"
#include "daemon/owner.h"
#include "daemon/road_stream.h"
#include "link/pump.h"

#define RETRY_MS 1000

struct stream_road {
	struct road road;		/* first */
	const struct road_config *config;
	struct road_env env;
	struct owner owner;
	struct carrier carrier;
	struct pump pump;
	struct acceptor acceptor;
	struct unix_listener listener;	/* fd -1: none */
	struct loop_timer retry;
	int in, out;			/* the stream; -1: none */
	bool is_missed;			/* the log says that no program listens */
};

/* --- A stream ------------------------------------------------------------------------ */

static void let_go(struct stream_road *road)
{
	pump_stop(&road->pump);
	if (road->in >= 0)
		close(road->in);
	if (road->out >= 0 && road->out != road->in)
		close(road->out);
	road->in = road->out = -1;
}

static int take_up(struct stream_road *road, int in, int out)
{
	int ret;

	road->in = in;
	road->out = out;
	ret = pump_start(&road->pump, in, out, true);
	road->is_missed = road->is_missed && ret;
	return ret;
}

static void settle_pump(struct pump *pump)
{
	carrier_settle(&container_of(pump, struct stream_road, pump)->carrier);
}

static void flush(struct carrier *carrier)
{
	pump_flush(&container_of(carrier, struct stream_road, carrier)->pump);
}

static void entered(struct owner *owner)
{
	carrier_settle(&container_of(owner, struct stream_road, owner)->carrier);
}

static void gone(struct pump *pump, int error)
{
	struct stream_road *road = container_of(pump, struct stream_road, pump);

	log_limited_here(LOG_LEVEL_INFO, "%s: the stream has ended%s%s", road->owner.guest,
			 error ? ": " : "", error ? strerror(error) : "");
	let_go(road);
	carrier_settle(&road->carrier);
	if (road->config->kind == ROAD_STREAM_STDIO)
		road->env.ended(road->env.context, -error);
	else if (road->config->kind == ROAD_STREAM)
		loop_timer_start(&road->retry, RETRY_MS);
}

/* --- Where it comes from ------------------------------------------------------------- */

/* Returns a connected socket or -errno. */
static int connect_unix(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;
	struct sockaddr_un address;
	socklen_t len;

	if (fd < 0)
		return -errno;
	unix_address_set(&address, &len, path);
	if (!connect(fd, (const struct sockaddr *)&address, len))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static void try_to_connect(struct stream_road *road)
{
	int fd = connect_unix(road->config->path);

	if (fd >= 0 && !take_up(road, fd, fd))
		return;
	if (fd >= 0)
		let_go(road);
	if (!road->is_missed)
		log_info("%s: --stream: no program listens on %s yet%s%s", road->owner.guest,
			 road->config->path, fd < 0 ? ": " : "", fd < 0 ? strerror(-fd) : "");
	road->is_missed = true;
	loop_timer_start(&road->retry, RETRY_MS);
}

static void retry(struct loop_timer *timer)
{
	try_to_connect(container_of(timer, struct stream_road, retry));
}

static void come_in(struct acceptor *acceptor, int fd)
{
	struct stream_road *road = container_of(acceptor, struct stream_road, acceptor);

	if (road->in >= 0) {
		log_limited_here(LOG_LEVEL_WARNING, "%s: refused a second stream on %s",
				 road->owner.guest, road->config->path);
		close(fd);
	} else if (take_up(road, fd, fd)) {
		let_go(road);
	}
}

/* Descriptor 0 or 1, kept apart from it. */
static int take_standard(int fd)
{
	int ours = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (ours < 0 || fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK))
		return -errno;
	return ours;
}

static int begin_stdio(struct stream_road *road)
{
	int in = take_standard(STDIN_FILENO), out = take_standard(STDOUT_FILENO);

	if (in < 0 || out < 0)
		return in < 0 ? in : out;
	return take_up(road, in, out);
}

static int begin(struct stream_road *road)
{
	int ret;

	switch (road->config->kind) {
	case ROAD_STREAM_STDIO:
		return begin_stdio(road);
	case ROAD_STREAM_LISTEN:
		ret = unix_listener_open(&road->listener, road->config->path,
					 &road->config->access);
		road->road.listener = road->listener.fd;
		return ret < 0 ? ret : acceptor_start(&road->acceptor, road->listener.fd);
	default:
		try_to_connect(road);
		return 0;
	}
}

/* --- Life ---------------------------------------------------------------------------- */

static void end(struct road *base)
{
	struct stream_road *road = (struct stream_road *)base;

	loop_timer_stop(&road->retry);
	acceptor_stop(&road->acceptor);
	if (road->listener.fd >= 0)
		unix_listener_close(&road->listener);
	road->road.listener = road->listener.fd = -1;
	let_go(road);
	if (road->carrier.link)
		carrier_settle(&road->carrier);
}

static void destroy(struct road *base)
{
	struct stream_road *road = (struct stream_road *)base;

	owner_stop(&road->owner);
	carrier_exit(&road->carrier);
	free(road);
}

static const struct road_ops road_ops = { .end = end, .destroy = destroy };

struct road *road_stream_open(const struct road_config *config, const struct road_env *env)
{
	struct stream_road *road = calloc(1, sizeof(*road));
	struct core_env core_env;
	int ret;

	if (!road)
		return NULL;
	road->road.ops = &road_ops;
	road->config = config;
	road->env = *env;
	road->in = road->out = road->road.listener = road->listener.fd = -1;
	owner_init(&road->owner, env->loop, env->policy, env->core->guest);
	road->owner.entered = entered;
	acceptor_init(&road->acceptor, env->loop, env->core->guest, come_in);
	loop_timer_init(env->loop, &road->retry, retry);
	core_env = owner_env(&road->owner);
	ret = carrier_init(&road->carrier, env->gate, env->core, &core_env, env->held_max, flush);
	pump_init(&road->pump, env->loop, road->carrier.link, settle_pump, gone);
	if (!ret) {
		road->owner.core = &road->carrier.core;
		ret = begin(road);
	}
	if (ret >= 0)
		return &road->road;
	end(&road->road);
	destroy(&road->road);
	errno = -ret;
	return NULL;
}
