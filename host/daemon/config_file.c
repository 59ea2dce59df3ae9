// SPDX-License-Identifier: MIT
/*
 * Reads an INI file with libinih.
 *
 * Its handler is not told where it is, cuts long titles off silently and never
 * hears of an empty section. So the reader that we give it, which it asks for
 * one line after the other, remembers the number of the line and the title.
 */
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/config.h"

/*
 * Lines are as long as libinih was built for, 200 bytes by default. Debian's
 * can be asked for more; another may not have the variable.
 */
#define LINE_MAX_BYTES 4096
extern int ini_max_line __attribute__((weak));

struct reader {
	struct config *config;
	FILE *file;
	const char *path;
	unsigned int line;
	char *section;			/* title of the current section, or NULL */
	bool skip;			/* it is wrong, which was said */
	char where[512];
	struct config_origin origin;
};

static void set_where(struct reader *reader, unsigned int line)
{
	snprintf(reader->where, sizeof(reader->where), "%s:%u", reader->path, line);
	reader->origin.text = reader->where;
}

/* Notes the title in "[...]", if there is one. */
static void note_section(struct reader *reader, const char *line)
{
	const char *end = strchr(line, ']');

	if (*line != '[')
		return;
	free(reader->section);
	/* Without the closing bracket libinih finds the error. */
	reader->section = end ? strndup(line + 1, end - line - 1) : NULL;
	reader->skip = !reader->section ||
		       !config_begin(reader->config, &reader->origin, reader->section);
}

/* fgets() for libinih: the next line, blanks in front of it taken off. */
static char *read_line(char *buf, int size, void *context)
{
	struct reader *reader = context;
	size_t blanks;

	if (!fgets(buf, size, reader->file))
		return NULL;
	set_where(reader, ++reader->line);
	if (!strchr(buf, '\n') && !feof(reader->file)) {
		int c;

		config_error(reader->config, reader->where, "line too long, at most %d bytes",
			     size - 3);
		while ((c = fgetc(reader->file)) != EOF && c != '\n')
			;
		buf[0] = 0;
	}
	/* To libinih an indented line would continue the one before. */
	blanks = strspn(buf, " \t");
	memmove(buf, buf + blanks, strlen(buf + blanks) + 1);
	note_section(reader, buf);
	return buf;
}

static int handle(void *context, const char *section, const char *name, const char *value)
{
	struct reader *reader = context;

	(void)section;
	if (reader->skip)
		return 1;
	if (!reader->section)
		config_error(reader->config, reader->where, "%s= stands before any section", name);
	else
		config_set(reader->config, &reader->origin, reader->section, name, value);
	return 1;
}

void config_read_file(struct config *config, const char *path)
{
	struct reader reader = { .config = config, .path = path,
				 .origin = { .level = CONFIG_FILE } };
	struct stat st;
	int line;

	reader.file = fopen(path, "re");
	if (!reader.file) {
		config_error(config, path, "%s", strerror(errno));
		return;
	}
	if (!fstat(fileno(reader.file), &st) && S_ISDIR(st.st_mode)) {
		config_error(config, path, "is a directory");
		goto out;
	}
	if (&ini_max_line)
		ini_max_line = LINE_MAX_BYTES;
	line = ini_parse_stream(read_line, &reader, handle, &reader);
	if (line > 0) {
		set_where(&reader, line);
		config_error(config, reader.where, "not a section [TITLE], a setting KEY=VALUE or "
			     "a comment");
	} else if (line < 0) {
		config_error(config, path, "out of memory");
	}
	if (ferror(reader.file))
		config_error(config, path, "%s", strerror(errno));
out:
	free(reader.section);
	fclose(reader.file);
}
