// SPDX-License-Identifier: MIT
/*
 * manyport-vtest: an exec: service that gives each client a vtest renderer. The daemon starts,
 * limits and ends the processes of any number of clients, so this program knows one: what a bad
 * client does costs that client's channel.
 */
#include <argp.h>
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <manyport/version.h>

#include "relay.h"
#include "renderer.h"

#define WORDS_MAX 64	/* of the renderer's command */

struct options {
	const char *path;
	int count;
	char *command[WORDS_MAX + 3];
};

static const char help_text[] =
	"An exec: service of manyportd: OpenGL for a process of the guest."
	"\v"
	"Standard input is the client's socket. The renderer is RENDERER with its arguments, "
	"started for this client (default: virgl_test_server --use-egl-surfaceless), or the server "
	"that listens at PATH.\n"
	"\n"
	"Exit status: 0 when the client ended first, 1 after an error, 2 for a wrong command line.";

static const struct argp_option option_table[] = {
	{ "connect", 'c', "PATH", 0, "connect to the vtest server at PATH", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

const char *argp_program_version = "manyport-vtest " MANYPORT_VERSION;

static int parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'c':
		options->path = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (options->path)
			argp_error(state, "a RENDERER is not started with --connect");
		/* The rest is the renderer's, its options too. */
		options->count = state->argc - state->next + 1;
		if (options->count > WORDS_MAX)
			argp_error(state, "RENDERER has too many arguments");
		memcpy(options->command, &state->argv[state->next - 1],
		       options->count * sizeof(*options->command));
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!options->count) {
			options->command[options->count++] = RENDERER_DEFAULT;
			options->command[options->count++] = "--use-egl-surfaceless";
		}
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool is_socket(int fd)
{
	struct stat status;

	return !fstat(fd, &status) && S_ISSOCK(status.st_mode);
}

/* Of a client that did nothing wrong. Returns 0, or 1 with a message. */
static int report_end(bool is_early, const char *wrong)
{
	if (is_early)
		warnx("the renderer ended before its client%s%s", wrong ? ": " : "",
		      wrong ? wrong : "");
	else if (wrong)
		warnx("the renderer did not end well: %s", wrong);
	return is_early || wrong;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { option_table, parse_option, "[RENDERER [ARGUMENT...]]",
					  help_text, NULL, NULL, NULL };
	struct options options = { .path = NULL };
	struct renderer renderer = { .fd = -1 };
	const char *why = NULL, *wrong;
	enum relay_end end;
	bool is_good;

	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &options);
	if (!is_socket(STDIN_FILENO)) {
		warnx("standard input is no socket: manyportd starts this program for a client");
		return 2;
	}
	if (options.path ? renderer_connect(&renderer, options.path) :
			   renderer_start(&renderer, options.command, options.count))
		return 1;
	end = relay(STDIN_FILENO, renderer.fd, &why);
	is_good = end == RELAY_WHOLE || end == RELAY_RENDERER_ENDED;
	if (!is_good) {
		warnx("%s", end == RELAY_DESCRIPTOR ?
		      "the renderer passed a descriptor, which cannot travel to a guest" : why);
		/* What the renderer still does is for no one. */
		renderer_stop(&renderer);
	}
	/* The client hears of the end at once, however long the renderer takes for its own. */
	shutdown(STDIN_FILENO, SHUT_RDWR);
	wrong = renderer_end(&renderer);
	return is_good ? report_end(end == RELAY_RENDERER_ENDED, wrong) : 1;
}
