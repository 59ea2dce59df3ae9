// SPDX-License-Identifier: MIT
#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <manyport/version.h>

#include "base/text.h"
#include "daemon/options.h"
#include "service/registry.h"

const char *argp_program_version = "manyportd " MANYPORT_VERSION;

enum {
	OPTION_SOCKET_PATH = 0x100, OPTION_SOCKET_MODE, OPTION_SOCKET_GROUP, OPTION_FD,
	OPTION_CAPABILITIES, OPTION_VSOCK, OPTION_VSOCK_UNIX, OPTION_STREAM,
	OPTION_GUEST, OPTION_DEVICE, OPTION_PORT, OPTION_SERVICE, OPTION_LOG_LEVEL, OPTION_CHECK,
	OPTION_KEEP, OPTION_HANDOVER,
};

static const struct argp_option table[] = {
	{ NULL, 0, NULL, 0, "The front end (QEMU, User Mode Linux), one of:", 1 },
	{ "socket-path", OPTION_SOCKET_PATH, "PATH", 0,
	  "listen on this unix socket and serve one front end after the other", 1 },
	{ "fd", OPTION_FD, "N", 0,
	  "serve the front end that is connected to this descriptor, then exit", 1 },
	{ "socket-group", OPTION_SOCKET_GROUP, "GROUP", 0, "group of the socket, by name or number",
	  1 },
	{ "socket-mode", OPTION_SOCKET_MODE, "MODE", 0,
	  "permissions of the socket (0600, with --socket-group 0660)", 1 },
	{ "device", OPTION_DEVICE, "console|fs", 0,
	  "the virtio device that the front end makes of it: a console (default), or a file system "
	  "for QEMUs older than 10.2", 1 },
	{ NULL, 0, NULL, 0, "Roads without our device, beside a front end or alone:", 2 },
	{ "vsock", OPTION_VSOCK, "PORT,cid=N[,port=NAME]", 0,
	  "let the guest with this context id connect to vsock port PORT", 2 },
	{ "vsock-unix", OPTION_VSOCK_UNIX, "PATH[,mode=M][,group=G][,port=NAME]", 0,
	  "the same where the VMM makes vsock connections to a unix socket, such as "
	  "/run/vm1.vsock_PORT", 2 },
	{ "stream", OPTION_STREAM, "unix:PATH|unix-listen:PATH[,mode=M]|stdio[,port=NAME]", 0,
	  "serve all channels over one byte stream, whose other end is 'manyport serve' in the "
	  "guest: connect to the socket of a VMM's serial port, again and again, or listen", 2 },
	{ NULL, 0, NULL, 0, "What the guest gets:", 3 },
	{ "config", 'c', "FILE", 0, "read this file; the options below win over it", 3 },
	{ "guest", OPTION_GUEST, "NAME", 0, "name of the guest, for the log and for programs", 3 },
	{ "port", OPTION_PORT, "NAME[,id=N][,max-channels=N][,fixed=SERVICE]", 0,
	  "a port; SERVICE ties it to one service, and comes last (default: one port, manyport)",
	  3 },
	{ "service", OPTION_SERVICE, "[PORT/]NAME=URI", 0,
	  "what NAME leads to, on all ports or on one", 3 },
	{ NULL, 0, NULL, 0, "Other:", 4 },
	{ "keep", OPTION_KEEP, NULL, 0,
	  "run the daemon in a process of its own, hold what the next one needs, and start that "
	  "when this one has crashed", 4 },
	{ "handover", OPTION_HANDOVER, "N", OPTION_HIDDEN, NULL, 4 },
	{ "check", OPTION_CHECK, NULL, 0, "look at the configuration and exit", 4 },
	{ "log-level", OPTION_LOG_LEVEL, "LEVEL", 0, "error, warning, info (default) or debug", 4 },
	{ "print-capabilities", OPTION_CAPABILITIES, NULL, 0,
	  "say as JSON what this back end can do, and exit", 4 },
	{ 0 }
};

static void *no_memory(struct argp_state *state, void *result)
{
	if (!result)
		argp_failure(state, EXIT_FAILURE, ENOMEM, "options");
	return result;
}

static char *format_text(struct argp_state *state, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static char *format_text(struct argp_state *state, const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return no_memory(state, text);
}

/* Copies everything. */
static void add_setting(struct argp_state *state, const char *origin, const char *section,
			const char *key, const char *value)
{
	struct options *options = state->input;
	struct option_setting *list = reallocarray(options->settings, options->setting_count + 1,
						   sizeof(*list));

	options->settings = no_memory(state, list);
	list[options->setting_count++] = (struct option_setting){
		.origin = format_text(state, "%s", origin),
		.section = format_text(state, "%s", section),
		.key = key ? format_text(state, "%s", key) : NULL,
		.value = format_text(state, "%s", value),
	};
}

/* [PORT/]NAME=URI */
static void parse_service(struct argp_state *state, const char *arg)
{
	const char *equals = strchr(arg, '=');
	char *origin, *section;

	if (!equals || equals == arg || !equals[1])
		argp_error(state, "--service=%s: should be [PORT/]NAME=URI, such as "
			   "db=unix:/run/db.sock", arg);
	else {
		origin = format_text(state, "--service=%s", arg);
		section = format_text(state, "Service %.*s", (int)(equals - arg), arg);
		add_setting(state, origin, section, "Connect", equals + 1);
		free(origin);
		free(section);
	}
}

/* One "key=value" of --port. */
static void parse_port_part(struct argp_state *state, const char *origin, const char *section,
			    const char *part)
{
	static const char *const keys[][2] = {
		{ "id=", "Id" }, { "max-channels=", "MaxChannels" }, { "fixed=", "Service" },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t len = strlen(keys[i][0]);

		if (strncmp(part, keys[i][0], len))
			continue;
		add_setting(state, origin, section, keys[i][1], part + len);
		if (!strcmp(keys[i][1], "Service"))
			add_setting(state, origin, section, "Kind", "fixed");
		return;
	}
	argp_error(state, "%s: '%s' is none of id=, max-channels=, fixed=", origin, part);
}

/* NAME[,id=N][,max-channels=N][,fixed=SERVICE]; a URI in SERVICE may hold commas. */
static void parse_port(struct argp_state *state, const char *arg)
{
	char *origin = format_text(state, "--port=%s", arg);
	char *copy = format_text(state, "%s", arg), *rest = copy, *part = strsep(&rest, ",");
	char *section = format_text(state, "Port %s", part);

	add_setting(state, origin, section, NULL, "");
	while (rest) {
		part = rest;
		if (strncmp(rest, "fixed=", 6))
			strsep(&rest, ",");
		else
			rest = NULL;
		parse_port_part(state, origin, section, part);
	}
	free(section);
	free(copy);
	free(origin);
}

static void parse_log_level(struct argp_state *state, const char *arg)
{
	static const char *const levels[] = { "error", "warning", "info", "debug" };
	struct options *options = state->input;

	for (int i = 0; i < 4; i++) {
		if (!strcmp(arg, levels[i])) {
			options->log_level = (enum log_level)i;
			return;
		}
	}
	argp_error(state, "--log-level=%s: allowed are error, warning, info, debug", arg);
}

static void parse_fd(struct argp_state *state, const char *arg)
{
	struct options *options = state->input;
	uint64_t fd;

	if (text_number(arg, 0, 1 << 20, &fd))
		argp_error(state, "--fd=%s: not the number of a descriptor", arg);
	else
		options->fd = fd;
}

/* The program before this one has made it: daemon/handover.c. */
static void parse_handover(struct argp_state *state, const char *arg)
{
	struct options *options = state->input;
	uint64_t fd;

	if (text_number(arg, 3, 1 << 20, &fd))
		argp_error(state, "--handover=%s: not the number of a descriptor", arg);
	else
		options->handover = fd;
}

/* The only way to the guest has permissions: an abstract name has none. */
static void parse_path(struct argp_state *state, const char *arg)
{
	struct options *options = state->input;
	struct sockaddr_un address;
	socklen_t len;
	int ret = unix_address_set(&address, &len, arg);

	options->socket_path = arg;
	if (*arg == '@')
		argp_error(state, "--socket-path=%s: whoever sees an abstract name may connect, "
			   "and so be the guest; give the path of a file", arg);
	else if (ret)
		argp_error(state, "--socket-path=%s: %s", arg, unix_address_explain(ret));
}

static void parse_road(struct argp_state *state, const char *option, const char *arg,
		       const char *(*parse)(struct road_config *road, char *text))
{
	struct options *options = state->input;
	struct option_road *list = reallocarray(options->roads, options->road_count + 1,
						sizeof(*list)), *road;
	const char *wrong;

	options->roads = no_memory(state, list);
	road = &list[options->road_count++];
	*road = (struct option_road){
		.origin = format_text(state, "%s=%s", option, arg),
		.text = format_text(state, "%s", arg),
	};
	wrong = parse(&road->config, road->text);
	if (wrong)
		argp_error(state, "%s: %s", road->origin, wrong);
}

/* @setting: "mode=" or "group=". */
static void parse_access(struct argp_state *state, const char *setting, const char *arg)
{
	struct options *options = state->input;
	char *text = format_text(state, "%s%s", setting, arg);

	if (!unix_access_set(&options->socket_access, text)) {
		options->has_mode |= *setting == 'm';
		if (!options->has_mode)
			options->socket_access.mode = OPTIONS_GROUP_MODE;
	} else if (*setting == 'm') {
		argp_error(state, "--socket-mode=%s: not octal permissions such as 0660", arg);
	} else {
		argp_error(state, "--socket-group=%s: there is no such group", arg);
	}
	free(text);
}

static bool uses_stdio(const struct options *options)
{
	for (int i = 0; i < options->road_count; i++)
		if (options->roads[i].config.kind == ROAD_STREAM_STDIO)
			return true;
	return false;
}

/* After the last option: does it all together make sense? */
static void check_all(struct argp_state *state)
{
	struct options *options = state->input;
	bool serve = !options->check && !options->print_capabilities;

	if (options->socket_path && options->fd >= 0)
		argp_error(state, "--socket-path and --fd exclude each other");
	else if (options->fd >= 0 && options->fd <= 1 && uses_stdio(options))
		argp_error(state, "--fd=%d and --stream=stdio exclude each other: give the front "
			   "end another number, such as 3", options->fd);
	else if (serve && !options->socket_path && options->fd < 0 && !options->road_count)
		argp_error(state, "--socket-path=PATH or --fd=N is needed, or a road: --vsock=, "
			   "--vsock-unix=, --stream=");
}

/* What is not a setting of the configuration. */
static error_t parse_own(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case OPTION_SOCKET_PATH:
		parse_path(state, arg);
		break;
	case OPTION_SOCKET_MODE:
		parse_access(state, "mode=", arg);
		break;
	case OPTION_SOCKET_GROUP:
		parse_access(state, "group=", arg);
		break;
	case OPTION_FD:
		parse_fd(state, arg);
		break;
	case OPTION_VSOCK:
		parse_road(state, "--vsock", arg, road_parse_vsock);
		break;
	case OPTION_VSOCK_UNIX:
		parse_road(state, "--vsock-unix", arg, road_parse_unix);
		break;
	case OPTION_STREAM:
		parse_road(state, "--stream", arg, road_parse_stream);
		break;
	case 'c':
		options->config_file = arg;
		break;
	case OPTION_LOG_LEVEL:
		parse_log_level(state, arg);
		break;
	case OPTION_HANDOVER:
		parse_handover(state, arg);
		break;
	case OPTION_KEEP:
		options->keep = true;
		break;
	case OPTION_CHECK:
		options->check = true;
		break;
	case OPTION_CAPABILITIES:
		options->print_capabilities = true;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case OPTION_GUEST:
		add_setting(state, "--guest", "Guest", "Name", arg);
		break;
	case OPTION_DEVICE:
		add_setting(state, "--device", "Guest", "Device", arg);
		break;
	case OPTION_PORT:
		parse_port(state, arg);
		break;
	case OPTION_SERVICE:
		parse_service(state, arg);
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s': there are only options", arg);
		break;
	case ARGP_KEY_END:
		check_all(state);
		break;
	default:
		return parse_own(key, arg, state);
	}
	return 0;
}

/* The kinds of URI come from the services themselves. */
static char *filter_help(int key, const char *text, void *input)
{
	char *help = NULL;
	size_t size;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	out = open_memstream(&help, &size);
	if (!out)
		return (char *)text;
	fputs("A URI is one of:\n", out);
	for (unsigned int i = 0; service_scheme_form(i); i++)
		fprintf(out, "  %-30s %s\n", service_scheme_form(i), service_scheme_help(i));
	fputs("\nExample:\n"
	      "  manyportd --socket-path=/run/vm1.sock --service=db=unix:/run/db.sock\n", out);
	fclose(out);
	return help;
}

void options_parse(struct options *options, int argc, char **argv)
{
	static const struct argp parser = {
		.options = table,
		.parser = parse,
		.doc = "The host side of manyport: a vhost-user back end that gives a guest ports "
		       "which many processes open at once, each open a channel to a service of "
		       "the host."
		       "\vx",
		.help_filter = filter_help,
	};

	memset(options, 0, sizeof(*options));
	options->fd = options->handover = -1;
	options->socket_access = (struct unix_access)UNIX_ACCESS(OPTIONS_DEFAULT_MODE);
	options->log_level = LOG_LEVEL_INFO;
	argp_parse(&parser, argc, argv, 0, NULL, options);
}

void options_free(struct options *options)
{
	for (int i = 0; i < options->setting_count; i++) {
		free(options->settings[i].origin);
		free(options->settings[i].section);
		free(options->settings[i].key);
		free(options->settings[i].value);
	}
	free(options->settings);
	for (int i = 0; i < options->road_count; i++) {
		free(options->roads[i].origin);
		free(options->roads[i].text);
	}
	free(options->roads);
}
