/* SPDX-License-Identifier: MIT */
/* The command line. */
#ifndef HOST_DAEMON_OPTIONS_H
#define HOST_DAEMON_OPTIONS_H

#include <stdbool.h>

#include "base/log.h"
#include "base/unix_address.h"
#include "daemon/road.h"

#define OPTIONS_DEFAULT_MODE 0600
#define OPTIONS_GROUP_MODE   0660	/* with --socket-group */

/* One setting of the configuration, as config_set() takes it. */
struct option_setting {
	char *origin;		/* the option as given */
	char *section, *key, *value;	/* key NULL: the section is only mentioned */
};

/* A road beside the front end. */
struct option_road {
	struct road_config config;
	char *origin, *text;	/* the option as given; its value, which config points into */
};

struct options {
	const char *socket_path;	/* NULL: not given */
	struct unix_access socket_access;
	bool has_mode;			/* --socket-mode is given */
	int fd;				/* -1: not given */
	struct option_road *roads;
	int road_count;
	const char *config_file;
	enum log_level log_level;
	int handover;			/* the record of the program before this one, or -1 */
	bool check, print_capabilities, keep;
	struct option_setting *settings;
	int setting_count;
};

/* Exits after --help, --version or a wrong option (status 64), as argp does. */
void options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

#endif
