// SPDX-License-Identifier: MIT
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/unix_access.h"

/* A user's or group's number: @text itself, or what FIND finds for it. */
static int parse_id(const char *text, int (*find)(const char *name, id_t *id), id_t *id)
{
	char *end;
	unsigned long number;

	if (!*text)
		return -EINVAL;
	if (strspn(text, "0123456789") != strlen(text))
		return find(text, id);
	errno = 0;
	number = strtoul(text, &end, 10);
	/* The highest is no user, but "leave it" to chown(). */
	if (errno || number >= UINT32_MAX)
		return -EINVAL;
	*id = number;
	return 0;
}

/*
 * Reads /etc/passwd and /etc/group itself: the guest's command is linked statically, and there the
 * name service works only where the same C library is installed.
 */
static int find_user(const char *name, id_t *id)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry;
	int ret = -ENOENT;

	while (file && ret && (entry = fgetpwent(file))) {
		if (strcmp(entry->pw_name, name))
			continue;
		*id = entry->pw_uid;
		ret = 0;
	}
	if (file)
		fclose(file);
	return ret;
}

static int find_group(const char *name, id_t *id)
{
	FILE *file = fopen("/etc/group", "re");
	struct group *entry;
	int ret = -ENOENT;

	while (file && ret && (entry = fgetgrent(file))) {
		if (strcmp(entry->gr_name, name))
			continue;
		*id = entry->gr_gid;
		ret = 0;
	}
	if (file)
		fclose(file);
	return ret;
}

static int parse_mode(const char *text, mode_t *mode)
{
	size_t len = strlen(text);

	if (!len || len > 4 || strspn(text, "01234567") != len)
		return -EINVAL;
	*mode = strtoul(text, NULL, 8);
	return *mode > 0777 ? -EINVAL : 0;
}

int unix_access_set(struct unix_access *access, const char *setting)
{
	if (!strncmp(setting, "mode=", 5))
		return parse_mode(setting + 5, &access->mode);
	if (!strncmp(setting, "owner=", 6))
		return parse_id(setting + 6, find_user, &access->owner);
	if (!strncmp(setting, "group=", 6))
		return parse_id(setting + 6, find_group, &access->group);
	return -EINVAL;
}

/* A comma is part of the path unless a word and '=' follow: a wrong word is to be refused. */
static bool is_setting(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz");

	return len && text[len] == '=';
}

int unix_access_cut(struct unix_access *access, char *path, const char **bad)
{
	char *comma;
	int ret;

	while ((comma = strrchr(path, ',')) && is_setting(comma + 1)) {
		*comma = 0;
		*bad = comma + 1;
		ret = unix_access_set(access, comma + 1);
		if (ret)
			return ret;
	}
	return 0;
}
