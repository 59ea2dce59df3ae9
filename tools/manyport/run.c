// SPDX-License-Identifier: MIT
/* manyport run: starts a program with the library that gives it channels. See preload/preload.h. */
#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <manyport/client.h>

#include "forwarder.h"
#include "program.h"
#include "tool.h"
#include "run_env.h"

#define PRELOAD_ENV "LD_PRELOAD"
#define SOCKET_PATH_SIZE ((int)sizeof(((struct sockaddr_un *)0)->sun_path))
/* As env(1), nohup(1) and a shell have them. */
enum { EXIT_OURS = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static const char help_text[] =
	"Runs PROGRAM, and gives it a channel where it connects to SOCKET."
	"\v"
	"SOCKET is the path of a unix socket ('@NAME' is an abstract one), or [ADDR:]PORT of TCP, "
	"as for 'manyport forward'; it need not exist. connect() to it, in PROGRAM and its "
	"children, gives a channel to the service NAME in place of the socket, without a relay. "
	"All other sockets stay what they are.\n\n"
	"A static program, one that runs with other rights (setuid), a Go program, and one of "
	"another C library (musl) cannot be reached so: use 'manyport forward'.\n\n"
	"The exit status is PROGRAM's; 125 after an error of this command, 126 if PROGRAM cannot "
	"be run, 127 if it is not found.\n\n"
	"Example: manyport run -L /run/db.sock:db -L 6379:redis -- ./server --verbose";

static const struct argp_option options[] = {
	{ "listen", 'L', "SOCKET:NAME", 0,
	  "connect() to SOCKET is a channel to the service NAME; may be repeated", 0 },
	{ "port", 'p', "PORT", 0,
	  "name of the port, or path of its node (default: $" MANYPORT_PORT_ENV
	  ", else the first port with channels)", 0 },
	{ "verbose", 'v', NULL, 0, "say on standard error why a channel is refused", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct run {
	const char *port;
	char sockets[RUN_SOCKETS_MAX * (PATH_MAX + MANYPORT_NAME_SIZE)];
	size_t len;
	int count;
	bool is_verbose;
	char **program;
};

/*
 * The library is beside the installed command's folder, or beside the command that was just
 * built.
 */
static bool find_library(char *path, size_t size)
{
	static const char *const places[] = { "/../lib/manyport/", "/" };
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[len > 0 ? len : 0] = '\0';
	if (strrchr(self, '/'))
		*strrchr(self, '/') = '\0';
	/* The linker's list has these between its names, and nothing to quote them with. */
	if (strpbrk(self, ": \t\n")) {
		complain("'%s': LD_PRELOAD cannot name a folder with a blank or a colon", self);
		return false;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(path, size, "%s%s%s", self, places[i], RUN_LIBRARY) < (int)size &&
		    !access(path, R_OK))
			return true;
	complain("%s is not there: it belongs beside this command or into %s/../lib/manyport",
		 RUN_LIBRARY, self);
	return false;
}

/* ---- what the library is told ---- */

/*
 * Where @path, which the program may look at from another folder, is: the folder of this command
 * if the path is relative, or "". NULL and errno.
 */
static const char *folder_of(const char *path, char *folder, size_t size)
{
	folder[0] = '\0';
	return path[0] == '/' || getcwd(folder, size) ? folder : NULL;
}

/* Returns 0 for a path that is no socket's. */
static int tell_unix(char *text, size_t size, const char *address)
{
	char buf[PATH_MAX];
	const char *folder = address[0] == '@' ? "" : folder_of(address, buf, sizeof(buf));

	if (!folder || strlen(folder) + strlen(address) + !!*folder >= SOCKET_PATH_SIZE)
		return 0;
	return snprintf(text, size, "unix:%s%s%s", folder, *folder ? "/" : "", address);
}

static int tell_tcp(char *text, size_t size, const struct sockaddr_storage *address)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
	char host[INET6_ADDRSTRLEN];

	if (address->ss_family == AF_INET)
		return snprintf(text, size, "tcp:%s:%u",
				inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host)),
				ntohs(four->sin_port));
	return snprintf(text, size, "tcp:[%s]:%u",
			inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host)),
			ntohs(six->sin6_port));
}

/* Why this command cannot use what spec_parse() takes, or NULL. */
static const char *is_unfit(const struct run *run, const char *text, const struct spec *spec)
{
	static const struct unix_access none = UNIX_ACCESS(0600);
	const struct sockaddr_in *four = (const struct sockaddr_in *)&spec->tcp;

	if (run->count == RUN_SOCKETS_MAX)
		return "too many sockets";
	if (strchr(text, '\n'))
		return "a line ends in it";
	if (spec->is_unix && memcmp(&spec->access, &none, sizeof(none)))
		return "mode, owner and group are for a socket that is made (manyport forward)";
	/* The port's number is at the same place in both families. */
	if (!spec->is_unix && !four->sin_port)
		return "a port from 1 to 65535";
	return NULL;
}

/* The first of two that are equal would count. */
static bool has_socket(const struct run *run, const char *socket)
{
	size_t len = strlen(socket);

	for (const char *line = run->sockets; line < run->sockets + run->len;) {
		if (!strncmp(line, socket, len) && line[len] == '\n')
			return true;
		line = strchr(line, '\n') + 1;		/* its service */
		line = strchr(line, '\n') + 1;
	}
	return false;
}

static void add_socket(struct run *run, const char *text, struct argp_state *state)
{
	char *to = run->sockets + run->len;
	size_t room = sizeof(run->sockets) - run->len;
	struct spec spec;
	const char *why;
	int len;

	if (spec_parse(&spec, text, &why) || (why = is_unfit(run, text, &spec)))
		argp_error(state, "'%s': %s", text, why);
	len = spec.is_unix ? tell_unix(to, room, spec.address) : tell_tcp(to, room, &spec.tcp);
	if (!len)
		argp_error(state, "'%s': with this folder in front it is no path of a socket "
			   "(at most %d bytes)", text, SOCKET_PATH_SIZE - 1);
	if (has_socket(run, to))
		argp_error(state, "'%s': the same socket is given twice", text);
	len += snprintf(to + len, room - len, "\n%s\n", spec.service);
	run->len += len;
	run->count++;
	free(spec.address);
}

static int parse_option(int key, char *arg, struct argp_state *state)
{
	struct run *run = state->input;

	switch (key) {
	case 'L':
		add_socket(run, arg, state);
		return 0;
	case 'p':
		run->port = arg;
		return 0;
	case 'v':
		run->is_verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		/* This and all that follows are the program's. */
		run->program = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!run->count)
			argp_error(state, "no socket: give -L SOCKET:NAME");
		if (!run->program)
			argp_error(state, "no PROGRAM");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- the start ---- */

/* The program may go to another folder before it connects. */
static int make_absolute(char *path, size_t size)
{
	char folder[PATH_MAX], full[2 * PATH_MAX];

	if (!folder_of(path, folder, sizeof(folder)))
		return -errno;
	snprintf(full, sizeof(full), "%s%s%s", folder, *folder ? "/" : "", path);
	return snprintf(path, size, "%s", full) < (int)size ? 0 : -ENAMETOOLONG;
}

static bool find_port(struct run *run, char *path, size_t size)
{
	char why[EXPLAIN_SIZE], stock[64];
	int ret = manyport_find(run->port, path, size);

	if (!ret)
		ret = make_absolute(path, size);
	/*
	 * One process at a time, no errors, no half-close: not what a program takes for a
	 * socket.
	 */
	if (!ret && find_stock_port(path, stock, sizeof(stock)))
		ret = -ENODEV;
	if (!ret)
		return true;
	explain_refused(why, run->port, NULL, ret);
	complain("%s", why);
	return false;
}

static int set_environment(const struct run *run, const char *port, const char *library)
{
	const char *others = getenv(PRELOAD_ENV);
	char *preload;

	/* Ours is first, since the others may stand in front of the same calls. */
	if (asprintf(&preload, "%s%s%s", library, others && *others ? ":" : "",
		     others ? others : "") < 0)
		return -ENOMEM;
	setenv(PRELOAD_ENV, preload, true);
	free(preload);
	setenv(RUN_PORT_ENV, port, true);
	setenv(RUN_SOCKETS_ENV, run->sockets, true);
	if (run->is_verbose)
		setenv(RUN_VERBOSE_ENV, "1", true);
	else
		unsetenv(RUN_VERBOSE_ENV);
	return 0;
}

static int start_program(char **program)
{
	char path[PATH_MAX] = "";
	bool would_end = false;
	const char *why;
	int ret = program_find(program[0], path, sizeof(path));

	/* Its children may be of another kind, as those of a static shell are. */
	why = ret ? NULL : program_escapes(path, &would_end);
	if (would_end) {
		complain("cannot run '%s': it is %s (manyport forward serves every program)", path,
			 why);
		return EXIT_CANNOT_RUN;
	}
	if (why)
		complain("warning: '%s' is %s: it gets no channels here, only what it starts may "
			 "(manyport forward serves every program)", path, why);
	if (!ret) {
		execvp(program[0], program);
		ret = -errno;
	}
	complain("cannot run '%s': %s%s", program[0], strerror(-ret),
		 ret == -ENOENT && !access(path, F_OK) ?
		 " (the linker or interpreter that it names)" : "");
	return ret == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

int run_run(int argc, char **argv)
{
	static const struct argp parser = { options, parse_option,
					    "-L SOCKET:NAME... [--] PROGRAM [ARGUMENT...]",
					    help_text, NULL, NULL, NULL };
	char port[PATH_MAX], library[PATH_MAX];
	static struct run run;

	if (argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &run))
		return EXIT_USAGE;
	if (!find_library(library, sizeof(library)) || !find_port(&run, port, sizeof(port)))
		return EXIT_OURS;
	if (set_environment(&run, port, library)) {
		complain("out of memory");
		return EXIT_OURS;
	}
	return start_program(run.program);
}
