// SPDX-License-Identifier: MIT
/* manyport: the command line's first word. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <manyport/client.h>
#include <manyport/version.h>

#include "tool.h"

const char program_version_text[] = "manyport " MANYPORT_VERSION;
const char *argp_program_version = program_version_text;

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *text;
} commands[] = {
	{ "connect", run_connect, "standard input and output to a service" },
	{ "forward", run_forward, "a listening socket, a channel per connection" },
	{ "list", run_list, "the ports of this guest" },
	{ "run", run_run, "a program that gets channels for sockets" },
	{ "serve", run_serve, "channels over a serial port, for guests without the module" },
	{ NULL, NULL, NULL },
};

static const char help_text[] =
	"Channels from this guest to services of its host."
	"\v"
	"Commands:\n"
	"  connect NAME              standard input and output to the service NAME\n"
	"  forward -L SOCKET:NAME    a listening unix or TCP socket, a channel per connection\n"
	"  list                      the ports of this guest and what they are\n"
	"  run -L SOCKET:NAME PROGRAM a program whose connect() to SOCKET gives a channel\n"
	"  serve [PORT]              channels over a serial port, for guests without the module\n"
	"\n"
	"'manyport COMMAND --help' says more about each. The port is the first that has\n"
	"channels, or the one in $" MANYPORT_PORT_ENV ", or the one given with --port.\n"
	"\n"
	"Exit status: 0 when all went well, 1 after an error, 2 for a wrong command line.";

static int parse_option(int key, char *arg, struct argp_state *state)
{
	const struct command **chosen = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		for (const struct command *c = commands; c->name; c++)
			if (!strcmp(c->name, arg))
				*chosen = c;
		if (!*chosen)
			argp_error(state, "no command '%s'", arg);
		/* The rest is the subcommand's. */
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "a command is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The place of the command's name: options before it are our own. */
static int find_command(int argc, char **argv)
{
	int i = 1;

	while (i < argc - 1 && argv[i][0] == '-')
		i++;
	return i;
}

/*
 * The program that started us may have closed standard input, output or error. The next file that
 * is opened, a channel, would get the free number, and input, output or messages would go there.
 * So other files take the numbers: an input that has ended, an output that refuses (and so is
 * noticed when there is something to write), and a place where messages are lost.
 */
static void occupy_standard_files(void)
{
	static const int flags[] = { O_RDONLY, O_RDONLY, O_WRONLY };

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags[fd]) != fd)
			_exit(EXIT_IO);
}

/* What printf() left in its buffer may meet a full disk. */
static void flush_output(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return;
	complain("standard output: %s", strerror(errno));
	_exit(EXIT_IO);
}

int main(int argc, char **argv)
{
	static const struct argp parser = { NULL, parse_option, "COMMAND [OPTION...]", help_text,
					    NULL, NULL, NULL };
	const struct command *chosen = NULL;
	int first = find_command(argc, argv);
	char name[64];

	occupy_standard_files();
	atexit(flush_output);
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &chosen) || !chosen)
		return EXIT_USAGE;
	/* argp takes the program's name for its messages from here. */
	snprintf(name, sizeof(name), "manyport %s", chosen->name);
	argv[first] = name;
	return chosen->run(argc - first, argv + first);
}
