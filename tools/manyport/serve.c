// SPDX-License-Identifier: MIT
/* manyport serve: options, the stream, rights, the end. See server.h. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <manyport/client.h>

#include "base/fd_limit.h"
#include "base/log.h"
#include "base/unix_address.h"
#include "loop/log_timer.h"
#include "serve_node.h"
#include "server.h"
#include "tool.h"

#define DEFAULT_PORT "org.manyport.0"
#define DEFAULT_NODE "manyport"
#define NOBODY	     65534
#define HELD_MAX     (16U << 20)	/* bytes for clients that do not read, all together */
#define ANSWER_MS    60000

static const char help_text[] =
	"Serves channels to the processes of this guest over one byte stream, where the kernel "
	"has no module for them: an ordinary virtio-serial port, a serial line, a pipe. The other "
	"end is 'manyportd --stream=' on the host."
	"\v"
	"PORT is the name of a virtio-serial port (default: " DEFAULT_PORT "), the path of a "
	"device, unix:PATH (a socket to connect to), or '-' for standard input and output.\n\n"
	"A client connects to the door, " MANYPORT_DOOR ", and says the name of a service first: "
	"'manyport connect', 'forward' and the library do so by themselves; other programs write "
	"it as a line. At a socket that stands for a service (-L) nothing is said. Behind a path "
	"',mode=0660', ',owner=USER' and ',group=GROUP' say who may connect: by default only the "
	"user who runs this.\n\n"
	"Example: manyport serve -L /run/db.sock,mode=0666:db";

enum { OPTION_DOOR = 256, OPTION_NODE, OPTION_USER };

static const struct argp_option options[] = {
	{ "door", OPTION_DOOR, "PATH[,mode=M][,owner=U][,group=G]", 0,
	  "where clients name their service (default: " MANYPORT_DOOR "); empty: nowhere", 0 },
	{ "listen", 'L', "PATH[,mode=M][,owner=U][,group=G]:NAME", 0,
	  "a socket whose clients get the service NAME; may be repeated", 0 },
	{ "node", OPTION_NODE, "NAME", OPTION_ARG_OPTIONAL,
	  "make the device node /dev/NAME (default: " DEFAULT_NODE "), each open of which is a "
	  "channel, as with the module's; a kernel without CUSE leaves the sockets", 0 },
	{ "user", OPTION_USER, "UID", 0,
	  "go on as this user when all is open (default: 65534, nobody, if started by root)", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct setup {
	struct serve serve;
	struct loop_watch signals;
	const char *port, *door;
	const char *node_name;		/* NULL: no node */
	struct node *node;
	uid_t uid;			/* -1: not said */
	int in, out;			/* the stream */
	bool has_ends;
};

static void check(struct argp_state *state, const char *option, const char *arg, const char *wrong)
{
	if (wrong)
		argp_error(state, "%s%s: %s", option, arg, wrong);
}

static int parse_option(int key, char *arg, struct argp_state *state)
{
	struct setup *setup = state->input;
	char *rest;
	unsigned long uid;

	switch (key) {
	case OPTION_DOOR:
		setup->door = arg;
		return 0;
	case 'L':
		check(state, "-L ", arg, serve_door_add_service(&setup->serve, arg));
		return 0;
	case OPTION_NODE:
		setup->node_name = arg ? arg : DEFAULT_NODE;
		return 0;
	case OPTION_USER:
		uid = strtoul(arg, &rest, 10);
		if (*rest || rest == arg || uid >= UINT32_MAX)
			argp_error(state, "--user=%s: not the number of a user", arg);
		setup->uid = uid;
		return 0;
	case ARGP_KEY_ARG:
		if (setup->port)
			argp_error(state, "'%s': one port only", arg);
		setup->port = arg;
		return 0;
	case ARGP_KEY_END:
		if (*setup->door)
			check(state, "--door=", setup->door,
			      serve_door_add(&setup->serve, setup->door));
		if (list_is_empty(&setup->serve.doors) && !setup->node_name)
			argp_error(state, "nothing to listen on: give --door=PATH, -L PATH:NAME or "
				   "--node");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- The stream --------------------------------------------------------------------- */

static int open_device(struct setup *setup, const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct termios line;

	if (fd < 0)
		return -errno;
	if (!tcgetattr(fd, &line)) {
		/* The speed stays: stty sets it. */
		cfmakeraw(&line);
		line.c_cflag |= CLOCAL;
		if (tcsetattr(fd, TCSANOW, &line))
			return -errno;
		setup->has_ends = true;
	}
	return setup->in = setup->out = fd;
}

static int open_unix(struct setup *setup, const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	socklen_t len;

	if (fd < 0)
		return -errno;
	if (unix_address_set(&address, &len, path))
		return -ENAMETOOLONG;
	if (connect(fd, (const struct sockaddr *)&address, len))
		return -errno;
	setup->has_ends = true;
	return setup->in = setup->out = fd;
}

static int open_stdio(struct setup *setup)
{
	setup->in = STDIN_FILENO;
	setup->out = STDOUT_FILENO;
	setup->has_ends = true;
	for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
		if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
			return -errno;
	return 0;
}

static int open_stream(struct setup *setup)
{
	const char *port = setup->port;
	char node[PATH_MAX];

	if (!strcmp(port, "-"))
		return open_stdio(setup);
	if (!strncmp(port, "unix:", 5))
		return open_unix(setup, port + 5);
	if (strchr(port, '/'))
		return open_device(setup, port);
	if (!find_stock_port(port, node, sizeof(node)))
		return -ENODEV;
	return open_device(setup, node);
}

static void explain_stream(const char *port, int error)
{
	if (error == -ENODEV)
		log_error("there is no virtio-serial port '%s': the VMM gives it one, as in "
			  "-device virtserialport,name=%s", port, port);
	else if (error == -EBUSY)
		log_error("%s: another process has it open", port);
	else if (error == -EPERM)	/* a file that nothing can wait for */
		log_error("%s should be a port, a pipe, a socket or a terminal, and is another "
			  "file", strcmp(port, "-") ? port : "standard input or output");
	else
		log_error("%s: %s", port, strerror(-error));
}

static void settle(struct pump *pump)
{
	pump_flush(pump);
}

static void gone(struct pump *pump, int error)
{
	struct serve *serve = container_of(pump, struct serve, pump);

	log_error("the stream has ended%s%s", error ? ": " : "", error ? strerror(error) : "");
	serve->status = EXIT_IO;
	pump_stop(pump);
	loop_quit(serve->loop);
}

/* --- Rights ------------------------------------------------------------------------- */

/* By /etc/passwd alone: a static program has no other names. Without one: 65534. */
static gid_t group_of(uid_t uid)
{
	FILE *users = fopen("/etc/passwd", "re");
	const struct passwd *user;
	gid_t gid = NOBODY;

	while (users && (user = fgetpwent(users)))
		if (user->pw_uid == uid)
			gid = user->pw_gid;
	if (users)
		fclose(users);
	return gid;
}

/* Everything is open: from here on nothing wants a right. */
static int drop_rights(const struct setup *setup)
{
	uid_t uid = setup->uid;
	gid_t gid;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (uid == (uid_t)-1)
		uid = geteuid() ? geteuid() : NOBODY;
	if (uid == geteuid())
		return 0;
	gid = group_of(uid);
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

/* --- Start and end ------------------------------------------------------------------ */

static void end_loop(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	loop_quit(watch->loop);
}

static int watch_signals(struct setup *setup)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : loop_watch_add(setup->serve.loop, &setup->signals, fd, EPOLLIN,
						end_loop);
}

static int make_link(struct serve *serve)
{
	static const struct link_config config = {
		.session = {
			.version = MP_STREAM_VERSION, .window = MP_WINDOW_MAX,
			.answer_ms = ANSWER_MS,
		},
		.slots = SERVE_SLOTS,
		.granted_max = HELD_MAX,
	};

	serve->link = link_create(&config, &serve_link_ops, serve);
	serve->free_slots = calloc(SERVE_SLOTS, sizeof(*serve->free_slots));
	serve->generations = calloc(SERVE_SLOTS, sizeof(*serve->generations));
	if (!serve->link || !serve->free_slots || !serve->generations)
		return -ENOMEM;
	pump_init(&serve->pump, serve->loop, serve->link, settle, gone);
	return 0;
}

/* Where the kernel has no CUSE the sockets will do, if there are any. */
static int open_node(struct setup *setup)
{
	struct serve *serve = &setup->serve;
	int ret = setup->node_name ? serve_node_open(serve, setup->node_name, &setup->node) : 0;

	if (ret != -ENODEV || list_is_empty(&serve->doors))
		return ret;
	log_info("clients have the sockets only");
	return 0;
}

static int start(struct setup *setup)
{
	struct serve *serve = &setup->serve;
	int ret = -ENOMEM;

	serve->loop = loop_create();
	if (serve->loop) {
		log_timer_begin(serve->loop);
		ret = make_link(serve);
	}
	if (!ret)
		ret = watch_signals(setup);
	if (ret) {
		log_error("cannot start: %s", strerror(-ret));
		return ret;
	}
	fd_limit_init(0);
	ret = open_stream(setup);
	if (ret < 0) {
		explain_stream(setup->port, ret);
		return ret;
	}
	ret = serve_door_open_all(serve);
	if (ret < 0)
		return ret;
	ret = open_node(setup);
	if (ret)
		return ret;
	ret = drop_rights(setup);
	if (ret) {
		log_error("cannot start: %s", strerror(-ret));
		return ret;
	}
	ret = pump_start(&serve->pump, setup->in, setup->out, setup->has_ends);
	if (ret)
		explain_stream(setup->port, ret);
	return ret;
}

static void end(struct setup *setup)
{
	struct serve *serve = &setup->serve;

	serve_door_close_all(serve);
	serve_node_close(setup->node);
	if (serve->link)
		pump_stop(&serve->pump);
	serve_client_end_all(serve);
	if (setup->signals.loop) {
		int fd = setup->signals.fd;

		loop_watch_remove(&setup->signals);
		close(fd);
	}
	link_destroy(serve->link);
	log_timer_end();
	loop_destroy(serve->loop);
	free(serve->free_slots);
	free(serve->generations);
	log_tell_left_out(true);
}

int run_serve(int argc, char **argv)
{
	static const struct argp parser = { options, parse_option, "[PORT]", help_text, NULL, NULL,
					    NULL };
	struct setup setup = { .uid = (uid_t)-1, .door = MANYPORT_DOOR };
	struct serve *serve = &setup.serve;

	list_init(&serve->doors);
	list_init(&serve->clients);
	list_init(&serve->naming);
	list_init(&serve->waiting);
	if (argp_parse(&parser, argc, argv, 0, NULL, &setup))
		return EXIT_USAGE;
	if (!setup.port)
		setup.port = DEFAULT_PORT;
	log_setup(LOG_LEVEL_INFO);
	serve->status = start(&setup) ? EXIT_IO : EXIT_OK;
	if (serve->status == EXIT_OK && loop_run(serve->loop))
		serve->status = EXIT_IO;
	end(&setup);
	return serve->status;
}
