// SPDX-License-Identifier: MIT
/* Reads a file of sections and settings. A line is one of those, a comment or empty. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/config.h"

#define BLANKS " \t\r\n"

struct reader {
	struct config *config;
	const char *path;
	unsigned int line;
	char *section;			/* title of the current section, or NULL */
	bool skip;			/* the section is wrong, which was noted */
	char where[512];
	struct config_origin origin;
};

static void next_line(struct reader *reader)
{
	snprintf(reader->where, sizeof(reader->where), "%s:%u", reader->path, ++reader->line);
	reader->origin.text = reader->where;
}

static char *cut_blanks(char *text)
{
	size_t len;

	text += strspn(text, BLANKS);
	len = strlen(text);
	while (len && strchr(BLANKS, text[len - 1]))
		text[--len] = 0;
	return text;
}

static void complain(struct reader *reader)
{
	config_error(reader->config, reader->where,
		     "not a section [TITLE], a setting KEY=VALUE or a comment");
}

/* @text begins with '['. The settings after a title that cannot be read are skipped. */
static void read_title(struct reader *reader, char *text)
{
	size_t len = strlen(text);

	free(reader->section);
	reader->section = NULL;
	reader->skip = true;
	if (text[len - 1] != ']') {
		complain(reader);
		return;
	}
	reader->section = strndup(text + 1, len - 2);
	if (reader->section)
		reader->skip = !config_begin(reader->config, &reader->origin, reader->section);
	else
		config_error(reader->config, reader->where, "out of memory");
}

/* Earlier versions took " ;" and the rest of the line for a comment: warns that it is not one. */
static void warn_of_comment(struct reader *reader, const char *value)
{
	const char *comment = value;

	while ((comment = strchr(comment + 1, ';'))) {
		if (!strchr(BLANKS, comment[-1]))
			continue;
		config_warning(reader->config, reader->where, "'%s' is part of the value: comments "
			       "stand on lines of their own (a command may have ';' in quotes)",
			       comment);
		return;
	}
}

static void read_setting(struct reader *reader, char *text)
{
	char *equals = strchr(text, '='), *name, *value;

	if (!equals || equals == text) {
		complain(reader);
		return;
	}
	*equals = 0;
	name = cut_blanks(text);
	value = cut_blanks(equals + 1);
	if (reader->skip)
		return;
	if (!reader->section) {
		config_error(reader->config, reader->where, "%s= stands before any section", name);
		return;
	}
	if (*value)
		warn_of_comment(reader, value);
	config_set(reader->config, &reader->origin, reader->section, name, value);
}

static void read_line(struct reader *reader, char *line, size_t len)
{
	char *text;

	next_line(reader);
	if (strlen(line) != len) {
		config_error(reader->config, reader->where, "holds a NUL byte");
		return;
	}
	text = cut_blanks(line);
	if (*text == '[')
		read_title(reader, text);
	else if (*text && *text != '#' && *text != ';')
		read_setting(reader, text);
}

static void read_all(struct reader *reader, FILE *file)
{
	struct stat st;
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (!fstat(fileno(file), &st) && S_ISDIR(st.st_mode)) {
		config_error(reader->config, reader->path, "is a directory");
		return;
	}
	errno = 0;
	while ((len = getline(&line, &size, file)) >= 0) {
		read_line(reader, line, len);
		errno = 0;
	}
	if (errno || ferror(file))
		config_error(reader->config, reader->path, "%s", strerror(errno));
	free(line);
}

void config_read_file(struct config *config, const char *path)
{
	struct reader reader = { .config = config, .path = path,
				 .origin = { .level = CONFIG_FILE } };
	FILE *file = fopen(path, "re");

	if (!file) {
		config_error(config, path, "%s", strerror(errno));
		return;
	}
	read_all(&reader, file);
	free(reader.section);
	fclose(file);
}
